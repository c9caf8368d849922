"""What each question of an examination names and what it leaves alone: one change of sound rows at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest

from app.embedded.shop import STRIPE, Line, Payment, place_order
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa, refund_by_medusa
from app.embedded.shop_parcels import fulfill
from app.embedded.shop_rows import add_transaction
from app.embedded.shop_sessions import open_session, share_collection
from plugins.medusa_bridge import BridgeConfig, MedusaBridge
from tests.databases import one_database_a_file
from tests.doctor.clinic import SYSTEM
from tests.doctor.rows import (
    AN_HOUR_LATER,
    CANCEL,
    CANCEL_BY_DATE,
    Scene,
    amount,
    incident,
    job,
    scene_of,
    total,
    young,
)
from tests.leftovers import connected

database = one_database_a_file()
BRIDGE = MedusaBridge(BridgeConfig(), None, None)
THIRTY = Decimal(30)


@pytest.fixture(scope="module")
async def scene(database: str) -> AsyncIterator[Scene]:
    """Orders that are open, paid, paid and refunded in parts, canceled, canceled by hand and packed."""
    async with connected(database) as conn:
        orders = {
            "open": await place_order(conn, payments=[Payment(provider_id=STRIPE)]),
            "paid": await place_order(conn, payments=SYSTEM),
            "parts": await place_order(conn, payments=[Payment(amount=Decimal(20)), Payment(amount=Decimal(10))]),
            "gone": await place_order(conn, payments=SYSTEM),
            "back": await place_order(conn, payments=SYSTEM),
            "packed": await place_order(conn, payments=SYSTEM),
        }
        for name in ("paid", "packed", "back"):
            await capture_by_medusa(conn, orders[name], orders[name].payment_ids[0])
        first, second = orders["parts"].payment_ids
        for payment_id, amount in ((first, 12), (first, 8), (second, 10)):
            await capture_by_medusa(conn, orders["parts"], payment_id, Decimal(amount))
        for amount in (3, 2):
            await refund_by_medusa(conn, orders["parts"], first, Decimal(amount))
        for name in ("gone", "back"):
            await cancel_by_medusa(conn, orders[name])
        await fulfill(conn, orders["packed"])
        await conn.execute(AN_HOUR_LATER)
        yield scene_of(conn, orders)


async def test_the_rows_agree(scene: Scene) -> None:
    for at_rest in (True, False):
        assert await BRIDGE.examination.find_defects(scene.conn, at_rest=at_rest) == []


COLLECTION = "collection_differs_from_rows"
SUMMARY = "summary_differs_from_transactions"
BOOKED = "transactions_differ_from_rows"
TWIN = "number_differs_from_raw"
STOCK = "reserved_quantity_drift"
KEPT = "stock_of_canceled_order"
ORPHAN = "orphan_reservation"
PARCEL = "parcel_of_canceled_order"
BARE = "order_without_payment"
LOOSE = "hold_without_order"
TWICE = "captured_twice_in_rows"
PAYMENT = "payment_differs_from_captures"
UNFINISHED = "job_unfinished"

_SET_COLLECTION = (
    "update payment_collection set {name} = {to}, raw_{name} = jsonb_build_object('value', {to}::text) "
    "where id = '<{of}.col>'"
)


def collection(of: str, name: str, to: object) -> str:
    return _SET_COLLECTION.format(of=of, name=name, to=to)


WRONG = collection("parts", "captured_amount", 7)
UNLINK = "update order_payment_collection set deleted_at = now() where order_id = '<open>'; "
NO_CAPTURE = "update payment set captured_at = null where id = '<paid.pay>'"
BACK = (
    "update reservation_item set deleted_at = null where id = '<{0}.res>'; update inventory_level set "
    "reserved_quantity = 1, raw_reserved_quantity = '{{\"value\": \"1\"}}' where id = '<{0}.level>'"
).format
IN_PART = amount("payment", 35, "id = '<paid.pay>'")
STOLEN = "update payment set captured_at = now() where id = '<open.pay>'"
ITEM_AGAIN = (
    "; insert into order_item select (jsonb_populate_record(i, jsonb_build_object('id', i.id || '_2', 'version', 2))).*"
    " from order_item as i where i.order_id = '<{}>'"
).format
NO_BOOKING = (
    "delete from order_transaction where order_id = '<paid>'; "
    + total("paid", "paid_total", 0)
    + "; "
    + total("paid", "transaction_total", 0)
)
ONE_REFUND = "(select id from refund where payment_id = '<parts.pay>' order by id limit 1)"
ONE_CAPTURE = "(select id from capture where payment_id = '<parts.pay>' order by id limit 1)"
ONE_BOOKING = "(select id from order_transaction where order_id = '<parts>' order by id limit 1)"

NAMED: dict[str, tuple[str, list[str]]] = {
    # a collection and its rows
    "captured less": (WRONG, [f"{COLLECTION} parts"]),
    "captured nothing": (collection("parts", "captured_amount", 0), [f"{COLLECTION} parts"]),
    "captured unknown": (
        "update payment_collection set captured_amount = null, raw_captured_amount = null where id = '<parts.col>'",
        [f"{COLLECTION} parts"],
    ),
    "refunded less": (collection("parts", "refunded_amount", 4), [f"{COLLECTION} parts"]),
    "refunded unknown": (
        "update payment_collection set refunded_amount = null, raw_refunded_amount = null where id = '<parts.col>'",
        [f"{COLLECTION} parts"],
    ),
    "refunded where nothing was": (collection("paid", "refunded_amount", 4), [f"{COLLECTION} paid"]),
    "captured where nothing was": (collection("open", "captured_amount", 4), [f"{COLLECTION} open"]),
    "a part in flight and not counted": (
        (
            "insert into capture (id, amount, raw_amount, payment_id, created_at, updated_at) values "
            "('capt_x', 4, '{\"value\": \"4\"}', '<open.pay>', now() - interval '1 h', now() - interval '1 h')"
        ),
        [f"{COLLECTION} open", f"{BOOKED} open"],
    ),
    # a summary and its transactions
    "paid less": (total("parts", "paid_total", 29), [f"{SUMMARY} parts"]),
    "paid unknown": (
        "update order_summary set totals = totals - 'paid_total' - 'raw_paid_total' where order_id = '<parts>'",
        [f"{SUMMARY} parts"],
    ),
    "refunded other than booked": (total("parts", "refunded_total", 4), [f"{SUMMARY} parts"]),
    "net other than booked": (total("parts", "transaction_total", 24), [f"{SUMMARY} parts"]),
    # rows and their transactions
    "a capture that was not booked": (NO_BOOKING, [f"{BOOKED} paid"]),
    "a refund that was not booked": (
        "delete from order_transaction where order_id = '<parts>' and amount = -2; "
        + total("parts", "refunded_total", 3)
        + "; "
        + total("parts", "transaction_total", 27),
        [f"{BOOKED} parts"],
    ),
    "a refund of another sum": (
        amount("order_transaction", -4, "order_id = '<parts>' and amount = -2")
        + "; "
        + total("parts", "refunded_total", 7)
        + "; "
        + total("parts", "transaction_total", 23),
        [f"{BOOKED} parts"],
    ),
    # numbers and their raw forms
    "raw of a payment": (
        "update payment set raw_amount = '{\"value\": \"1\"}' where id = '<open.pay>'",
        [f"{TWIN} open"],
    ),
    "raw of a refund": (
        f'update refund set raw_amount = \'{{"value": "1"}}\' where id = {ONE_REFUND}',
        [f"{TWIN} parts"],
    ),
    "raw of a transaction": (
        f'update order_transaction set raw_amount = \'{{"value": "1"}}\' where id = {ONE_BOOKING}',
        [f"{TWIN} parts"],
    ),
    **{
        f"raw of a collection's {name}": (
            f"update payment_collection set raw_{name} = '{{\"value\": \"1\"}}' where id = '<parts.col>'",
            [f"{TWIN} parts"],
        )
        for name in ("amount", "captured_amount", "refunded_amount")
    },
    **{
        f"raw of a summary's {name}": (
            f"update order_summary set totals = totals || '{{\"{name}\": 77}}' where order_id = '<parts>'",
            [f"{TWIN} parts"],
        )
        for name in ("paid_total", "refunded_total", "transaction_total", "pending_difference")
    },
    "raw of a reservation": (
        "update reservation_item set raw_quantity = '{\"value\": \"4\"}' where id = '<open.res>'" + ITEM_AGAIN("open"),
        [f"{TWIN} open"],
    ),
    "raw of a reservation by hand": (
        "update reservation_item set raw_quantity = '{\"value\": \"4\"}', line_item_id = null where id = '<open.res>'",
        [f"{TWIN} -"],
    ),
    "raw of a level": (
        "update inventory_level set raw_reserved_quantity = '{\"value\": \"4\"}' where id = '<open.level>'",
        [f"{TWIN} -"],
    ),
    "raw without a value": ("update payment set raw_amount = '{}' where id = '<open.pay>'", [f"{TWIN} open"]),
    "a raw without its number": (
        "update payment_collection set refunded_amount = null where id = '<open.col>'",
        [f"{TWIN} open"],
    ),
    # stock
    "reserved for nobody any more": (
        (
            'update inventory_level set reserved_quantity = 1, raw_reserved_quantity = \'{"value": "1"}\' '
            f"where id = '<gone.level>'{ITEM_AGAIN('gone')}"
        ),
        [f"{STOCK} gone"],
    ),
    "reserved by two orders": (
        (
            "update reservation_item set inventory_item_id = '<open.item>' where id = '<paid.res>'; "
            "update inventory_level set reserved_quantity = 0, "
            "raw_reserved_quantity = '{\"value\": \"0\"}' where id = '<paid.level>'"
        ),
        [f"{STOCK} -"],
    ),
    "elsewhere": (
        "update reservation_item set location_id = 'sloc_other' where id = '<open.res>'",
        [f"{STOCK} -", f"{STOCK} open"],
    ),
    "kept by a canceled order": (BACK("gone") + ITEM_AGAIN("gone"), [f"{KEPT} gone"]),
    "kept by an order that was canceled and archived": (
        BACK("gone") + "; update \"order\" set status = 'archived' where id = '<gone>'",
        [f"{KEPT} gone"],
    ),
    "kept by an order of that status alone": (
        BACK("gone") + "; update \"order\" set canceled_at = null where id = '<gone>'",
        [f"{KEPT} gone"],
    ),
    "kept while another order's release waits": (
        BACK("gone") + job("<paid>", "release", "x", "queued"),
        [f"{KEPT} gone"],
    ),
    "kept while something else waits": (BACK("gone") + job("<gone>", "publish", "x", "queued"), [f"{KEPT} gone"]),
    "kept although its release is done": (BACK("gone") + job("<gone>", "release", "x", "done"), [f"{KEPT} gone"]),
    "kept, an incident is closed": (BACK("gone") + incident("<gone>", "release_failed", "now()"), [f"{KEPT} gone"]),
    "kept, another incident is open": (BACK("gone") + incident("<gone>", "void_failed"), [f"{KEPT} gone"]),
    "kept, another order's incident": (BACK("gone") + incident("<paid>", "release_failed"), [f"{KEPT} gone"]),
    "a line of no order": (
        "update reservation_item set line_item_id = 'ordli_x' where id = '<open.res>'",
        [f"{ORPHAN} -"],
    ),
    "a deleted order": (
        "update \"order\" set deleted_at = now() where id = '<open>'",
        [f"{LOOSE} -", f"{ORPHAN} open"],
    ),
    # parcels
    "packed and canceled": (CANCEL("packed"), [f"{PARCEL} packed"]),
    "packed, canceled and archived": (CANCEL_BY_DATE("packed"), [f"{PARCEL} packed"]),
    "packed, another incident": (CANCEL("packed") + incident("<packed>", "void_failed"), [f"{PARCEL} packed"]),
    "packed, a closed incident": (CANCEL("packed") + incident("<packed>", "fulfilled", "now()"), [f"{PARCEL} packed"]),
    "packed, another's incident": (CANCEL("packed") + incident("<paid>", "fulfilled"), [f"{PARCEL} packed"]),
    # payments and captures
    "captured by date alone": (STOLEN, [f"{PAYMENT} open"]),
    "captured by rows alone": (NO_CAPTURE, [f"{PAYMENT} paid"]),
    "captured too much": (amount("payment", 5, "id = '<paid.pay>'"), [f"{TWICE} paid"]),
    "captured too much, and open": (
        amount("payment", 5, "id = '<paid.pay>'", ", captured_at = null"),
        [f"{TWICE} paid"],
    ),
    "captured in part, by nobody of ours": (IN_PART, [f"{PAYMENT} paid"]),
    "captured in part, our job given up": (
        IN_PART + job("<paid>", "capture", "<paid.pay>", "dead"),
        [f"{PAYMENT} paid"],
    ),
    "captured in part, our void done": (IN_PART + job("<paid>", "void", "<paid.pay>", "done"), [f"{PAYMENT} paid"]),
    "captured in part, another capture done": (
        IN_PART + job("<paid>", "capture", "<open.pay>", "done"),
        [f"{PAYMENT} paid"],
    ),
    "captured by date, nothing of it by us": (
        STOLEN
        + "; update payment set provider_id = 'pp_system_default' where id = '<open.pay>'"
        + job("<open>", "capture", "<open.pay>", "done"),
        [f"{PAYMENT} open"],
    ),
    **{
        f"captured by rows, {name}": (NO_CAPTURE + more, [f"{PAYMENT} paid"])
        for name, more in {
            "a refund waits": job("<paid>", "refund", "<paid.pay>", "queued"),
            "a capture of another payment waits": job("<paid>", "capture", "<open.pay>", "queued"),
            "another order's job waits": job("<open>", "capture", "<paid.pay>", "queued"),
            "a capture was not begun": job("<paid>", "capture", "<paid.pay>", "scheduled"),
            "a capture is done": job("<paid>", "capture", "<paid.pay>", "done", attempts="1"),
            "an incident is closed": incident("<paid>", "capture_failed", "now()"),
            "another incident is open": incident("<paid>", "void_failed"),
            "another order's incident is open": incident("<open>", "capture_failed"),
        }.items()
    },
    # orders without a payment, holds without an order
    "no link": (UNLINK, [f"{LOOSE} -", f"{BARE} open"]),
    "no link, another action of its order": (
        UNLINK + job("<open>", "refund", "<open.pay>", "dead")[2:] + incident("<open>", "refund_failed"),
        [f"{LOOSE} -", f"{BARE} open"],
    ),
    "no link, an incident that is closed": (
        UNLINK + job("<open>", "void", "<open.pay>", "dead")[2:] + incident("<open>", "void_failed", "now()"),
        [f"{LOOSE} -", f"{BARE} open"],
    ),
    "no link, an incident of another payment": (
        UNLINK + job("<open>", "void", "<paid.pay>", "dead")[2:] + incident("<open>", "void_failed"),
        [f"{LOOSE} -", f"{BARE} open"],
    ),
    "no link, and waits for the shopper": (
        UNLINK + "update \"order\" set status = 'requires_action' where id = '<open>'",
        [f"{LOOSE} -", f"{BARE} open"],
    ),
    "a link to a collection that nothing is in": (
        (
            "update payment set payment_collection_id = '<paid.col>' where id = '<open.pay>'; "
            "update payment_session set payment_collection_id = '<paid.col>' where id = '<open.ses>'"
        ),
        [f"{BARE} open"],
    ),
    "no link, total in one form": (
        UNLINK + "update order_summary set totals = totals - 'raw_current_order_total' where order_id = '<open>'",
        [f"{LOOSE} -", f"{BARE} open"],
    ),
}
"""Found whatever the time: all rows are an hour old, and so is a live shop's patience over."""

