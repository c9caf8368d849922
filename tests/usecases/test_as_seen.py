"""What is written in one statement is written only while the order is as it was read; else it is decided again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.domain.cancellation import Refusal, Refused
from app.domain.jobs import JobKind, JobState
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
from app.ports import Unavailable
from app.store import jobs
from app.usecases.cancel_order import Canceled, CancelRequest, FormerOwner, SeenOrder, cancel_order
from tests.usecases.hand import Hand
from tests.world import Shop, stepping_in

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


async def _changes(shop: Shop, order: PlacedOrder) -> None:
    await shop.conn.execute("update payment set amount = amount + 1 where id = $1", order.payment_ids[0])


class _Changing:
    """Changes the order ahead of each of the first ``times`` writes, and counts reads and writes."""

    def __init__(self, hand: Hand, shop: Shop, order: PlacedOrder, *, times: int) -> None:
        self._shop, self._order, self._left = shop, order, times
        self.steps: list[str] = []
        self.hand = replace(hand, services=stepping_in(self._step)(hand.services))

    async def _step(self, transaction: str) -> None:
        self.steps.append(transaction)
        if transaction == "cancel" and self._left:
            self._left -= 1
            await _changes(self._shop, self._order)


async def test_an_order_that_changes_twice_is_canceled_in_the_third_attempt(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    changing = _Changing(hand, shop, order, times=2)
    assert isinstance(await changing.hand.cancel(order), Canceled)
    assert [step for step in changing.steps if step in ("cancel.look", "cancel")] == ["cancel.look", "cancel"] * 3


async def test_an_order_that_changes_in_each_of_three_attempts_is_not_canceled(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    changing = _Changing(hand, shop, order, times=99)
    with pytest.raises(Unavailable, match=f"{order.id} changed during each of 3 attempts"):
        await changing.hand.cancel(order)
    assert changing.steps == ["cancel.look", "cancel"] * 3
    assert await shop.status(order) == "pending"
    assert await shop.job(order, JobKind.VOID) is None


async def test_a_refusal_takes_no_lock(hand: Hand, shop: Shop, database: str) -> None:
    """It is answered beside a transaction that holds the order's row and its payment's for long."""
    order = await shop.place()
    await fulfill(shop.conn, order)
    rival = await asyncpg.connect(database)
    try:
        async with rival.transaction():
            await rival.execute('select from "order" where id = $1 for update', order.id)
            await rival.execute("select from payment where id = $1 for update", order.payment_ids[0])
            async with asyncio.timeout(1):
                assert await hand.cancel(order) == Refused(Refusal.FULFILLED)
    finally:
        await rival.close()


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("in_doubt", [False, True], ids=["sure", "in doubt"])
@pytest.mark.parametrize("subject", ["payment", "gone"])
async def test_a_capture_in_flight_is_in_the_read_and_in_its_mark(
    hand: Hand, shop: Shop, state: JobState, in_doubt: bool, subject: str
) -> None:
    """One that runs, or whose call ended without a recorded answer; of a payment that was deleted, too."""
    order = await shop.place()
    before = await hand.services.orders.read_order(shop.conn, order.id)
    payment_id = order.payment_ids[0] if subject == "payment" else "pay_gone"
    await shop.conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at, in_doubt, lease_until) select k, $1, "
        "case when k = 'capture' then $2 else $2 || 'x' end, $3, now(), $4, case when $3 = 'running' then now() end "
        "from unnest(array['capture', 'void']) as k",
        order.id,
        payment_id,
        state.value,
        in_doubt,
    )
    after = await hand.services.orders.read_order(shop.conn, order.id)
    in_flight = state is JobState.RUNNING or (in_doubt and state in {JobState.SCHEDULED, JobState.QUEUED})
    assert before is not None
    assert after is not None
    assert after.captures_in_flight == (frozenset({payment_id}) if in_flight else frozenset())
    assert (after.mark == before.mark) is not in_flight
    assert after.payments[0].is_capturing is (in_flight and subject == "payment")


async def test_the_wait_for_a_turn_does_not_lengthen_the_grace_period(
    hand: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a request was received counts from the read of the order, whose clock it is, and not from the decision."""
    order = await shop.place()
    seen = await hand.services.orders.read_order(shop.conn, order.id)
    assert seen is not None
    slow = hand.with_policy(grace_period=seen.read_at - seen.placed_at - timedelta(milliseconds=1))
    read_at = time.monotonic()
    request = CancelRequest(order_id=order.id, request_id="slow", canceled_by="token", received_at=read_at)
    monkeypatch.setattr(time, "monotonic", lambda: read_at + 9)
    outcome = await cancel_order(slow.services, request, SeenOrder(seen, read_at))
    assert outcome == Refused(Refusal.GRACE_PERIOD_OVER)


@pytest.mark.parametrize(("earlier", "in_time"), [(1.9, False), (2.1, True)])
async def test_the_way_to_the_read_does_not_shorten_the_grace_period(
    hand: Hand, shop: Shop, *, earlier: float, in_time: bool
) -> None:
    """A request that was received before the end, and whose order was read 2 s after the end."""
    order = await shop.place()
    seen = await hand.services.orders.read_order(shop.conn, order.id)
    assert seen is not None
    slow = hand.with_policy(grace_period=seen.read_at - seen.placed_at - timedelta(seconds=2))
    read_at = time.monotonic()
    request = CancelRequest(order_id=order.id, request_id="slow", canceled_by="token", received_at=read_at - earlier)
    outcome = await cancel_order(slow.services, request, SeenOrder(seen, read_at))
    assert isinstance(outcome, Canceled) if in_time else outcome == Refused(Refusal.GRACE_PERIOD_OVER)


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
    orders = hand.services.orders
    before = await orders.read_order(shop.conn, order.id)

    if change in OF_THE_PAYMENT:
        await shop.conn.execute(OF_THE_PAYMENT[change], order.payment_ids[0])
    else:
        await shop.conn.execute((OF_THE_ORDER | NO_FACTS)[change], order.id)

    after = await orders.read_order(shop.conn, order.id)
    locked = await orders.lock_order(shop.conn, order.id)
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
