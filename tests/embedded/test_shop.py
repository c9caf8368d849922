"""The small shop: its rows keep what Medusa's rows keep, after a checkout and after each act of Medusa's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from ulid import ULID

from app.embedded.shop import STRIPE, Line, Payment, PlacedOrder, create_publishable_key, place_order
from app.embedded.shop_acts import (
    MedusaRefusedError,
    archive,
    cancel_by_medusa,
    capture_by_medusa,
    complete,
    drop_capture,
    open_order_change,
    refund_by_medusa,
    settle_capture,
    soft_delete,
)
from app.embedded.shop_parcels import cancel_fulfillment, fulfill
from app.embedded.shop_rows import raw, reaches
from app.embedded.shop_transfers import accept_transfer, change_email, request_transfer

pytestmark = pytest.mark.tools


Connection = asyncpg.Connection
D = Decimal


async def one(conn: Connection, query: str, *values: object) -> dict[str, Any]:
    row = await conn.fetchrow(query, *values)
    assert row is not None
    return dict(row)


async def the_order(conn: Connection, order: PlacedOrder) -> dict[str, Any]:
    return await one(conn, 'SELECT * FROM "order" WHERE id = $1', order.id)


async def the_payment(conn: Connection, payment_id: str) -> dict[str, Any]:
    return await one(conn, "SELECT * FROM payment WHERE id = $1", payment_id)


async def the_collection(conn: Connection, collection_id: str) -> dict[str, Any]:
    return await one(conn, "SELECT * FROM payment_collection WHERE id = $1", collection_id)


async def sums(conn: Connection, order: PlacedOrder) -> dict[str, Any]:
    """The totals of the order's present version, by their numbers."""
    found = await one(
        conn,
        'SELECT s.totals FROM order_summary s JOIN "order" o ON o.id = s.order_id AND o.version = s.version '
        "WHERE o.id = $1",
        order.id,
    )
    return {name: value for name, value in json.loads(found["totals"]).items() if not name.startswith("raw_")}


async def check(conn: Connection) -> None:
    """What always holds: both forms of a number agree, and levels hold what is reserved."""
    pairs = await conn.fetch(
        "SELECT table_name, column_name FROM information_schema.columns c WHERE table_schema = 'public' "
        "AND EXISTS (SELECT FROM information_schema.columns r WHERE r.table_schema = 'public' "
        "AND r.table_name = c.table_name AND r.column_name = 'raw_' || c.column_name)"
    )
    assert len(pairs) > 20
    for table, column in pairs:
        apart = await conn.fetch(
            f'SELECT id FROM "{table}" WHERE "raw_{column}" IS DISTINCT FROM CASE WHEN "{column}" IS NOT NULL THEN '
            f"jsonb_build_object('value', trim_scale(\"{column}\")::text, 'precision', 20) END"
        )
        assert apart == [], (table, column)
    for summary in await conn.fetch("SELECT totals FROM order_summary"):
        totals = json.loads(summary["totals"], parse_float=Decimal)
        numbers = {name: value for name, value in totals.items() if not name.startswith("raw_")}
        assert len(numbers) == 8
        assert all(totals[f"raw_{name}"] == raw(Decimal(value)) for name, value in numbers.items())
        assert numbers["transaction_total"] == numbers["paid_total"] - numbers["refunded_total"]
        assert numbers["pending_difference"] == numbers["current_order_total"] - numbers["transaction_total"]
    wrong = await conn.fetch(
        "SELECT l.id FROM inventory_level l WHERE l.reserved_quantity <> coalesce((SELECT sum(r.quantity) "
        "FROM reservation_item r WHERE r.inventory_item_id = l.inventory_item_id AND r.location_id = l.location_id "
        "AND r.deleted_at IS NULL), 0)"
    )
    assert wrong == []