SILENT: dict[str, str] = {
    "captured in part and open": (
        "delete from capture where id = " + ONE_CAPTURE + "; update payment set captured_at = null "
        "where id = '<parts.pay>'; delete from order_transaction where order_id = '<parts>' and amount = 12; "
        + collection("parts", "captured_amount", 18)
        + "; "
        + total("parts", "paid_total", 18)
        + "; "
        + total("parts", "transaction_total", 13)
    ),
    "a summary of an earlier version": "update \"order\" set version = 2 where id = '<paid>'; "
    + total("paid", "paid_total", 7),
    "a raw that is none": "update payment set raw_amount = '\"text\"' where id = '<open.pay>'",
    "a raw that is missing": "update order_summary set totals = totals - 'raw_pending_difference' "
    "where order_id = '<parts>'",
    "in one form": "update order_summary set totals = totals - 'raw_paid_total' - 'raw_refunded_total' "
    "- 'raw_transaction_total' where order_id = '<parts>'",
    "captured in part, by our job": IN_PART + job("<paid>", "capture", "<paid.pay>", "done"),
    "captured by rows, canceled": NO_CAPTURE
    + "; "
    + CANCEL("paid")
    + "; update reservation_item set deleted_at = now() where id = '<paid.res>'; update inventory_level set "
    "reserved_quantity = 0, raw_reserved_quantity = null where id = '<paid.level>'",
    "captured by rows, canceled and archived": NO_CAPTURE
    + "; "
    + CANCEL_BY_DATE("paid")
    + "; update reservation_item set deleted_at = now() where id = '<paid.res>'; update inventory_level set "
    "reserved_quantity = 0, raw_reserved_quantity = null where id = '<paid.level>'",
    **{
        f"captured by rows, {kind}": NO_CAPTURE + incident("<paid>", kind)
        for kind in ("capture_failed", "late_money", "look_failed")
    },
    **{f"kept, {kind}": BACK("gone") + incident("<gone>", kind) for kind in ("release_failed", "fulfilled")},
    "packed, and said": CANCEL("packed") + incident("<packed>", "fulfilled"),
    "unpacked": CANCEL("packed") + "; update fulfillment set canceled_at = now()",
    "an intent that was let go": UNLINK
    + "update payment set data = data || '{\"status\": \"canceled\"}' where id = '<open.pay>'; "
    + CANCEL("open")
    + "; update reservation_item set deleted_at = now() where id = '<open.res>'; update inventory_level set "
    "reserved_quantity = 0, raw_reserved_quantity = null where id = '<open.level>'",
    **{
        f"no link and {name}": UNLINK
        + total("open", "current_order_total", 0)
        + f"; update payment set {change} where id = '<open.pay>'"
        for name, change in {
            "closed": "canceled_at = now()",
            "of no sum": "amount = 0, raw_amount = jsonb_build_object('value', '0')",
            "of another provider": "provider_id = 'pp_paypal_paypal'",
        }.items()
    },
    **{
        f"no link, {kind} and its incident": UNLINK
        + total("open", "current_order_total", 0)
        + job("<open>", kind, "<open.pay>", "dead")
        + incident("<open>", f"{kind}_failed")
        for kind in ("capture", "void")
    },
}


