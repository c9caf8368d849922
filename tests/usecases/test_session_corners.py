"""Sessions without a payment, where the usual way is left: what is asked of Stripe, how often, and under which key."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from app.domain.cancellation import PaymentAction
from app.domain.jobs import JobKind
from app.domain.order import Order
from app.embedded.shop import PlacedOrder
from app.embedded.shop_sessions import Session, book_session, open_session
from app.gateways.stripe_gateway import _intent as parse
from app.ports import Answered, LateMoney
from app.settings import Settings
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.heal_incidents import heal_incidents
from app.usecases.settle_canceled import settle_canceled
from app.usecases.settle_sessions import settle_sessions
from tests.usecases.canned import answering
from tests.usecases.hand import Hand, opened
from tests.usecases.test_sessions import AMOUNT, MINOR, placed, row_of, status_of, waiting_for
from tests.world import Shop


async def asked(shop: Shop, session: Session) -> list[str]:
    """What Stripe was asked about the intent since it was made, in order."""
    ops = [request["op"] for request in await shop.sandbox.requests() if request["object_id"] == session.intent_id]
    return [op.removeprefix("payment_intents.") for op in ops if op != "payment_intents.create"]


def answer(session: Session, status: str, *, received: int = 0, refunded: int = 0) -> Answered:
    charge = {"captured": True, "amount": MINOR, "amount_captured": MINOR, "amount_refunded": refunded, "id": "ch_1"}
    raw = {"id": session.intent_id, "status": status, "currency": "eur", "amount": MINOR, "amount_received": received}
    return Answered(parse({**raw, "latest_charge": charge}))


async def reopen(shop: Shop, order: PlacedOrder) -> None:
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)


async def read(hand: Hand, order: PlacedOrder) -> Order:
    found = await hand.services.orders.read_order(hand.shop.conn, order.id)
    assert found is not None
    return found


async def test_while_a_bank_processes_stripe_is_asked_to_cancel_once_and_looked_at_from_then_on(
    hand: Hand, shop: Shop
) -> None:
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    before = len(await asked(shop, session))
    jobs = [await hand.run(order, JobKind.VOID) for _ in range(3)]
    assert (await asked(shop, session))[before:] == ["cancel", "retrieve", "retrieve"]
    assert [job["key_number"] for job in jobs] == [2, 2, 2], "what Stripe declined would be replayed for its key"
    assert [(job["state"], job["in_doubt"]) for job in jobs] == [("scheduled", False)] * 3, "Stripe answered"
    await shop.sandbox.settle(session.intent_id, paid=False)
    await hand.run(order, JobKind.VOID)
    assert (await asked(shop, session))[-2:] == ["retrieve", "cancel"]


async def test_the_session_of_an_order_that_was_opened_again_is_not_canceled(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "requires_action")
    await hand.cancel(order)
    await reopen(shop, order)
    await hand.run(order, JobKind.VOID)
    assert await status_of(shop, session) == "requires_action"


async def test_a_row_that_is_written_back_to_open_is_looked_at_again(hand: Hand, shop: Shop) -> None:
    """Medusa writes what it has read before the void."""
    order, session = await placed(shop, "requires_action")
    before = await shop.conn.fetchval("select data from payment_session where id = $1", session.id)
    await hand.cancel(order)
    done = await hand.run(order, JobKind.VOID)
    assert done["state"] == "done"
    await shop.conn.execute(
        "update payment_session set data = $2, status = 'pending' where id = $1", session.id, before
    )
    async with hand.services.db.transaction("test") as conn:
        await settle_sessions(hand.services, conn, await read(hand, order))
    again = await hand.run(order, JobKind.VOID)
    assert (again["state"], again["key_number"]) == ("done", done["key_number"] + 1)
    assert (await row_of(shop, session))["intent"] == "canceled"
    assert await hand.payment_action(order) is PaymentAction.VOIDED


@pytest.mark.parametrize(
    ("status", "received", "refunded", "late"),
    [
        ("canceled", 0, 0, False),
        ("canceled", 1000, 0, True),
        ("canceled", 1000, 400, True),
        ("canceled", 1000, 1000, False),
        ("succeeded", MINOR, 0, True),
        ("succeeded", MINOR, MINOR - 1, True),
        ("succeeded", MINOR, MINOR, False),
    ],
)
async def test_money_that_was_received_and_not_refunded_is_late_money(
    hand: Hand, shop: Shop, status: str, received: int, refunded: int, late: bool
) -> None:
    order, session = await placed(shop, "requires_action")
    await hand.cancel(order)
    told = answer(session, status, received=received, refunded=refunded)
    job = await answering(hand, void=told).run(order, JobKind.VOID)
    assert (job["state"], job["last_error"]) == ("done", "paid before it could be canceled" if received else None)
    assert await shop.incidents(order) == (["late_money"] if late else [])


@pytest.mark.parametrize(("received", "state"), [(0, "done"), (1000, "scheduled")])
async def test_one_that_vanished_is_done_only_where_nothing_was_received(
    hand: Hand, shop: Shop, received: int, state: str
) -> None:
    order, session = await placed(shop, "requires_action")
    await hand.cancel(order)

    async def vanish() -> None:
        await shop.conn.execute("delete from payment_session where id = $1", session.id)

    running = answering(hand, void=answer(session, "canceled", received=received)).before("void.record", vanish)
    assert (await running.run(order, JobKind.VOID))["state"] == state
    assert await shop.incidents(order) == ([] if state == "done" else ["void_failed"])


@pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.REFUND])
async def test_a_payment_that_is_made_meanwhile_is_seen_to_at_once(hand: Hand, shop: Shop, kind: JobKind) -> None:
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    intent = await shop.sandbox.settle(session.intent_id)
    if kind is JobKind.REFUND:
        await hand.refunding().run(order, JobKind.VOID)

    async def book() -> None:
        await book_session(shop.conn, order, session, intent, captured=True)

    job = await hand.before(f"{kind}.record", book).run(order, kind)
    assert (job["state"], job["failures"], job["in_doubt"]) == ("scheduled", 0, True)
    assert job["run_at"] <= await shop.conn.fetchval("select now()")


@pytest.mark.parametrize("policy", LateMoney)
@pytest.mark.parametrize(("refunded", "late"), [("0", True), ("10", True), ("29.7381", False)])
async def test_a_paid_session_is_late_money_until_all_of_it_was_refunded(
    hand: Hand, shop: Shop, refunded: str, late: bool, policy: LateMoney
) -> None:
    hand = hand.with_policy(late_money=policy)
    order, session = await placed(shop, "requires_action")
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    await shop.conn.execute(
        "update payment_session set data = jsonb_set(data, '{status}', '\"succeeded\"'), "
        "metadata = jsonb_build_object('grace_refunded', $2::text) where id = $1",
        session.id,
        refunded,
    )
    async with hand.services.db.transaction("test") as conn:
        await settle_sessions(hand.services, conn, await read(hand, order))
    assert await shop.incidents(order) == (["late_money"] if late else [])
    job = await shop.job(order, JobKind.REFUND)
    assert (job is not None) is (late and policy is LateMoney.REFUND)
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == (["late_money"] if late else [])


async def test_a_refund_gives_back_what_is_left_and_closes_with_it(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    await shop.sandbox.settle(session.intent_id)
    await hand.refunding().run(order, JobKind.VOID)
    await hand.services.gateway.refund(session.intent_id, amount=1000, key="by-hand")
    await hand.run(order, JobKind.REFUND)
    amounts = [int(one["params"]["amount"]) for one in await shop.sandbox.requests("refunds.create")]
    assert amounts == [1000, MINOR - 1000]
    assert (await row_of(shop, session))["refunded"] == str(AMOUNT)
    assert await shop.incidents(order) == []
    assert (await hand.job(order, JobKind.REFUND))["state"] == "done"


async def test_one_that_was_refunded_by_hand_is_not_refunded_again(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    await shop.sandbox.settle(session.intent_id)
    await hand.refunding().run(order, JobKind.VOID)
    await hand.services.gateway.refund(session.intent_id, amount=MINOR, key="by-hand")
    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
    assert len(await shop.sandbox.requests("refunds.create")) == 1
    assert await shop.incidents(order) == []


async def test_a_worker_that_lost_the_refunds_lease_writes_nothing(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    await shop.sandbox.settle(session.intent_id)
    await hand.refunding().run(order, JobKind.VOID)
    slow = hand.before("refund.record", hand.bury)
    job = await slow.run(order, JobKind.REFUND)
    assert (job["state"], job["in_doubt"]) == ("scheduled", True)
    assert (await row_of(shop, session))["refunded"] is None
    assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
    assert len(await shop.sandbox.requests("refunds.create")) == 1


@pytest.mark.parametrize("dead", [False, True])
async def test_an_intent_has_one_void_job_unless_that_was_given_up(hand: Hand, shop: Shop, dead: bool) -> None:
    """The session's, also once a payment was made of it: it is voided once."""
    order, session = await placed(shop, "requires_capture")
    await hand.cancel(order)
    if dead:
        await shop.conn.execute("update grace.jobs set state = 'dead' where kind = 'void'")
    booked = await book_session(shop.conn, order, session, await shop.sandbox.intent(session.intent_id))
    await shop.conn.execute("update payment set canceled_at = null where id = $1", booked.payment_ids[0])
    await adopt_canceled(hand.services)
    assert {subject for kind, subject in await hand.jobs(order) if kind == "void"} == (
        {session.id, booked.payment_ids[0]} if dead else {session.id}
    )


