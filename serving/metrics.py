"""What the server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """All metrics of one server, in a registry of their own.

    Attributes:
        registry: Holds them.
        requests: Requests by route, method and status.
        latency: Seconds of a request by stage: `queue`, `search`, `store` and `total`.
        batch_size: Requests of a batch.
        queue: Requests that wait.
        queue_limit: Requests that may wait.
        dropped: Requests that were never run: their client left, or their deadline passed.
        tokens: Tokens by kind: `prompt` and `answer`.
        answers: Answers that were given.
        items: Items that were recommended.
        invalid: Items that were recommended and were not offered; always 0.
        events: Events that were kept.
        engine_up: 1 where there is an engine that answers, 0 while it is started again.
        store_up: 1 where the store could be read last time, else 0.
        version: How often the catalog was changed since it was made.
        popularity: How popular recommended items are, as a share of what they were at first.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "recgen_requests_total",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self.latency = Histogram(
            "recgen_latency_seconds",
            "Seconds of a request by stage.",
            ("stage",),
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "recgen_batch_size",
            "Requests of a batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self.queue = Gauge("recgen_queue_length", "Requests that wait.", registry=registry)
        self.queue_limit = Gauge("recgen_queue_limit", "Requests that may wait.", registry=registry)
        self.dropped = Counter(
            "recgen_dropped_total",
            "Requests that were given up before they ran.",
            registry=registry,
        )
        self.tokens = Counter("recgen_tokens_total", "Tokens.", ("kind",), registry=registry)
        self.answers = Counter("recgen_answers_total", "Answers.", registry=registry)
        self.items = Counter("recgen_items_total", "Recommended items.", registry=registry)
        self.invalid = Counter(
            "recgen_invalid_items_total", "Recommended items that are not offered.",
            registry=registry,
        )  # fmt: skip
        self.events = Counter("recgen_events_total", "Events that were kept.", registry=registry)
        self.engine_up = Gauge("recgen_engine_up", "Whether an engine answers.", registry=registry)
        self.store_up = Gauge(
            "recgen_store_up", "The store could be read last time.", registry=registry
        )
        self.version = Gauge("recgen_catalog_version", "Changes of the catalog.", registry=registry)
        self.popularity = Gauge(
            "recgen_popularity_drift",
            "Mean popularity of recommended items, as a share of what it was at first.",
            registry=registry,
        )
        self.popularity.set(1)
