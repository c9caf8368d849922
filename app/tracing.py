"""Traces through OpenTelemetry's API: from the request over the job's row to the call to Stripe.

Without the extra, or an address of a collector, the tracer is the API's own that records nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from opentelemetry.trace import NoOpTracer, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_HEADER = "traceparent"
_ATTRIBUTES = ("order_id", "request_id", "job")
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Opens spans. Lines of the log have the open span's traceparent."""

    def __init__(self, tracer: Tracer = NoOpTracer()) -> None:  # noqa: B008 (it has no state)
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, *, parent: str | None = None) -> Iterator[str | None]:
        """Open a span around a block: a child of ``parent`` (a W3C traceparent), or of the span that is open. A
        ``parent`` that cannot be read begins a trace of its own. Give the span's own traceparent, where it has one."""
        context = None if parent is None else _propagator.extract({_HEADER: parent})
        with self._tracer.start_as_current_span(name, context=context, kind=_kind(name)) as span:
            carrier: dict[str, str] = {}
            _propagator.inject(carrier)
            tokens = structlog.contextvars.bind_contextvars(**carrier)
            try:
                yield carrier.get(_HEADER)
            finally:
                known = structlog.contextvars.get_contextvars()
                span.set_attributes({f"grace.{name}": known[name] for name in _ATTRIBUTES if name in known})
                structlog.contextvars.reset_contextvars(**tokens)


def open_tracer(processor: SpanProcessor | None = None) -> tuple[Tracer, Callable[[], None]]:
    """Return a tracer and what sends the last spans and closes it. Needs the extra.

    By default spans go to the OTLP collector over HTTP that ``OTEL_EXPORTER_OTLP_ENDPOINT`` names, in the background.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "medusa-grace"}))
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("medusa-grace"), provider.shutdown


def _kind(name: str) -> SpanKind:
    kinds = {"job": SpanKind.CONSUMER, "stripe": SpanKind.CLIENT, "alert": SpanKind.CLIENT}
    return kinds.get(name.partition(" ")[0], SpanKind.SERVER)
