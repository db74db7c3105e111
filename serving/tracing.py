"""OpenTelemetry: a span a request and one a stage, sent where OTEL_EXPORTER_OTLP_ENDPOINT says."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace

TRACER = trace.get_tracer("rec_gen")
"""Makes spans that cost next to nothing until they are sent somewhere."""


@contextmanager
def sent_traces() -> Iterator[None]:
    """Send spans while the block runs, if the environment says where."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "rec_gen")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


@contextmanager
def request_span(method: str, headers: Mapping[str, str]) -> Iterator[trace.Span]:
    """The span of a request, below that of its client where there is one.

    Its length is that of a monotonic clock, whatever becomes of the wall clock meanwhile.
    """
    start, began = time.time_ns(), time.perf_counter_ns()
    parent = propagate.extract(headers)
    span = TRACER.start_span(method, parent, kind=trace.SpanKind.SERVER, start_time=start)
    try:
        with trace.use_span(span, record_exception=False):
            yield span
    finally:
        span.end(start + time.perf_counter_ns() - began)


def add_stages(stages: Mapping[str, float]) -> None:
    """Spans of stages that came one after the other and have just ended, by seconds."""
    if not trace.get_current_span().is_recording():
        return
    start = time.time_ns() - round(sum(stages.values()) * 1e9)
    for name, seconds in stages.items():
        end = start + round(seconds * 1e9)
        TRACER.start_span(name, start_time=start).end(end)
        start = end