@pytest.mark.parametrize("name", NAMED)
async def test_it_is_named_with_its_order(scene: Scene, name: str) -> None:
    change, expected = NAMED[name]
    async with scene.after(change) as conn:
        found = await BRIDGE.examination.find_defects(conn, at_rest=False)
        assert scene.named(found) == sorted(expected), found


@pytest.mark.parametrize("name", SILENT)
async def test_it_is_left_alone(scene: Scene, name: str) -> None:
    async with scene.after(SILENT[name]) as conn:
        for at_rest in (False, True):
            found = [
                one for one in await BRIDGE.examination.find_defects(conn, at_rest=at_rest) if one.defect != UNFINISHED
            ]
            assert found == []


WAITS = {
    "a collection": WRONG + young("payment_collection", "id = '<parts.col>'"),
    "a payment of it": WRONG + young("payment", "id = '<parts.pay>'"),
    "another payment of it": WRONG + young("payment", "id = '<parts.pay1>'"),
    "one capture of it": WRONG + young("capture", f"id = {ONE_CAPTURE}"),
    "another capture of it": WRONG
    + young("capture", "id = (select max(id) from capture where payment_id = '<parts.pay>')"),
    "one refund of it": WRONG + young("refund", f"id = {ONE_REFUND}"),
    "another refund of it": WRONG
    + young("refund", "id = (select max(id) from refund where payment_id = '<parts.pay>')"),
    "a summary": total("parts", "paid_total", 29) + young("order_summary", "order_id = '<parts>'"),
    "one transaction": total("parts", "paid_total", 29) + young("order_transaction", f"id = {ONE_BOOKING}"),
    "another transaction": total("parts", "paid_total", 29)
    + young("order_transaction", "id = (select max(id) from order_transaction where order_id = '<parts>')"),
    "a summary of no transactions": total("open", "paid_total", 29) + young("order_summary", "order_id = '<open>'"),
    "a capture that was not booked": NO_BOOKING + young("capture", "payment_id = '<paid.pay>'"),
    "one of two refunds beside their transactions": amount(
        "order_transaction", -4, "order_id = '<parts>' and amount = -2"
    )
    + "; "
    + total("parts", "refunded_total", 7)
    + "; "
    + total("parts", "transaction_total", 23)
    + young("refund", f"id = {ONE_REFUND}"),
    "one of two transactions of refunds": amount("order_transaction", -4, "order_id = '<parts>' and amount = -2")
    + "; "
    + total("parts", "refunded_total", 7)
    + "; "
    + total("parts", "transaction_total", 23)
    + young("order_transaction", "order_id = '<parts>' and amount = -4"),
    "a payment by its date": STOLEN + young("payment", "id = '<open.pay>'"),
    "a capture by its rows": NO_CAPTURE + young("capture", "payment_id = '<paid.pay>'"),
    "an order that was packed": CANCEL("packed") + young('"order"', "id = '<packed>'"),
    "a parcel": CANCEL("packed") + young("fulfillment", "true"),
    "a reservation": "update reservation_item set line_item_id = 'ordli_x', created_at = now() where id = '<open.res>'",
    "a hold without an order": UNLINK
    + total("open", "current_order_total", 0)
    + "; update payment set created_at = now() - interval '4 min' where id = '<open.pay>'",
    "an order without a payment": UNLINK + "update payment set canceled_at = now() where id = '<open.pay>'; "
    "update \"order\" set created_at = now() - interval '4 min' where id = '<open>'",
    **{
        f"captured by rows, {kind} {state}": NO_CAPTURE
        + job("<paid>", kind, "<paid.pay>" + more, state, attempts="1" if state == "scheduled" else "0")
        for kind, state, more in (
            ("capture", "scheduled", ""),
            ("capture", "queued", ""),
            ("void", "running", ""),
            ("look", "queued", ":evt_1"),
        )
    },
    **{
        f"stock, its release is {state}": BACK("gone") + job("<gone>", "release", "<gone>", state)
        for state in ("scheduled", "queued", "running")
    },
}
"""What a live shop may still be at, and a shop at rest may not."""


