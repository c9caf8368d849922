"""SIGTERM while there is work: every request gets its answer, every job is done once, and the process ends with 0."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.embedded.hasten import hasten_captures
from app.embedded.processes import HOST, free_port
from app.embedded.shop import PlacedOrder
from app.settings import Settings
from tests.deploy.processes import PATIENCE, Program, running, running_api
from tests.world import Shop, eventually, token_for

CLIENTS = 8


async def test_a_request_that_waits_for_its_void_is_answered(shop: Shop, settings: Settings, tmp_path: Path) -> None:
    """Nobody works on the void, so the answer comes three seconds after the SIGTERM."""
    order = await shop.place()
    with running_api(settings, tmp_path, VOID_WAIT_SECONDS="3") as (serve, url):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            asked = asyncio.create_task(_cancel(client, shop, order))
            await eventually(lambda: _is_canceled(shop, order), within=30)
            serve.terminate()
            answer = await asked
        assert (answer.status_code, answer.json()["payment_action"]) == (200, "void_pending")
        assert await asyncio.to_thread(serve.ended) == 0


@pytest.mark.parametrize("kept", [0, CLIENTS], ids=["a connection each", "connections kept"])
async def test_under_load_a_request_is_answered_or_changes_nothing(
    shop: Shop, settings: Settings, tmp_path: Path, kept: int
) -> None:
    """What was not answered with 200 was not canceled. Who has connected has a second to ask; on a busy machine a
    connection may still be closed before its request was read, once for each client at most."""
    orders = [await shop.place() for _ in range(160)]
    outcomes: dict[str, int | str] = {}
    waiting = iter(orders)
    answered = asyncio.Event()

    async def shopper(client: httpx.AsyncClient) -> None:
        for order in waiting:
            try:
                outcomes[order.id] = (await _cancel(client, shop, order)).status_code
            except httpx.ConnectError:
                outcomes[order.id] = "refused"
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                outcomes[order.id] = "closed"
            if len(outcomes) >= CLIENTS * 3:
                answered.set()

    limits = httpx.Limits(max_keepalive_connections=kept)
    with running_api(settings, tmp_path, VOID_WAIT_SECONDS="0") as (serve, url):
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
            shoppers = [asyncio.create_task(shopper(client)) for _ in range(CLIENTS)]
            await asyncio.wait_for(answered.wait(), 60)
            serve.terminate()
            await asyncio.gather(*shoppers)
        assert await asyncio.to_thread(serve.ended) == 0
    told = Counter(outcomes.values())
    assert told.keys() <= {200, "refused", "closed"}, told
    assert told[200] >= CLIENTS * 3, told
    assert told["closed"] <= CLIENTS, told
    canceled = {order.id for order in orders if await shop.status(order) == "canceled"}
    assert canceled == {order_id for order_id, outcome in outcomes.items() if outcome == 200}


async def test_workers_that_are_replaced_all_the_time_lose_and_double_nothing(
    shop: Shop, settings: Settings, tmp_path: Path
) -> None:
    """Stripe takes its time, so that each SIGTERM meets running jobs; the next worker starts beside the old one."""
    orders = [await shop.place() for _ in range(24)]
    for op in ("payment_intents.capture", "payment_intents.cancel"):
        await shop.sandbox.fault(op, "delay", seconds=0.3, times=100)
    await hasten_captures(shop.conn, timedelta(seconds=30))
    changes = {"GRACE_PERIOD_SECONDS": "1", "WORKER_THREADS": "2"}
    done = "select count(*) from grace.jobs where kind = 'capture' and state = 'done'"
    stopped: list[Program] = []
    with running(settings, tmp_path, "worker", **changes) as worker:
        worker.await_words("worker.ready")
        for so_far in (3, 10):
            await eventually(partial(_at_least, shop, done, so_far), within=60)
            worker.terminate()
            stopped.append(worker)
            worker = Program(settings, tmp_path, "worker", **changes)
        await eventually(lambda: _at_least(shop, done, len(orders)), within=90)
        worker.terminate()
        stopped.append(worker)
        assert [await asyncio.to_thread(one.ended) for one in stopped] == [0] * len(stopped)
    ledger = await shop.sandbox.ledger()
    assert [ledger[order.intent_ids[0]].captures for order in orders] == [1] * len(orders)
    assert [len(await shop.calls(order, "capture")) for order in orders] == [1] * len(orders)
    assert await shop.conn.fetchval("select max(attempts) from grace.jobs where kind = 'capture'") == 1


@pytest.mark.skipif(not Path("/proc").exists(), reason="the moment is read in /proc")
@pytest.mark.parametrize("after", [0.0, 0.02, 0.1, 0.4])
def test_a_stop_that_comes_while_serve_starts(shop: Shop, settings: Settings, tmp_path: Path, after: float) -> None:
    """Seconds after its first server is forked. A server that is told to stop while
    it has no handlers yet must not go on and be killed in the end."""
    with running(settings, tmp_path, "serve", "--port", str(free_port())) as serve:
        deadline = time.monotonic() + 60
        while not serve.has_children:
            assert time.monotonic() < deadline, serve.said()
            time.sleep(0.001)
        time.sleep(after)
        began = time.monotonic()
        serve.terminate()
        assert serve.ended() == 0
        assert time.monotonic() - began < 12, "it was killed after all"


DROPS = """
import sys, time
from granian.server import mp
from app import cli

