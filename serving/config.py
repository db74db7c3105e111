"""What `recgen serve` is told: one TOML file, flags and `--set`."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from rec_gen.config import Config
from rec_gen.masking import Masking
from serving.store import STORE_URL


class BatchingConfig(Config):
    """How requests are gathered.

    Attributes:
        max_batch: Requests that the model reads at once, at most.
        wait_ms: How long the model may idle before a batch, until there are as many requests as
            were there when the last batch ended; a client that is alone does not wait.
        queue: Requests that may wait; more are refused with 429.
        deadline_ms: How long a request may take from its arrival; a client may ask for less.
        budget_ms: How long a request may be expected to take, by what runs, what waits and how long
            batches took so far. What would take longer, or make one that waits take longer, is
            refused with 429, so that what is accepted stays fast under overload. An idle server
            refuses none. By default only deadlines count.
    """

    max_batch: int = Field(default=32, ge=1, le=256)
    wait_ms: float = Field(default=5.0, ge=0, le=1000)
    queue: int = Field(default=256, ge=1)
    deadline_ms: int = Field(default=10_000, ge=1)
    budget_ms: float | None = Field(default=None, gt=0)


_RATE = r"\d+/(second|minute|hour|day)"
Rates = Annotated[str, StringConstraints(pattern=rf"^{_RATE}(;{_RATE})*$")]


class LimitsConfig(Config):
    """What one client may ask for.

    Attributes:
        rate: Requests of one key, such as `600/minute`; several limits are separated by `;`.
        failures: Wrong keys from one address, in the same notation.
        body_bytes: The size of a request's body.
        body_seconds: How long a client may take to send it.
        unread_seconds: How long a client may read nothing of an answer, or not be reached, before
            its connection is cut.
        depth: How deep its JSON may be nested.
        history: Interactions of a history; of a kept history the latest count.
        k: Items of an answer.
        reply_tokens: Tokens of a reply.
    """

    rate: Rates = "6000/minute"
    failures: Rates = "30/minute"
    body_bytes: int = Field(default=1 << 20, ge=1024)
    body_seconds: float = Field(default=10.0, gt=0)
    unread_seconds: float = Field(default=30.0, ge=1, le=3600)
    depth: int = Field(default=16, ge=4)
    history: int = Field(default=1000, ge=1)
    k: int = Field(default=100, ge=1)
    reply_tokens: int = Field(default=128, ge=1)


class TlsConfig(Config):
    """The files of TLS, both in PEM.

    Attributes:
        cert: The certificate, with its chain.
        key: Its private key.
    """

    cert: Path
    key: Path


class RayConfig(Config):
    """Servers on the machines of a Ray cluster, behind one address.

    Attributes:
        address: The cluster: `auto` for the one of this machine, or `HOST:PORT` of its head.
        min_replicas: Servers that always run.
        max_replicas: Servers that run under load.
        ongoing: Requests of one server, running and waiting, above which another is started;
            by default those of one batch.
        upscale_seconds: How long there must be more of them before that server is started.
        cpus: Cores that a server takes.
        gpus: GPUs that a server takes.
        surge_percent: Servers that an update may start before it ends old ones, as a share of all,
            rounded up; their cores and GPUs must be free. With 0 old ones end first.
    """

    address: str = Field(default="auto", min_length=1)
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=1, ge=1)
    ongoing: float | None = Field(default=None, gt=0)
    upscale_seconds: float = Field(default=30.0, ge=0)
    cpus: float = Field(default=1.0, ge=0)
    gpus: float = Field(default=0.0, ge=0)
    surge_percent: int = Field(default=25, ge=0, le=100)

    @model_validator(mode="after")
    def _refuse_an_empty_range(self) -> "RayConfig":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}"
            )
        return self


class ServeConfig(Config):
    """One server.

    Attributes:
        bundle: The bundle's folder.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        device: Where the model runs, such as `cpu` or `cuda`; CUDA if there is one. vLLM decides
            that itself.
        runtime: What runs the model.
        adapters: For vLLM, folders of LoRA adapters by the name that requests ask for.
        vllm: Options of `vllm.AsyncEngineArgs`.
        keys: The file of API keys. Without one whoever reaches the server may do everything, so
            only a loopback address is served.
        insecure: Serve another address without keys.
        store: Where histories and changes of the catalog are kept: `sqlite:///FILE`,
            `postgresql://…` or `redis://…`.
        cors_origins: Origins whose pages may call the server from a browser.
        tls: The files of TLS; plain HTTP without.
        drain_seconds: How long `/readyz` says no before connections are closed, so that a load
            balancer can look elsewhere first.
        log_level: What is logged.
        batching: How requests are gathered.
        limits: What one client may ask for.
        ray: Several servers on a Ray cluster; without, one in this process.
        mask: What is masked in what users say, before the model reads it; nothing by default.
    """

    bundle: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    device: str | None = None
    runtime: Literal["transformers", "vllm"] = "transformers"
    adapters: dict[str, Path] = Field(default_factory=dict)
    vllm: dict[str, Any] = Field(default_factory=dict)
    keys: Path | None = None
    insecure: bool = False
    store: str = Field(
        default="sqlite:///runs/serve/store.db",
        pattern=STORE_URL.pattern,
    )
    cors_origins: tuple[str, ...] = ()
    tls: TlsConfig | None = None
    drain_seconds: float = Field(default=1.0, ge=0, le=300)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    batching: BatchingConfig = BatchingConfig()
    limits: LimitsConfig = LimitsConfig()
    ray: RayConfig | None = None
    mask: Masking | None = None

    @model_validator(mode="after")
    def _refuse_a_store_of_one_machine(self) -> "ServeConfig":
        if self.ray is not None and self.store.startswith("sqlite"):
            raise ValueError(
                f"store '{self.store}' is one machine's, and Ray runs servers on several: give "
                "--store postgresql://… or redis://…"
            )
        return self

    @model_validator(mode="after")
    def _refuse_open_doors(self) -> "ServeConfig":
        if self.keys is None and not self.insecure and not self.is_loopback:
            raise ValueError(
                f"host '{self.host}' can be reached by others: give a file of API keys (recgen "
                "keys create), or say --insecure"
            )
        return self

    @model_validator(mode="after")
    def _refuse_options_of_another_runtime(self) -> "ServeConfig":
        if self.runtime != "vllm" and (self.adapters or self.vllm):
            raise ValueError("adapters and vllm belong to another runtime: say runtime = 'vllm'")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