async def test_an_order_has_the_rows_of_a_checkout(conn: Connection) -> None:
    order = await place_order(conn)
    await check(conn)
    assert order.total == D("29.7381")
    row = await the_order(conn, order)
    assert (row["status"], row["version"], row["is_draft_order"], row["display_id"]) == ("pending", 1, False, 1)
    assert (row["customer_id"], row["canceled_at"], row["email"]) == (order.customer_id, None, order.email)
    payment = await the_payment(conn, order.payment_ids[0])
    assert (payment["amount"], payment["provider_id"], payment["data"]) == (order.total, "pp_system_default", "{}")
    assert (payment["captured_at"], payment["canceled_at"]) == (None, None)
    collection = await the_collection(conn, order.collection_ids[0])
    assert (collection["status"], collection["authorized_amount"]) == ("authorized", order.total)
    assert (collection["captured_amount"], collection["completed_at"]) == (0, None)
    level = await one(conn, "SELECT * FROM inventory_level WHERE id = $1", order.level_ids[0])
    assert (level["reserved_quantity"], level["stocked_quantity"]) == (1, 1000)
    assert await sums(conn, order) == {
        "original_order_total": 29.7381,
        "current_order_total": 29.7381,
        "accounting_total": 29.7381,
        "pending_difference": 29.7381,
        "credit_line_total": 0,
        "paid_total": 0,
        "refunded_total": 0,
        "transaction_total": 0,
    }
    assert order.intent_ids == ()


async def test_a_stripe_payment_holds_its_intent_in_payment_and_session(conn: Connection) -> None:
    intent = {"id": "pi_1", "object": "payment_intent", "status": "requires_capture", "amount": 2974}
    order = await place_order(conn, payments=[Payment(provider_id=STRIPE, intent=intent, amount=D("29.7381"))])
    assert order.intent_ids == ("pi_1",)
    assert json.loads((await the_payment(conn, order.payment_ids[0]))["data"]) == intent
    session = await one(conn, "SELECT * FROM payment_session WHERE id = $1", order.session_ids[0])
    assert (json.loads(session["data"]), session["status"]) == (intent, "authorized")


async def test_without_an_intent_a_stripe_payment_gets_a_made_up_one(conn: Connection) -> None:
    order = await place_order(conn, payments=[Payment(provider_id=STRIPE)])
    assert order.intent_ids[0].startswith("pi_")


@pytest.mark.parametrize("same_collection", [True, False])
async def test_several_payments_share_a_collection_or_have_their_own(conn: Connection, same_collection: bool) -> None:
    payments = [Payment(amount=D("10")), Payment(amount=D("5.50"))]
    order = await place_order(conn, payments=payments, same_collection=same_collection)
    await check(conn)
    amounts = [(await the_collection(conn, one_id))["amount"] for one_id in order.collection_ids]
    assert amounts == ([D("15.50")] if same_collection else [D("10"), D("5.50")])
    assert order.total == D("15.50")
    linked = await conn.fetch("SELECT * FROM order_payment_collection WHERE order_id = $1", order.id)
    assert {row["payment_collection_id"] for row in linked} == set(order.collection_ids)


async def test_orders_share_stock_and_unmanaged_lines_have_none(conn: Connection) -> None:
    first = await place_order(conn, lines=[Line(quantity=2), Line(managed=False)])
    shared = first.inventory_item_ids[0]
    second = await place_order(conn, lines=[Line(quantity=3, inventory_item_id=shared)])
    await check(conn)
    assert (len(first.line_item_ids), len(first.reservation_ids)) == (2, 1)
    assert second.level_ids == first.level_ids
    level = await one(conn, "SELECT reserved_quantity FROM inventory_level WHERE id = $1", first.level_ids[0])
    assert level["reserved_quantity"] == 5


async def test_an_order_of_the_past_has_ids_of_the_past(conn: Connection) -> None:
    now = datetime(2026, 3, 1, 12, 0, 0, 339_999, tzinfo=UTC)
    order = await place_order(conn, placed_ago=timedelta(hours=2), now=now)
    then = datetime(2026, 3, 1, 10, 0, 0, 339_000, tzinfo=UTC)
    assert order.created_at == then == (await the_order(conn, order))["created_at"]
    assert ULID.from_str(order.payment_ids[0].removeprefix("pay_")).datetime == then
    later = await place_order(conn)
    assert later.payment_ids[0] > order.payment_ids[0]


