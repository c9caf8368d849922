"""What the searches for orders and money find and what they pass by: one change of sound rows at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.ports import MoneyCursor
from plugins.medusa_bridge import BridgeConfig, MedusaBridge
from tests.bridge.money_rows import (
    HELD,
    LINK,
    OVERDUE,
    SOON,
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
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def scene(database: str) -> AsyncIterator[Scene]:
    """An open hold, a voided one, a captured payment, a session alone, and a parcel."""
    async with connected(database) as conn:
        yield await place_all(conn)


VOIDING = job("<due>", "void", "<due.ses>", "scheduled")
HOLD, KEPT, LATE = "held_on_canceled", "kept_on_canceled", "capture_overdue"
FAILING = {"failures": "1", "failing_since": "now()"}

AT_RISK: dict[str, tuple[str, dict[str, int]]] = {
    "a hold that nothing tells of": (HELD, {}),
    **{
        f"a {kind} that is {state}": (HELD + job("<gone>", kind, "<gone.pay>", state), {HOLD: 30})
        for kind in ("void", "refund")
        for state in WAITS
    },
    **{
        f"a void that is {state}": (HELD + job("<gone>", "void", "<gone.pay>", state), {})
        for state in ("done", "removed", "dead")
    },
    **{
        f"a void of a closed payment that is {state}": (job("<gone>", "void", "<gone.pay>", state), {HOLD: 30})
        for state in WAITS
    },
    "a closed payment whose void is given up": (
        job("<gone>", "void", "<gone.pay>", "dead") + incident("<gone>", "void_failed"),
        {HOLD: 30},
    ),
    "a closed payment whose void is done": (
        job("<gone>", "void", "<gone.pay>", "done") + incident("<gone>", "void_failed"),
        {},
    ),
    "a closed payment whose void was taken out": (
        job("<gone>", "void", "<gone.pay>", "removed") + incident("<gone>", "void_failed"),
        {},
    ),
    "a closed payment and another job": (
        job("<gone>", "capture", "<gone.pay>", "dead") + incident("<gone>", "void_failed"),
        {},
    ),
    "a closed payment whose session is voided": (job("<gone>", "void", "<gone.ses>", "queued"), {HOLD: 30}),
    **{
        f"{kind} is open": (HELD + incident("<gone>", kind), {HOLD: 30})
        for kind in ("void_failed", "late_money", "refund_failed", "capture_failed", "unsupported_provider")
    },
    "another incident is open": (HELD + incident("<gone>", "fulfilled"), {}),
    "an incident is closed": (HELD + incident("<gone>", "void_failed", "now()"), {}),
    "taken in part and given back in part": (
        HELD + incident("<gone>", "late_money") + capture("gone", 10) + refund("gone", 4),
        {KEPT: 6, HOLD: 20},
    ),
    "taken in part and given back": (
        HELD + incident("<gone>", "late_money") + capture("gone", 10) + refund("gone", 10),
        {HOLD: 20},
    ),
    "taken by rows alone": (HELD + incident("<gone>", "late_money") + capture("gone", 30), {KEPT: 30}),
    "taken by date alone": (
        HELD + incident("<gone>", "late_money") + payment("gone", "captured_at = now()"),
        {KEPT: 30},
    ),
    "taken by date, given back in part": (
        HELD + incident("<gone>", "late_money") + payment("gone", "captured_at = now()") + refund("gone", 30),
        {},
    ),
    "taken, by rows less than all": (
        HELD
        + incident("<gone>", "late_money")
        + payment("gone", "captured_at = now()")
        + capture("gone", 25)
        + refund("gone", 5),
        {KEPT: 20},
    ),
    "taken, by rows less than all, and given back": (
        HELD
        + incident("<gone>", "late_money")
        + payment("gone", "captured_at = now()")
        + capture("gone", 25)
        + refund("gone", 25),
        {},
    ),
    "of an order that was archived": (
        HELD + incident("<gone>", "void_failed") + order("gone", "status = 'archived'"),
        {HOLD: 30},
    ),
    "of an order of that status alone": (
        HELD + incident("<gone>", "void_failed") + order("gone", "canceled_at = null"),
        {HOLD: 30},
    ),
    **{
        f"of a {name}": (HELD + incident("<gone>", "void_failed") + order("gone", change), {})
        for name, change in {
            "draft": "is_draft_order = true",
            "draft by its status": "status = 'draft'",
            "deleted order": "deleted_at = now()",
        }.items()
    },
    "shared with an open order": (HELD + incident("<gone>", "void_failed") + LINK("open", "gone.col"), {}),
    **{
        f"shared with an order that is {name}": (
            HELD + incident("<gone>", "void_failed") + LINK("open", "gone.col") + order("open", change),
            {HOLD: 30},
        )
        for name, change in {
            "canceled": "status = 'canceled'",
            "canceled and archived": "status = 'archived', canceled_at = now()",
            "a draft": "is_draft_order = true",
            "a draft by its status": "status = 'draft'",
            "deleted": "deleted_at = now()",
        }.items()
    },
    **{
        f"a capture that is {state} and late": (
            "select 1" + job("<open>", "capture", "<open.pay>", state, **OVERDUE),
            {LATE: 30},
        )
        for state in WAITS
    },
    **{
        f"a capture that is {state}": ("select 1" + job("<open>", "capture", "<open.pay>", state, **SOON), {})
        for state in WAITS
    },
    **{
        f"another job that is {state} and late": (
            "select 1"
            + job("<open>", "publish", "x", state, **OVERDUE)
            + job("<open>", "capture", "<open.pay>", "dead", **OVERDUE),
            {},
        )
        for state in WAITS
    },
    "a late capture of another payment": ("select 1" + job("<open>", "capture", "<paid.pay>", "queued", **OVERDUE), {}),
    "a late capture that was taken out": (
        "select 1" + job("<open>", "capture", "<open.pay>", "removed", **OVERDUE) + incident("<open>", "late_money"),
        {},
    ),
    "a late capture that was given up": (
        "select 1" + job("<open>", "capture", "<open.pay>", "dead", **OVERDUE) + incident("<open>", "late_money"),
        {LATE: 30},
    ),
    "a capture that fails": ("select 1" + incident("<open>", "capture_failed"), {LATE: 30}),
    "a capture that failed": (
        "select 1" + incident("<open>", "capture_failed", "now()") + incident("<open>", "late_money"),
        {},
    ),
    "a capture that fails, of another order": (
        "select 1" + incident("<paid>", "capture_failed") + incident("<open>", "late_money"),
        {},
    ),
    "a late capture of a part": ("select 1" + incident("<open>", "capture_failed") + capture("open", 10), {LATE: 20}),
    "a late capture of nothing": ("select 1" + incident("<open>", "capture_failed") + capture("open", 30), {}),
    "a late capture that was made": (
        "select 1" + incident("<open>", "capture_failed") + payment("open", "captured_at = now()"),
        {},
    ),
    "a late capture of a closed payment": (
        "select 1" + incident("<open>", "capture_failed") + payment("open", "canceled_at = now()"),
        {},
    ),
    "a late job of another kind about its payment": (
        "select 1" + job("<open>", "look", "<open.pay>", "queued", **OVERDUE) + incident("<open>", "late_money"),
        {},
    ),
    "another payment's refund": (
        HELD + incident("<gone>", "late_money") + capture("gone", 10) + refund("paid", 4),
        {KEPT: 10, HOLD: 20},
    ),
    # sessions
    "a session that nothing tells of": (CANCEL("due"), {}),
    "a session of an open order": ("select 1" + VOIDING, {}),
    **{
        f"a session whose {kind} is {state}": (CANCEL("due") + job("<due>", kind, "<due.ses>", state), {HOLD: 30})
        for kind in ("void", "refund")
        for state in WAITS
    },
    "a session whose void is done": (CANCEL("due") + job("<due>", "void", "<due.ses>", "done"), {}),
    "a session whose capture waits": (CANCEL("due") + job("<due>", "capture", "<due.ses>", "queued"), {}),
    **{
        f"a session, {kind} is open": (CANCEL("due") + incident("<due>", kind), {HOLD: 30})
        for kind in ("void_failed", "late_money", "refund_failed", "unsupported_provider")
    },
    "a session, an incident is closed": (CANCEL("due") + incident("<due>", "void_failed", "now()"), {}),
    "a session, another incident is open": (CANCEL("due") + incident("<due>", "fulfilled"), {}),
    "a session of an archived order": (CANCEL_BY_DATE("due") + VOIDING, {HOLD: 30}),
    "a session of a draft": (CANCEL("due") + order("due", "is_draft_order = true") + VOIDING, {}),
    "a session of a draft by its status": (order("due", "canceled_at = now(), status = 'draft'")[2:] + VOIDING, {}),
    "a session of another provider": (CANCEL("due") + VOIDING + session("provider_id = 'pp_paypal_paypal'"), {}),
    "a session without an intent": (CANCEL("due") + VOIDING + session("data = '{}'"), {}),
    "a session that was paid": (
        CANCEL("due") + VOIDING + intent(status="'succeeded'", amount_received=3000),
        {KEPT: 30},
    ),
    "a session that became a payment": (CANCEL("due") + incident("<due>", "void_failed") + booked(), {}),
    "a session that became a payment of another intent": (
        CANCEL("due") + incident("<due>", "void_failed") + booked(intent_id="pi_x"),
        {},
    ),
    "a session whose intent is another payment's": (
        CANCEL("due") + incident("<due>", "void_failed") + booked(session_id="'payses_x'"),
        {},
    ),
    "a session beside a payment": (
        CANCEL("due") + incident("<due>", "void_failed") + booked(session_id="'payses_x'", intent_id="pi_x"),
        {HOLD: 30},
    ),
    "a session whose intent is a payment's elsewhere": (
        CANCEL("due") + incident("<due>", "void_failed") + booked(of="open", session_id="'payses_x'"),
        {HOLD: 30},
    ),
    "a session shared with an open order": (CANCEL("due") + VOIDING + LINK("open", "due.col"), {}),
    **{
        f"a session shared with an order that is {name}": (
            CANCEL("due") + VOIDING + LINK("open", "due.col") + order("open", change),
            {HOLD: 30},
        )
        for name, change in {
            "canceled": "status = 'canceled'",
            "canceled and archived": "status = 'archived', canceled_at = now()",
            "a draft": "is_draft_order = true",
            "a draft by its status": "status = 'draft'",
            "deleted": "deleted_at = now()",
        }.items()
    },
}


@pytest.mark.parametrize("name", AT_RISK)
async def test_money_at_risk(scene: Scene, name: str) -> None:
    change, expected = AT_RISK[name]
    async with scene.after(change) as conn:
        found = await BRIDGE.back_office.money_at_risk(conn, overdue_after=timedelta(minutes=5))
    assert found == {("eur", reason): Decimal(sum_) for reason, sum_ in expected.items()}


REMOVED = "select 1" + job("<open>", "capture", "<open.pay>", "removed")
COLLECTED = "; update payment_collection set captured_amount = {}, refunded_amount = {} where id = '<{}.col>'".format
ELSEWHERE: dict[str, tuple[str, list[str]]] = {
    "nothing": ("select 1", []),
    "a capture waits": ("select 1" + job("<gone>", "capture", "<gone.pay>", "scheduled"), ["gone"]),
    "two captures wait": (
        "select 1" + job("<gone>", "capture", "<gone.pay>", "scheduled") + job("<gone>", "capture", "x", "scheduled"),
        ["gone"],
    ),
    "a capture of an archived order waits": (
        "select 1" + job("<gone>", "capture", "<gone.pay>", "scheduled") + order("gone", "status = 'archived'"),
        ["gone"],
    ),
    "a capture of an open order waits": ("select 1" + job("<open>", "capture", "<open.pay>", "scheduled"), []),
    "a void waits": ("select 1" + job("<gone>", "void", "<gone.pay>", "scheduled"), []),
    "a capture is queued": ("select 1" + job("<gone>", "capture", "<gone.pay>", "queued"), []),
    "a capture is done and nothing kept": ("select 1" + job("<gone>", "capture", "<gone.pay>", "done"), []),
    "a capture is done and kept": (
        "select 1" + job("<gone>", "capture", "<gone.pay>", "done") + COLLECTED(10, 4, "gone"),
        ["gone"],
    ),
    "a capture is done, refunds are unknown": (
        "select 1" + job("<gone>", "capture", "<gone.pay>", "done") + COLLECTED(10, "null", "gone"),
        ["gone"],
    ),
    "a capture is done and given back": (
        "select 1" + job("<gone>", "capture", "<gone.pay>", "done") + COLLECTED(10, 10, "gone"),
        [],
    ),
    "a capture is done, another order keeps": (
        "select 1" + job("<gone>", "capture", "<gone.pay>", "done") + COLLECTED(10, 0, "open"),
        [],
    ),
    "a capture was taken out": (REMOVED, ["open"]),
    **{
        f"a capture was taken out and a void is {state}": (REMOVED + job("<open>", "void", "<open.pay>", state), [])
        for state in WAITS
    },
    "a capture was taken out and a void is done": (REMOVED + job("<open>", "void", "<open.pay>", "done"), ["open"]),
    "a capture was taken out and another void waits": (REMOVED + job("<open>", "void", "x", "queued"), ["open"]),
    "a capture was taken out and a look waits": (REMOVED + job("<open>", "look", "<open.pay>", "queued"), ["open"]),
    "a capture was taken out and made": (REMOVED + payment("open", "captured_at = now()"), []),
    "a capture was taken out and voided": (REMOVED + payment("open", "canceled_at = now()"), []),
    **{
        f"a capture was taken out of an order that is {name}": (REMOVED + order("open", change), [])
        for name, change in {
            "canceled": "status = 'canceled'",
            "canceled and archived": "status = 'archived', canceled_at = now()",
            "a draft": "status = 'draft'",
        }.items()
    },
    "a capture of no order": ("select 1" + job("order_x", "capture", "<open.pay>", "removed"), []),
}


@pytest.mark.parametrize("name", ELSEWHERE)
async def test_orders_canceled_elsewhere(scene: Scene, name: str) -> None:
    change, expected = ELSEWHERE[name]
    async with scene.after(change) as conn:
        found, reached = await BRIDGE.reconciliation.orders_canceled_elsewhere(conn, after_job=0, window=100)
        assert [scene.name_of(id_) for id_ in found] == expected
        assert reached == 0
        last = await conn.fetchval("select coalesce(max(id), 0) from grace.jobs")
        assert await BRIDGE.reconciliation.orders_canceled_elsewhere(conn, after_job=last, window=100) == ([], 0)


OF_ANOTHER = job("<open>", "capture", "<gone.pay>", "queued")
WITH_MONEY: dict[str, tuple[str, list[str]]] = {
    "all is voided": ("select 1", []),
    "held": (HELD, ["gone"]),
    "held, archived": (HELD + order("gone", "status = 'archived'"), ["gone"]),
    "held, by its status": (HELD + order("gone", "canceled_at = null"), ["gone"]),
    "held, deleted": (HELD + order("gone", "deleted_at = now()"), []),
    "held, of no sum": (HELD + payment("gone", "amount = 0"), []),
    "held since long ago": (HELD + payment("gone", "created_at = now() - interval '2 days'"), []),
    **{f"held, its capture is {state}": (HELD + job("<gone>", "capture", "<gone.pay>", state), []) for state in WAITS},
    "held, its capture is done": (HELD + job("<gone>", "capture", "<gone.pay>", "done"), ["gone"]),
    "held, another job waits": (HELD + job("<gone>", "void", "<gone.pay>", "queued"), ["gone"]),
    "held, a capture of another payment waits": (HELD + job("<gone>", "capture", "x", "queued"), ["gone"]),
    "taken by rows, another's was given back": ("select 1" + capture("gone", 10) + refund("paid", 10), ["gone"]),
    "voided, another's capture waits": ("select 1" + OF_ANOTHER, ["gone"]),
    "taken by date": ("select 1" + payment("gone", "captured_at = now()"), ["gone"]),
    "taken by date long ago": (
        "select 1" + payment("gone", "captured_at = now(), updated_at = now() - interval '2 days'"),
        [],
    ),
    "taken by date and given back": ("select 1" + payment("gone", "captured_at = now()") + refund("gone", 30), []),
    "taken by date, booked in part, given back as booked": (
        "select 1" + payment("gone", "captured_at = now()") + capture("gone", 10) + refund("gone", 10),
        ["gone"],
    ),
    "taken by rows": ("select 1" + capture("gone", 10), ["gone"]),
    "taken by rows and given back": ("select 1" + capture("gone", 10) + refund("gone", 10), []),
    "taken by rows long ago": (
        "select 1" + capture("gone", 10) + payment("gone", "updated_at = now() - interval '2 days'"),
        [],
    ),
    "a session": (CANCEL("due"), ["due"]),
    "a session of an open order": ("select 1", []),
    "a session of long ago": (CANCEL("due") + session("created_at = now() - interval '2 days'"), []),
    "a session of another provider": (CANCEL("due") + session("provider_id = 'pp_paypal_paypal'"), []),
    "a session without an intent": (CANCEL("due") + session("data = '{}'"), []),
    "a session that was voided": (CANCEL("due") + intent(status="'canceled'"), []),
    "a session that was voided and paid": (CANCEL("due") + intent(status="'canceled'", amount_received=5), ["due"]),
    "a session that was given back": (
        CANCEL("due")
        + intent(status="'succeeded'", amount_received=3000)
        + session('metadata = \'{"grace_refunded": "30"}\''),
        [],
    ),
    "a session that became a payment": (CANCEL("due") + booked(), []),
    "another order's money": (CANCEL("due") + session("deleted_at = now()"), []),
}


@pytest.mark.parametrize("name", WITH_MONEY)
async def test_canceled_orders_with_money(scene: Scene, name: str) -> None:
    change, expected = WITH_MONEY[name]
    async with scene.after(change) as conn:
        since = datetime.now(UTC) - DAY
        found, reached = await BRIDGE.reconciliation.canceled_with_money(conn, after="", window=100, since=since)
        assert [scene.name_of(id_) for id_ in found] == expected
        assert reached == ""
        last = await conn.fetchval('select max(id) from "order"')
        assert await BRIDGE.reconciliation.canceled_with_money(conn, after=last, window=100, since=since) == ([], "")


ARRIVED: dict[str, tuple[str, list[str]]] = {
    "all is voided": ("select 1", []),
    "held": (HELD, ["gone"]),
    "held twice": (HELD + booked(of="gone", session_id="'payses_x'", closed="null"), ["gone"]),
    "held, archived": (HELD + order("gone", "status = 'archived'"), ["gone"]),
    "held, deleted": (HELD + order("gone", "deleted_at = now()"), []),
    "held, of no sum": (HELD + payment("gone", "amount = 0"), []),
    **{f"held, its capture is {state}": (HELD + job("<gone>", "capture", "<gone.pay>", state), []) for state in WAITS},
    "held, its capture is done": (HELD + job("<gone>", "capture", "<gone.pay>", "done"), ["gone"]),
    "held, another job waits": (HELD + job("<gone>", "void", "<gone.pay>", "queued"), ["gone"]),
    "held, a capture of another payment waits": (HELD + job("<gone>", "capture", "x", "queued"), ["gone"]),
    "held twice, in two collections": (
        HELD + LINK("gone", "due.col") + booked(session_id="'payses_x'", closed="null"),
        ["gone"],
    ),
    "voided and taken by rows": ("select 1" + capture("gone", 10), ["gone"]),
    "voided and taken by date": ("select 1" + payment("gone", "captured_at = now()"), ["gone"]),
    "a session": (CANCEL("due"), ["due"]),
    "a session of another provider": (CANCEL("due") + session("provider_id = 'pp_paypal_paypal'"), []),
    "a session that became a payment": (CANCEL("due") + booked(), []),
}


@pytest.mark.parametrize("name", ARRIVED)
async def test_new_money_of_canceled_orders(scene: Scene, name: str) -> None:
    change, expected = ARRIVED[name]
    async with scene.after(change) as conn:
        arrived = await BRIDGE.reconciliation.new_money_of_canceled(
            conn, after=MoneyCursor("pay_", "payses_"), limit=100
        )
        assert [scene.name_of(id_) for id_ in arrived.order_ids] == expected
        newest = [await conn.fetchval(f"select max(id) from {table}") for table in ("payment", "payment_session")]
        arrived = await BRIDGE.reconciliation.new_money_of_canceled(conn, after=MoneyCursor(*newest), limit=100)
        assert arrived.order_ids == []


LOWER = (
    "; insert into order_summary (id, order_id, version, totals, created_at) values ('ordsum_x', '<paid>', {}, "
    "'{{\"current_order_total\": {}}}', now() - interval '{}')"
).format
OVERPAID: dict[str, tuple[str, list[str]]] = {
    "paid": ("select 1", []),
    "paid more": ("select 1" + capture("paid", 5), ["paid"]),
    "paid more, another's was given back": ("select 1" + capture("paid", 5) + refund("packed", 5), ["paid"]),
    "paid more now, the rest long ago": (
        "update capture set created_at = now() - interval '2 days'" + capture("paid", 5),
        ["paid"],
    ),
    "paid more and given back": ("select 1" + capture("paid", 5) + refund("paid", 5), []),
    "paid more by date alone": (
        "delete from capture" + payment("paid", "captured_at = now() - interval '1 h', amount = 35"),
        ["paid"],
    ),
    "paid more long ago": (
        "update capture set created_at = now() - interval '2 days'" + capture("paid", 5, "2 days"),
        [],
    ),
    **{
        f"paid more by an order that is {name}": ("select 1" + capture("paid", 5) + order("paid", change), [])
        for name, change in {
            "canceled": "status = 'canceled'",
            "canceled and archived": "status = 'archived', canceled_at = now()",
            "a draft": "is_draft_order = true",
            "a draft by its status": "status = 'draft'",
            "deleted": "deleted_at = now()",
        }.items()
    },
    "lowered afterwards": ("select 1" + LOWER(2, 10, "10 min"), []),
    "lowered before": ("select 1" + LOWER(2, 10, "3 h"), ["paid"]),
    "lowered between two captures": (
        "update capture set amount = 15" + capture("paid", 15, "10 min") + LOWER(2, 20, "20 min"),
        ["paid"],
    ),
    "lowered and raised before": ("select 1" + LOWER(2, 10, "3 h") + LOWER(3, 30, "2 h").replace("m_x", "m_y"), []),
    "no total from before": (
        "update order_summary set created_at = now() where order_id = '<paid>'" + capture("paid", 5),
        ["paid"],
    ),
    "no total from before, and as owed": ("update order_summary set created_at = now() where order_id = '<paid>'", []),
    "a session that was paid too": (
        intent(status="'succeeded'", amount_received=3000)[2:] + LOWER(2, 0, "2 h").replace("<paid>", "<due>"),
        ["due"],
    ),
    "a session that took something": (
        intent(amount_received=3000)[2:] + LOWER(2, 0, "2 h").replace("<paid>", "<due>"),
        ["due"],
    ),
    "a session that was paid and became a payment": (
        intent(status="'succeeded'", amount_received=3000)[2:]
        + LOWER(2, 0, "2 h").replace("<paid>", "<due>")
        + booked(),
        [],
    ),
    "a session that is not paid": ("select 1" + LOWER(2, 0, "2 h").replace("<paid>", "<due>"), []),
    "a session of another provider": (
        intent(status="'succeeded'", amount_received=3000)[2:]
        + LOWER(2, 0, "2 h").replace("<paid>", "<due>")
        + session("provider_id = 'pp_paypal_paypal'"),
        [],
    ),
    "a session without an intent's id": (
        session('data = \'{"status": "succeeded"}\'')[2:] + LOWER(2, 0, "2 h").replace("<paid>", "<due>"),
        [],
    ),
}


@pytest.mark.parametrize("name", OVERPAID)
async def test_overpaid_orders(scene: Scene, name: str) -> None:
    change, expected = OVERPAID[name]
    async with scene.after(change) as conn:
        since = datetime.now(UTC) - DAY
        found, reached = await BRIDGE.reconciliation.overpaid_orders(conn, after="", window=100, since=since)
        assert [scene.name_of(id_) for id_ in found] == expected
        assert reached == ""
        last = await conn.fetchval('select max(id) from "order"')
        assert await BRIDGE.reconciliation.overpaid_orders(conn, after=last, window=100, since=since) == ([], "")


NEW: dict[str, tuple[str, list[str]]] = {
    "holds": ("select 1", ["open", "packed"]),
    "a canceled order's": (HELD, ["gone", "open", "packed"]),
    "captured": ("select 1" + payment("open", "captured_at = now()"), ["packed"]),
    "closed": ("select 1" + payment("open", "canceled_at = now()"), ["packed"]),
    "of no sum": ("select 1" + payment("open", "amount = 0"), ["packed"]),
    "of another provider": ("select 1" + payment("open", "provider_id = 'pp_paypal_paypal'"), ["packed"]),
    "of a provider of like name": ("select 1" + payment("open", "provider_id = 'pp_stripes_x'"), ["packed"]),
    "of bancontact": ("select 1" + payment("open", "provider_id = 'pp_stripe-bancontact_stripe'"), ["open", "packed"]),
    "of a draft": ("select 1" + order("open", "is_draft_order = true"), ["packed"]),
    "of a draft by its status": ("select 1" + order("open", "status = 'draft'"), ["packed"]),
    "with a capture": ("select 1" + job("<open>", "capture", "<open.pay>", "removed"), ["packed"]),
    "with a void": ("select 1" + job("<open>", "void", "<open.pay>", "done"), ["open", "packed"]),
}


@pytest.mark.parametrize("name", NEW)
async def test_new_authorizations(scene: Scene, name: str) -> None:
    change, expected = NEW[name]
    async with scene.after(change) as conn:
        found, _ = await BRIDGE.discovery.find_new_authorizations(
            conn, after=BRIDGE.discovery.cursor_at(datetime.now(UTC) - DAY), overlap=timedelta(0), limit=100
        )
        assert sorted(scene.name_of(one.order_id) for one in found) == expected
        assert [scene.name_of(one.order_id) for one in found if one.is_canceled] == (["gone"] if change is HELD else [])
        found, _ = await BRIDGE.discovery.find_new_authorizations(
            conn, after=BRIDGE.discovery.cursor_at(datetime.now(UTC) + DAY), overlap=timedelta(0), limit=100
        )
        assert found == []


CARTLESS = "update order_cart set deleted_at = now() where order_id = '<open>'"
CONVERTED: dict[str, tuple[str, bool, bool]] = {
    "made from a cart": ("select 1", False, False),
    "held": (CARTLESS, True, True),
    "nothing is held": (CARTLESS + payment("open", "canceled_at = now()"), True, False),
    "captured": (CARTLESS + payment("open", "captured_at = now()"), True, False),
    "of no sum": (CARTLESS + payment("open", "amount = 0"), True, False),
    "of another provider": (CARTLESS + payment("open", "provider_id = 'pp_paypal_paypal'"), True, False),
    "a capture is known": (CARTLESS + job("<open>", "capture", "<open.pay>", "done"), True, False),
    "a void is known": (CARTLESS + job("<open>", "void", "<open.pay>", "done"), True, True),
    "canceled": (CARTLESS + order("open", "status = 'canceled'"), False, False),
    "canceled and archived": (CARTLESS + order("open", "status = 'archived', canceled_at = now()"), False, False),
    "a draft": (CARTLESS + order("open", "is_draft_order = true"), False, False),
    "a draft by its status": (CARTLESS + order("open", "status = 'draft'"), False, False),
    "known already": (
        CARTLESS + "; insert into grace.conversions (order_id, converted_at) values ('<open>', now())",
        False,
        True,
    ),
}


@pytest.mark.parametrize("name", CONVERTED)
async def test_conversions(scene: Scene, name: str) -> None:
    change, is_new, is_held = CONVERTED[name]
    async with scene.after(change) as conn:
        found = await BRIDGE.discovery.find_conversions(conn, after="", window=100)
        assert [scene.name_of(id_) for id_ in found.placed_at] == (["open"] if is_new else [])
        assert [scene.name_of(one.order_id) for one in found.authorizations] == (["open"] if is_held else [])
        last = await conn.fetchval('select max(id) from "order"')
        found = await BRIDGE.discovery.find_conversions(conn, after=last, window=100)
        assert (dict(found.placed_at), list(found.authorizations)) == ({}, [])
        ids = [row["id"] for row in await conn.fetch('select id from "order" order by id')]
        place = ids.index(scene.names["open"])
        before = ids[place - 1] if place else ""
        found = await BRIDGE.discovery.find_conversions(conn, after=before, window=1)
        assert [scene.name_of(id_) for id_ in found.placed_at] == (["open"] if is_new else []), "the last of a window"


TOUCHED: dict[str, tuple[str, bool]] = {
    "voided and released": ("select 1", False),
    "held": (HELD, True),
    "captured": ("select 1" + payment("gone", "captured_at = now()"), True),
    "reserved": ("update reservation_item set deleted_at = null where id = '<gone.res>'", True),
    "packed": ("update order_fulfillment set order_id = '<gone>'", True),
    "packed and unpacked": (
        "update order_fulfillment set order_id = '<gone>'; update fulfillment set canceled_at = now()",
        False,
    ),
    "another parcel": ("update order_fulfillment set order_id = '<gone>', fulfillment_id = 'ful_x'", False),
    "held, archived": (HELD + order("gone", "status = 'archived'"), True),
    "held, by its status": (HELD + order("gone", "canceled_at = null"), True),
    "held, open": (HELD + order("gone", "status = 'pending', canceled_at = null"), False),
}


@pytest.mark.parametrize("name", TOUCHED)
async def test_what_was_touched_after_its_cancel(scene: Scene, name: str) -> None:
    change, touched = TOUCHED[name]
    async with scene.after(change) as conn:
        found = await BRIDGE.reconciliation.touched_after_cancel(conn, [scene.names["gone"]])
        assert [scene.name_of(id_) for id_ in found] == (["gone"] if touched else [])
        assert await BRIDGE.reconciliation.touched_after_cancel(conn, [scene.names["open"]]) == []


OTHER_FIRST = LINK("open", "due.col")
HINTED: list[tuple[str, str, str, Any]] = [
    ("select 1", "<gone.ses>", "<gone.pi>", ("gone", "<gone.pay>")),
    ("select 1", "<gone.ses>", "<open.pi>", None),
    ("select 1", "<open.ses>", "<gone.pi>", None),
    ("select 1", "<due.ses>", "pi_due", ("due", "<due.ses>")),
    ("select 1", "<due.ses>", "pi_x", None),
    ("select 1", "payses_x", "pi_due", None),
    ("select 1" + booked(), "<due.ses>", "pi_due", ("due", "pay_x")),
    ("select 1" + booked(intent_id="pi_x"), "<due.ses>", "pi_due", None),
    (CANCEL("due") + OTHER_FIRST, "<due.ses>", "pi_due", ("due", "<due.ses>")),
    (CANCEL("open") + OTHER_FIRST, "<due.ses>", "pi_due", ("open", "<due.ses>")),
    (CANCEL_BY_DATE("due") + OTHER_FIRST, "<due.ses>", "pi_due", ("due", "<due.ses>")),
    (CANCEL_BY_DATE("open") + OTHER_FIRST, "<due.ses>", "pi_due", ("open", "<due.ses>")),
]


@pytest.mark.parametrize(("change", "session_id", "intent_id", "expected"), HINTED)
async def test_what_a_webhook_is_about(
    scene: Scene, change: str, session_id: str, intent_id: str, expected: tuple[str, str] | None
) -> None:
    async with scene.after(change) as conn:
        found = await BRIDGE.discovery.find_payment(conn, scene.filled(intent_id), session=scene.filled(session_id))
    told = found and (scene.name_of(found[0]), found[1])
    assert told == (expected and (expected[0], scene.filled(expected[1])))


ASKED: dict[str, tuple[str, list[str]]] = {
    "young, and canceled": ("select 1", ["due", "gone", "open"]),
    "old": ("update \"order\" set created_at = now() - interval '9 days'", ["gone"]),
    "old, archived": (
        "update \"order\" set created_at = now() - interval '9 days'" + order("gone", "status = 'archived'"),
        ["gone"],
    ),
    "old, canceled with a session": (
        "update \"order\" set created_at = now() - interval '9 days'" + order("due", "status = 'canceled'"),
        ["due", "gone"],
    ),
    "old, archived with a session": (
        "update \"order\" set created_at = now() - interval '9 days'"
        + order("due", "status = 'archived', canceled_at = now()"),
        ["due", "gone"],
    ),
    "drafts": ('update "order" set is_draft_order = true', []),
    "drafts by their status": ("update \"order\" set status = 'draft'", []),
    "of no sum": ("update payment set amount = 0; update payment_session set amount = 0", []),
    "of another provider": (
        "update payment set provider_id = 'pp_paypal_x'; update payment_session set provider_id = 'pp_paypal_x'",
        [],
    ),
    "a session that became a payment": ("select 1" + booked(intent_id="pi_x"), ["due", "gone", "open"]),
}


@pytest.mark.parametrize("name", ASKED)
async def test_intents_to_ask_about(scene: Scene, name: str) -> None:
    change, expected = ASKED[name]
    async with scene.after(change) as conn:
        found = await BRIDGE.examination.intents_to_ask(conn, look_back=timedelta(days=8))
    assert sorted(scene.name_of(id_) for id_ in found.values()) == expected
    assert ("pi_x" in found) is ("pi_x" in change)


async def test_intents_that_no_payment_names_are_unknown(scene: Scene) -> None:
    held, gone = scene.names["open.pi"], scene.names["gone.pi"]
    async with scene.after(
        "select 1" + order("open", "is_draft_order = true") + payment("gone", "deleted_at = now()")
    ) as conn:
        assert await BRIDGE.examination.unknown_intents(conn, [held, gone, "pi_due", "pi_x"]) == [
            gone,
            "pi_due",
            "pi_x",
        ]


async def test_a_walk_goes_on_after_the_last_that_it_has_seen(scene: Scene) -> None:
    """Each by two at a time, until all were seen; then it begins again."""
    since = datetime.now(UTC) - DAY
    change = HELD + "".join(job("order_x", "capture", f"pay_{number}", "done") for number in range(4))
    async with scene.after(change) as conn:
        ids = [row["id"] for row in await conn.fetch('select id from "order" order by id')]
        for walk in (BRIDGE.reconciliation.canceled_with_money, BRIDGE.reconciliation.overpaid_orders):
            assert (await walk(conn, after="", window=2, since=since))[1] == ids[1]
            assert (await walk(conn, after=ids[1], window=2, since=since))[1] == ids[3]
            assert (await walk(conn, after=ids[3], window=2, since=since))[1] == ""
        found = await BRIDGE.discovery.find_conversions(conn, after="", window=2)
        assert found.reached == ids[1]
        assert (await BRIDGE.discovery.find_conversions(conn, after=ids[1], window=2)).reached == ids[3]
        assert (await BRIDGE.discovery.find_conversions(conn, after=ids[3], window=2)).reached == ""
        job_ids = [row["id"] for row in await conn.fetch("select id from grace.jobs order by id")]
        assert await BRIDGE.reconciliation.orders_canceled_elsewhere(conn, after_job=0, window=2) == ([], job_ids[1])
        assert await BRIDGE.reconciliation.orders_canceled_elsewhere(conn, after_job=job_ids[1], window=2) == (
            [],
            job_ids[3],
        )
        assert await BRIDGE.reconciliation.orders_canceled_elsewhere(conn, after_job=job_ids[3], window=2) == ([], 0)
        payments = [row["id"] for row in await conn.fetch("select id from payment order by id")]
        sessions = [row["id"] for row in await conn.fetch("select id from payment_session order by id")]
        arrived = await BRIDGE.reconciliation.new_money_of_canceled(conn, after=MoneyCursor("pay_", "payses_"), limit=2)
        assert arrived.after == MoneyCursor(payments[1], sessions[1])
