"""A capture takes what the order owes then, at most the hold; the rest is released, and Medusa's rows say so."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from app.domain.jobs import JobKind, JobState
from app.domain.money import to_minor_units
from app.embedded.shop import Payment, PlacedOrder
from app.embedded.shop_acts import add_credit_line, capture_by_medusa, refund_by_medusa, settle_capture
from app.embedded.shop_rows import next_version, now_ms
from app.embedded.shop_sessions import share_collection
from app.ports import Answered
from app.store import jobs
from app.usecases.heal_incidents import heal_incidents
from app.usecases.run_job import claim_and_run
from tests.usecases.hand import Hand
from tests.usecases.ledger_rows import twins_agree
from tests.world import Shop


async def _due(hand: Hand, shop: Shop, *amounts: str, credit: str = "0", **options: Any) -> PlacedOrder:
    """An order whose captures are due, with a credit line of ``credit``."""
    order = await shop.place(amounts=amounts or ("30",), **options)
    await hand.schedule(order, JobKind.CAPTURE)
    if Decimal(credit):
        await add_credit_line(shop.conn, order, Decimal(credit))
    return order


async def _received(shop: Shop, order: PlacedOrder, number: int = 0) -> tuple[str, int]:
    intent = await shop.sandbox.intent(order.intent_ids[number])
    return intent["status"], intent["amount_received"]


async def _keys(shop: Shop, order: PlacedOrder) -> list[str]:
    asked = await shop.sandbox.requests("payment_intents.capture")
    return [request["idempotency_key"] for request in asked if request["object_id"] == order.intent_ids[0]]


async def _collection(shop: Shop, order: PlacedOrder) -> tuple[str, Decimal, Decimal]:
    row = await shop.row("select * from payment_collection where id = $1", order.collection_ids[0])
    return row["status"], row["amount"], row["captured_amount"]


async def _pending(shop: Shop, order: PlacedOrder) -> Decimal:
    row = await shop.row(
        "select (s.totals -> 'raw_pending_difference' ->> 'value')::numeric as pending from order_summary as s "
        'join "order" as o on o.id = s.order_id and o.version = s.version where o.id = $1',
        order.id,
    )
    return Decimal(row["pending"])


async def _detail(shop: Shop, order: PlacedOrder, kind: str) -> str:
    row = await shop.row("select detail from grace.incidents where order_id = $1 and kind = $2", order.id, kind)
    return str(row["detail"])


@pytest.mark.parametrize(
    ("currency", "hold", "credit"),
    [
        ("eur", "30", "10"),
        ("eur", "29.7381", "4.5019"),
        ("jpy", "3000", "1000"),
        ("jpy", "3000", "0.6"),
        ("kwd", "10.123", "3.003"),
        ("kwd", "10", "9.999"),
        ("usd", "98.9009", "0.01"),
    ],
)
async def test_what_is_not_owed_is_released(hand: Hand, shop: Shop, currency: str, hold: str, credit: str) -> None:
    order = await _due(hand, shop, hold, credit=credit, currency=currency)
    owed = Decimal(hold) - Decimal(credit)

    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert await _received(shop, order) == ("succeeded", to_minor_units(owed, currency))
    payment = await shop.payment(order)
    assert payment["captured_at"] is not None
    assert payment["canceled_at"] is None
    capture = await shop.row("select amount from capture where payment_id = $1", order.payment_ids[0])
    assert capture["amount"] == owed, "as Medusa books it: not rounded"
    assert await _collection(shop, order) == ("completed", owed, owed)
    assert await _pending(shop, order) == 0
    assert await shop.incidents(order, open_only=False) == []
    await twins_agree(shop.conn, order)


@pytest.mark.parametrize(("hold", "credit"), [("30", "0"), ("29.7381", "0"), ("29.7381", "0.0019")])
async def test_a_full_capture_is_what_it_always_was(hand: Hand, shop: Shop, hold: str, credit: str) -> None:
    """A cent is the least that differs: 29.7362 owed of 29.7381 is 2974 both."""
    order = await _due(hand, shop, hold, credit=credit)

    await hand.run(order, JobKind.CAPTURE)

    assert await _keys(shop, order) == [f"grace-capture-{order.payment_ids[0]}-1"]
    assert await _received(shop, order) == ("succeeded", to_minor_units(Decimal(hold), "eur"))
    assert await _collection(shop, order) == ("completed", Decimal(hold), Decimal(hold))


async def test_of_several_holds_the_last_is_captured_in_part(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, "30", "20", credit="15")

    await hand.run(order, JobKind.CAPTURE, order.payment_ids[0])
    await hand.run(order, JobKind.CAPTURE, order.payment_ids[1])

    assert [await _received(shop, order, n) for n in (0, 1)] == [("succeeded", 3000), ("succeeded", 500)]
    assert await _collection(shop, order) == ("completed", Decimal(35), Decimal(35))
    assert await _pending(shop, order) == 0
    assert await shop.incidents(order) == []


async def test_an_order_that_owes_nothing_has_its_hold_voided(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, credit="30")

    capture = await hand.run(order, JobKind.CAPTURE)
    void = await hand.run(order, JobKind.VOID)

    assert (capture["state"], capture["last_error"], void["state"]) == ("removed", "nothing_owed", "done")
    assert await _received(shop, order) == ("canceled", 0)
    payment = await shop.payment(order)
    assert payment["canceled_at"] is not None
    assert payment["captured_at"] is None
    assert await _collection(shop, order) == ("canceled", Decimal(30), Decimal(0))
    assert await shop.status(order) == "pending"
    assert await shop.incidents(order, open_only=False) == []


async def test_a_second_hold_that_is_not_owed_is_voided(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, "30", "20", credit="20")
    first, second = order.payment_ids

    await hand.run(order, JobKind.CAPTURE, first)
    await hand.run(order, JobKind.CAPTURE, second)
    await hand.run(order, JobKind.VOID, second)

    assert [await _received(shop, order, n) for n in (0, 1)] == [("succeeded", 3000), ("canceled", 0)]
    assert await _collection(shop, order) == ("completed", Decimal(30), Decimal(30))
    await twins_agree(shop.conn, order)
    assert await shop.incidents(order) == []


async def test_medusas_own_provider_takes_what_is_owed_and_no_more(hand: Hand, shop: Shop) -> None:
    manual = Payment(amount=Decimal(30), provider_id="pp_system_default")
    order, free = [await _due(hand, shop, credit=credit, payments=[manual]) for credit in ("10", "30")]

    await hand.run(order, JobKind.CAPTURE)
    await hand.run(free, JobKind.CAPTURE)
    void = await hand.run(free, JobKind.VOID)

    assert await _collection(shop, order) == ("completed", Decimal(20), Decimal(20))
    assert (await shop.payment(order))["captured_at"] is not None
    assert void["state"] == "done"
    assert await _collection(shop, free) == ("canceled", Decimal(30), Decimal(0))


async def test_the_credit_line_comes_before_medusas_own_provider_is_recorded(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, payments=[Payment(amount=Decimal(30), provider_id="pp_system_default")])

    async def credited() -> None:
        await add_credit_line(shop.conn, order, Decimal(10))

    await hand.before("capture.record", credited).run(order, JobKind.CAPTURE)

    assert await _collection(shop, order) == ("completed", Decimal(20), Decimal(20))
    assert await shop.incidents(order) == []


async def test_a_void_that_was_not_owed_makes_way_for_a_capture_that_is(hand: Hand, shop: Shop) -> None:
    """An edit raises the total before the void has begun."""
    order = await _due(hand, shop, credit="30")
    await hand.run(order, JobKind.CAPTURE)
    await next_version(shop.conn, order.id, now_ms(), credit=Decimal(-12))

    void = await hand.run(order, JobKind.VOID)
    capture = await hand.run(order, JobKind.CAPTURE)

    assert (void["state"], capture["state"]) == ("removed", "done")
    assert await _received(shop, order) == ("succeeded", 1200)
    assert await shop.incidents(order) == []


async def test_the_order_owes_again_while_its_hold_is_voided(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, credit="30")
    await hand.run(order, JobKind.CAPTURE)

    async def raised() -> None:
        await next_version(shop.conn, order.id, now_ms(), credit=Decimal(-12))

    await hand.before("void.record", raised).run(order, JobKind.VOID)

    assert await _received(shop, order) == ("canceled", 0)
    assert await shop.incidents(order) == ["authorization_lost"]
    assert "12.00 EUR" in await _detail(shop, order, "authorization_lost")


async def test_an_order_that_owes_nothing_is_canceled_all_the_same(hand: Hand, shop: Shop) -> None:
    """Its void waits, and takes the cancel's as well."""
    order = await _due(hand, shop, credit="30")
    await hand.run(order, JobKind.CAPTURE)

    await hand.cancel(order)
    void = await hand.run(order, JobKind.VOID)

    assert (void["state"], await shop.status(order)) == ("done", "canceled")
    assert await _received(shop, order) == ("canceled", 0)


