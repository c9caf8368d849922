"""Traces through OpenTelemetry: from the request over the job's row to the call to Stripe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_HEADER = "traceparent"
_ATTRIBUTES = ("order_id", "request_id", "job")


class OtelTracing:
    """``app.telling.Tracing``. The open span's traceparent stands in the log's context, where job rows take it from."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": "medusa-grace"}))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("medusa-grace")
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to_collector(cls) -> Self:
        """To an OTLP collector over HTTP, which ``OTEL_EXPORTER_OTLP_ENDPOINT`` names; in the background."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    @contextmanager
    def span(self, name: str, *, parent: str | None = None) -> Iterator[None]:
        """See ``app.telling.Tracing``. A ``parent`` that cannot be read begins a trace of its own."""
        context = None if parent is None else self._propagator.extract({_HEADER: parent})
        with self._tracer.start_as_current_span(name, context=context, kind=_kind(name)) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            tokens = structlog.contextvars.bind_contextvars(**carrier)
            try:
                yield
            finally:
                known = structlog.contextvars.get_contextvars()
                span.set_attributes({f"grace.{name}": known[name] for name in _ATTRIBUTES if name in known})
                structlog.contextvars.reset_contextvars(**tokens)


def _kind(name: str) -> SpanKind:
    kinds = {"job": SpanKind.CONSUMER, "stripe": SpanKind.CLIENT, "alert": SpanKind.CLIENT}
    return kinds.get(name.partition(" ")[0], SpanKind.SERVER)