@pytest.mark.parametrize("name", WAITS)
async def test_a_live_shop_is_given_time_by_the_youngest_of_the_rows(scene: Scene, name: str) -> None:
    async with scene.after(WAITS[name]) as conn:
        assert await BRIDGE.examination.find_defects(conn, at_rest=False) == []
        found = [one for one in await BRIDGE.examination.find_defects(conn, at_rest=True) if one.defect != UNFINISHED]
        assert len(found) == 1


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        ("6 min", "for 6 min"),
        ("119 min 50 s", "for 119 min"),
        ("121 min", "for 2 h"),
        ("47 h 50 min", "for 47 h"),
        ("49 h", "for 2 days"),
        ("71 h", "for 2 days"),
    ],
)
async def test_a_hold_that_no_order_reaches_is_told_with_its_age(scene: Scene, ago: str, said: str) -> None:
    change = (
        UNLINK + CANCEL("open") + f"; update payment set created_at = now() - interval '{ago}' where id = '<open.pay>'"
    )
    async with scene.after(change) as conn:
        (found,) = [one for one in await BRIDGE.examination.find_defects(conn, at_rest=False) if one.defect == LOOSE]
        assert f" {said}, and no order is linked to it" in found.detail


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("canceled_at = null", True),
        ("canceled_at = now()", False),
        ("canceled_at = now(), captured_at = now()", True),
        ("captured_at = now()", True),
    ],
)
async def test_an_order_without_a_payment_is_told_with_what_its_cart_leads_to(
    scene: Scene, change: str, named: bool
) -> None:
    async with scene.after(UNLINK + f"update payment set {change} where id = '<open.pay>'") as conn:
        (found,) = [one for one in await BRIDGE.examination.find_defects(conn, at_rest=False) if one.defect == BARE]
        assert ("its cart leads to pay_" in found.detail) is named


