"""Late money is given back exactly once, and the rows say what Stripe gave."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.domain.jobs import JobKind, JobState
from app.embedded.shop import SYSTEM, Payment, PlacedOrder
from app.embedded.shop_acts import capture_by_medusa, refund_by_medusa
from tests.usecases.hand import Hand, Killed
from tests.usecases.ledger_rows import money_rows, twins_agree
from tests.world import Shop

WHOLE = Decimal("29.7381")
REFUND, LOOK = "refunds.create", "retrieve"
AGAIN = [LOOK, REFUND, LOOK, REFUND, LOOK]
DONE_BEFORE = [LOOK, REFUND, LOOK]

# fault, its details, what Stripe is asked, the numbers of the idempotency keys
ERRORS = [
    pytest.param("error", {"status": 500}, AGAIN, ["1", "2"], id="500"),
    pytest.param("error_saved", {"status": 500}, AGAIN, ["1", "2"], id="500 saved"),
    pytest.param("error", {"status": 429}, AGAIN, ["1", "2"], id="429"),
    pytest.param("error", {"status": 402}, AGAIN, ["1", "2"], id="402"),
    pytest.param("timeout", {"seconds": 3}, AGAIN, ["1", "1"], id="timeout"),
    pytest.param("reset", {}, AGAIN, ["1", "1"], id="reset"),
    pytest.param("drop_after", {}, DONE_BEFORE, ["1"], id="done, answer dropped"),
    pytest.param("error_after", {"status": 500}, DONE_BEFORE, ["1"], id="done, answered 500"),
]


@pytest.mark.parametrize(("action", "details", "ops", "keys"), ERRORS)
async def test_a_failed_refund_heals_and_gives_back_once(
    hand: Hand, shop: Shop, action: str, details: dict[str, Any], ops: list[str], keys: list[str]
) -> None:
    order = await _late(hand, shop)
    await shop.sandbox.fault(REFUND, action, **details)
    asked = len(await hand.ops(order))

    assert (await hand.run(order, JobKind.REFUND))["state"] == "scheduled"
    assert await shop.incidents(order) == ["late_money"]
    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"

    assert (await hand.ops(order))[asked:] == ops
    assert await hand.keys(order, REFUND) == keys
    await _is_refunded_once(shop, order)


async def test_the_rows_of_a_refund_are_those_of_medusas_own(hand: Hand, shop: Shop) -> None:
    """Save for the credit line and the new version, which belong to Medusa's order change."""
    ours, theirs = await _late(hand, shop), await _late(hand, shop)
    await hand.run(ours, JobKind.REFUND)
    await refund_by_medusa(shop.conn, theirs, theirs.payment_ids[0])
    mine, medusas = await money_rows(shop.conn, ours), await money_rows(shop.conn, theirs)
    for table in ("refund", "capture", "order_transaction", "payment_collection"):
        assert mine[table] == medusas[table], table
    await _is_refunded_once(shop, ours)
    assert ("publish", f"payment.refunded:{ours.payment_ids[0]}") in await hand.jobs(ours)


async def test_three_failures_tell_a_person_and_success_takes_it_back(hand: Hand, shop: Shop) -> None:
    order = await _late(hand, shop)
    await shop.sandbox.fault(REFUND, "error", times=3, status=500)
    for _ in range(3):
        await hand.run(order, JobKind.REFUND)
    assert await shop.incidents(order) == ["late_money", "refund_failed"]
    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
    assert await shop.incidents(order) == []


@pytest.mark.parametrize("at_stripe_too", [True, False], ids=["at Stripe too", "in the rows alone"])
async def test_refunded_in_the_admin_before_stripe_is_asked_and_refunds_once(
    hand: Hand, shop: Shop, at_stripe_too: bool
) -> None:
    """Medusa only logs a refund that Stripe refused, so its row alone is not believed."""
    order = await _late(hand, shop)
    await refund_by_medusa(shop.conn, order, order.payment_ids[0])
    if at_stripe_too:
        await hand.services.gateway.refund(order.intent_ids[0], amount=2974, key="ref_of_medusa")
    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
    assert len(await shop.sandbox.requests(REFUND)) == 1
    await _is_refunded_once(shop, order)