make = mp._new_cbscheduler

def make_late(*given, **options):
    print("between the start and the first request", flush=True)
    time.sleep(2)
    return make(*given, **options)

mp._new_cbscheduler = make_late
cli.main(sys.argv[4:])
"""


def test_a_stop_that_comes_while_no_event_loop_runs(shop: Shop, settings: Settings, tmp_path: Path) -> None:
    """Between its start and its first request a server has a handler, and nothing that it could tell: the signal was
    lost, and the server killed after 33 s. The moment lasts some milliseconds, and here two seconds."""
    command = ("serve", "--port", str(free_port()))
    program = Program(settings, tmp_path, *command, within=(sys.executable, "-c", DROPS))
    try:
        program.await_words("between the start and the first request")
        began = time.monotonic()
        program.terminate()
        assert program.ended() == 0
        assert time.monotonic() - began < 12, "it was killed after all"
    finally:
        program.kill()


@pytest.mark.parametrize("after", [0.0, 0.002, 0.02])
def test_a_stop_that_comes_as_serve_gets_ready(shop: Shop, settings: Settings, tmp_path: Path, after: float) -> None:
    with running(settings, tmp_path, "serve", "--port", str(free_port())) as serve:
        serve.await_words("serve.ready")
        time.sleep(after)
        began = time.monotonic()
        serve.terminate()
        assert serve.ended() == 0
        assert time.monotonic() - began < 12, "it was killed after all"


@pytest.mark.skipif(not Path("/proc").exists(), reason="the moment is read in /proc")
@pytest.mark.parametrize("after", [0.2, 0.6])
def test_a_stop_that_reaches_each_process(shop: Shop, settings: Settings, tmp_path: Path, after: float) -> None:
    """As systemd's, which signals all processes of a service: a server is told twice, by systemd and by granian."""
    with running(settings, tmp_path, "serve", "--port", str(free_port())) as serve:
        deadline = time.monotonic() + 60
        while not serve.has_children:
            assert time.monotonic() < deadline, serve.said()
            time.sleep(0.001)
        time.sleep(after)
        began = time.monotonic()
        os.killpg(serve.process.pid, signal.SIGTERM)
        assert serve.ended() == 0
        assert time.monotonic() - began < 12, "it was killed after all"


@pytest.mark.parametrize("command", ["serve", "worker"])
@pytest.mark.parametrize("after", [0.0, 4.0])
def test_a_stop_that_comes_while_the_database_is_awaited(
    shop: Shop, settings: Settings, tmp_path: Path, command: str, after: float
) -> None:
    """A start waits 30 s for its database; a stop during that wait takes a few seconds."""
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgres://grace:x@{HOST}:{port}/shop"
        options = ("--port", str(free_port())) if command == "serve" else ()
        with running(settings, tmp_path, command, *options, DATABASE_URL=url) as program:
            silent.settimeout(PATIENCE)
            connection, _ = silent.accept()
            time.sleep(after)
            began = time.monotonic()
            program.terminate()
            assert program.ended() == 0, program.said()
            assert time.monotonic() - began < 8
            connection.close()


async def _cancel(client: httpx.AsyncClient, shop: Shop, order: PlacedOrder) -> httpx.Response:
    headers = {"x-publishable-api-key": shop.key, "x-modification-token": token_for(order.id)}
    return await client.post(f"/store/orders/{order.id}/cancel", headers=headers)


async def _is_canceled(shop: Shop, order: PlacedOrder) -> bool:
    return await shop.status(order) == "canceled"


async def _at_least(shop: Shop, query: str, number: int) -> bool:
    return bool(await shop.conn.fetchval(query) >= number)