async def test_guests_and_customers_are_rows_of_their_own(conn: Connection) -> None:
    guest = await place_order(conn, email="ada@shoppers.test")
    customer = await place_order(conn, email="ada@shoppers.test", account=True)
    again = await place_order(conn, customer_id=customer.customer_id)
    accounts = await conn.fetch("SELECT id, has_account FROM customer")
    assert {row["id"]: row["has_account"] for row in accounts} == {guest.customer_id: False, customer.customer_id: True}
    assert (again.customer_id, again.email) == (customer.customer_id, "ada@shoppers.test")


async def test_a_draft_is_marked_and_reserves_nothing(conn: Connection) -> None:
    order = await place_order(conn, is_draft=True)
    row = await the_order(conn, order)
    assert (row["status"], row["is_draft_order"], order.reservation_ids) == ("draft", True, ())


async def test_a_publishable_key_is_kept_in_clear_and_may_be_revoked(conn: Connection) -> None:
    for revoked in (False, True):
        token = await create_publishable_key(conn, revoked=revoked)
        row = await one(conn, "SELECT * FROM api_key WHERE token = $1", token)
        assert (row["type"], row["revoked_at"] is not None, len(token)) == ("publishable", revoked, 67)
        assert row["redacted"] == f"{token[:6]}***{token[-3:]}"


async def test_a_full_capture_completes_the_collection(conn: Connection) -> None:
    order = await place_order(conn, payments=[Payment(provider_id=STRIPE)])
    capture_id = await capture_by_medusa(conn, order, order.payment_ids[0])
    await check(conn)
    payment = await the_payment(conn, order.payment_ids[0])
    assert payment["captured_at"] is not None
    assert json.loads(payment["data"])["status"] == "succeeded"
    collection = await the_collection(conn, order.collection_ids[0])
    assert (collection["status"], collection["captured_amount"]) == ("completed", order.total)
    assert collection["completed_at"] is not None
    moved = await one(conn, "SELECT * FROM order_transaction WHERE order_id = $1", order.id)
    assert (moved["reference"], moved["reference_id"], moved["version"]) == ("capture", capture_id, 1)
    totals = await sums(conn, order)
    assert (totals["paid_total"], totals["pending_difference"]) == (29.7381, 0)
    assert (await the_order(conn, order))["version"] == 1


async def test_partial_captures_complete_it_only_together(conn: Connection) -> None:
    order = await place_order(conn)
    payment_id = order.payment_ids[0]
    await capture_by_medusa(conn, order, payment_id, D("10"))
    assert (await the_payment(conn, payment_id))["captured_at"] is None
    assert (await the_collection(conn, order.collection_ids[0]))["status"] == "authorized"
    assert (await sums(conn, order))["pending_difference"] == 19.7381
    await capture_by_medusa(conn, order, payment_id, D("19.74"))  # in cents, as Stripe's webhook says it
    await check(conn)
    assert (await the_payment(conn, payment_id))["captured_at"] is not None
    assert (await the_collection(conn, order.collection_ids[0]))["status"] == "completed"


async def test_a_capture_in_flight_is_a_row_and_nothing_else(conn: Connection) -> None:
    order = await place_order(conn)
    payment_id = order.payment_ids[0]
    dropped = await capture_by_medusa(conn, order, payment_id, in_flight=True)
    assert await conn.fetchval("SELECT count(*) FROM order_transaction") == 0
    assert (await the_collection(conn, order.collection_ids[0]))["captured_amount"] == 0
    await drop_capture(conn, dropped)
    assert await conn.fetchval("SELECT count(*) FROM capture") == 0
    settled = await capture_by_medusa(conn, order, payment_id, in_flight=True)
    await settle_capture(conn, order, settled)
    await check(conn)
    assert (await the_payment(conn, payment_id))["captured_at"] is not None


async def test_a_refund_raises_the_version_with_a_credit_line(conn: Connection) -> None:
    order = await place_order(conn)
    await capture_by_medusa(conn, order, order.payment_ids[0])
    refund_id = await refund_by_medusa(conn, order, order.payment_ids[0], D("5"))
    await check(conn)
    assert (await the_order(conn, order))["version"] == 2
    assert (await the_collection(conn, order.collection_ids[0]))["refunded_amount"] == 5
    moved = await one(conn, "SELECT * FROM order_transaction WHERE amount < 0")
    assert (moved["amount"], moved["reference"], moved["reference_id"]) == (-5, "refund", refund_id)
    totals = await sums(conn, order)
    assert (totals["current_order_total"], totals["credit_line_total"], totals["pending_difference"]) == (24.7381, 5, 0)


