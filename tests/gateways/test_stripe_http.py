"""Calls to Stripe: the machine's proxy is taken, its passwords are not; one time limit, and connections are kept."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.embedded.processes import free_port
from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.stripe_gateway import StripeGateway
from app.ports import Answered, Declined, Unknown, Unseen

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
async def gateway(sandbox: Sandbox) -> AsyncIterator[StripeGateway]:
    """A gateway to the sandbox."""
    gateway = StripeGateway.open(sandbox.key, sandbox.url)
    yield gateway
    await gateway.close()


async def test_passwords_of_the_machine_do_not_come_before_our_key(
    gateway: StripeGateway, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    hold = str((await sandbox.authorize(2974, "eur"))["id"])
    assert isinstance(await gateway.capture(hold, amount=2974, key="k"), Answered)


async def test_the_proxy_of_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(REFUSAL)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
        host, port = proxy.sockets[0].getsockname()
        monkeypatch.setenv("http_proxy", f"http://us:secret@{host}:{port}")
        gateway = StripeGateway.open("sk_test_1", "http://stripe.test")
        outcome = await gateway.void("pi_1", key="k")
        await gateway.close()
    assert isinstance(outcome, Declined)
    (head,) = asked
    assert head.startswith(b"POST http://stripe.test/v1/payment_intents/pi_1/cancel ")
    assert b"\r\nProxy-Authorization: Basic " + base64.b64encode(b"us:secret") in head
    assert b"\r\nAuthorization: Bearer sk_test_1\r\n" in head


async def test_a_host_that_needs_no_proxy_is_asked_itself(
    gateway: StripeGateway, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hold = str((await sandbox.authorize(2974, "eur"))["id"])
    assert isinstance(await gateway.look(hold), Answered)


async def test_no_redirect_is_followed_with_our_key() -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        gateway = StripeGateway.open("sk_test_1", f"http://{host}:{port}")
        outcomes = [await gateway.void("pi_1", key="k"), await gateway.look("pi_1")]
        await gateway.close()
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unseen]
    assert [line.split(b" ")[1].partition(b"?")[0] for line in asked] == [
        b"/v1/payment_intents/pi_1/cancel",
        b"/v1/payment_intents/pi_1",
    ]


@asynccontextmanager
async def gateway_to(accept: Accept) -> AsyncIterator[StripeGateway]:
    """A gateway to a server that serves each connection with ``accept``; the connections are closed before it ends."""
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        gateway = StripeGateway.open("sk_test_1", f"http://{host}:{port}")
        yield gateway
        await gateway.close()


async def test_the_time_limit_is_for_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateways.stripe_gateway.TIMEOUT", 0.5)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in REFUSAL:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
            if reader.at_eof():
                break
        writer.close()

    async with gateway_to(trickle) as gateway:
        began = time.monotonic()
        assert isinstance(await gateway.look("pi_1"), Unseen)
        assert time.monotonic() - began < 1.5


async def test_a_connection_is_kept_for_the_next_call_and_closed_with_the_gateway() -> None:
    closed: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            if await reader.readuntil(b"\r\n\r\n"):
                writer.write(REFUSAL)
        closed.append(True)
        writer.close()

    async with gateway_to(serve) as gateway:
        for _ in range(3):
            assert isinstance(await gateway.void("pi_1", key="k"), Declined)
        assert closed == []
    await asyncio.sleep(0.1)
    assert closed == [True]


async def test_as_many_calls_are_made_at_the_same_time_as_jobs_ask_for() -> None:
    jobs = 120
    all_there = asyncio.Barrier(jobs)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await all_there.wait()
        writer.write(REFUSAL)
        await writer.drain()
        writer.close()

    async with gateway_to(serve) as gateway, asyncio.timeout(5):
        outcomes = await asyncio.gather(*(gateway.look(f"pi_{number}") for number in range(jobs)))
    assert all(isinstance(outcome, Unseen) and "400" in outcome.error for outcome in outcomes)
