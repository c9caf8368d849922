"""What the machine's surroundings mean for calls to Stripe: its proxy is taken, its passwords are not."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.embedded.processes import free_port
from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.stripe_gateway import StripeGateway
from app.ports import Answered, Declined, Unknown, Unseen

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