@pytest.mark.parametrize(
    "change", ["status = 'completed'", "status = 'archived'", "canceled_at = now()", "status = 'draft'"]
)
async def test_an_order_that_is_not_open_owes_nothing(scene: Scene, change: str) -> None:
    async with scene.after(UNLINK + f"update \"order\" set {change} where id = '<open>'") as conn:
        assert BARE not in {one.defect for one in await BRIDGE.examination.find_defects(conn, at_rest=True)}


async def test_a_session_is_a_payment_to_come(scene: Scene) -> None:
    async with scene.after("select 1") as conn:
        order = await place_order(conn, payments=(), placed_ago=timedelta(minutes=6))
        assert [one.order_id for one in await BRIDGE.examination.find_defects(conn, at_rest=False)] == [order.id]
        await open_session(conn, order, {"id": "pi_1"}, amount=THIRTY)
        assert await BRIDGE.examination.find_defects(conn, at_rest=True) == []


MINUTES_OLD = {
    COLLECTION: WRONG + "; update payment_collection set {age} where id = '<parts.col>'",
    SUMMARY: total("parts", "paid_total", 29) + "; update order_summary set {age} where order_id = '<parts>'",
    BOOKED: NO_BOOKING + "; update capture set {age} where payment_id = '<paid.pay>'",
    PAYMENT: STOLEN + "; update payment set {age} where id = '<open.pay>'",
    PARCEL: CANCEL("packed") + "; update fulfillment set {age}",
    ORPHAN: "update reservation_item set line_item_id = 'ordli_x', created_at = now() - interval '2 min' "
    "where id = '<open.res>'",
}


