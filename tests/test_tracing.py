"""Spans as a collector gets them: their parents, kinds and what they are about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from app.tracing import Tracing, open_tracer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Keeps what was sent."""
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Iterator[Tracing]:
    """Spans that are sent to the exporter as soon as they end."""
    tracer, close = open_tracer(SimpleSpanProcessor(exporter))
    yield Tracing(tracer)
    close()


def test_a_span_tells_order_request_and_job_as_the_log_knows_them_at_its_end(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    with structlog.contextvars.bound_contextvars(order_id="order_1", secret="hunter2"):
        with tracing.span("job void"):
            structlog.contextvars.bind_contextvars(request_id="req_1", job="01M8")
        structlog.contextvars.unbind_contextvars("request_id", "job")
        with tracing.span("stripe void"):
            pass
    first, second = exporter.get_finished_spans()
    known = {"grace.order_id": "order_1", "grace.request_id": "req_1", "grace.job": "01M8"}
    assert dict(first.attributes or {}) == known
    assert dict(second.attributes or {}) == {"grace.order_id": "order_1"}
    assert first.resource.attributes["service.name"] == "medusa-grace"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("job void", SpanKind.CONSUMER),
        ("stripe void", SpanKind.CLIENT),
        ("alert webhook", SpanKind.CLIENT),
        ("POST /store/orders/{order_id}/cancel", SpanKind.SERVER),
        ("jobs", SpanKind.SERVER),
    ],
)
def test_the_kind_of_a_span_is_by_its_first_word(
    tracing: Tracing, exporter: InMemorySpanExporter, name: str, kind: SpanKind
) -> None:
    with tracing.span(name):
        pass
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == (name, kind)


def test_a_span_is_the_child_of_its_parent_or_of_the_one_that_is_open(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    with tracing.span("job a", parent=f"00-{TRACE}-{SPAN}-01"), tracing.span("stripe b"):
        pass
    with tracing.span("job c", parent="none"):
        pass
    spans = {span.name: span for span in exporter.get_finished_spans()}
    outer, inner, other = (spans[name] for name in ("job a", "stripe b", "job c"))
    assert outer.parent is not None
    assert f"{outer.parent.trace_id:032x}-{outer.parent.span_id:016x}" == f"{TRACE}-{SPAN}"
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert other.parent is None


def test_the_log_knows_the_open_span_and_then_the_one_before(tracing: Tracing) -> None:
    def known() -> str | None:
        found: str | None = structlog.contextvars.get_contextvars().get("traceparent")
        return found

    assert known() is None
    with tracing.span("job a", parent=f"00-{TRACE}-{SPAN}-01"):
        outer = known()
        assert outer is not None
        assert outer.startswith(f"00-{TRACE}-")
        with tracing.span("stripe b"):
            assert known() not in {None, outer}
        assert known() == outer
        with pytest.raises(ZeroDivisionError), tracing.span("stripe c"):
            _ = 1 / 0
        assert known() == outer
    assert known() is None


def test_without_a_collector_nothing_is_opened() -> None:
    with Tracing().span("job a"):
        assert "traceparent" not in structlog.contextvars.get_contextvars()