async def test_canceled_after_a_void_that_made_way_for_a_capture(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, credit="30")
    await hand.run(order, JobKind.CAPTURE)
    await next_version(shop.conn, order.id, now_ms(), credit=Decimal(-12))
    await hand.run(order, JobKind.VOID)

    await hand.cancel(order)
    void = await hand.run(order, JobKind.VOID)

    assert void["state"] == "done"
    assert await _received(shop, order) == ("canceled", 0)


async def test_another_amount_after_an_unknown_outcome_is_another_key(hand: Hand, shop: Shop) -> None:
    """Stripe would answer ``idempotency_error`` to the same key with another amount."""
    order = await _due(hand, shop)
    await shop.sandbox.fault("payment_intents.capture", "reset")

    await hand.run(order, JobKind.CAPTURE)
    await add_credit_line(shop.conn, order, Decimal(10))
    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert await _received(shop, order) == ("succeeded", 2000)
    assert len(set(await _keys(shop, order))) == 2


async def test_the_same_amount_after_a_lost_answer_is_the_same_key(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, credit="10")
    ref = await hand.queue(order, JobKind.CAPTURE)
    await shop.conn.execute(
        "update grace.jobs set state = 'running', attempts = 1, in_doubt = true, lease_until = now() where ulid = $1",
        ref.id,
    )
    await hand.bury()

    await hand.run(order, JobKind.CAPTURE)

    assert await _keys(shop, order) == [f"grace-capture-{order.payment_ids[0]}-1-2000"]


