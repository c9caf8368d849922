"""What is read of one order, of its money and of what is in question, after one change of sound rows at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.domain.order import OrderState
from plugins.medusa_bridge import BridgeConfig, MedusaBridge
from tests.bridge.money_rows import (
    HELD,
    LINK,
    WAITS,
    booked,
    capture,
    intent,
    order,
    payment,
    place_all,
    refund,
    session,
)
from tests.databases import one_database_a_file
from tests.doctor.rows import CANCEL, CANCEL_BY_DATE, Scene, incident, job
from tests.leftovers import connected

database = one_database_a_file()
BRIDGE = MedusaBridge(BridgeConfig(), None, None)


LINE_AGAIN = (
    "insert into order_item select (jsonb_populate_record(i, jsonb_build_object('id', 'orditem_z'{}))).*"
    " from order_item as i where i.order_id = '<open>'"
).format


@pytest.fixture(scope="module")
async def scene(database: str) -> AsyncIterator[Scene]:
    """An open hold, a voided one, a captured payment, a session alone, and a parcel."""
    async with connected(database) as conn:
        yield await place_all(conn)


def change_of(status: str, kind: str | None, name: str = "x", **columns: str) -> str:
    """A row of ``order_change``."""
    columns = {"updated_at": "now()", "created_at": "now()", **columns}
    return (
        f"; insert into order_change (id, order_id, version, status, change_type, {', '.join(columns)}) values "
        f"('ordch_{name}', '<open>', 1, '{status}', {'null' if kind is None else repr(kind)}, "
        f"{', '.join(columns.values())})"
    )


def summary(of: str, total: object, version: int = 1, name: str = "x") -> str:
    return (
        f"; insert into order_summary (id, order_id, version, totals) values ('ordsum_{name}', '<{of}>', {version}, "
        f"jsonb_build_object('current_order_total', {total}))"
    )


def cart_money(change: str = "") -> str:
    """The payment of ``paid`` made one that the cart of ``open`` leads to, and no order."""
    return (
        "update order_payment_collection set deleted_at = now() where order_id = '<gone>'; insert into "
        "cart_payment_collection (id, cart_id, payment_collection_id) select 'capaycol_x', k.cart_id, '<gone.col>' "
        "from order_cart as k where k.order_id = '<open>'" + change
    )


def cart_session(change: str = "") -> str:
    """The session of ``due`` made one that the cart of ``open`` leads to."""
    return (
        "insert into cart_payment_collection (id, cart_id, payment_collection_id) select 'capaycol_x', k.cart_id, "
        "'<due.col>' from order_cart as k where k.order_id = '<open>'" + change
    )


SHARED = "select 1" + LINK("paid", "open.col")
Of = Callable[[Any], Any]
FACTS: dict[str, tuple[str, Of, Any]] = {
    # changes
    **{
        f"a change that is {status}": ("select 1" + change_of(status, kind), lambda o: o.open_changes, open_)
        for status, kind, open_ in (
            ("pending", "edit", 1),
            ("requested", "edit", 1),
            ("requested", None, 1),
            ("confirmed", "edit", 0),
            ("declined", "edit", 0),
            ("canceled", "edit", 0),
        )
    },
    "a transfer that is asked for": ("select 1" + change_of("requested", "transfer"), lambda o: o.open_changes, 0),
    "a change of another order": (
        "select 1" + change_of("pending", "edit").replace("<open>", "<paid>"),
        lambda o: o.open_changes,
        0,
    ),
    "a parcel": ("update order_fulfillment set order_id = '<open>'", lambda o: o.live_fulfillments, 1),
    "a parcel that was unpacked": (
        "update order_fulfillment set order_id = '<open>'; update fulfillment set canceled_at = now()",
        lambda o: o.live_fulfillments,
        0,
    ),
    # who has it
    "handed over": (
        "select 1" + change_of("confirmed", "transfer", confirmed_at="now() - interval '3 h'"),
        lambda o: o.handed_over_at is not None and o.read_at - o.handed_over_at > timedelta(hours=2),
        True,
    ),
    "handed over, without its date": (
        "select 1" + change_of("confirmed", "transfer", updated_at="now() - interval '3 h'"),
        lambda o: o.handed_over_at is not None and o.read_at - o.handed_over_at > timedelta(hours=2),
        True,
    ),
    "handed over twice": (
        "select 1"
        + change_of("confirmed", "transfer", confirmed_at="now() - interval '3 h'")
        + change_of("confirmed", "transfer", name="y", confirmed_at="now() - interval '1 h'"),
        lambda o: o.handed_over_at is not None and o.read_at - o.handed_over_at < timedelta(hours=2),
        True,
    ),
    "not handed over": ("select 1" + change_of("requested", "transfer"), lambda o: o.handed_over_at, None),
    "edited": ("select 1" + change_of("confirmed", "update_order"), lambda o: o.handed_over_at, None),
    "edited in another way": ("select 1" + change_of("confirmed", "edit"), lambda o: o.handed_over_at, None),
    # what it comes to
    "the lower of two totals": ("select 1" + summary("open", 10), lambda o: o.total, Decimal(10)),
    "not the lower of two versions": ("select 1" + summary("open", 10, version=2), lambda o: o.total, Decimal(30)),
    "nothing is known of its total": ("update order_summary set version = 7", lambda o: o.total, None),
    # captures
    **{
        f"a capture that is {state}{', in doubt' if doubt else ''}": (
            "select 1" + job("<open>", kind, subject, state, in_doubt=str(doubt).lower()),
            lambda o: o.payments[0].is_capturing,
            capturing,
        )
        for kind, subject, state, doubt, capturing in (
            ("capture", "<open.pay>", "scheduled", False, False),
            ("capture", "<open.pay>", "queued", False, False),
            ("capture", "<open.pay>", "scheduled", True, True),
            ("capture", "<open.pay>", "queued", True, True),
            ("capture", "<open.pay>", "running", True, True),
            ("capture", "<open.pay>", "dead", True, False),
        )
    },
    "a void is running": (
        "select 1" + job("<open>", "void", "<open.pay>", "running", in_doubt="true"),
        lambda o: o.payments[0].is_capturing,
        False,
    ),
    "another capture is running": (
        "select 1" + job("<open>", "capture", "x", "running", in_doubt="true"),
        lambda o: o.payments[0].is_capturing,
        False,
    ),
    "the last of two captures": (
        "select 1" + capture("open", 1, "3 h") + capture("open", 2, "1 h", "y"),
        lambda o: o.read_at - o.payments[0].last_captured_at < timedelta(hours=2),
        True,
    ),
    "captures that are not booked": (
        "select 1"
        + capture("open", 1)
        + capture("open", 2, name="y")
        + "; insert into order_transaction (id, order_id, version, amount, raw_amount, currency_code, reference, "
        "reference_id) values ('ordtrx_x', '<open>', 1, 1, '{}', 'eur', 'refund', 'capt_x'), "
        "('ordtrx_y', '<open>', 1, 2, '{}', 'eur', 'capture', 'capt_y')",
        lambda o: o.payments[0].unbooked,
        Decimal(1),
    ),
    "the last of two refunds": (
        "select 1"
        + refund("open", 1)
        + refund("open", 2).replace("ref_x", "ref_y")
        + "; update refund set created_at = now() - interval '3 h' where id = 'ref_x'",
        lambda o: o.read_at - o.payments[0].last_refunded_at < timedelta(hours=2),
        True,
    ),
    "a canceled collection": (
        "update payment_collection set status = 'canceled' where id = '<open.col>'",
        lambda o: o.payments[0].collection_canceled,
        True,
    ),
    "another canceled collection": (
        "update payment_collection set status = 'canceled' where id = '<paid.col>'",
        lambda o: o.payments[0].collection_canceled,
        False,
    ),
    # what is known of its payment
    "a link to nothing": (
        (
            "update payment set payment_collection_id = '<paid.col>' where id = '<open.pay>'; "
            "update payment_session set payment_collection_id = '<paid.col>' where id = '<open.ses>'"
        ),
        lambda o: o.payment_known,
        False,
    ),
    "a link to a session": (
        "update payment set payment_collection_id = '<paid.col>' where id = '<open.pay>'",
        lambda o: o.payment_known,
        True,
    ),
    "a link to a payment": (
        "update payment_session set payment_collection_id = '<paid.col>' where id = '<open.ses>'",
        lambda o: o.payment_known,
        True,
    ),
    # nothing of another order's
    "another order's money": (
        "select 1" + refund("paid", 4) + capture("paid", 5),
        lambda o: (o.booked, len(o.payments), o.sessions, o.live_fulfillments, o.state),
        (Decimal(0), 1, (), 0, OrderState.OPEN),
    ),
    "another payment's captures and refunds": (
        "select 1" + refund("paid", 4) + capture("paid", 5),
        lambda o: [
            (one.captured, one.unbooked, one.last_captured_at, one.refunded, one.last_refunded_at) for one in o.payments
        ],
        [(Decimal(0), Decimal(0), None, Decimal(0), None)],
    ),
    "another payment of two collections": (
        "select 1" + LINK("open", "due.col"),
        lambda o: (len(o.payments), [one.collection_id for one in o.sessions] == [o.payments[0].collection_id]),
        (1, False),
    ),
    "another order's totals": ("select 1" + summary("paid", 10), lambda o: o.total, Decimal(30)),
    "another order's owner": (
        "select 1" + change_of("confirmed", "transfer", confirmed_at="now()").replace("<open>", "<paid>"),
        lambda o: o.handed_over_at,
        None,
    ),
    "an edit that another order's address was changed by": (
        "select 1"
        + change_of("confirmed", "update_order")
        + change_of("pending", "edit", name="y")
        + "; insert into order_change_action (id, order_id, version, ordering, order_change_id, action, details) "
        "values ('ordchact_x', '<open>', 1, 1, 'ordch_y', 'UPDATE_ORDER_PROPERTIES', "
        '\'{"email": "b@test", "old": "a@test", "new": "b@test", "field": "email"}\')',
        lambda o: o.handed_over_at,
        None,
    ),
    "a parcel that is not there": (
        "update order_fulfillment set order_id = '<open>', fulfillment_id = 'ful_x'",
        lambda o: o.live_fulfillments,
        0,
    ),
    # what its cart leads to
    "a cart with nothing else": ("select 1", lambda o: o.money_in_cart, False),
    "a cart with a voided payment": (cart_money(), lambda o: o.money_in_cart, False),
    "a cart with a hold": (cart_money(payment("gone", "canceled_at = null")), lambda o: o.money_in_cart, True),
    "a cart with a captured payment": (
        cart_money(payment("gone", "captured_at = now()")),
        lambda o: o.money_in_cart,
        True,
    ),
    "a cart with a session": (cart_session(), lambda o: o.money_in_cart, True),
    "a cart with a session of another provider": (
        cart_session(session("provider_id = 'pp_paypal_paypal'")),
        lambda o: o.money_in_cart,
        False,
    ),
    "a cart with a session without an intent": (cart_session(session("data = '{}'")), lambda o: o.money_in_cart, False),
    "a cart with a voided session": (cart_session(intent(status="'canceled'")), lambda o: o.money_in_cart, False),
    "a cart with a voided session that was paid": (
        cart_session(intent(status="'canceled'", amount_received=5)),
        lambda o: o.money_in_cart,
        True,
    ),
    "a cart with a session that became a voided payment": (cart_session(booked()), lambda o: o.money_in_cart, False),
    "a cart with what the order is linked to": (
        cart_session(LINK("open", "due.col")),
        lambda o: o.money_in_cart,
        False,
    ),
    "a cart with what another order is linked to": (cart_session(), lambda o: o.money_in_cart, True),
    # other orders
    "an order that shares": (
        SHARED,
        lambda o: [(one.total, one.booked, one.taken_elsewhere, one.held_elsewhere) for one in o.linked],
        [(Decimal(30), Decimal(30), Decimal(30), Decimal(0))],
    ),
    "an order that shares, the lower of its totals": (
        SHARED + summary("paid", 10),
        lambda o: [one.total for one in o.linked],
        [Decimal(10)],
    ),
    "an order that shares, of another version": (
        SHARED + summary("paid", 10, version=2),
        lambda o: [one.total for one in o.linked],
        [Decimal(30)],
    ),
    "an order that shares, a third's total is lower": (
        SHARED + summary("gone", 10),
        lambda o: [one.total for one in o.linked],
        [Decimal(30)],
    ),
    "an order that shares, a third's money": (
        SHARED + refund("gone", 4) + capture("gone", 9) + "; insert into order_transaction (id, order_id, version, "
        "amount, raw_amount, currency_code) values ('ordtrx_x', '<gone>', 1, 7, '{}', 'eur')",
        lambda o: [(one.booked, one.taken_elsewhere) for one in o.linked],
        [(Decimal(30), Decimal(30))],
    ),
    **{
        f"an order that shares and is {name}": (
            SHARED + order("paid", change),
            lambda o: [x.state for x in o.linked],
            [state],
        )
        for name, change, state in (
            ("open", "status = 'pending'", OrderState.OPEN),
            ("completed", "status = 'completed'", OrderState.COMPLETED),
            ("archived", "status = 'archived'", OrderState.OPEN),
            ("canceled", "status = 'canceled'", OrderState.CANCELED),
            ("canceled and archived", "status = 'archived', canceled_at = now()", OrderState.CANCELED),
        )
    },
    "an order that shares, given back in part": (
        SHARED + refund("paid", 4),
        lambda o: [one.taken_elsewhere for one in o.linked],
        [Decimal(26)],
    ),
    "an order that shares, captured by date": (
        SHARED + "; delete from capture",
        lambda o: [one.taken_elsewhere for one in o.linked],
        [Decimal(30)],
    ),
    "an order that shares, held": (
        SHARED + "; delete from capture" + payment("paid", "captured_at = null"),
        lambda o: [(one.taken_elsewhere, one.held_elsewhere) for one in o.linked],
        [(Decimal(0), Decimal(30))],
    ),
    "an order that shares, closed": (
        SHARED + "; delete from capture" + payment("paid", "captured_at = null, canceled_at = now()"),
        lambda o: [(one.taken_elsewhere, one.held_elsewhere) for one in o.linked],
        [(Decimal(0), Decimal(0))],
    ),
    "a draft that shares": (SHARED + order("paid", "is_draft_order = true"), lambda o: o.linked, ()),
    "a draft that shares, by its status": (SHARED + order("paid", "status = 'draft'"), lambda o: o.linked, ()),
    "its own draft by its status": (order("open", "status = 'draft'")[2:], lambda o: o, None),
    "its own draft": (order("open", "is_draft_order = true")[2:], lambda o: o, None),
}


@pytest.mark.parametrize("name", FACTS)
async def test_an_order(scene: Scene, name: str) -> None:
    change, of, expected = FACTS[name]
    async with scene.after(change) as conn:
        read = await BRIDGE.orders.read_order(conn, scene.names["open"])
        assert (None if read is None else of(read)) == expected
        locked = await BRIDGE.orders.lock_order(conn, scene.names["open"])
        assert (None if locked is None else of(locked)) == expected


SESSIONS: dict[str, tuple[str, bool]] = {
    "a session": ("select 1", True),
    "of another provider": ("select 1" + session("provider_id = 'pp_paypal_paypal'"), False),
    "without an intent": ("select 1" + session("data = '{}'"), False),
    "that became a payment": ("select 1" + booked(), False),
    "that became a payment of another intent": ("select 1" + booked(intent_id="pi_x"), False),
    "whose intent is another payment's": ("select 1" + booked(session_id="'payses_x'"), False),
    "beside a payment": ("select 1" + booked(session_id="'payses_x'", intent_id="pi_x"), True),
}


@pytest.mark.parametrize("name", SESSIONS)
async def test_sessions_of_an_order(scene: Scene, name: str) -> None:
    change, is_there = SESSIONS[name]
    async with scene.after(change) as conn:
        read = await BRIDGE.orders.read_order(conn, scene.names["due"])
        assert read is not None
        assert [one.intent_id for one in read.sessions] == (["pi_due"] if is_there else [])
        seen = (await BRIDGE.back_office.see_orders(conn, [scene.names["due"]]))[scene.names["due"]]
        assert [one.intent_id for one in seen.sessions] == (["pi_due"] if is_there else [])


async def test_an_order_without_a_payment_is_seen_as_well(scene: Scene) -> None:
    names = scene.names
    async with scene.after("select 1" + capture("open", 1, "3 h") + capture("open", 2, "1 h", "y") + refund("open", 1)
                           + CANCEL_BY_DATE("paid").join(["; ", ""])) as conn:  # fmt: skip
        seen = await BRIDGE.back_office.see_orders(conn, [names["due"], names["open"], names["paid"], names["gone"]])
        assert {scene.name_of(id_): (len(one.payments), one.canceled) for id_, one in seen.items()} == {
            "due": (0, False),
            "open": (1, False),
            "paid": (1, True),
            "gone": (1, True),
        }
        held = seen[names["open"]].payments[0].payment
        assert (held.captured, held.refunded) == (Decimal(3), Decimal(1))
        assert held.last_captured_at == await conn.fetchval(
            "select max(created_at) from capture where payment_id = $1", held.id
        )
        read = await BRIDGE.payments.read_payment(conn, held.id)
        assert read is not None
        assert (read.captured, read.refunded) == (Decimal(3), Decimal(1))
        assert read.last_captured_at == held.last_captured_at


SHEET: dict[str, tuple[str, int, Decimal]] = {
    "as placed": ("select 1", 1, Decimal(30)),
    "the newest version's total": ("select 1" + summary("open", 12, version=2), 1, Decimal(12)),
    "the later of two totals": ("select 1" + summary("open", 12, name="zzz"), 1, Decimal(12)),
    "credit counts again": (
        'update order_summary set totals = totals || \'{"current_order_total": 0, "credit_line_total": 30}\'',
        1,
        Decimal(30),
    ),
    "no credit": ("update order_summary set totals = totals - 'credit_line_total'", 1, Decimal(30)),
    "a newer line": (
        LINE_AGAIN(", 'version', 2, 'quantity', 5"),
        5,
        Decimal(30),
    ),
    "the later of two lines": (
        LINE_AGAIN(", 'quantity', 5"),
        5,
        Decimal(30),
    ),
    "a line that was taken away": ("update order_item set quantity = 0 where order_id = '<open>'", 0, Decimal(30)),
}


@pytest.mark.parametrize("name", SHEET)
async def test_the_facts_of_a_receipt(scene: Scene, name: str) -> None:
    change, quantity, total = SHEET[name]
    async with scene.after(change) as conn:
        sheet = await BRIDGE.orders.read_sheet(conn, scene.names["open"])
        assert sheet is not None
        assert [line.quantity for line in sheet.lines] == ([quantity] if quantity else [])
        assert sheet.total == total


QUESTIONED: dict[str, tuple[str, list[str]]] = {
    "holds that are open": ("select 1", ["open", "packed"]),
    "a canceled hold": (HELD, ["gone", "open", "packed"]),
    "voided and held by Stripe": (
        payment("gone", 'data = data || \'{"status": "requires_capture"}\'')[2:],
        ["gone", "open", "packed"],
    ),
    "canceled and kept": (CANCEL("paid"), ["open", "packed", "paid"]),
    "canceled by date and kept": (CANCEL_BY_DATE("paid"), ["open", "packed", "paid"]),
    "canceled and given back": (
        CANCEL("paid") + payment("paid", "canceled_at = now()") + refund("paid", 30),
        ["open", "packed"],
    ),
    "canceled and given back in part": (
        CANCEL("paid") + payment("paid", "canceled_at = now()") + refund("paid", 10),
        ["open", "packed", "paid"],
    ),
    "of no sum": ("update payment set amount = 0", []),
    "drafts": ('update "order" set is_draft_order = true', []),
    "drafts by their status": ("update \"order\" set status = 'draft'", []),
}


@pytest.mark.parametrize("name", QUESTIONED)
async def test_payments_in_question(scene: Scene, name: str) -> None:
    change, expected = QUESTIONED[name]
    async with scene.after(change) as conn:
        found = await BRIDGE.examination.payments_in_question(conn, [])
        assert sorted(scene.name_of(one.order_id) for one in found) == expected
        asked = await BRIDGE.examination.payments_in_question(conn, [scene.names["gone.pi"]])
        of_it = {"gone"} if name not in {"of no sum", "drafts", "drafts by their status"} else set()
        assert {scene.name_of(one.order_id) for one in asked} == set(expected) | of_it


AT_WORK: dict[str, tuple[str, set[str], str | None]] = {
    "nothing": ("select 1", set(), None),
    **{
        f"a {kind} that is {state}": (
            "select 1" + job("<open>", kind, "<open.pay>", state, run_at="now() + interval '1 h'"),
            {kind},
            state if kind == "capture" else None,
        )
        for kind in ("capture", "void", "refund", "look")
        for state in ("queued", "running")
    },
    "a look by its event": ("select 1" + job("<open>", "look", "<open.pay>:evt_1", "queued"), {"look"}, None),
    "a void by its session": ("select 1" + job("<open>", "void", "<open.ses>", "queued"), {"void"}, None),
    "of another payment": ("select 1" + job("<open>", "void", "x", "queued"), set(), None),
    "of another order": ("select 1" + job("<paid>", "void", "<open.pay>", "queued"), set(), None),
    "of an order that shares it": (
        "select 1" + job("<paid>", "void", "<open.pay>", "queued") + LINK("paid", "open.col"),
        {"void"},
        None,
    ),
    "a release": ("select 1" + job("<open>", "release", "<open.pay>", "queued"), set(), None),
    "a capture that waits": (
        "select 1" + job("<open>", "capture", "<open.pay>", "scheduled", run_at="now() + interval '1 h'"),
        set(),
        "scheduled",
    ),
    "a capture that is due": (
        "select 1" + job("<open>", "capture", "<open.pay>", "scheduled"),
        {"capture"},
        "scheduled",
    ),
    "a capture that failed": (
        "select 1" + job("<open>", "capture", "<open.pay>", "scheduled", run_at="now() + interval '1 h'", attempts="1"),
        {"capture"},
        "scheduled",
    ),
    "a capture of a canceled order": (
        CANCEL("open") + job("<open>", "capture", "<open.pay>", "scheduled", run_at="now() + interval '1 h'"),
        {"capture"},
        "scheduled",
    ),
    "a capture that is done": ("select 1" + job("<open>", "capture", "<open.pay>", "done"), set(), "done"),
}


@pytest.mark.parametrize("name", AT_WORK)
async def test_what_watches_over_a_payment(scene: Scene, name: str) -> None:
    change, at_work, capture_job = AT_WORK[name]
    async with scene.after(
        change + incident("<open>", "late_money") + incident("<open>", "void_failed", "now()")
    ) as conn:
        found = [
            one
            for one in await BRIDGE.examination.payments_in_question(conn, [])
            if one.order_id == scene.names["open"]
        ]
        assert {kind.value for kind in found[0].at_work} == at_work
        assert (found[0].capture_job and found[0].capture_job.value) == capture_job
        assert {kind.value for kind in found[0].incidents} == {"late_money"}


OTHERS = "select 1" + LINK("open", "paid.col")
OF_PAYMENT: dict[str, tuple[str, Callable[[Any], Any], Any]] = {
    "watched by nobody": ("select 1", lambda one: one.watched, False),
    "watched": (
        "insert into grace.cursors (name, position) values ('payments.start', 'pay_0')", lambda one: one.watched, True
    ),
    "from before": (
        "insert into grace.cursors (name, position) values ('payments.start', 'pay_Z')", lambda one: one.watched, False
    ),
    "another cursor": (
        "insert into grace.cursors (name, position) values ('payments', 'pay_0')", lambda one: one.watched, False
    ),
    "paid otherwise": (OTHERS, lambda one: one.paid_otherwise, True),
    "held otherwise": (
        OTHERS + payment("paid", "captured_at = null"), lambda one: one.paid_otherwise, True
    ),
    "voided otherwise": (
        OTHERS + payment("paid", "captured_at = null, canceled_at = now()"), lambda one: one.paid_otherwise, False
    ),
    "captured and closed otherwise": (
        OTHERS + payment("paid", "canceled_at = now()"), lambda one: one.paid_otherwise, True
    ),
    "alone": ("select 1", lambda one: one.paid_otherwise, False),
    "covered": ("select 1", lambda one: one.uncovered, 0),
    "closed, and so not covered": (payment("open", "canceled_at = now()")[2:], lambda one: one.uncovered, 30),
    "captured in part, and so judged by what is booked": (
        "select 1" + capture("open", 10), lambda one: one.uncovered, 30
    ),
    "captured by date is no hold": (
        OTHERS + "; delete from capture" + payment("open", "canceled_at = now()"), lambda one: one.uncovered, 30
    ),
    "captured in part is no hold": (
        OTHERS + payment("paid", "captured_at = null") + payment("open", "canceled_at = now()"),
        lambda one: one.uncovered,
        30,
    ),
    "another hold covers it": (
        OTHERS
        + "; delete from capture"
        + payment("paid", "captured_at = null")
        + payment("open", "canceled_at = now()"),
        lambda one: one.uncovered,
        0,
    ),
    "the lower of two totals is what it owes": (
        payment("open", "canceled_at = now()")[2:] + summary("open", 10), lambda one: one.uncovered, 10
    ),
    "another version's total is not": (
        payment("open", "canceled_at = now()")[2:] + summary("open", 10, version=2), lambda one: one.uncovered, 30
    ),
    "what is booked is paid": (
        payment("open", "canceled_at = now()")[2:] + "; update order_transaction set order_id = '<open>', amount = 12",
        lambda one: one.uncovered,
        18,
    ),
    "overpaid": (
        payment("open", "canceled_at = now()")[2:] + "; update order_transaction set order_id = '<open>', amount = 40",
        lambda one: one.uncovered,
        0,
    ),
    "sums": (
        "select 1" + capture("open", 10, "3 h") + capture("open", 5, "2 h", "y") + refund("open", 4),
        lambda one: (one.payment.captured, one.payment.refunded, one.refunds),
        (15, 4, 1),
    ),
    "touched by its last capture": (
        "select 1" + capture("open", 10, "3 h") + capture("open", 5, "5 min", "y"),
        lambda one: one.read_at - one.touched_at < timedelta(minutes=6),
        True,
    ),
    "touched long ago": (
        "select 1" + capture("open", 10, "3 h"), lambda one: one.read_at - one.touched_at > timedelta(minutes=50), True
    ),
    "touched by itself": (
        payment("open", "updated_at = now() - interval '5 min'")[2:] + capture("open", 10, "3 h"),
        lambda one: one.read_at - one.touched_at < timedelta(minutes=6),
        True,
    ),
    "held, by Stripe's last word": ("select 1", lambda one: one.let_go, False),
    "let go, by Stripe's last word": (
        payment("open", "data = data || '{\"status\": \"canceled\"}'")[2:], lambda one: one.let_go, True
    ),
    "no word of Stripe's": (payment("open", "data = '{}'")[2:], lambda one: one.let_go, None),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_PAYMENT)
async def test_what_is_known_of_a_payment_in_question(scene: Scene, name: str) -> None:
    change, of, expected = OF_PAYMENT[name]
    async with scene.after(change) as conn:
        found = {one.payment.id: one for one in await BRIDGE.examination.payments_in_question(conn, [])}
        assert of(found[scene.names["open.pay"]]) == expected


DUE: dict[str, tuple[str, bool, bool]] = {
    "of an open order": ("select 1", False, True),
    "of a canceled order": (CANCEL("due"), True, True),
    "of an archived order": (CANCEL_BY_DATE("due"), True, True),
    "voided": (CANCEL("due") + intent(status="'canceled'"), False, True),
    "voided and paid": (CANCEL("due") + intent(status="'canceled'", amount_received=5), True, True),
    "without its status": (CANCEL("due") + session('data = \'{"id": "pi_due"}\''), True, True),
    "of no sum": (CANCEL("due") + session("amount = 0"), False, False),
    "of another provider": (CANCEL("due") + session("provider_id = 'pp_paypal_paypal'"), False, False),
    "without an intent": (CANCEL("due") + session("data = '{}'"), False, False),
    "of a draft": (CANCEL("due") + order("due", "is_draft_order = true"), False, False),
    "of a draft by its status": (CANCEL_BY_DATE("due") + order("due", "status = 'draft'"), False, False),
    "that became a payment": (CANCEL("due") + booked(), False, False),
    "that became a payment of another intent": (CANCEL("due") + booked(intent_id="pi_x"), False, False),
    "whose intent is another payment's": (CANCEL("due") + booked(session_id="'payses_x'"), False, False),
    "whose intent is a payment's elsewhere": (CANCEL("due") + booked(of="open", session_id="'payses_x'"), True, True),
    "beside a payment": (CANCEL("due") + booked(session_id="'payses_x'", intent_id="pi_x"), True, True),
}


@pytest.mark.parametrize("name", DUE)
async def test_sessions_in_question(scene: Scene, name: str) -> None:
    change, found, asked = DUE[name]
    async with scene.after(change) as conn:
        assert [one.session.id for one in await BRIDGE.examination.sessions_in_question(conn, [])] == (
            [scene.names["due.ses"]] if found else []
        )
        assert [one.session.id for one in await BRIDGE.examination.sessions_in_question(conn, ["pi_due"])] == (
            [scene.names["due.ses"]] if asked else []
        )


@pytest.mark.parametrize(
    ("kind", "state", "of", "subject", "at_work"),
    [
        *((kind, state, "<due>", "<due.ses>", {kind}) for kind in ("void", "refund", "look") for state in WAITS),
        ("look", "queued", "<due>", "<due.ses>:evt_1", {"look"}),
        ("capture", "queued", "<due>", "<due.ses>", set()),
        ("void", "done", "<due>", "<due.ses>", set()),
        ("void", "dead", "<due>", "<due.ses>", set()),
        ("void", "queued", "<due>", "x", set()),
        ("void", "queued", "<open>", "<due.ses>", set()),
    ],
)
async def test_what_watches_over_a_session(
    scene: Scene, kind: str, state: str, of: str, subject: str, at_work: set[str]
) -> None:
    change = CANCEL("due") + job(of, kind, subject, state) + incident("<due>", "late_money")
    async with scene.after(
        change + incident("<due>", "void_failed", "now()") + incident("<open>", "look_failed")
    ) as conn:
        (found,) = await BRIDGE.examination.sessions_in_question(conn, [])
        assert {one.value for one in found.at_work} == at_work
        assert {one.value for one in found.incidents} == {"late_money"}
        assert found.read_at - found.touched_at > timedelta(minutes=50)
        await conn.execute(scene.filled(order("due", "updated_at = now()")[2:]))
        (found,) = await BRIDGE.examination.sessions_in_question(conn, [])
        assert found.read_at == found.touched_at


@pytest.mark.parametrize(
    ("change", "reserved"),
    [
        ("select 1", True),
        ("update order_item set deleted_at = now() where order_id = '<open>'", True),
        ("update order_item set deleted_at = now() - interval '1 h 59 min' where order_id = '<open>'", True),
        ("update order_item set deleted_at = now() - interval '5 h' where order_id = '<open>'", False),
        ("update order_item set deleted_at = 'infinity' where order_id = '<open>'", False),
        ("update order_item set order_id = '<paid>' where order_id = '<open>'", False),
        ("update reservation_item set deleted_at = now() where id = '<open.res>'", False),
        (
            LINE_AGAIN(", 'version', 2"),
            True,
        ),
    ],
)
async def test_what_an_order_still_reserves(scene: Scene, change: str, reserved: bool) -> None:
    """Lines that an edit took away and added count as well; none was deleted long before its order was made."""
    async with scene.after(change) as conn:
        found = [one.id for one in await BRIDGE.inventory.reservations(conn, scene.names["open"])]
        assert found == ([scene.names["open.res"]] if reserved else [])


async def test_a_line_that_was_deleted_an_hour_before_its_order_at_the_clock_of_another_host(scene: Scene) -> None:
    change = "update order_item as i set deleted_at = o.created_at - interval '1 h' from \"order\" as o "
    async with scene.after(change + "where o.id = '<open>' and i.order_id = o.id") as conn:
        assert len(await BRIDGE.inventory.reservations(conn, scene.names["open"])) == 1