@pytest.mark.parametrize("defect", MINUTES_OLD)
async def test_a_minute_is_enough(scene: Scene, defect: str) -> None:
    async with scene.after(MINUTES_OLD[defect].format(age="updated_at = now() - interval '2 min'")) as conn:
        assert [one.defect for one in await BRIDGE.examination.find_defects(conn, at_rest=False)] == [defect]


async def test_sums_that_are_missing_on_one_side_are_told_as_nothing(scene: Scene) -> None:
    async with scene.after(NO_BOOKING) as conn:
        (found,) = await BRIDGE.examination.find_defects(conn, at_rest=True)
        assert found.detail.endswith(": 29.7381 in 1 row(s), 0 in 0 order transaction(s)")
    async with scene.after("select 1") as conn:
        order = await place_order(conn, payments=())
        await add_transaction(conn, order.id, order.total, "capture", "capt_x", order.created_at)
        (found,) = await BRIDGE.examination.find_defects(conn, at_rest=True)
        assert (found.defect, found.order_id) == (BOOKED, order.id)
        assert found.detail == "capt_x: 0 in 0 row(s), 29.7381 in 1 order transaction(s)"


async def test_a_job_of_no_order_is_not_at_rest(scene: Scene) -> None:
    async with scene.after("select 1" + job("order_x", "void", "pay_x", "scheduled")) as conn:
        (found,) = await BRIDGE.examination.find_defects(conn, at_rest=True)
        assert (found.defect, found.order_id) == (UNFINISHED, "order_x")