async def test_captured_by_an_attempt_whose_answer_was_lost_before_the_credit_line(hand: Hand, shop: Shop) -> None:
    """Nothing is captured twice, and that too much was taken is said."""
    order = await _due(hand, shop)
    await _lost_answer(hand, shop, order)
    await add_credit_line(shop.conn, order, Decimal(10))

    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captures == 1
    assert await _received(shop, order) == ("succeeded", 3000)
    assert await shop.incidents(order) == ["over_captured"]
    assert await _detail(shop, order, "over_captured") == (
        "30.00 EUR captured, the order comes to 20.00 EUR: refund 10.00 EUR"
    )


async def test_captured_by_an_attempt_whose_answer_was_lost_and_nothing_is_owed_any_more(
    hand: Hand, shop: Shop
) -> None:
    order = await _due(hand, shop)
    await _lost_answer(hand, shop, order)
    await add_credit_line(shop.conn, order, Decimal(30))

    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert (await shop.payment(order))["captured_at"] is not None
    assert await shop.incidents(order) == ["over_captured"]


async def test_an_attempt_that_took_nothing_and_nothing_is_owed_any_more(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)
    ref = await hand.queue(order, JobKind.CAPTURE)
    await shop.conn.execute(
        "update grace.jobs set state = 'running', attempts = 1, in_doubt = true, lease_until = now() where ulid = $1",
        ref.id,
    )
    await hand.bury()
    await add_credit_line(shop.conn, order, Decimal(30))

    compared = await hand.run(order, JobKind.CAPTURE)
    assert (compared["state"], compared["in_doubt"]) == ("scheduled", False)
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "removed"
    await hand.run(order, JobKind.VOID)

    assert await _received(shop, order) == ("canceled", 0)
    assert await shop.incidents(order) == []


async def test_the_whole_hold_was_captured_in_the_admin(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, credit="10")
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])

    job = await hand.run(order, JobKind.CAPTURE)

    assert (job["state"], await hand.ops(order)) == ("done", ["retrieve"])
    assert await shop.incidents(order) == ["over_captured"]


