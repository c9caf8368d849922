"""A state of Stripe's is believed only together with its sums."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.cancellation import PaymentAction
from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.usecases.heal_incidents import heal_incidents
from app.usecases.recheck_canceled import recheck_canceled
from tests.usecases.canned import answering, intent_of
from tests.usecases.hand import Hand
from tests.usecases.ledger_rows import twins_agree
from tests.world import Shop

TAKEN = {
    "canceled after a part": ("canceled", 1000),
    "canceled after all": ("canceled", 3000),
    "captured": ("succeeded", 3000),
    "captured in part": ("succeeded", 1000),
    "still processed": ("processing", 1000),
}


async def _captured(shop: Shop, order: PlacedOrder) -> Decimal:
    row = await shop.row(
        "select coalesce(sum(amount), 0) as taken from capture where payment_id = $1", order.payment_ids[0]
    )
    return Decimal(row["taken"])


async def _detail(shop: Shop, order: PlacedOrder) -> str:
    row = await shop.row("select detail from grace.incidents where order_id = $1", order.id)
    return str(row["detail"])


@pytest.mark.parametrize(("status", "received"), TAKEN.values(), ids=TAKEN.keys())
async def test_a_void_that_finds_money_is_late_money(hand: Hand, shop: Shop, status: str, received: int) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)

    void = await answering(hand, void=intent_of(order, status, received)).run(order, JobKind.VOID)
    await recheck_canceled(hand.services)
    await heal_incidents(hand.services)

    assert void["state"] == "done"
    assert await shop.incidents(order) == ["late_money"]
    assert await hand.payment_action(order) is not PaymentAction.VOIDED
    assert await _captured(shop, order) == Decimal(received) / 100
    payment = await shop.payment(order)
    assert (payment["captured_at"] is not None, payment["canceled_at"]) == (True, None), "no second capture is offered"
    await twins_agree(shop.conn, order)


@pytest.mark.parametrize(("status", "received"), TAKEN.values(), ids=TAKEN.keys())
async def test_a_retry_of_a_void_that_finds_money_is_late_money(
    hand: Hand, shop: Shop, status: str, received: int
) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await shop.conn.execute("update grace.jobs set attempts = 1, in_doubt = true where kind = 'void'")

    await answering(hand, look=intent_of(order, status, received)).run(order, JobKind.VOID)

    assert await shop.incidents(order) == ["late_money"]
    assert await hand.ops(order) == []


async def test_what_a_void_found_is_refunded_once(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    part = intent_of(order, "canceled", 1000, refunded=0)
    back = intent_of(order, "canceled", 1000, refunded=1000)

    await answering(hand.refunding(), void=part).run(order, JobKind.VOID)
    refund = await answering(hand.refunding(), look=part, refund=back).run(order, JobKind.REFUND)

    assert refund["state"] == "done"
    assert await shop.incidents(order) == []
    assert await shop.conn.fetchval("select sum(amount) from refund") == Decimal(10)


async def test_money_that_was_given_back_already_is_no_trouble(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await shop.conn.execute("update grace.jobs set attempts = 1 where kind = 'void'")

    seen = intent_of(order, "canceled", 1000, refunded=1000)
    await answering(hand, look=seen).run(order, JobKind.VOID)

    assert await shop.incidents(order, open_only=False) == []
    assert await shop.conn.fetchval("select sum(amount) from refund") == Decimal(10)


async def test_a_void_that_finds_money_of_another_currency_books_nothing(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)

    await answering(hand, void=intent_of(order, "succeeded", 3000, currency="jpy")).run(order, JobKind.VOID)
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == ["late_money"]
    assert "3000 JPY" in await _detail(shop, order)
    assert await _captured(shop, order) == 0


@pytest.mark.parametrize(("refunded", "left"), [(0, ["late_money"]), (2999, ["late_money"]), (3000, [])])
async def test_money_of_another_currency_is_late_until_stripe_says_that_it_was_refunded(
    hand: Hand, shop: Shop, refunded: int, left: list[str]
) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await answering(hand, void=intent_of(order, "succeeded", 3000, currency="jpy")).run(order, JobKind.VOID)

    await hand.schedule(order, JobKind.LOOK)
    seen = intent_of(order, "succeeded", 3000, refunded=refunded, currency="jpy")
    await answering(hand, look=seen).run(order, JobKind.LOOK)
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == left


@pytest.mark.parametrize("verb", ["void", "look"])
async def test_a_void_of_nothing_received_is_a_void(hand: Hand, shop: Shop, verb: str) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await shop.conn.execute("update grace.jobs set attempts = $1 where kind = 'void'", int(verb == "look"))

    await answering(hand, **{verb: intent_of(order, "canceled")}).run(order, JobKind.VOID)

    assert await hand.payment_action(order) is PaymentAction.VOIDED
    assert await shop.incidents(order, open_only=False) == []


async def test_vanished_while_it_was_voided_names_the_sums(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)

    async def forget() -> None:
        await shop.conn.execute("update payment set deleted_at = now()")

    canned = answering(hand, void=intent_of(order, "canceled", 1000))
    await canned.before("void.record", forget).run(order, JobKind.VOID)

    assert await shop.incidents(order) == ["void_failed"]
    assert "10.00 EUR of 30.00 EUR received" in await _detail(shop, order)


@pytest.mark.parametrize(("status", "received"), [("canceled", 1000), ("succeeded", 2999), ("processing", 1)])
async def test_a_capture_of_less_names_the_sums(hand: Hand, shop: Shop, status: str, received: int) -> None:
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)

    await answering(hand, capture=intent_of(order, status, received)).run(order, JobKind.CAPTURE)
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == ["partial_capture"]
    assert f"{received / 100:.2f} EUR of 30.00 EUR received" in await _detail(shop, order)
    assert await _captured(shop, order) == Decimal(received) / 100
    await twins_agree(shop.conn, order)


async def test_a_capture_without_any_money_is_none(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)
    empty = intent_of(order, "succeeded", 0)

    for _ in range(3):
        await answering(hand, capture=empty, look=empty).run(order, JobKind.CAPTURE)

    assert await shop.incidents(order) == ["capture_failed"]
    assert (await shop.payment(order))["captured_at"] is None


async def test_a_capture_of_another_currency_books_nothing(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)

    await answering(hand, capture=intent_of(order, "succeeded", 3000, currency="usd")).run(order, JobKind.CAPTURE)
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == ["capture_failed"]
    assert "30.00 USD" in await _detail(shop, order)
    assert await _captured(shop, order) == 0


async def test_a_capture_that_was_given_back_in_part(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set attempts = 1")

    await answering(hand, look=intent_of(order, "succeeded", 3000, refunded=1000)).run(order, JobKind.CAPTURE)

    assert await shop.incidents(order) == ["partial_capture"]
    assert "10.00 EUR refunded" in await _detail(shop, order)
    assert await shop.conn.fetchval("select sum(amount) from refund") == Decimal(10)
    await twins_agree(shop.conn, order)


async def test_vanished_while_it_was_captured_names_the_sums(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)

    async def forget() -> None:
        await shop.conn.execute("update payment set deleted_at = now()")

    await hand.before("capture.record", forget).run(order, JobKind.CAPTURE)

    assert await shop.incidents(order) == ["capture_failed"]
    assert "30.00 EUR of 30.00 EUR received" in await _detail(shop, order)


@pytest.mark.parametrize(("status", "received"), TAKEN.values(), ids=TAKEN.keys())
async def test_a_look_at_a_canceled_order_that_finds_money(hand: Hand, shop: Shop, status: str, received: int) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    subject = f"{order.payment_ids[0]}:evt_1"
    await hand.schedule(order, JobKind.LOOK, [subject])

    await answering(hand, look=intent_of(order, status, received)).run(order, JobKind.LOOK, subject)

    assert await shop.incidents(order) == ["late_money"]


async def test_more_is_held_beside_what_was_captured(hand: Hand, shop: Shop) -> None:
    """Multicapture: 10 of 30 was captured in the dashboard, 20 are still held, and 15 are owed."""
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set attempts = 1")
    part = intent_of(order, "requires_capture", 1000, amount_capturable=2000)
    whole = intent_of(order, "succeeded", 3000)

    job = await answering(hand, look=part, capture=whole).run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert await _captured(shop, order) == Decimal(30)
    assert await shop.incidents(order) == []


@pytest.mark.parametrize(
    ("status", "received", "settled"),
    [("requires_capture", 0, False), ("canceled", 0, True), ("succeeded", 3000, False)],
)
async def test_vanished_while_it_was_refunded(
    hand: Hand, shop: Shop, status: str, received: int, *, settled: bool
) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await answering(hand.refunding(), void=intent_of(order, "succeeded", 3000)).run(order, JobKind.VOID)

    async def forget() -> None:
        await shop.conn.execute("update payment set deleted_at = now()")

    seen = intent_of(order, status, received)
    await answering(hand, look=seen, refund=seen).before("refund.record", forget).run(order, JobKind.REFUND)

    assert ("refund_failed" in await shop.incidents(order)) is not settled