async def test_what_is_booked_and_the_lower_of_two_totals_count(scene: Scene) -> None:
    async with scene.after("select 1") as conn:
        order = await place_order(conn, payments=(), total=THIRTY, placed_ago=timedelta(minutes=6))
        await conn.execute(
            "insert into order_transaction (id, order_id, version, amount, raw_amount, currency_code) "
            "values ('ordtrx_x', $1, 1, 10, '{\"value\": \"10\"}', 'eur')",
            order.id,
        )
        (found,) = [one for one in await BRIDGE.examination.find_defects(conn, at_rest=False) if one.defect == BARE]
        assert found.detail.startswith("owes 20 EUR")
        for version, owes in ((0, True), (1, False)):
            await conn.execute(
                "insert into order_summary (id, order_id, version, totals) "
                "values ('ordsum_' || $2::int, $1, $2::int, jsonb_build_object('current_order_total', 10))",
                order.id,
                version,
            )
            assert (BARE in {one.defect for one in await BRIDGE.examination.find_defects(conn, at_rest=False)}) is owes


async def test_what_an_order_owes_is_of_its_currency(scene: Scene) -> None:
    """Half of the smallest unit, and more."""
    smallest = dict.fromkeys(["bhd", "iqd", "jod", "kwd", "omr", "tnd"], "0.0005") | {"eur": "0.005", "usd": "0.005"}
    whole = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
    smallest |= dict.fromkeys(whole.split(), "0.5")
    async with scene.after("select 1") as conn:
        expected = set()
        for currency, half in smallest.items():
            for owed in (Decimal(half), Decimal(half) * Decimal("0.9")):
                order = await place_order(conn, currency=currency, payments=(), total=owed, lines=[Line(managed=False)])
                expected |= {order.id} if owed == Decimal(half) else set()
        assert {one.order_id for one in await BRIDGE.examination.find_defects(conn, at_rest=True)} == expected


