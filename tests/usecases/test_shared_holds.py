"""One payment collection linked to several orders: what one of them loses, the others need."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.domain.cancellation import PaymentAction, Refusal, Refused
from app.domain.findings import Defect
from app.domain.jobs import JobKind, JobState
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import (
    add_credit_line,
    archive,
    cancel_by_medusa,
    capture_by_medusa,
    refund_by_medusa,
    soft_delete,
)
from app.embedded.shop_rows import new_id
from app.embedded.shop_sessions import Session, open_session, share_collection
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.cancel_order import Canceled
from app.usecases.check_promises import check_promises
from app.usecases.heal_incidents import heal_incidents
from app.usecases.preview_cancel import preview_cancel
from app.usecases.recheck_canceled import recheck_canceled
from app.usecases.track_payments import start_tracking, track_payments
from plugins.medusa_bridge.findings import MedusaExamination
from plugins.medusa_bridge.providers import ServedProviders
from tests.usecases.hand import Hand
from tests.world import Shop


async def pair(
    shop: Shop, first: str = "30", second: str = "60", hold: str | None = None
) -> tuple[PlacedOrder, PlacedOrder]:
    """Two orders of these totals that one hold pays for."""
    amount = hold or str(Decimal(first) + Decimal(second))
    one = await shop.place(amounts=(amount,), total=Decimal(first))
    return one, await joined(shop, one, second)


async def joined(shop: Shop, one: PlacedOrder, total: str, **options: Any) -> PlacedOrder:
    """One more order that the hold of ``one`` pays for."""
    other = await shop.place(payments=(), total=Decimal(total), **options)
    await share_collection(shop.conn, other, one)
    return replace(other, payment_ids=one.payment_ids, collection_ids=one.collection_ids, intent_ids=one.intent_ids)


async def cancel_rows(shop: Shop, order: PlacedOrder) -> None:
    """Another program writes that the order is canceled, and nothing else."""
    await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", order.id)


async def intent(shop: Shop, order: PlacedOrder) -> tuple[str, int]:
    """What Stripe says of the hold, and what it received."""
    found = await shop.sandbox.intent(order.intent_ids[0])
    return found["status"], found["amount_received"]


async def paid(shop: Shop, order: PlacedOrder) -> tuple[float, float]:
    """The sum of the order's transactions, and what its summary says is still to be paid."""
    booked = await shop.conn.fetchval(
        "select coalesce(sum(amount), 0) from order_transaction where order_id = $1 and deleted_at is null", order.id
    )
    pending = await shop.conn.fetchval(
        "select (s.totals -> 'raw_pending_difference' ->> 'value')::numeric from order_summary as s "
        'join "order" as o on o.id = s.order_id and o.version = s.version where o.id = $1',
        order.id,
    )
    return float(booked), float(pending)


async def findings(shop: Shop, *, at_rest: bool = False) -> list[str]:
    """What a check of the promises names, without what it says of stock, indexes, grants and the like."""
    found = await check_promises(shop.conn, MedusaExamination(ServedProviders()), at_rest=at_rest)
    beside = {Defect.STOCK_KEPT, Defect.JOB_UNFINISHED}  # nobody releases the stock here
    return [finding.defect.value for finding in found if finding.order_id is not None and finding.defect not in beside]


async def settle(hand: Hand, times: int = 2) -> None:
    """All that looks after canceled orders by itself, as the relay has it done."""
    for _ in range(times):
        await adopt_canceled(hand.services)
        await recheck_canceled(hand.services)
        await heal_incidents(hand.services)


CANCELED_FIRST = pytest.mark.parametrize("which", [0, 1], ids=["the order of the job", "the other order"])