async def test_too_much_is_over_once_it_is_refunded(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, credit="10")
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    await hand.run(order, JobKind.CAPTURE)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == ["over_captured"]

    await refund_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(10))
    await heal_incidents(hand.services)

    assert await shop.incidents(order) == []


async def test_while_another_capture_of_the_order_runs_what_is_left_is_not_guessed(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, "30", "20", credit="15")
    first, second = order.payment_ids
    running = await hand.queue(order, JobKind.CAPTURE, first)
    await jobs.take(shop.conn, running)

    waits = await hand.run(order, JobKind.CAPTURE, second)

    assert (waits["state"], waits["failures"], waits["in_doubt"]) == ("scheduled", 0, False)
    assert await _received(shop, order, 1) == ("requires_capture", 0)


async def test_beside_another_capture_a_hold_that_is_owed_for_certain_is_taken(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, "30", "20")
    first, second = order.payment_ids
    await jobs.take(shop.conn, await hand.queue(order, JobKind.CAPTURE, first))

    assert (await hand.run(order, JobKind.CAPTURE, second))["state"] == "done"
    assert await _received(shop, order, 1) == ("succeeded", 2000)


async def test_while_medusa_captures_the_other_hold_what_is_left_is_not_guessed(hand: Hand, shop: Shop) -> None:
    """Its capture row goes away when Stripe refuses: then more is owed."""
    order = await _due(hand, shop, "30", "20", credit="15")
    first, second = order.payment_ids
    theirs = await capture_by_medusa(shop.conn, order, first, in_flight=True)

    waits = await hand.run(order, JobKind.CAPTURE, second)
    assert waits["state"] == "scheduled"
    await settle_capture(shop.conn, order, theirs)
    done = await hand.run(order, JobKind.CAPTURE, second)

    assert done["state"] == "done"
    assert await _received(shop, order, 1) == ("succeeded", 500)


async def test_two_captures_in_doubt_do_not_wait_for_each_other(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, "30", "20")
    await shop.conn.execute("update grace.jobs set in_doubt = true, attempts = 1 where order_id = $1", order.id)
    await add_credit_line(shop.conn, order, Decimal(15))

    for _ in range(3):
        for payment_id in order.payment_ids:
            if (await hand.job(order, JobKind.CAPTURE, payment_id))["state"] == "scheduled":
                await hand.run(order, JobKind.CAPTURE, payment_id)

    assert sum([(await _received(shop, order, n))[1] for n in (0, 1)]) == 3500
    assert await _pending(shop, order) == 0


async def test_captures_of_one_order_at_once_take_no_more_than_is_owed(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, "30", "20", "10", credit="25")
    for _ in range(4):
        waiting = [
            await hand.queue(order, JobKind.CAPTURE, payment_id)
            for payment_id in order.payment_ids
            if (await hand.job(order, JobKind.CAPTURE, payment_id))["state"] == "scheduled"
        ]
        await asyncio.gather(*(claim_and_run(hand.services, ref) for ref in waiting))
    for payment_id in order.payment_ids:
        if await shop.job(order, JobKind.VOID, payment_id):
            await hand.run(order, JobKind.VOID, payment_id)

    assert sum([(await _received(shop, order, n))[1] for n in range(3)]) == 3500
    assert not [n for n in range(3) if (await _received(shop, order, n))[0] == "requires_capture"]
    assert await _pending(shop, order) == 0
    assert await shop.incidents(order) == []


async def test_medusas_webhook_booked_our_capture_before_we_did(hand: Hand, shop: Shop) -> None:
    """It has no way to say that 20 of 30 was all: its row alone leaves the payment open, and its button offered."""
    order, twin = await _due(hand, shop, credit="10"), await _due(hand, shop, credit="10")

    async def webhook() -> None:
        await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(20))

    job = await hand.before("capture.record", webhook).run(order, JobKind.CAPTURE)
    await hand.run(twin, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert await _collection(shop, order) == await _collection(shop, twin) == ("completed", Decimal(20), Decimal(20))
    assert (await shop.payment(order))["captured_at"] is not None
    assert await shop.conn.fetchval("select count(*) from capture where payment_id = $1", order.payment_ids[0]) == 1
    assert await shop.incidents(order) == []


async def test_medusas_webhook_is_at_it_while_we_record(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, credit="10")
    theirs: list[str] = []

    async def webhook() -> None:
        capture = await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(20), in_flight=True)
        theirs.append(capture)

    waits = await hand.before("capture.record", webhook).run(order, JobKind.CAPTURE)
    assert (waits["state"], waits["in_doubt"]) == ("scheduled", True)
    await settle_capture(shop.conn, order, theirs[0])
    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert await _collection(shop, order) == ("completed", Decimal(20), Decimal(20))
    assert await shop.conn.fetchval("select count(*) from capture where payment_id = $1", order.payment_ids[0]) == 1
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].captures == 1


