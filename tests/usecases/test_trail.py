"""One request's id, from its answer through the jobs to the calls to Stripe; and its trace, where one is wanted."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app import runtime
from app.domain.jobs import JobKind
from app.settings import Settings
from app.tracing import Tracing, open_tracer
from tests.usecases.hand import Hand, opened
from tests.world import Api, Shop, serving

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_request_id_goes_through_the_job_to_stripe(
    hand: Hand, shop: Shop, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    order = await shop.place()
    answer = await asyncio.create_task(api.cancel(order.id))  # a context of its own, as a server gives each request
    request_id = answer.headers["x-request-id"]
    rows = await shop.conn.fetch("select request_id, traceparent from grace.jobs where order_id = $1", order.id)
    assert len(rows) == 3
    assert {tuple(row) for row in rows} == {(request_id, None)}
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="app"):
        await hand.run(order, JobKind.VOID)
    lines = [_line(record) for record in caplog.records if record.name.startswith("app.")]
    (said,) = [line for line in lines if line["event"] == "stripe.answer"]
    assert (said["request_id"], said["order_id"], said["verb"]) == (request_id, order.id, "void")
    (outcome,) = [line for line in lines if line["level"] == "info"]
    assert (outcome["event"], outcome["request_id"], outcome["order_id"]) == ("payment.voided", request_id, order.id)
    assert structlog.contextvars.get_contextvars() == {}, "the next job is about something else"


async def test_jobs_that_a_job_makes_go_back_to_the_same_request(hand: Hand, shop: Shop, api: Api) -> None:
    order = await shop.place()
    answer = await asyncio.create_task(api.cancel(order.id))
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="by-hand")
    await hand.refunding().run(order, JobKind.VOID)
    refund = await hand.job(order, JobKind.REFUND)
    assert refund["request_id"] == answer.headers["x-request-id"]


async def test_a_job_that_no_request_asked_for_names_none(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    assert (await hand.run(order, JobKind.CAPTURE))["request_id"] is None


@pytest.fixture
async def exporter(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> AsyncIterator[InMemorySpanExporter]:
    """Tracing as ``OTEL_EXPORTER_OTLP_ENDPOINT`` turns it on, into memory."""
    exporter = InMemorySpanExporter()
    tracer, close = open_tracer(SimpleSpanProcessor(exporter))

    def open_tracing(stack: AsyncExitStack, settings: Settings) -> Tracing:
        return Tracing(tracer)

    monkeypatch.setattr(runtime, "_open_tracing", open_tracing)
    yield exporter
    close()


async def test_a_trace_goes_from_the_request_over_the_row_to_stripe(
    shop: Shop, settings: Settings, exporter: InMemorySpanExporter
) -> None:
    settings = msgspec.structs.replace(settings, watch=msgspec.structs.replace(settings.watch, traces=True))
    order = await shop.place()
    async with serving(settings, shop.key) as api:
        answer = await asyncio.create_task(api.cancel(order.id, headers={"traceparent": PARENT}))
    assert answer.status_code == 200
    async with opened(settings) as services:
        await Hand(services, shop).run(order, JobKind.VOID)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    request = spans["POST /store/orders/{order_id}/cancel"]
    job, stripe = spans["job void"], spans["stripe void"]
    assert f"{_context(request).trace_id:032x}" == PARENT.split("-")[1]
    assert {_context(span).trace_id for span in (request, job, stripe)} == {_context(request).trace_id}
    assert [_parent(span) for span in (job, stripe)] == [_context(request).span_id, _context(job).span_id]
    assert dict(job.attributes or {})["grace.request_id"] == answer.headers["x-request-id"]
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_header_that_is_no_traceparent_does_no_harm(
    shop: Shop, settings: Settings, exporter: InMemorySpanExporter
) -> None:
    settings = msgspec.structs.replace(settings, watch=msgspec.structs.replace(settings.watch, traces=True))
    order = await shop.place()
    async with serving(settings, shop.key) as api:
        answer = await asyncio.create_task(api.cancel(order.id, headers={"traceparent": "00-x-y"}))
    assert answer.status_code == 200
    assert len(exporter.get_finished_spans()) >= 1


def test_without_being_asked_for_nothing_of_the_extra_is_imported() -> None:
    program = (
        "import sys\n"
        "sys.modules['opentelemetry.sdk'] = sys.modules['sentry_sdk'] = None\n"  # as where the extra is not installed
        "import app.cli, app.main, workers.main\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.exporter', 'app.gateways.sentry'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def _line(record: logging.LogRecord) -> dict[str, Any]:
    return record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}


def _context(span: ReadableSpan) -> Any:
    return span.get_span_context()


def _parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id
