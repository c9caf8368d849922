"""Two hosts, each an API and a worker in a network of its own, beside one Postgres and Valkey; one is cut off."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.domain.jobs import JobKind
from app.embedded.processes import free_port
from app.settings import Settings
from tests.deploy.processes import Program
from tests.promises import broken_promises
from tests.world import Shop, eventually, token_for

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="networks are made by root, with ip"),
]
NAMES = ("grace-a", "grace-b")


class Host:
    """A network namespace with one wire to us."""

    def __init__(self, number: int) -> None:
        self.name, self._wire = NAMES[number], f"gr{number}"
        self.ours, self.its = f"10.213.{number}.1", f"10.213.{number}.2"
        self._network = f"10.213.{number}.0/30"
        self.programs: list[Program] = []

    def make(self) -> None:
        """Namespace, wire and addresses."""
        self.remove()
        _ip(f"netns add {self.name}")
        _ip(f"link add {self._wire} type veth peer name inner netns {self.name}")
        _ip(f"addr add {self.ours}/30 dev {self._wire}")
        _ip(f"link set {self._wire} up")
        _ip(f"route add unreachable {self._network} metric 4000")  # without its wire, nothing goes elsewhere instead
        for line in (f"addr add {self.its}/30 dev inner", "link set inner up", "link set lo up"):
            _ip(f"-n {self.name} {line}")

    def cut(self, *, off: bool) -> None:
        """Pull the plug, or put it back."""
        _ip(f"link set {self._wire} {'down' if off else 'up'}")

    def remove(self) -> None:
        """Nothing is left of it."""
        for program in self.programs:
            program.kill()
        with suppress(subprocess.CalledProcessError):
            _ip(f"route del unreachable {self._network} metric 4000")
        with suppress(subprocess.CalledProcessError):
            _ip(f"netns del {self.name}")
        with suppress(subprocess.CalledProcessError):
            _ip(f"link del {self._wire}")

    def start(self, settings: Settings, directory: Path, *arguments: str, **changes: str) -> Program:
        """A program there, which reaches our servers by our end of the wire."""
        seen = {
            name: str(value).replace("127.0.0.1", self.ours)
            for name, value in (
                ("DATABASE_URL", settings.database_url),
                ("REDIS_URL", settings.redis_url),
                ("MEDUSA_REDIS_URL", settings.medusa_redis_url),
                ("STRIPE_API_BASE", settings.stripe_api_base),
            )
        }
        within = ("ip", "netns", "exec", self.name)
        self.programs.append(Program(settings, directory, *arguments, within=within, **seen, **changes))
        return self.programs[-1]


@pytest.fixture
async def hosts(settings: Settings) -> AsyncIterator[tuple[Host, Host]]:
    """Both, and our servers on their wires."""
    two = Host(0), Host(1)
    async with AsyncExitStack() as stack:
        for host in two:
            stack.callback(host.remove)
            host.make()
            for url in (settings.database_url, settings.redis_url, settings.stripe_api_base):
                port = urlsplit(str(url)).port
                assert port is not None
                server = await asyncio.start_server(_passed_on(port), host.ours, port)
                stack.callback(server.close)
        yield two


async def test_a_host_that_is_cut_off_at_work_loses_and_doubles_nothing(
    shop: Shop, settings: Settings, hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    changes = {"VOID_WAIT_SECONDS": "0", "WORKER_THREADS": "2"}
    port, urls = free_port(), []
    for host in hosts:
        api = host.start(settings, tmp_path, "serve", "--host", host.its, "--port", str(port), **changes)
        worker = host.start(settings, tmp_path, "worker", **changes)
        await asyncio.to_thread(worker.await_words, "worker.ready")
        await asyncio.to_thread(api.await_words, "serve.ready")
        urls.append(f"http://{host.its}:{port}")
    orders = [await shop.place() for _ in range(40)]
    kept, canceled = orders[:20], orders[20:]
    for op in ("payment_intents.capture", "payment_intents.cancel"):
        await shop.sandbox.fault(op, "delay", seconds=0.5, times=200)
    for order in kept:
        await eventually(partial(shop.job, order, JobKind.CAPTURE), within=60)
    await shop.conn.execute(
        "update grace.jobs set run_at = now() where kind = 'capture' and state = 'scheduled' and order_id = any($1)",
        [order.id for order in kept],
    )
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        for number, order in enumerate(canceled):
            if number == 8:
                hosts[1].cut(off=True)
            if number == 16:
                hosts[1].cut(off=False)
            for url in (urls[number % 2], urls[0]):  # a proxy asks the other one when the first does not answer
                with suppress(httpx.HTTPError):
                    headers = {"x-publishable-api-key": shop.key, "x-modification-token": token_for(order.id)}
                    path = f"{url}/store/orders/{order.id}/cancel"
                    answer = await client.post(path, headers=headers, timeout=3)
                    assert answer.status_code == 200, answer.text
                    break
            else:
                pytest.fail("nobody answered")

    async def at_rest() -> bool:
        waiting = "select count(*) from grace.jobs where state not in ('done', 'removed')"
        return not await shop.conn.fetchval(waiting)

    await eventually(at_rest, within=180, message="work is left over")
    ledger = await shop.sandbox.ledger()
    assert [(ledger[o.intent_ids[0]].captures, ledger[o.intent_ids[0]].voids) for o in kept] == [(1, 0)] * len(kept)
    assert [(ledger[o.intent_ids[0]].captures, ledger[o.intent_ids[0]].voids) for o in canceled] == [(0, 1)] * 20
    assert await shop.conn.fetchval("select sum(reserved_quantity) from inventory_level") == len(kept)
    found = await broken_promises(shop.conn, shop.sandbox, at_rest=True)
    assert [finding for finding in found if finding.defect != "grant_too_wide"] == []  # we look as a superuser


def _ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True, capture_output=True)


def _passed_on(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A server that passes everything on to a port of the loopback."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, here), pump(there, writer))

    return serve