@pytest.mark.parametrize("in_flight", [False, True])
async def test_medusa_books_the_whole_hold_where_stripe_gave_us_a_part(
    hand: Hand, shop: Shop, *, in_flight: bool
) -> None:
    """Its provider takes "captured already" for success: nobody may refund what Stripe never took."""
    order = await _due(hand, shop, credit="10")
    theirs: list[str] = []

    async def admin() -> None:
        theirs.append(await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=in_flight))

    job = await hand.before("capture.record", admin).run(order, JobKind.CAPTURE)
    if in_flight:
        assert job["state"] == "scheduled"
        await settle_capture(shop.conn, order, theirs[0])
        job = await hand.run(order, JobKind.CAPTURE)
    await heal_incidents(hand.services)

    assert (job["state"], await _received(shop, order)) == ("done", ("succeeded", 2000))
    assert await shop.incidents(order) == ["partial_capture"]
    detail = await _detail(shop, order, "partial_capture")
    assert "rows say 30.00 EUR captured" in detail
    assert "20.00 EUR of 30.00 EUR received" in detail


async def test_what_the_admin_captured_is_all_that_is_owed(hand: Hand, shop: Shop) -> None:
    """Captured in part by the rows, and Medusa's provider captures everything whatever it is asked for."""
    order = await _due(hand, shop, credit="10")
    await hand.services.gateway.capture(order.intent_ids[0], amount=3000, key="medusa")
    await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(20))

    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert (await shop.payment(order))["captured_at"] is not None
    taken = await shop.conn.fetchval("select sum(amount) from capture where payment_id = $1", order.payment_ids[0])
    assert taken == Decimal(30)
    assert await shop.incidents(order) == ["over_captured"]


async def test_the_credit_line_comes_while_stripe_captures(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop)

    async def credited() -> None:
        await add_credit_line(shop.conn, order, Decimal(10))

    job = await hand.before("capture.record", credited).run(order, JobKind.CAPTURE)

    assert job["state"] == "done"
    assert await shop.incidents(order) == ["over_captured"]
    await twins_agree(shop.conn, order)


async def test_a_hold_of_another_provider_that_is_not_owed(hand: Hand, shop: Shop) -> None:
    order = await _due(hand, shop, credit="30", payments=[Payment(amount=Decimal(30), provider_id="pp_klarna_klarna")])

    job = await hand.run(order, JobKind.CAPTURE)

    assert job["state"] == JobState.DEAD
    assert await shop.incidents(order) == ["unsupported_provider"]


async def _lost_answer(hand: Hand, shop: Shop, order: PlacedOrder) -> None:
    """A capture that Stripe made, and whose worker died before it heard of it."""
    ref = await hand.queue(order, JobKind.CAPTURE)
    taken = await hand.services.gateway.capture(order.intent_ids[0], amount=3000, key="of a worker that died")
    assert isinstance(taken, Answered)
    await shop.conn.execute(
        "update grace.jobs set state = 'running', attempts = 1, in_doubt = true, lease_until = now() where ulid = $1",
        ref.id,
    )
    await hand.bury()


async def test_a_hold_that_several_orders_share_is_captured_whole(hand: Hand, shop: Shop) -> None:
    """Of the hold of a cart that a marketplace splits, one order's total is only a part."""
    order = await shop.place(amounts=("90",), total=Decimal(30))
    await share_collection(shop.conn, await shop.place(payments=(), total=Decimal(60)), order)
    await hand.schedule(order, JobKind.CAPTURE)

    await hand.run(order, JobKind.CAPTURE)
    await heal_incidents(hand.services)

    assert await _received(shop, order) == ("succeeded", 9000)
    assert await shop.incidents(order, open_only=False) == []