async def test_orders_that_share_a_payment_are_compared_together(scene: Scene) -> None:
    """What one of them paid may be booked on the other."""
    async with scene.after("select 1") as conn:
        one = await place_order(conn, payments=[Payment(amount=Decimal(60))], total=THIRTY)
        other = await place_order(conn, payments=(), total=THIRTY)
        await share_collection(conn, other, one)
        await capture_by_medusa(conn, one, one.payment_ids[0])
        await refund_by_medusa(conn, one, one.payment_ids[0], Decimal(5))
        await conn.execute("update order_transaction set order_id = $2 where order_id = $1", one.id, other.id)
        await conn.execute("delete from order_summary where order_id = any($1::text[])", [one.id, other.id])
        assert await BRIDGE.examination.find_defects(conn, at_rest=True) == []
        await conn.execute(amount("order_transaction", 59, f"order_id = '{other.id}' and amount > 0"))
        (found,) = await BRIDGE.examination.find_defects(conn, at_rest=True)
        assert (found.defect, found.order_id) == (BOOKED, min(one.id, other.id))


UNDONE = [
    ("capture", "scheduled", {"run_at": "now() + interval '1 h'"}, "", False),
    ("capture", "scheduled", {"run_at": "now() + interval '1 h'", "attempts": "1"}, "", True),
    ("capture", "scheduled", {"run_at": "now() - interval '1 s'"}, "", True),
    ("capture", "queued", {"run_at": "now() + interval '1 h'"}, "", True),
    ("void", "scheduled", {"run_at": "now() + interval '1 h'"}, "", True),
    ("capture", "scheduled", {"run_at": "now() + interval '1 h'"}, "; " + CANCEL_BY_DATE("open"), True),
    ("capture", "scheduled", {"run_at": "now() + interval '1 h'"}, "; " + CANCEL("open"), True),
    ("void", "running", {}, "", True),
    ("void", "done", {}, "", False),
    ("void", "removed", {}, "", False),
    ("void", "dead", {}, "", False),
    ("void", "scheduled", {"failures": "1", "failing_since": "now()"}, "", True),
    ("void", "scheduled", {"failures": "1", "failing_since": "now()"}, incident("<open>", "void_failed"), False),
    ("void", "scheduled", {}, incident("<open>", "void_failed"), True),
    (
        "void",
        "scheduled",
        {"failures": "1", "failing_since": "now()"},
        incident("<open>", "void_failed", "now()"),
        True,
    ),
    ("void", "scheduled", {"failures": "1", "failing_since": "now()"}, incident("<paid>", "void_failed"), True),
    ("void", "scheduled", {"failures": "1", "failing_since": "now()"}, incident("<open>", "capture_failed"), True),
]


@pytest.mark.parametrize(("kind", "state", "columns", "more", "unfinished"), UNDONE)
async def test_a_job_that_is_not_at_rest(
    scene: Scene, kind: str, state: str, columns: dict[str, str], more: str, unfinished: bool
) -> None:
    async with scene.after("select 1" + job("<open>", kind, "<open.pay>", state, **columns) + more) as conn:
        found = [one.defect for one in await BRIDGE.examination.find_defects(conn, at_rest=True)]
        assert (UNFINISHED in found) is unfinished
        assert UNFINISHED not in [one.defect for one in await BRIDGE.examination.find_defects(conn, at_rest=False)]
