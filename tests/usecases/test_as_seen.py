"""What is written in one statement is written only while the order is as it was read; else it is decided again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.domain.cancellation import Refusal, Refused
from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import (
    archive,
    cancel_by_medusa,
    capture_by_medusa,
    complete,
    open_order_change,
)
from app.embedded.shop_parcels import fulfill
from app.embedded.shop_transfers import accept_transfer, request_transfer
from app.store import jobs
from app.usecases.cancel_order import Canceled, FormerOwner
from tests.usecases.ground import Hand
from tests.world import Shop

Act = Callable[[Hand, Shop, PlacedOrder], Awaitable[object]]


async def _capture_begins(hand: Hand, shop: Shop, order: PlacedOrder) -> None:
    ref = await hand.queue(order, JobKind.CAPTURE)
    await jobs.take(shop.conn, ref)


async def _capture_in_doubt(hand: Hand, shop: Shop, order: PlacedOrder) -> None:
    await shop.conn.execute("update grace.jobs set in_doubt = true where order_id = $1", order.id)


async def _handed_over(hand: Hand, shop: Shop, order: PlacedOrder) -> None:
    await accept_transfer(shop.conn, order, await request_transfer(shop.conn, order))


BETWEEN: dict[str, tuple[Act, object]] = {
    "nothing": (lambda hand, shop, order: _nothing(), Canceled),
    "something that decides nothing": (
        lambda hand, shop, order: shop.conn.execute(
            """update "order" set metadata = '{"gift": true}', updated_at = now() where id = $1""", order.id
        ),
        Canceled,
    ),
    "archived": (lambda hand, shop, order: archive(shop.conn, order), Canceled),
    "canceled by Medusa": (lambda hand, shop, order: cancel_by_medusa(shop.conn, order), Canceled),
    "captured by Medusa": (
        lambda hand, shop, order: capture_by_medusa(shop.conn, order, order.payment_ids[0]),
        Refusal.CAPTURED,
    ),
    "completed": (lambda hand, shop, order: complete(shop.conn, order), Refusal.COMPLETED),
    "fulfilled": (lambda hand, shop, order: fulfill(shop.conn, order), Refusal.FULFILLED),
    "edited": (lambda hand, shop, order: open_order_change(shop.conn, order), Refusal.ORDER_CHANGE_PENDING),
    "asked for": (lambda hand, shop, order: request_transfer(shop.conn, order), Canceled),
    "handed over": (_handed_over, FormerOwner),
    "a capture of ours begins": (_capture_begins, Refusal.CAPTURE_IN_FLIGHT),
    "a capture of ours is in doubt": (_capture_in_doubt, Refusal.CAPTURE_IN_FLIGHT),
}


async def _nothing() -> None:
    return None


@pytest.mark.parametrize("between", BETWEEN)
async def test_between_the_look_and_the_write_of_a_cancel(hand: Hand, shop: Shop, between: str) -> None:
    act, expected = BETWEEN[between]
    order = await shop.place()
    await jobs.schedule(
        shop.conn, JobKind.CAPTURE, order.id, order.payment_ids, run_at=datetime.now(UTC) + timedelta(hours=1)
    )

    outcome = await hand.before("cancel", lambda: act(hand, shop, order)).cancel(order)

    written = await shop.conn.fetchval("select count(*) from grace.cancellations where order_id = $1", order.id)
    job = await hand.job(order, JobKind.CAPTURE)
    if expected is Canceled:
        assert isinstance(outcome, Canceled)
        assert outcome.already is (between == "canceled by Medusa")
        assert written == (between != "canceled by Medusa")
        assert await shop.status(order) == "canceled"
        assert outcome.already or (job["state"], await shop.job(order, JobKind.VOID) is not None) == ("removed", True)
    else:
        if expected is FormerOwner:
            assert outcome == FormerOwner()
        else:
            assert isinstance(outcome, Refused)
            assert outcome.reason == expected
        assert written == 0
        assert await shop.status(order) != "canceled"
        assert job["state"] in ("scheduled", "running")
        assert await shop.job(order, JobKind.VOID) is None


OF_THE_PAYMENT = {
    "a capture": "insert into capture (id, amount, raw_amount, payment_id) values ('capt_x', 1, '{}', $1)",
    "a refund": "insert into refund (id, amount, raw_amount, payment_id) values ('ref_x', 1, '{}', $1)",
    "captured_at": "update payment set captured_at = now() where id = $1",
    "canceled_at": "update payment set canceled_at = now() where id = $1",
    "amount": "update payment set amount = amount + 1 where id = $1",
    "intent": """update payment set data = data || '{"id": "pi_other"}' where id = $1""",
    "provider": "update payment set provider_id = 'pp_system_default' where id = $1",
    "it is gone": "update payment set deleted_at = now() where id = $1",
}
OF_THE_ORDER = {
    "status": """update "order" set status = 'completed' where id = $1""",
    "canceled_at": """update "order" set canceled_at = now() where id = $1""",
    "version": """update "order" set version = version + 1 where id = $1""",
    "customer": """update "order" set customer_id = 'cus_other' where id = $1""",
    "handed over": "insert into order_change (id, order_id, version, change_type, status, confirmed_at) "
    "values ('ordch_x', $1, 2, 'transfer', 'confirmed', now())",
}
NO_FACTS = {
    "metadata": """update "order" set metadata = '{"gift": true}', updated_at = now() where id = $1""",
    "a transfer is asked for": "insert into order_change (id, order_id, version, change_type, status) "
    "values ('ordch_x', $1, 2, 'transfer', 'requested')",
    "nothing": "select $1",
}


@pytest.mark.parametrize("change", [*OF_THE_PAYMENT, *OF_THE_ORDER, *NO_FACTS])
async def test_every_fact_is_in_the_mark(hand: Hand, shop: Shop, change: str) -> None:
    order = await shop.place()
    commerce = hand.services.commerce
    before = await commerce.read_order(shop.conn, order.id)

    if change in OF_THE_PAYMENT:
        await shop.conn.execute(OF_THE_PAYMENT[change], order.payment_ids[0])
    else:
        await shop.conn.execute((OF_THE_ORDER | NO_FACTS)[change], order.id)

    after = await commerce.read_order(shop.conn, order.id)
    locked = await commerce.lock_order(shop.conn, order.id)
    assert before is not None
    assert after is not None
    assert locked is not None
    assert (after.mark == before.mark) is (change in NO_FACTS)
    assert locked.mark == after.mark


@pytest.mark.parametrize("kind", [JobKind.CAPTURE, JobKind.VOID])
async def test_a_job_that_another_worker_has_meanwhile_is_not_ended(hand: Hand, shop: Shop, kind: JobKind) -> None:
    """The lease lapsed while Stripe was asked: the row has another generation, and nothing of ours is written."""
    order = await shop.place()
    if kind is JobKind.VOID:
        await cancel_by_medusa(shop.conn, order, void_succeeded=False)
    await hand.schedule(order, kind)

    async def another_worker() -> None:
        await shop.conn.execute(
            "update grace.jobs set generation = generation + 1 where order_id = $1 and kind = $2", order.id, kind.value
        )

    job = await hand.before(f"{kind.value}.record", another_worker).run(order, kind)

    assert (job["state"], job["attempts"]) == ("running", 1)
    events = await shop.conn.fetch(
        "select kind from grace.events where order_id = $1 and job_id = $2", order.id, job["id"]
    )
    assert "job_done" not in {row["kind"] for row in events}
    payment = await shop.payment(order)
    assert payment["captured_at"] is None
    assert '"requires_capture"' in payment["data"]


@pytest.mark.parametrize("kind", [JobKind.CAPTURE, JobKind.VOID])
async def test_an_order_that_is_locked_for_long_is_tried_later(
    hand: Hand, shop: Shop, database: str, kind: JobKind
) -> None:
    """Two seconds, a second less than Medusa waits; the message counts as lost then."""
    order = await shop.place()
    if kind is JobKind.VOID:
        await cancel_by_medusa(shop.conn, order, void_succeeded=False)
    await hand.schedule(order, kind)
    other = await asyncpg.connect(database)
    try:
        async with other.transaction():
            await other.execute('select from "order" where id = $1 for update', order.id)
            assert (await hand.run(order, kind))["state"] == "queued"
    finally:
        await other.close()