async def test_a_cancel_by_medusa_voids_releases_and_raises_the_version(conn: Connection) -> None:
    order = await place_order(conn, lines=[Line(quantity=2), Line()], payments=[Payment(provider_id=STRIPE)])
    await cancel_by_medusa(conn, order)
    await check(conn)
    row = await the_order(conn, order)
    assert (row["status"], row["version"], row["canceled_at"] is not None) == ("canceled", 2, True)
    payment = await the_payment(conn, order.payment_ids[0])
    assert (payment["canceled_at"] is not None, payment["captured_at"]) == (True, None)
    assert json.loads(payment["data"])["status"] == "canceled"
    collection = await the_collection(conn, order.collection_ids[0])
    assert (collection["status"], collection["authorized_amount"]) == ("canceled", order.total)
    assert await conn.fetchval("SELECT count(*) FROM reservation_item WHERE deleted_at IS NULL") == 0
    credit = await one(conn, "SELECT amount, version, metadata FROM order_credit_line")
    assert (credit["amount"], credit["version"], credit["metadata"]) == (0, 2, '{"created_in_version": 2}')
    change = await one(conn, "SELECT change_type, status, version FROM order_change")
    assert tuple(change.values()) == ("credit_line", "confirmed", 2)
    assert await conn.fetchval("SELECT count(*) FROM order_item WHERE version = 2") == 2
    assert (await sums(conn, order))["pending_difference"] == float(order.total)


async def test_a_cancel_whose_void_failed_leaves_the_payment_open(conn: Connection) -> None:
    order = await place_order(conn, payments=[Payment(provider_id=STRIPE)])
    await cancel_by_medusa(conn, order, void_succeeded=False)
    payment = await the_payment(conn, order.payment_ids[0])
    assert (payment["canceled_at"], json.loads(payment["data"])["status"]) == (None, "requires_capture")
    assert (await the_order(conn, order))["status"] == "canceled"


async def test_a_cancel_after_a_capture_refunds_it(conn: Connection) -> None:
    order = await place_order(conn)
    await capture_by_medusa(conn, order, order.payment_ids[0])
    await refund_by_medusa(conn, order, order.payment_ids[0], D("5"))
    await cancel_by_medusa(conn, order)
    await check(conn)
    collection = await the_collection(conn, order.collection_ids[0])
    assert (collection["status"], collection["refunded_amount"]) == ("canceled", order.total)
    assert (await the_payment(conn, order.payment_ids[0]))["canceled_at"] is None
    lines = await conn.fetch("SELECT amount FROM order_credit_line WHERE version = 3 ORDER BY amount")
    assert [row["amount"] for row in lines] == [5, D("24.7381")]
    assert (await sums(conn, order))["current_order_total"] == 0


async def test_a_parcel_takes_the_stock_and_an_unpacked_one_brings_it_back(conn: Connection) -> None:
    order = await place_order(conn, lines=[Line(quantity=2), Line(managed=False)])
    level = "SELECT stocked_quantity AS stocked, reserved_quantity AS reserved FROM inventory_level WHERE id = $1"
    fulfillment_id = await fulfill(conn, order)
    await check(conn)
    assert await one(conn, level, order.level_ids[0]) == {"stocked": 998, "reserved": 0}
    assert (await the_order(conn, order))["version"] == 2
    packed = await conn.fetch("SELECT fulfilled_quantity FROM order_item WHERE version = 2 ORDER BY quantity")
    assert [row["fulfilled_quantity"] for row in packed] == [1, 2]
    linked = await one(conn, "SELECT fulfillment_id FROM order_fulfillment WHERE order_id = $1", order.id)
    assert linked["fulfillment_id"] == fulfillment_id
    await cancel_fulfillment(conn, order, fulfillment_id)
    await check(conn)
    assert await one(conn, level, order.level_ids[0]) == {"stocked": 1000, "reserved": 2}
    assert await conn.fetchval("SELECT canceled_at FROM fulfillment WHERE id = $1", fulfillment_id) is not None
    assert (await the_order(conn, order))["version"] == 3