async def test_refunded_in_the_admin_while_our_call_runs(hand: Hand, shop: Shop) -> None:
    """Both found Stripe owing: Stripe refunds once, and there is one refund row."""
    order = await _late(hand, shop)

    async def admin_refunds() -> None:
        await refund_by_medusa(shop.conn, order, order.payment_ids[0])

    await hand.before("refund.record", admin_refunds).run(order, JobKind.REFUND)
    assert (await hand.job(order, JobKind.REFUND))["state"] == "done"
    await _is_refunded_once(shop, order)


@pytest.mark.parametrize("rows_know", [True, False], ids=["in the admin", "in Stripe's dashboard"])
async def test_partly_refunded_before_only_the_rest_is_given_back(hand: Hand, shop: Shop, rows_know: bool) -> None:
    order = await _late(hand, shop)
    await hand.services.gateway.refund(order.intent_ids[0], amount=1000, key="refund-by-hand")
    if rows_know:
        await refund_by_medusa(shop.conn, order, order.payment_ids[0], Decimal("10"))

    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"

    amounts = [int(request["params"]["amount"]) for request in await shop.sandbox.requests(REFUND)]
    assert amounts == [1000, 1974]
    booked = await shop.conn.fetchval("select sum(amount) from refund where payment_id = $1", order.payment_ids[0])
    assert booked == WHOLE
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].refunded == 2974
    await twins_agree(shop.conn, order)
    assert await shop.incidents(order) == []


async def test_a_worker_that_died_after_the_refund_is_followed_up_by_a_look(hand: Hand, shop: Shop) -> None:
    order = await _late(hand, shop)
    with pytest.raises(Killed):
        await hand.dying_at("refund.record").run(order, JobKind.REFUND)
    await hand.bury()
    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
    await _is_refunded_once(shop, order)
    assert len(await shop.sandbox.requests(REFUND)) == 1


async def test_duplicated_messages_refund_once(hand: Hand, shop: Shop) -> None:
    order = await _late(hand, shop)
    ref = await hand.queue(order, JobKind.REFUND)
    for _ in range(3):
        await hand.deliver(JobKind.REFUND, ref)
    await _is_refunded_once(shop, order)


async def test_money_of_a_manual_payment_is_given_back_by_hand_and_by_rows(hand: Hand, shop: Shop) -> None:
    order = await shop.place(payments=[Payment(provider_id=SYSTEM)])
    await hand.cancel(order)
    await shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    await hand.refunding().run(order, JobKind.VOID)
    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
    assert await shop.conn.fetchval("select sum(amount) from refund") == order.total
    assert await shop.sandbox.requests() == []


async def test_an_order_that_is_open_again_is_not_refunded(hand: Hand, shop: Shop) -> None:
    order = await _late(hand, shop)
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)
    assert (await hand.run(order, JobKind.REFUND))["state"] == "removed"
    assert await shop.sandbox.requests(REFUND) == []


async def test_a_payment_that_vanished_before_its_refund_is_shown_to_a_person(hand: Hand, shop: Shop) -> None:
    order = await _late(hand, shop)
    await shop.conn.execute("update payment set deleted_at = now() where id = $1", order.payment_ids[0])
    assert (await hand.run(order, JobKind.REFUND))["state"] == "scheduled"
    assert await shop.sandbox.requests(REFUND) == []
    assert "refund_failed" in await shop.incidents(order)


