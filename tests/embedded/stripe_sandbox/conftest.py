"""An account of its own for every test, and Stripe's real client to talk to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import httpx
import pytest
import stripe
from stripe import PaymentIntentService, RefundService

from app.embedded.stripe_sandbox.client import Sandbox
from tests.embedded.stripe_sandbox.mailbox import Mailbox

Connect = Callable[..., stripe.StripeClient]


def code_of(error: stripe.StripeError) -> str | None:
    """Stripe's code: its client fills ``error.code`` for some classes only, never for 409 and 429."""
    return error.error.code if error.error else None


@pytest.fixture
def account(sandbox_url: str) -> Sandbox:
    """An account nobody else uses."""
    return Sandbox(sandbox_url, f"sk_test_{uuid4().hex}")


@pytest.fixture
async def connect(account: Sandbox) -> AsyncIterator[Connect]:
    """Makes clients of the account; they are closed after the test."""
    transports: list[stripe.HTTPXClient] = []

    def client(key: str = account.key, timeout: float = 10, retries: int = 0) -> stripe.StripeClient:
        transports.append(stripe.HTTPXClient(timeout=timeout))
        return stripe.StripeClient(
            key, base_addresses={"api": account.url}, http_client=transports[-1], max_network_retries=retries
        )

    yield client
    for transport in transports:
        await transport.close_async()  # type: ignore[no-untyped-call]


@pytest.fixture
def payments(connect: Connect) -> PaymentIntentService:
    """Stripe's PaymentIntents, through Stripe's own client."""
    return connect().v1.payment_intents


@pytest.fixture
def refunds(connect: Connect) -> RefundService:
    """Stripe's Refunds, through Stripe's own client."""
    return connect().v1.refunds


@pytest.fixture
async def raw(account: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP to the API, without a key."""
    async with httpx.AsyncClient(base_url=account.url, trust_env=False) as client:
        yield client


@pytest.fixture
async def mailbox(account: Sandbox) -> AsyncIterator[Mailbox]:
    """A webhook endpoint on the loopback; the account stops sending to it afterwards."""
    box = Mailbox()
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    box.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    yield box
    await account.reset()
    server.close()
