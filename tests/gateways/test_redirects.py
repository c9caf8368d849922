"""No client follows a redirect: what it sends, a key or a cookie or a password, is for one server alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.incidents import IncidentKind
from app.embedded.processes import HOST
from app.gateways.alert_webhook import AlertWebhook
from app.gateways.stripe_gateway import StripeGateway
from app.ports import SignInRefused, Unavailable
from app.telling import Alert, AlertEvent
from plugins.medusa_bridge import MedusaAdmins, try_backend
from plugins.medusa_bridge.customers import CustomerSessions

ALERT = Alert(
    message_id="msg_1",
    event=AlertEvent.OPENED,
    incident_id=1,
    order_id="order_1",
    kind=IncidentKind.LATE_MONEY,
    opened_at=datetime(2026, 1, 1, tzinfo=UTC),
)


async def sign_in(url: str) -> None:
    async with contextlib.aclosing(_Closing(MedusaAdmins.open(url))) as client:
        with contextlib.suppress(SignInRefused, Unavailable):
            await client.inner.sign_in("ada@shop.example", "secret")


async def whoami(url: str) -> None:
    async with contextlib.aclosing(_Closing(MedusaAdmins.open(url))) as client:
        with contextlib.suppress(Unavailable):
            assert await client.inner.whoami(cookie="s:1.x", authorization=None) is None


async def session(url: str) -> None:
    async with contextlib.aclosing(_Closing(CustomerSessions.open(url))) as client:
        with contextlib.suppress(Unavailable):
            assert await client.inner.customer_id("s:1.x", "pk_1") is None


async def webhook(url: str) -> None:
    async with contextlib.aclosing(_Closing(AlertWebhook(url, []))) as client:
        assert await client.inner.send(ALERT) is not None


async def stripe(url: str) -> None:
    async with contextlib.aclosing(_Closing(StripeGateway.open("sk_test_x", url))) as client:
        await client.inner.capture("pi_1", amount=1, key="once")


async def backend(url: str) -> None:
    await try_backend(url, "sk_1")


class _Closing:
    """For ``aclosing``."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def aclose(self) -> None:
        await self.inner.close()


class Elsewhere:
    """Leads every request to another path of its own, where any is answered."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        self.asked.append(path)
        status = "200 OK" if path == "/elsewhere" else "307 Temporary Redirect"
        lead = f"Location: {self.url}/elsewhere\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{lead}Connection: close\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    leading = Elsewhere()
    server = await asyncio.start_server(leading.serve, HOST, 0)
    async with server:
        leading.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        yield leading


@pytest.mark.parametrize("ask", [sign_in, whoami, session, webhook, stripe, backend])
async def test_a_redirect_is_not_followed(elsewhere: Elsewhere, ask: Callable[[str], Awaitable[None]]) -> None:
    await ask(elsewhere.url)
    assert len(elsewhere.asked) >= 1
    assert "/elsewhere" not in elsewhere.asked
