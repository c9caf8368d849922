"""A capture leaves the rows that Medusa's own capture leaves: the same order, captured by each, is compared whole."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.domain.jobs import JobKind
from app.domain.money import to_minor_units
from app.embedded.shop import STRIPE, SYSTEM, Payment, PlacedOrder
from app.embedded.shop_acts import capture_by_medusa
from tests.usecases.hand import Hand, nobody_is_told
from tests.usecases.ledger_rows import money_rows, twins_agree
from tests.world import Shop

SUMS = [
    ("eur", "29.7381", 2974),
    ("eur", "10.005", 1001),
    ("jpy", "3500", 3500),
    ("jpy", "3500.5", 3501),
    ("kwd", "9.991", 10000),
    ("kwd", "1.230", 1230),
]


@pytest.mark.parametrize(("currency", "amount", "cents"), SUMS)
async def test_a_capture_leaves_the_rows_of_medusas_own(
    hand: Hand, shop: Shop, currency: str, amount: str, cents: int
) -> None:
    ours, theirs = [await shop.place(amounts=(amount,), currency=currency) for _ in range(2)]
    await hand.schedule(ours, JobKind.CAPTURE)

    job = await hand.run(ours, JobKind.CAPTURE)
    await capture_by_medusa(shop.conn, theirs, theirs.payment_ids[0])

    assert job["state"] == "done"
    assert await money_rows(shop.conn, ours) == await money_rows(shop.conn, theirs)
    await twins_agree(shop.conn, ours)
    line = (await shop.sandbox.ledger())[ours.intent_ids[0]]
    assert (line.status, line.captured, line.captures) == ("succeeded", cents, 1)
    assert await nobody_is_told(hand, ours)


async def test_the_rows_of_a_capture_by_name(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("29.7381",))
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.run(order, JobKind.CAPTURE)

    whole, twin = Decimal("29.7381"), '{"value": "29.7381", "precision": 20}'
    capture = await shop.row("select id, amount, raw_amount from capture where payment_id = $1", order.payment_ids[0])
    assert (capture["id"][:5], capture["amount"], capture["raw_amount"]) == ("capt_", whole, twin)
    booked = await shop.row("select * from order_transaction where order_id = $1", order.id)
    assert (booked["id"][:7], booked["amount"], booked["raw_amount"]) == ("ordtrx_", whole, twin)
    assert (booked["reference"], booked["reference_id"], booked["version"]) == ("capture", capture["id"], 1)
    assert booked["currency_code"] == "eur"
    collection = await shop.row("select * from payment_collection where id = $1", order.collection_ids[0])
    assert (collection["captured_amount"], collection["raw_captured_amount"]) == (whole, twin)
    assert (collection["status"], collection["completed_at"] is not None) == ("completed", True)
    totals = await shop.row(
        "select totals ->> 'paid_total' as paid, totals ->> 'transaction_total' as moved, "
        "totals ->> 'pending_difference' as pending, totals -> 'raw_pending_difference' ->> 'value' as raw_pending "
        "from order_summary where order_id = $1",
        order.id,
    )
    assert tuple(totals) == ("29.7381", "29.7381", "0", "0")
    payment = await shop.row(
        "select captured_at, date_trunc('milliseconds', captured_at) as whole_ms, data ->> 'status' as status "
        "from payment where id = $1",
        order.payment_ids[0],
    )
    assert payment["captured_at"] == payment["whole_ms"], "Medusa writes milliseconds"
    assert payment["status"] == "succeeded"
    assert await hand.jobs(order) == {
        ("capture", order.payment_ids[0]): "done",
        ("publish", f"payment.captured:{order.payment_ids[0]}"): "scheduled",
    }


async def test_a_manual_payment_is_captured_without_stripe(hand: Hand, shop: Shop) -> None:
    ours, theirs = [await shop.place(payments=[Payment(provider_id=SYSTEM)]) for _ in range(2)]
    await hand.schedule(ours, JobKind.CAPTURE)
    await hand.run(ours, JobKind.CAPTURE)
    await capture_by_medusa(shop.conn, theirs, theirs.payment_ids[0])

    assert await money_rows(shop.conn, ours) == await money_rows(shop.conn, theirs)
    assert await shop.sandbox.requests() == []


@pytest.mark.parametrize("same_collection", [True, False], ids=["one collection", "two collections"])
async def test_two_payments_of_mixed_providers(hand: Hand, shop: Shop, same_collection: bool) -> None:
    async def placed() -> PlacedOrder:
        return await shop.place(payments=await _mixed(shop), same_collection=same_collection)

    ours, theirs = await placed(), await placed()
    await hand.schedule(ours, JobKind.CAPTURE)
    first, second = ours.payment_ids

    await hand.run(ours, JobKind.CAPTURE, first)
    await capture_by_medusa(shop.conn, theirs, theirs.payment_ids[0])
    assert await money_rows(shop.conn, ours) == await money_rows(shop.conn, theirs), "after the first"

    await hand.run(ours, JobKind.CAPTURE, second)
    await capture_by_medusa(shop.conn, theirs, theirs.payment_ids[1])
    assert await money_rows(shop.conn, ours) == await money_rows(shop.conn, theirs), "after the second"
    await twins_agree(shop.conn, ours)
    assert [line.captures for line in (await shop.sandbox.ledger()).values()] == [1, 0]
    statuses = {row["status"] for row in await _collections(shop, ours)}
    assert statuses == {"completed"}


async def test_a_collection_is_complete_only_when_both_payments_are(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("20.00", "9.7381"))
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.run(order, JobKind.CAPTURE, order.payment_ids[0])

    (halfway,) = await _collections(shop, order)
    assert (halfway["status"], halfway["completed_at"], halfway["captured_amount"]) == ("authorized", None, 20)
    await hand.run(order, JobKind.CAPTURE, order.payment_ids[1])
    (whole,) = await _collections(shop, order)
    assert (whole["status"], whole["captured_amount"]) == ("completed", Decimal("29.7381"))


async def test_events_off_publishes_no_capture(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.with_policy(publishes_events=False).run(order, JobKind.CAPTURE)
    assert await hand.jobs(order) == {("capture", order.payment_ids[0]): "done"}


async def _mixed(shop: Shop) -> list[Payment]:
    amount = Decimal("19.7381")
    intent: dict[str, Any] = await shop.sandbox.authorize(to_minor_units(amount, "eur"), "eur")
    return [
        Payment(amount=amount, provider_id=STRIPE, intent=intent),
        Payment(amount=Decimal("10"), provider_id=SYSTEM),
    ]


async def _collections(shop: Shop, order: PlacedOrder) -> list[Any]:
    return list(await shop.conn.fetch("select * from payment_collection where id = any($1)", order.collection_ids))


async def test_a_copy_of_an_older_shop_beside_it_decides_nothing(hand: Hand, shop: Shop) -> None:
    """A backup in a schema of its own may not know the word "completed"."""
    await shop.conn.execute("""
        create schema of_old;
        create table of_old.payment_collection (
            status text constraint payment_collection_status_check check (status in ('not_paid', 'authorized'))
        )
    """)
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.run(order, JobKind.CAPTURE)
    collection = await shop.row("select status from payment_collection where id = $1", order.collection_ids[0])
    assert collection["status"] == "completed"


async def test_where_medusa_does_not_know_the_word_completed(hand: Hand, shop: Shop) -> None:
    """2.0.0 leaves the status as it was, and its check refuses the word."""
    await shop.conn.execute(
        "alter table payment_collection drop constraint payment_collection_status_check;"
        "alter table payment_collection add constraint payment_collection_status_check check (status in"
        " ('not_paid', 'awaiting', 'authorized', 'partially_authorized', 'canceled'))"
    )
    order = await shop.place()
    before = await shop.row("select * from payment_collection where id = $1", order.collection_ids[0])
    await hand.schedule(order, JobKind.CAPTURE)

    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"

    after = await shop.row("select * from payment_collection where id = $1", order.collection_ids[0])
    assert (before["status"], after["status"]) == ("authorized", "authorized")
    assert after["captured_amount"] == order.total
    assert (await shop.payment(order))["captured_at"] is not None
    await twins_agree(shop.conn, order)
    assert await nobody_is_told(hand, order)
