"""Alerts from a real worker, and what a worker says of itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.domain.incidents import IncidentKind
from app.embedded.processes import free_port
from app.embedded.stripe_sandbox.client import Sandbox
from app.runtime import NotReady
from app.store import incidents
from tests.embedded.stripe_sandbox.mailbox import Mailbox
from tests.usecases.hand import Hand, opened
from tests.world import Shop, eventually, settings_for, working
from workers.main import WorkerProcess
from workers.relay import Relay


@asynccontextmanager
async def _listening(serve: object, port: int = 0) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", port)  # type: ignore[arg-type]
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_receiver_that_never_answers_delays_no_job_and_is_told_later(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateways.alert_webhook.TIMEOUT", 3.0)
    hung = asyncio.Event()
    box = Mailbox()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung.set()
        await reader.read()
        writer.close()

    port = free_port()
    settings = settings_for(database, redis_url, sandbox, ALERT_WEBHOOK_URL=f"http://127.0.0.1:{port}/")
    for number in range(30):
        await incidents.open_(shop.conn, f"order_{number}", IncidentKind.LATE_MONEY, "")
    order = await shop.place()
    async with working(settings):
        async with _listening(hang, port):
            await asyncio.wait_for(hung.wait(), 30)
            async with opened(settings) as services:
                await Hand(services, shop).cancel(order)

            async def voided() -> bool:
                return bool(await shop.conn.fetchval("select state = 'done' from grace.jobs where kind = 'void'"))

            await eventually(voided, within=20)
            assert await shop.conn.fetchval("select count(*) from grace.alerts where delivered_at is not null") == 0
        await shop.conn.execute("update grace.alerts set next_at = now()")
        async with _listening(box.serve, port):

            async def all_told() -> bool:
                left = await shop.conn.fetchval("select count(*) from grace.alerts where delivered_at is null")
                return bool(left == 0)

            await eventually(all_told, within=120, message="not every alert was delivered")
    told = [json.loads(body)["metadata"]["event_payload"]["order_id"] for _, body in box.arrived]
    assert set(told) == {f"order_{number}" for number in range(30)}


async def test_a_worker_tells_its_counts_and_whether_it_works(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    settings = settings_for(database, redis_url, sandbox, METRICS_LISTEN=f"127.0.0.1:{port}")
    async with working(settings):
        counts = await _get(port, "/metrics")
        assert "grace_job_runs_total" in counts.text
        assert "grace_database_up" not in counts.text, "figures of the fleet are told by serve alone"
        assert (await _get(port, "/health/live")).json() == {"status": "ok"}
        monkeypatch.setattr(Relay, "trouble", lambda _: "asleep")
    async with working(settings):
        answer = await _get(port, "/health/live")
        assert (answer.status_code, answer.json()) == (503, {"status": "failed", "detail": "asleep"})


async def test_a_worker_whose_address_is_taken_says_so(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox
) -> None:
    async with _listening(Mailbox().serve) as port:
        settings = settings_for(database, redis_url, sandbox, METRICS_LISTEN=f"127.0.0.1:{port}")
        process = WorkerProcess(settings)
        with pytest.raises(NotReady, match=f"METRICS_LISTEN: cannot listen on 127.0.0.1:{port}"):
            await asyncio.to_thread(process.start)


async def _get(port: int, path: str) -> httpx.Response:
    return await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}{path}", timeout=30, trust_env=False)