async def test_what_is_canceled_is_neither_captured_nor_canceled_again(conn: Connection) -> None:
    order = await place_order(conn)
    await cancel_by_medusa(conn, order)
    with pytest.raises(MedusaRefusedError):
        await capture_by_medusa(conn, order, order.payment_ids[0])
    with pytest.raises(MedusaRefusedError):
        await cancel_by_medusa(conn, order)
    assert await conn.fetchval("SELECT count(*) FROM capture") == 0


async def test_an_edit_and_a_transfer_stay_open(conn: Connection) -> None:
    order, other = await place_order(conn), await place_order(conn)
    await open_order_change(conn, order)
    await open_order_change(conn, other, change_type="transfer", status="requested")
    changes = await conn.fetch(
        "SELECT change_type, status, version, confirmed_at FROM order_change ORDER BY change_type"
    )
    assert [tuple(row) for row in changes] == [("edit", "pending", 2, None), ("transfer", "requested", 2, None)]
    action = await one(conn, "SELECT * FROM order_change_action")
    assert (action["action"], action["applied"]) == ("TRANSFER_CUSTOMER", False)
    assert json.loads(action["details"])["original_email"] == other.email


async def test_a_transfer_is_asked_for_and_accepted(conn: Connection) -> None:
    order = await place_order(conn)
    change = await request_transfer(conn, order)
    asked = await one(conn, "SELECT * FROM order_change")
    action = await one(conn, "SELECT * FROM order_change_action")
    assert asked["created_by"] == asked["requested_by"] == action["reference_id"]
    assert (await the_order(conn, order))["customer_id"] == order.customer_id
    customer = await accept_transfer(conn, order, change)
    assert customer == action["reference_id"]
    row = await the_order(conn, order)
    assert (row["customer_id"], row["email"], row["version"]) == (customer, order.email, 2)
    accepted = await one(conn, "SELECT * FROM order_change")
    assert (accepted["status"], accepted["confirmed_at"] is not None, accepted["confirmed_by"]) == (
        "confirmed",
        True,
        None,
    )
    assert (await one(conn, "SELECT applied FROM order_change_action"))["applied"]


async def test_another_address_is_a_confirmed_change(conn: Connection) -> None:
    order = await place_order(conn)
    await change_email(conn, order, "new@shoppers.test")
    row = await the_order(conn, order)
    assert (row["email"], row["customer_id"], row["version"]) == ("new@shoppers.test", order.customer_id, 1)
    change = await one(conn, "SELECT change_type, status, version FROM order_change")
    assert tuple(change.values()) == ("update_order", "confirmed", 1)
    details = json.loads((await one(conn, "SELECT details FROM order_change_action"))["details"])
    assert details == {"type": "email", "old": order.email, "new": "new@shoppers.test"}


async def test_completed_archived_deleted(conn: Connection) -> None:
    order = await place_order(conn)
    await complete(conn, order)
    assert (await the_order(conn, order))["status"] == "completed"
    await archive(conn, order)
    assert (await the_order(conn, order))["status"] == "archived"
    await soft_delete(conn, order)
    assert (await the_order(conn, order))["deleted_at"] is not None


async def test_a_connection_with_a_json_codec_will_do(conn: Connection) -> None:
    await conn.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    order = await place_order(conn, payments=[Payment(provider_id=STRIPE)])
    await capture_by_medusa(conn, order, order.payment_ids[0], D("10"))
    await cancel_by_medusa(conn, order)
    assert (await the_payment(conn, order.payment_ids[0]))["data"]["status"] == "succeeded"


@pytest.mark.parametrize(
    ("number", "text"),
    [("29.7381", "29.7381"), ("10.00", "10"), ("0", "0"), ("1E+3", "1000"), ("-5.50", "-5.5"), ("0.10", "0.1")],
)
def test_the_raw_form_of_a_number(number: str, text: str) -> None:
    assert raw(Decimal(number)) == {"value": text, "precision": 20}


def test_amounts_are_compared_in_the_currencys_digits() -> None:
    assert reaches(D("29.74"), D("29.7381"), "eur")
    assert not reaches(D("29.73"), D("29.7381"), "eur")
    assert reaches(D("2999.6"), D("3000"), "jpy")
