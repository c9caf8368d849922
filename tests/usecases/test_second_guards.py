"""Second guards, behind locks and earlier reads: each predicate is tried without the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from app.domain.cancellation import NewCancellation
from app.domain.jobs import JobKind, JobRef
from app.domain.order import Order
from app.embedded.shop import SYSTEM, Payment, PlacedOrder
from app.embedded.shop_acts import capture_by_medusa
from app.ports import Answered, Call, Intent
from app.usecases.cancel_order import Canceled
from app.usecases.job_run import JobRun
from app.usecases.operator_acts import Acted, ActRequest
from app.usecases.refund_late_money import refund_late_money
from tests.usecases.hand import Hand
from tests.world import Shop

OTHER = "pp_paypal_paypal"
CAPTURED = "captured before it could be voided"


async def read(hand: Hand, order: PlacedOrder) -> Order:
    found = await hand.services.orders.read_order(hand.shop.conn, order.id)
    assert found is not None
    return found


async def rows(conn: asyncpg.Connection, table: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    return [dict(row) for row in await conn.fetch(f"select * from {table} where id = any($1) order by id", list(ids))]


async def intent_of(hand: Hand, order: PlacedOrder) -> Intent:
    answer = await hand.services.gateway.look(order.intent_ids[0])
    assert isinstance(answer, Answered)
    return answer.intent


@pytest.mark.parametrize("verb", ["cancel_payment", "record_void", "record_release"])
async def test_a_captured_payment_is_never_called_canceled(hand: Hand, shop: Shop, verb: str) -> None:
    """The order was read while it was held, and Medusa captured it since."""
    order = await shop.place()
    (held,) = (await read(hand, order)).payments
    intent = await intent_of(hand, order)
    await capture_by_medusa(shop.conn, order, held.id)
    before = await rows(shop.conn, "payment", order.payment_ids)

    match verb:
        case "cancel_payment":
            await hand.services.payments.cancel_payment(shop.conn, held)
        case "record_void":
            async with hand.services.db.transaction("test") as conn:
                await hand.services.payments.record_void(conn, held, intent)
        case _:
            await hand.services.payments.record_release(shop.conn, held, None)

    assert await rows(shop.conn, "payment", order.payment_ids) == before


async def test_a_payment_is_canceled_once(hand: Hand, shop: Shop) -> None:
    """Its first moment stays, by each of the ways."""
    order = await shop.place()
    seen = await read(hand, order)
    intent = await intent_of(hand, order)
    earlier = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    await shop.conn.execute("update payment set canceled_at = $2 where id = $1", order.payment_ids[0], earlier)

    async with hand.services.db.transaction("test") as conn:
        await hand.services.payments.cancel_payment(conn, seen.payments[0])
        await hand.services.payments.record_void(conn, seen.payments[0], intent)
        now = await hand.services.orders.lock_order(conn, order.id)
        assert now is not None
        new = NewCancellation(canceled_by="token", reason=None, reason_label=None, request_id="late", jobs=())
        assert await hand.services.orders.cancel_if_unchanged(conn, structs.replace(seen, mark=now.mark), new)

    assert (await shop.payment(order))["canceled_at"] == earlier


async def test_a_cancel_leaves_collections_alone_that_are_over(hand: Hand, shop: Shop) -> None:
    """One that was canceled before keeps its moment; one that something was captured from keeps its status."""
    order = await shop.place(amounts=("10", "20", "30"), same_collection=False)
    canceled, captured, held = order.collection_ids
    earlier = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    await shop.conn.execute(
        "update payment_collection set status = 'canceled', updated_at = $2 where id = $1", canceled, earlier
    )
    await shop.conn.execute(
        "update payment_collection set status = 'completed', captured_amount = 20, updated_at = $2 where id = $1",
        captured,
        earlier,
    )
    assert isinstance(await hand.cancel(order), Canceled)
    found = {row["id"]: row for row in await rows(shop.conn, "payment_collection", order.collection_ids)}
    assert {row["status"] for row in (found[canceled], found[held])} == {"canceled"}
    assert (found[canceled]["updated_at"], found[captured]["updated_at"]) == (earlier, earlier)
    assert found[captured]["status"] == "completed"
    assert found[held]["updated_at"] > earlier


@pytest.mark.parametrize("provider", [SYSTEM, OTHER])
async def test_a_part_that_another_provider_captured_is_late_money_and_no_hold_to_void(
    hand: Hand, shop: Shop, provider: str
) -> None:
    order = await shop.place(payments=[Payment(provider_id=provider)])
    await hand.cancel(order)
    await shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])
    await capture_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(5))

    job = await hand.run(order, JobKind.VOID)

    assert (job["state"], job["last_error"]) == ("done", CAPTURED)
    assert await shop.incidents(order) == ["late_money"]


async def test_nothing_is_refunded_of_an_order_that_was_opened_again(hand: Hand, shop: Shop) -> None:
    """The incident may be open still, and the page with its button as well."""
    order = await shop.place()
    await hand.cancel(order)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="elsewhere")
    await hand.run(order, JobKind.VOID)
    number = await shop.conn.fetchval("select id from grace.incidents where kind = 'late_money' and closed_at is null")
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)

    request = ActRequest(incident_id=number, actor="ada@shop.test", token="01J00000000000000000000001")
    assert await refund_late_money(hand.services, request) is Acted.NOTHING
    assert await shop.job(order, JobKind.REFUND) is None
    assert await shop.conn.fetchval("select count(*) from grace.events where kind = 'act_refund'") == 0


async def test_a_call_is_written_by_the_first_transaction_that_follows_it_and_by_no_other(
    hand: Hand, shop: Shop
) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    ref: JobRef = await hand.queue(order, JobKind.CAPTURE)
    async with hand.services.db.single("capture.claim") as conn:
        claimed = await hand.services.orders.take_with_order(conn, ref)
    assert claimed is not None
    call = Call(verb="look", intent_id=order.intent_ids[0], began_at=datetime.now(UTC), seconds=0.1, outcome="answered")
    run = JobRun(hand.services, claimed[0], [call])
    with pytest.raises(ZeroDivisionError):
        async with run.transaction("record"):
            raise ZeroDivisionError
    for _ in range(2):
        async with run.transaction("record"):
            pass
    told = await shop.conn.fetch("select order_id, detail from grace.events where kind = 'stripe_call'")
    assert [(row["order_id"], order.intent_ids[0] in row["detail"]) for row in told] == [(order.id, True)]