@pytest.mark.parametrize("given_back", [True, False], ids=["given back", "refused"])
async def test_a_payment_that_vanishes_during_its_refund(hand: Hand, shop: Shop, given_back: bool) -> None:
    """Only Stripe's word that all was given back ends the job without a person."""
    order = await _late(hand, shop)
    if not given_back:
        await shop.sandbox.fault(REFUND, "error", status=402)

    async def vanish() -> None:
        await shop.conn.execute("update payment set deleted_at = now() where id = $1", order.payment_ids[0])

    job = await hand.before("refund.record", vanish).run(order, JobKind.REFUND)
    assert job["state"] == ("done" if given_back else "scheduled")
    assert ("refund_failed" in await shop.incidents(order)) is not given_back


async def test_a_refund_of_medusas_that_fails_beside_ours_is_put_right_later(hand: Hand, shop: Shop) -> None:
    """Its row is there before Stripe is asked, ours finds it, and then Stripe refuses Medusa: the row goes again."""
    order = await _late(hand, shop)
    theirs: list[str] = []

    async def admin_refunds() -> None:
        theirs.append(await refund_by_medusa(shop.conn, order, order.payment_ids[0]))

    await hand.before("refund.record", admin_refunds).run(order, JobKind.REFUND)
    await shop.conn.execute("delete from refund where id = $1", theirs[0])
    await shop.conn.execute("delete from order_transaction where reference_id = $1", theirs[0])

    look = await hand.job(order, JobKind.LOOK, f"{order.payment_ids[0]}:after-refund")
    assert await shop.conn.fetchval("select $1::timestamptz > now() + interval '4 minutes'", look["run_at"])
    assert (await hand.run(order, JobKind.LOOK))["state"] == "done"
    await _is_refunded_once(shop, order)


async def test_a_refund_after_a_partial_capture_gives_back_what_was_taken(hand: Hand, shop: Shop) -> None:
    """Stripe counts the released rest of the hold as refunded too; it was never anybody's money."""
    order = await shop.place()
    await hand.services.gateway.capture(order.intent_ids[0], amount=1000, key="by-hand")
    await hand.cancel(order)
    assert await hand.refunding().run_until(order, JobKind.VOID, JobState.DONE) == 1
    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
    line = (await shop.sandbox.ledger())[order.intent_ids[0]]
    assert (line.captured, line.refunded) == (1000, 1000)
    assert await shop.conn.fetchval("select sum(amount) from refund") == Decimal("10.00")
    assert await shop.incidents(order) == []


async def test_jpy_and_kwd_are_refunded_whole(hand: Hand, shop: Shop) -> None:
    for currency, amount, minor in (("jpy", "3500.5", 3501), ("kwd", "9.991", 10000)):
        order = await _late(hand, shop, amount=amount, minor=minor, currency=currency)
        assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
        assert (await shop.sandbox.ledger())[order.intent_ids[0]].refunded == minor
        refunded = await shop.conn.fetchval("select amount from refund where payment_id = $1", order.payment_ids[0])
        assert refunded == Decimal(amount)
        assert await shop.incidents(order) == []


async def _late(hand: Hand, shop: Shop, *, amount: str = "29.7381", minor: int = 2974, **options: Any) -> PlacedOrder:
    """Captured at Stripe a moment before the cancel; the void found out, and scheduled the refund."""
    order = await shop.place(amounts=(amount,), **options)
    await hand.services.gateway.capture(order.intent_ids[0], amount=minor, key=f"by-hand-{order.id}")
    await hand.cancel(order)
    await hand.refunding().run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["late_money"]
    return order


async def _is_refunded_once(shop: Shop, order: PlacedOrder) -> None:
    line = (await shop.sandbox.ledger())[order.intent_ids[0]]
    assert (line.captured, line.refunded, line.refunds) == (2974, 2974, 1)
    rows = await shop.conn.fetch("select amount from refund where payment_id = $1", order.payment_ids[0])
    assert [row["amount"] for row in rows] == [WHOLE]
    booked = await shop.conn.fetch("select amount from order_transaction where order_id = $1 order by amount", order.id)
    assert [row["amount"] for row in booked] == [-WHOLE, WHOLE]
    await twins_agree(shop.conn, order)
    assert await shop.incidents(order) == []
