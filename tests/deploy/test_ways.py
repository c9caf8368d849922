"""Cancel, capture, void and release behind PgBouncer, and with Redis away: each on its usual path and on its second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from app.domain.cancellation import PaymentAction, Refusal, Refused
from app.domain.jobs import JobKind
from app.embedded.processes import HOST, free_port
from app.embedded.shop import PlacedOrder
from app.embedded.shop_transfers import request_transfer
from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from app.usecases.cancel_order import Canceled
from plugins.medusa_bridge.stock import advisory_key
from tests.databases import one_database_a_file
from tests.deploy.pgbouncer import running_pgbouncer
from tests.usecases.hand import Hand, Killed, opened
from tests.world import Shop, eventually, serving, settings_for

database = one_database_a_file()

WAYS: dict[str, tuple[bool, bool]] = {
    "pooled": (True, True),
    "without Redis": (False, False),
    "pooled, without Redis": (True, False),
}
"""Through PgBouncer, and with Redis there. Nearly all other tests go to Postgres themselves, and have Redis."""


@pytest.fixture(scope="module")
def bouncer(database: str) -> Iterator[str]:
    """The database through PgBouncer."""
    with running_pgbouncer(database) as dsn:
        yield dsn


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def settings(request: pytest.FixtureRequest, database: str, redis_url: str, sandbox: Sandbox, bouncer: str) -> Settings:
    """Medusa's locks are Postgres's, which stay where Redis goes."""
    pooled, with_redis = request.param
    changes = {"MEDUSA_LOCKING": "postgres", "VOID_WAIT_SECONDS": "2"}
    if pooled:
        changes |= {"DATABASE_URL": bouncer, "DATABASE_POOLER": "transaction"}
    where = redis_url if with_redis else f"redis://{HOST}:{free_port()}/0"
    return settings_for(database, where, sandbox, **changes)


@pytest.fixture
async def hand(settings: Settings, shop: Shop) -> AsyncIterator[Hand]:
    """Jobs run one by one, by a worker of the way."""
    async with opened(settings) as services:
        yield Hand(services, shop).with_policy(void_wait=services.policy.void_wait * 0)


async def _did(hand: Hand, order: PlacedOrder) -> tuple[int, int]:
    """Captures and voids at Stripe."""
    entry = (await hand.shop.sandbox.ledger())[order.intent_ids[0]]
    return entry.captures, entry.voids


async def _reserved(shop: Shop, order: PlacedOrder) -> Decimal:
    return Decimal(
        await shop.conn.fetchval(
            "select sum(reserved_quantity) from inventory_level where inventory_item_id = any($1)",
            order.inventory_item_ids,
        )
    )


@pytest.mark.parametrize("changed", [False, True], ids=["as it was seen", "changed meanwhile"])
async def test_a_cancel(hand: Hand, shop: Shop, changed: bool) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    way = hand.before("cancel", lambda: request_transfer(shop.conn, order)) if changed else hand
    outcome = await way.cancel(order)
    assert isinstance(outcome, Canceled)
    assert outcome.payment_action is PaymentAction.VOID_PENDING
    assert await shop.status(order) == "canceled"
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "removed"


async def test_a_cancel_is_told_of_its_void(settings: Settings, shop: Shop, hand: Hand) -> None:
    """By a notification, or by its own looks where there is nobody to notify it."""
    order = await shop.place()

    async def void() -> None:
        await eventually(lambda: shop.job(order, JobKind.VOID))
        await hand.run(order, JobKind.VOID)

    async with serving(settings, shop.key) as api:
        answer, _ = await asyncio.gather(api.cancel(order.id), void())
        assert (answer.status_code, answer.json()["payment_action"]) == (200, "voided")
        again = await api.cancel(order.id)
        assert (again.status_code, again.json()["message"]) == (200, "Already canceled")


@pytest.mark.parametrize("unanswered", [False, True], ids=["answered", "after a death"])
@pytest.mark.parametrize("kind", [JobKind.CAPTURE, JobKind.VOID])
async def test_a_job_at_stripe(hand: Hand, shop: Shop, kind: JobKind, unanswered: bool) -> None:
    order = await shop.place()
    if kind is JobKind.CAPTURE:
        await hand.schedule(order, kind)
    else:
        await hand.cancel(order)
    if unanswered:
        with pytest.raises(Killed):
            await hand.dying_at(f"{kind}.record").run(order, kind)
        if kind is JobKind.CAPTURE:
            refused = await hand.cancel(order)
            assert isinstance(refused, Refused)
            assert refused.reason is Refusal.CAPTURE_IN_FLIGHT
        assert await hand.bury() == 1
    job = await hand.run(order, kind)
    assert (job["state"], job["attempts"]) == ("done", 2 if unanswered else 1)
    assert await _did(hand, order) == ((1, 0) if kind is JobKind.CAPTURE else (0, 1))
    payment = await shop.payment(order)
    assert (payment["captured_at"] is None, payment["canceled_at"] is None) == (
        kind is JobKind.VOID,
        kind is JobKind.CAPTURE,
    )


@pytest.mark.parametrize("kind", [JobKind.CAPTURE, JobKind.VOID, JobKind.RELEASE])
async def test_one_message_for_two_workers_acts_once(hand: Hand, shop: Shop, kind: JobKind) -> None:
    order = await shop.place()
    if kind is JobKind.CAPTURE:
        await hand.schedule(order, kind)
    else:
        await hand.cancel(order)
    ref = await hand.queue(order, kind)
    await asyncio.gather(*(hand.deliver(kind, ref) for _ in range(3)))
    job = await hand.job(order, kind)
    if job["state"] == "scheduled":  # put back while another worker held the order's lock
        job = await hand.run(order, kind)
    assert job["state"] == "done"
    expected = {JobKind.CAPTURE: (1, 0), JobKind.VOID: (0, 1), JobKind.RELEASE: (0, 0)}
    assert await _did(hand, order) == expected[kind]
    assert await _reserved(shop, order) == (0 if kind is JobKind.RELEASE else 1)


async def test_a_job_that_is_not_wanted_is_put_aside(hand: Hand, shop: Shop) -> None:
    """The second path of a capture: under the lock, with the reason recorded."""
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    ref = await hand.queue(order, JobKind.CAPTURE)
    assert isinstance(await hand.cancel(order), Canceled)
    await hand.deliver(JobKind.CAPTURE, ref)
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "removed"
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await _did(hand, order) == (0, 1)
    assert await _reserved(shop, order) == 0


async def test_a_release_waits_for_medusas_lock(hand: Hand, shop: Shop, database: str) -> None:
    """An advisory lock of a transaction, which PgBouncer keeps on one connection."""
    order = await shop.place()
    await hand.cancel(order)
    async with shop.conn.transaction():
        await shop.conn.execute("select pg_advisory_xact_lock($1)", advisory_key(order.inventory_item_ids[0]))
        running = asyncio.create_task(hand.run(order, JobKind.RELEASE))
        await asyncio.sleep(0.3)
        assert not running.done()
    assert (await running)["state"] == "done"
    assert await _reserved(shop, order) == 0