class TestOneIsCanceled:
    """While another order is live, the machine voids and refunds nothing of what both share."""

    @CANCELED_FIRST
    async def test_the_hold_stays_and_an_incident_says_so(self, hand: Hand, shop: Shop, which: int) -> None:
        orders = await pair(shop)
        await hand.schedule(orders[0], JobKind.CAPTURE)
        canceled, live = orders[which], orders[1 - which]
        await cancel_rows(shop, canceled)
        assert "payment_of_canceled_order_shared" in await findings(shop, at_rest=True)

        await settle(hand)

        assert await intent(shop, live) == ("requires_capture", 0)
        assert (await shop.payment(live))["canceled_at"] is None
        assert (await shop.incidents(canceled), await shop.incidents(live)) == (["payment_shared"], [])
        detail = await shop.conn.fetchval("select detail from grace.incidents where order_id = $1", canceled.id)
        assert live.id in detail
        assert live.payment_ids[0] in detail
        kinds = await shop.conn.fetch("select kind from grace.jobs where kind in ('void', 'refund')")
        assert kinds == []
        assert await findings(shop) == []

    @CANCELED_FIRST
    async def test_what_the_live_order_owes_is_captured_at_the_end(self, hand: Hand, shop: Shop, which: int) -> None:
        orders = await pair(shop)
        await hand.schedule(orders[0], JobKind.CAPTURE)
        canceled, live = orders[which], orders[1 - which]
        await cancel_rows(shop, canceled)
        await settle(hand)

        await hand.run(live if which == 0 else orders[0], JobKind.CAPTURE)
        await settle(hand)

        owed = (60, 30)[which]
        assert await intent(shop, live) == ("succeeded", owed * 100)
        assert await paid(shop, live) == (owed, 0)
        assert await paid(shop, canceled) == (0, (30, 60)[which])
        assert (await shop.incidents(canceled), await shop.incidents(live, open_only=False)) == ([], [])
        assert await findings(shop) == []

    async def test_the_capture_of_a_canceled_order_is_handed_over_when_it_is_due(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        ref = await hand.queue(one, JobKind.CAPTURE)
        await cancel_rows(shop, one)

        await hand.deliver(JobKind.CAPTURE, ref)

        job = await hand.job(other, JobKind.CAPTURE)
        assert (job["subject"], job["state"]) == (one.payment_ids[0], "scheduled")
        assert await shop.incidents(one) == ["payment_shared"]
        await hand.run(other, JobKind.CAPTURE)
        assert await intent(shop, other) == ("succeeded", 6000)

    async def test_a_hold_taken_whole_is_not_refunded(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        await hand.run(one, JobKind.CAPTURE)
        await cancel_rows(shop, one)
        refunding = hand.refunding()

        await settle(refunding)

        assert await shop.conn.fetch("select kind from grace.jobs where kind = 'refund'") == []
        assert await shop.incidents(one) == ["payment_shared"]
        assert await shop.incidents(other) == []
        detail = await shop.conn.fetchval("select detail from grace.incidents where order_id = $1", one.id)
        assert "refund 30.00 EUR" in detail
        assert await findings(shop) == []

        await refund_by_medusa(shop.conn, one, one.payment_ids[0], Decimal(30))
        await settle(refunding)
        assert await shop.incidents(one) == []
        assert await findings(shop) == []

    @pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.REFUND])
    async def test_jobs_from_before_leave_it_alone(self, hand: Hand, shop: Shop, kind: JobKind) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        if kind is JobKind.REFUND:
            await hand.run(one, JobKind.CAPTURE)
        await cancel_rows(shop, one)
        await hand.schedule(one, kind)

        assert (await hand.run(one, kind))["state"] == JobState.REMOVED

        taken = ("succeeded", 9000) if kind is JobKind.REFUND else ("requires_capture", 0)
        assert await intent(shop, other) == taken
        assert (await shop.sandbox.intent(one.intent_ids[0]))["latest_charge"] is not None
        assert await hand.ops(one) in ([], ["capture"])
        assert await shop.incidents(one) == ["payment_shared"]

    @CANCELED_FIRST
    async def test_the_last_one_voids_as_usual(self, hand: Hand, shop: Shop, which: int) -> None:
        orders = await pair(shop)
        await hand.schedule(orders[0], JobKind.CAPTURE)
        await cancel_rows(shop, orders[which])
        await settle(hand)

        last = orders[1 - which]
        assert isinstance(await hand.cancel(last), Canceled)
        assert await hand.payment_action(last) is PaymentAction.VOID_PENDING
        await hand.run(last, JobKind.VOID)
        await settle(hand)

        assert await intent(shop, last) == ("canceled", 0)
        assert await hand.ops(last) == ["cancel"]
        assert [await shop.incidents(order) for order in orders] == [[], []]
        for order in orders:
            assert await hand.payment_action(order) is PaymentAction.VOIDED
        assert await findings(shop, at_rest=True) == []

    async def test_the_last_one_refunds_once_as_usual(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        await hand.run(one, JobKind.CAPTURE)
        refunding = hand.refunding()
        for order in (one, other):
            await cancel_rows(shop, order)
            await settle(refunding)

        jobs = await shop.conn.fetch("select order_id from grace.jobs where kind = 'refund'")
        assert len(jobs) == 1
        await refunding.run(one if jobs[0]["order_id"] == one.id else other, JobKind.REFUND)
        await settle(refunding)

        assert (await paid(shop, one))[0] == (await paid(shop, other))[0] == 0
        assert await shop.incidents(one) == await shop.incidents(other) == []
        assert await findings(shop, at_rest=True) == []

    async def test_of_three_each_canceled_one_has_its_incident(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop, hold="110")
        third = await joined(shop, one, "20")
        await hand.schedule(one, JobKind.CAPTURE)
        for order in (one, other):
            await cancel_rows(shop, order)
        await settle(hand)
        assert [await shop.incidents(order) for order in (one, other, third)] == [["payment_shared"]] * 2 + [[]]
        await hand.run(third, JobKind.CAPTURE)
        await settle(hand)
        assert await intent(shop, third) == ("succeeded", 2000)
        assert [await shop.incidents(order) for order in (one, other, third)] == [[], [], []]


class TestMedusaVoidsIt:
    """Medusa's own cancel of one order voids the hold of all: the others are not to be shipped unpaid."""

    @CANCELED_FIRST
    async def test_each_live_order_has_an_incident(self, hand: Hand, shop: Shop, which: int) -> None:
        orders = await pair(shop, hold="110")
        third = await joined(shop, orders[0], "20")
        await hand.schedule(orders[0], JobKind.CAPTURE)
        canceled, live = orders[which], orders[1 - which]
        await cancel_by_medusa(shop.conn, canceled)
        await hand.services.gateway.void(canceled.intent_ids[0], key="elsewhere")

        await settle(hand)

        assert await shop.incidents(live) == await shop.incidents(third) == ["authorization_lost"]
        assert await shop.incidents(canceled) == []
        assert await findings(shop) == []

    async def test_it_is_named_where_no_incident_is_open(self, shop: Shop, hand: Hand) -> None:
        one, other = await pair(shop)
        await start_tracking(hand.services, datetime.now(UTC) - timedelta(days=1))
        await hand.schedule(one, JobKind.CAPTURE)
        await shop.conn.execute("update grace.jobs set state = 'removed'")
        await cancel_by_medusa(shop.conn, one)
        found = await check_promises(shop.conn, MedusaExamination(ServedProviders()), at_rest=True)
        assert [(f.defect.value, f.order_id) for f in found if f.defect.value.startswith("uncaptured")] == [
            ("uncaptured_after_grace_period", other.id)
        ]

    async def test_a_refund_of_all_leaves_the_other_unpaid(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        await hand.run(one, JobKind.CAPTURE)
        await cancel_by_medusa(shop.conn, one)

        await settle(hand)

        assert await shop.incidents(other) == ["authorization_lost"]
        assert await shop.incidents(one) == []

    async def test_a_lost_hold_is_an_incident_of_each(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        await hand.services.gateway.void(one.intent_ids[0], key="elsewhere")
        await hand.run_until(one, JobKind.CAPTURE, JobState.DEAD)
        assert await shop.incidents(one) == await shop.incidents(other) == ["authorization_lost"]
        await heal_incidents(hand.services)
        assert await shop.incidents(one) == await shop.incidents(other) == ["authorization_lost"]
        await cancel_rows(shop, one)
        await settle(hand)
        assert (await shop.incidents(one), await shop.incidents(other)) == ([], ["authorization_lost"])


class TestCapture:
    """What is captured is what the live orders owe together, and each order's rows tell its part."""

    async def test_each_order_is_booked_its_part(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)

        await hand.run(one, JobKind.CAPTURE)
        await settle(hand)

        assert await intent(shop, one) == ("succeeded", 9000)
        assert await paid(shop, one) == (30, 0)
        assert await paid(shop, other) == (60, 0)
        assert (await shop.payment(one))["captured_at"] is not None
        row = await shop.row("select * from payment_collection where id = $1", one.collection_ids[0])
        assert (row["status"], row["captured_amount"]) == ("completed", 90)
        assert await shop.incidents(one, open_only=False) == await shop.incidents(other, open_only=False) == []
        assert await findings(shop, at_rest=True) == []

    @pytest.mark.parametrize(("first", "second", "taken"), [("10", "0", 8000), ("0", "25", 6500), ("30", "60", 0)])
    async def test_credit_lines_of_each_are_left_out(
        self, hand: Hand, shop: Shop, first: str, second: str, taken: int
    ) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        for order, credit in ((one, first), (other, second)):
            if Decimal(credit):
                await add_credit_line(shop.conn, order, Decimal(credit))

        await hand.run(one, JobKind.CAPTURE)
        if not taken:
            await hand.run(one, JobKind.VOID)
        await settle(hand)

        assert await intent(shop, one) == ("succeeded" if taken else "canceled", taken)
        assert (await paid(shop, one))[0] == (30 - float(first) if taken else 0)
        assert (await paid(shop, other))[0] == (60 - float(second) if taken else 0)
        assert await shop.incidents(one, open_only=False) == await shop.incidents(other, open_only=False) == []
        assert await findings(shop, at_rest=True) == []

    async def test_no_more_than_the_hold_is_captured(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop, hold="80")
        await hand.schedule(one, JobKind.CAPTURE)
        await hand.run(one, JobKind.CAPTURE)
        assert await intent(shop, one) == ("succeeded", 8000)
        assert (await paid(shop, one))[0] + (await paid(shop, other))[0] == 80

    async def test_two_orders_of_equal_totals(self, hand: Hand, shop: Shop) -> None:
        """The hold is as large as either comes to: links tell that it is shared, and not its amount."""
        one, other = await pair(shop, "90", "90", hold="90")
        assert await hand.cancel(one) == await hand.cancel(other) == Refused(Refusal.PAYMENT_UNKNOWN)
        await cancel_rows(shop, other)
        await settle(hand)
        assert (await shop.incidents(one), await shop.incidents(other)) == ([], ["payment_shared"])

    async def test_medusas_own_capture_of_all_is_no_trouble(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        await hand.services.gateway.capture(one.intent_ids[0], amount=9000, key="elsewhere")
        await capture_by_medusa(shop.conn, one, one.payment_ids[0])
        await hand.run(one, JobKind.CAPTURE)
        await settle(hand)
        assert await shop.incidents(one, open_only=False) == await shop.incidents(other, open_only=False) == []
        assert await findings(shop, at_rest=True) == []

    async def test_a_capture_is_due_once_at_the_end_of_the_last_period(self, hand: Hand, shop: Shop) -> None:
        await start_tracking(hand.services, datetime.now(UTC))
        one = await shop.place(amounts=("110",), total=Decimal(30), placed_ago=timedelta(minutes=20))
        other = await joined(shop, one, "60", placed_ago=timedelta(minutes=5))
        third = await joined(shop, one, "20")
        await cancel_rows(shop, third)
        await track_payments(hand.services)
        jobs = await shop.conn.fetch("select * from grace.jobs where kind = 'capture'")
        assert [job["run_at"] for job in jobs] == [other.created_at + timedelta(hours=1, seconds=30)]
        assert jobs[0]["order_id"] in (one.id, other.id)

    async def test_an_unanswered_capture_is_not_made_twice(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await hand.schedule(one, JobKind.CAPTURE)
        await shop.sandbox.fault("payment_intents.capture", "drop_after")
        await hand.run_until(one, JobKind.CAPTURE, JobState.DONE)
        assert await hand.ops(one) == ["capture", "retrieve"]
        assert await intent(shop, one) == ("succeeded", 9000)
        assert await paid(shop, one) == (30, 0)
        assert await paid(shop, other) == (60, 0)


class TestAnOrderThatOwesNothing:
    """It cancels, and the hold that it shares is left alone."""

    async def test_it_cancels_without_touching_the_hold(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop, "90", "0")
        await hand.schedule(one, JobKind.CAPTURE)
        await self._cancels(hand, shop, other, one)

    async def test_the_capture_of_the_other_is_handed_over(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop, "0", "90")
        await hand.schedule(one, JobKind.CAPTURE)
        await self._cancels(hand, shop, one, other)

    async def _cancels(self, hand: Hand, shop: Shop, free: PlacedOrder, other: PlacedOrder) -> None:
        async with hand.services.db.read("test") as conn:
            seen = await hand.services.orders.read_order(conn, free.id)
        assert seen is not None
        preview = await preview_cancel(hand.services, seen)
        assert (preview.cancelable, preview.payment_action) == (True, PaymentAction.NONE)

        answer = await hand.cancel(free)

        assert isinstance(answer, Canceled)
        assert answer.payment_action is PaymentAction.NONE
        assert (await shop.payment(free))["canceled_at"] is None
        status = "select status from payment_collection where id = $1"
        assert await shop.conn.fetchval(status, other.collection_ids[0]) == "authorized"
        await settle(hand)
        await hand.run(other, JobKind.CAPTURE)
        assert await intent(shop, other) == ("succeeded", 9000)
        assert await paid(shop, other) == (90, 0)
        await settle(hand)
        assert await shop.incidents(free, open_only=False) == await shop.incidents(other, open_only=False) == []
        assert await findings(shop) == []

    async def test_the_other_one_is_refused(self, hand: Hand, shop: Shop) -> None:
        one, _ = await pair(shop, "90", "0")
        assert await hand.cancel(one) == Refused(Refusal.PAYMENT_UNKNOWN)


class TestWhoShares:
    """Canceled and deleted orders and drafts need no hold; archived and completed ones do."""

    async def test_an_archived_order_needs_it(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await archive(shop.conn, other)
        assert await hand.cancel(one) == Refused(Refusal.PAYMENT_UNKNOWN)
        await cancel_rows(shop, one)
        await settle(hand)
        assert await intent(shop, one) == ("requires_capture", 0)
        assert await shop.incidents(one) == ["payment_shared"]

    async def test_a_deleted_order_does_not(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await soft_delete(shop.conn, other)
        assert isinstance(await hand.cancel(one), Canceled)
        await hand.run(one, JobKind.VOID)
        assert await intent(shop, one) == ("canceled", 0)

    async def test_a_draft_does_not(self, hand: Hand, shop: Shop) -> None:
        one = await shop.place(amounts=("90",), total=Decimal(30))
        await joined(shop, one, "60", is_draft=True)
        assert isinstance(await hand.cancel(one), Canceled)

    async def test_a_removed_link_does_not(self, hand: Hand, shop: Shop) -> None:
        one, other = await pair(shop)
        await shop.conn.execute("update order_payment_collection set deleted_at = now() where order_id = $1", other.id)
        assert isinstance(await hand.cancel(one), Canceled)


class TestSessions:
    """A session that is no payment yet is shared as well."""

    async def _shared(self, shop: Shop, status: str) -> tuple[PlacedOrder, PlacedOrder, Session]:
        one = await shop.place(payments=(), total=Decimal(30))
        other = await shop.place(payments=(), total=Decimal(60))
        made = {"id": new_id("pi", one.created_at), "object": "payment_intent", "status": status}
        session = await open_session(shop.conn, one, made, amount=Decimal(90))
        await share_collection(shop.conn, other, replace(one, collection_ids=(session.collection_id,)))
        return one, other, session

    @pytest.mark.parametrize("status", ["processing", "requires_action", "succeeded"])
    async def test_it_is_neither_canceled_nor_refunded(self, hand: Hand, shop: Shop, status: str) -> None:
        one, other, _ = await self._shared(shop, status)
        await cancel_rows(shop, one)
        await settle(hand.refunding())
        assert await shop.conn.fetch("select kind from grace.jobs where kind in ('void', 'refund')") == []
        assert (await shop.incidents(one), await shop.incidents(other)) == (["payment_shared"], [])
        assert await findings(shop) == []

    async def test_a_job_from_before_leaves_it_alone(self, hand: Hand, shop: Shop) -> None:
        one, _, session = await self._shared(shop, "processing")
        await cancel_rows(shop, one)
        await hand.schedule(one, JobKind.VOID, [session.id])
        assert (await hand.run(one, JobKind.VOID))["state"] == JobState.REMOVED
        assert await shop.incidents(one) == ["payment_shared"]

    async def test_a_cancel_is_refused_until_the_other_is_canceled(self, hand: Hand, shop: Shop) -> None:
        one, other, session = await self._shared(shop, "processing")
        assert await hand.cancel(one) == Refused(Refusal.PAYMENT_UNKNOWN)
        await cancel_rows(shop, other)
        await settle(hand)
        assert isinstance(await hand.cancel(one), Canceled)
        assert (await hand.job(one, JobKind.VOID))["subject"] == session.id
        await settle(hand)
        assert await shop.incidents(other) == []


async def test_money_at_risk_counts_a_shared_hold_once(hand: Hand, shop: Shop) -> None:
    orders = await pair(shop)
    for order in orders:
        await cancel_rows(shop, order)
    await settle(hand)
    async with hand.services.db.read("test") as conn:
        sums = await hand.services.back_office.money_at_risk(conn, overdue_after=timedelta(minutes=5))
    assert sums == {("eur", "held_on_canceled"): Decimal(90)}


async def test_money_at_risk_leaves_out_what_a_live_order_needs(hand: Hand, shop: Shop) -> None:
    one, _ = await pair(shop)
    await cancel_rows(shop, one)
    await settle(hand)
    assert await shop.incidents(one) == ["payment_shared"]
    async with hand.services.db.read("test") as conn:
        sums = await hand.services.back_office.money_at_risk(conn, overdue_after=timedelta(minutes=5))
    assert sums == {}


@pytest.mark.parametrize(("canceled", "at_risk"), [(1, {}), (2, {("eur", "held_on_canceled"): Decimal(90)})])
async def test_a_shared_session_is_at_risk_once_and_only_when_all_are_canceled(
    hand: Hand, shop: Shop, canceled: int, at_risk: dict[tuple[str, str], Decimal]
) -> None:
    one = await shop.place(payments=(), total=Decimal(30))
    other = await shop.place(payments=(), total=Decimal(60))
    made = await shop.sandbox.authorize(9000, "eur")
    session = await open_session(shop.conn, one, made, amount=Decimal(90))
    await share_collection(shop.conn, other, replace(one, collection_ids=(session.collection_id,)))
    for order in (one, other)[:canceled]:
        await cancel_rows(shop, order)
        await hand.schedule(order, JobKind.VOID, [session.id])
        await shop.conn.execute(
            "insert into grace.incidents (order_id, kind, detail) values ($1, 'void_failed', 'a test')", order.id
        )
    async with hand.services.db.read("test") as conn:
        assert await hand.services.back_office.money_at_risk(conn, overdue_after=timedelta(minutes=5)) == at_risk
