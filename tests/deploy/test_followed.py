"""One cancel, followed from outside through processes: by the lines they log, and by the spans a collector gets."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.settings import Settings
from tests.deploy.processes import Program, running, running_api
from tests.embedded.stripe_sandbox.mailbox import Mailbox
from tests.world import Shop, token_for


async def test_a_cancel_is_one_trace_and_one_request_id_in_every_process(
    shop: Shop, settings: Settings, tmp_path: Path
) -> None:
    order = await shop.place()
    await shop.sandbox.fault("payment_intents.cancel", "error", status=500, times=3)
    alerts, collector = Mailbox(), Mailbox()
    async with _listening(alerts) as told, _listening(collector) as endpoint:
        watched = {"LOG_LEVEL": "DEBUG", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "ALERT_WEBHOOK_URL": told}
        with _processes(settings, tmp_path, VOID_WAIT_SECONDS="0", **watched) as (serve, worker, url):
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                headers = {"x-publishable-api-key": shop.key, "x-modification-token": token_for(order.id)}
                answer = await client.post(f"/store/orders/{order.id}/cancel", headers=headers)
            async with asyncio.timeout(60):
                while len(alerts.arrived) < 2:  # noqa: ASYNC110 (opened, and resolved)
                    await asyncio.sleep(0.1)
            for program in (worker, serve):
                program.terminate()
                assert await asyncio.to_thread(program.ended) == 0  # which sends what is left of the spans
        spans = _spans(collector)

    request_id = answer.headers["x-request-id"]
    said = {name: [line for line in _lines(program) if line.get("request_id") == request_id]
            for name, program in (("serve", serve), ("worker", worker))}  # fmt: skip
    assert {line["order_id"] for lines in said.values() for line in lines} == {order.id}
    assert "order.canceled" in {line["event"] for line in said["serve"]}
    assert {"payment.voided", "stripe.error", "stripe.answer"} <= {line["event"] for line in said["worker"]}
    delivered = [line for line in _lines(worker) if line["event"] == "alert.delivered"]
    assert [line["order_id"] for line in delivered] == [order.id] * 2

    (request,) = [span for span in spans if span.name == "POST /store/orders/{order_id}/cancel"]
    jobs = {span.span_id: span for span in spans if span.parent_span_id == request.span_id}
    assert {span.name for span in jobs.values()} == {"job void", "job release", "job publish"}
    voids = [span for span in spans if span.name == "stripe void"]
    assert {jobs[span.parent_span_id].name for span in voids} == {"job void"}
    assert {span.trace_id for span in [*jobs.values(), *voids]} == {request.trace_id}
    assert {span.name for span in spans if span.parent_span_id == b""} == {request.name, "alert webhook"}


@asynccontextmanager
async def _listening(box: Mailbox) -> Any:
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@contextmanager
def _processes(settings: Settings, directory: Path, **changes: str) -> Iterator[tuple[Program, Program, str]]:
    with running_api(settings, directory, **changes) as (serve, url), running(
        settings, directory, "worker", **changes
    ) as worker:  # fmt: skip
        worker.await_words("worker.ready")
        yield serve, worker, url


def _lines(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.said().splitlines()]


def _spans(collector: Mailbox) -> list[Span]:
    spans: list[Span] = []
    for headers, body in collector.arrived:
        sent = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(sent).resource_spans:
            for scope in resource.scope_spans:
                spans += scope.spans
    return spans