async def test_one_of_a_stripe_account_that_is_not_served_is_named(hand: Hand, shop: Shop, settings: Settings) -> None:
    """The setting may have been narrowed since the cancel."""
    order, session = await placed(shop, "requires_action")
    await hand.cancel(order)
    async with opened(msgspec.structs.replace(settings, stripe_providers=("elsewhere",))) as services:
        job = await Hand(services, shop).run(order, JobKind.VOID)
    assert job["state"] == "dead"
    assert await shop.incidents(order) == ["unsupported_provider"]
    assert await status_of(shop, session) == "requires_action"


async def test_a_second_session_is_money_of_its_own(hand: Hand, shop: Shop) -> None:
    order, first = await placed(shop, "requires_action")
    second = await open_session(shop.conn, order, await waiting_for(shop, "requires_action"), amount=Decimal(5))
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID, second.id)
    assert [await status_of(shop, one) for one in (first, second)] == ["requires_action", "canceled"]
    assert [(await row_of(shop, one))["intent"] for one in (first, second)] == ["requires_action", "canceled"]


async def test_a_payment_of_a_session_that_was_refunded_takes_that_refund_up_and_no_second_one(
    hand: Hand, shop: Shop
) -> None:
    """Its rows do not say yet what was refunded: the session's own job makes them tell."""
    hand = hand.refunding()
    order, session = await placed(shop, "processing")
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    intent = await shop.sandbox.settle(session.intent_id)
    await hand.run(order, JobKind.VOID)
    await hand.run(order, JobKind.REFUND)
    assert await shop.incidents(order) == []
    booked = await book_session(shop.conn, order, session, intent, captured=True)

    async with hand.services.db.transaction("test") as conn:
        await settle_canceled(hand.services, conn, await read(hand, order))

    assert await shop.incidents(order) == [], "what was refunded is no late money"
    assert {key: state for key, state in (await hand.jobs(order)).items() if key[0] == "refund"} == {
        ("refund", session.id): "scheduled"
    }
    assert (await hand.run(booked, JobKind.REFUND))["state"] == "done"
    assert (
        await shop.conn.fetchval("select sum(amount) from refund where payment_id = $1", booked.payment_ids[0])
        == AMOUNT
    )
    async with hand.services.db.transaction("test") as conn:
        await settle_canceled(hand.services, conn, await read(hand, order))
    assert (await hand.job(order, JobKind.REFUND))["state"] == "done", "the rows tell it now"
    assert (await shop.sandbox.ledger())[session.intent_id].refunds == 1
