"""The table of answers, row by row: what an order's state makes of a cancel, and that refusals change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.embedded.shop import Payment, PlacedOrder
from app.embedded.shop_acts import (
    archive,
    cancel_by_medusa,
    capture_by_medusa,
    complete,
    drop_capture,
    open_order_change,
    soft_delete,
)
from app.embedded.shop_parcels import cancel_fulfillment, fulfill
from app.embedded.shop_rows import new_id, next_version, now_ms
from app.embedded.shop_sessions import book_session, open_session, share_collection
from tests.databases import one_database_a_file
from tests.http.answers import assert_answer, assert_refused, conflict, not_found
from tests.http.rows import add_capture_job, everything
from tests.world import Api, Shop

database = one_database_a_file()

Situation = Callable[[Shop], Awaitable[PlacedOrder]]
Act = Callable[[Shop, PlacedOrder], Awaitable[Any]]

PROCESSED = "Order already processed"
BEING_PROCESSED = "Order is already being processed. Please contact support for a refund."
CHANGING = "Order is being changed. Please try again when the change is settled, or contact support."
NOT_FOUND = "This order cannot be canceled online: it is not clear which payment is for it. Please contact support."
UNKNOWN = conflict("payment_unknown", NOT_FOUND, "payment_unknown")
PARTIAL = {"code": "partial_capture", "type": "not_allowed", "message": "Cannot cancel partially captured order"}


def after(*acts: Act, **options: Any) -> Situation:
    """An order placed with ``options``, and what then happened to it."""

    async def arrange(shop: Shop) -> PlacedOrder:
        order = await shop.place(**options)
        for act in acts:
            await act(shop, order)
        return order

    return arrange


def captured(payment: int = 0, amount: str | None = None, *, in_flight: bool = False) -> Act:
    """Captured by Medusa's admin, in full or in part."""
    some = None if amount is None else Decimal(amount)
    return lambda shop, order: capture_by_medusa(
        shop.conn, order, order.payment_ids[payment], some, in_flight=in_flight
    )


def with_change(change_type: Any, status: Any) -> Act:
    """An edit or a transfer in some state."""
    return lambda shop, order: open_order_change(shop.conn, order, change_type=change_type, status=status)


def with_capture_job(state: str, **facts: Any) -> Act:
    """A capture job of ours."""
    return lambda shop, order: add_capture_job(shop, order, state, **facts)


async def completed(shop: Shop, order: PlacedOrder) -> None:
    await complete(shop.conn, order)


async def archived(shop: Shop, order: PlacedOrder) -> None:
    await archive(shop.conn, order)


async def packed(shop: Shop, order: PlacedOrder) -> None:
    await fulfill(shop.conn, order)


async def packed_and_unpacked(shop: Shop, order: PlacedOrder) -> None:
    await cancel_fulfillment(shop.conn, order, await fulfill(shop.conn, order))


async def capture_refused_by_stripe(shop: Shop, order: PlacedOrder) -> None:
    await drop_capture(shop.conn, await capture_by_medusa(shop.conn, order, order.payment_ids[0], in_flight=True))


async def canceled_by_admin(shop: Shop, order: PlacedOrder) -> None:
    await cancel_by_medusa(shop.conn, order)


async def canceled_with_failed_void(shop: Shop, order: PlacedOrder) -> None:
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)


def change_ended(status: str) -> Act:
    """An edit that is open no more."""

    async def act(shop: Shop, order: PlacedOrder) -> None:
        change = await open_order_change(shop.conn, order)
        await shop.conn.execute("update order_change set status = $2 where id = $1", change, status)

    return act


def with_session(status: str, amount: str = "29.7381", **options: Any) -> Act:
    """A payment session in a collection of its own, whose intent Stripe said to be in this state."""

    async def act(shop: Shop, order: PlacedOrder) -> None:
        intent = {"id": new_id("pi", order.created_at), "object": "payment_intent", "status": status}
        await open_session(shop.conn, order, intent, amount=Decimal(amount), **options)

    return act


async def a_hold_in_the_cart(shop: Shop, order: PlacedOrder) -> None:
    """A marketplace: the cart's hold of 90 pays for three orders, and none of them is linked to it."""
    intent = {"id": new_id("pi", order.created_at), "object": "payment_intent", "status": "requires_capture"}
    session = await open_session(shop.conn, order, intent, amount=Decimal(90), through_cart=True)
    await book_session(shop.conn, order, session, intent)


async def shared_with_another(shop: Shop, order: PlacedOrder) -> None:
    """A marketplace: one hold of 90 pays for this order and for another."""
    await share_collection(shop.conn, await shop.place(payments=(), total=Decimal(60)), order)


async def shared_with_a_canceled_one(shop: Shop, order: PlacedOrder) -> None:
    other = await shop.place(payments=(), total=Decimal(60))
    await share_collection(shop.conn, other, order)
    await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", other.id)


async def collection_detached(shop: Shop, order: PlacedOrder) -> None:
    await shop.conn.execute("update order_payment_collection set deleted_at = now() where order_id = $1", order.id)


async def hold_lapsed(shop: Shop, order: PlacedOrder) -> None:
    await shop.conn.execute("update payment set canceled_at = now() where id = $1", order.payment_ids[0])


async def fully_credited(shop: Shop, order: PlacedOrder) -> None:
    collection_id = new_id("pay_col", order.created_at)
    await next_version(shop.conn, order.id, now_ms(), credit=order.total, collection_id=collection_id)


TWO = {"amounts": ("10", "19.7381")}
LATE = {"placed_ago": timedelta(hours=1, seconds=1)}

REFUSED: dict[str, tuple[Situation, int, dict[str, str]]] = {
    "captured": (after(captured()), 409, conflict("late_cancel", PROCESSED, "captured")),
    "captured, and late": (after(captured(), **LATE), 409, conflict("late_cancel", PROCESSED, "captured")),
    "both captured": (after(captured(0), captured(1), **TWO), 409, conflict("late_cancel", PROCESSED, "captured")),
    "completed": (after(completed), 409, conflict("late_cancel", PROCESSED, "completed")),
    "packed": (after(packed), 409, conflict("late_cancel", PROCESSED, "fulfilled")),
    "Medusa is capturing": (
        after(captured(in_flight=True)),
        409,
        conflict("late_cancel", BEING_PROCESSED, "capture_in_flight"),
    ),
    "we are capturing": (
        after(with_capture_job("running", in_doubt=True)),
        409,
        conflict("late_cancel", BEING_PROCESSED, "capture_in_flight"),
    ),
    "we do not know whether we captured": (
        after(with_capture_job("scheduled", in_doubt=True, failures=1)),
        409,
        conflict("late_cancel", BEING_PROCESSED, "capture_in_flight"),
    ),
    "we may have captured the other": (
        after(with_capture_job("scheduled"), with_capture_job("queued", in_doubt=True, payment=1), **TWO),
        409,
        conflict("late_cancel", BEING_PROCESSED, "capture_in_flight"),
    ),
    "grace period over": (after(**LATE), 409, conflict("late_cancel", BEING_PROCESSED, "grace_period_over")),
    "open edit": (
        after(with_change("edit", "pending")),
        409,
        conflict("order_change_pending", CHANGING, "order_change_pending"),
    ),
    "edit that waits for a yes": (
        after(with_change("edit", "requested")),
        409,
        conflict("order_change_pending", CHANGING, "order_change_pending"),
    ),
    "nothing linked": (after(payments=()), 409, UNKNOWN),
    "a hold in the cart alone": (after(a_hold_in_the_cart, payments=()), 409, UNKNOWN),
    "a session in the cart alone": (after(with_session("processing", through_cart=True), payments=()), 409, UNKNOWN),
    "its link was removed": (after(collection_detached), 409, UNKNOWN),
    "half of it in the cart": (after(a_hold_in_the_cart, amounts=("20",), total=Decimal(30)), 409, UNKNOWN),
    "its hold lapsed, and the cart has one": (after(hold_lapsed, a_hold_in_the_cart), 409, UNKNOWN),
    "its hold is for another order too": (after(shared_with_another, amounts=("90",), total=Decimal(30)), 409, UNKNOWN),
    "its session was paid": (
        after(with_session("succeeded"), payments=()),
        409,
        conflict("late_cancel", PROCESSED, "captured"),
    ),
    "partly captured": (after(captured(amount="5")), 422, PARTIAL),
    "being captured in part": (after(captured(amount="5", in_flight=True)), 422, PARTIAL),
    "one of two captured": (after(captured(1), **TWO), 422, PARTIAL),
    "one of two collections captured": (after(captured(0), same_collection=False, **TWO), 422, PARTIAL),
}


@pytest.mark.parametrize(("situation", "status", "body"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused(shop: Shop, api: Api, situation: Situation, status: int, body: dict[str, str]) -> None:
    order = await situation(shop)
    await assert_refused(shop, api, order.id, status, body)


ACCEPTED: dict[str, tuple[Situation, str]] = {
    "just placed": (after(), "void_pending"),
    "two payments": (after(**TWO), "void_pending"),
    "a moment before the end": (after(placed_ago=timedelta(minutes=59, seconds=30)), "void_pending"),
    "unpacked again": (after(packed_and_unpacked), "void_pending"),
    "archived": (after(archived), "void_pending"),
    "waits for the shopper": (after(status="requires_action"), "void_pending"),
    "edit dropped": (after(change_ended("canceled")), "void_pending"),
    "edit declined": (after(change_ended("declined")), "void_pending"),
    "edit done": (after(change_ended("confirmed")), "void_pending"),
    "a transfer is asked for": (after(with_change("transfer", "requested")), "void_pending"),
    "Stripe refused Medusa's capture": (after(capture_refused_by_stripe), "void_pending"),
    "Stripe refused our capture": (after(with_capture_job("scheduled", failures=1)), "void_pending"),
    "capture is queued": (after(with_capture_job("queued")), "void_pending"),
    "nothing to pay": (after(payments=(), total=Decimal(0)), "none"),
    "fully credited, and the cart has a hold": (after(fully_credited, a_hold_in_the_cart, payments=()), "none"),
    "its hold lapsed": (after(hold_lapsed), "voided"),
    "enough of its own, and the cart has more": (after(a_hold_in_the_cart), "void_pending"),
    "its hold was for a canceled order too": (after(shared_with_a_canceled_one), "void_pending"),
    "another provider's session": (after(with_session("open", provider_id="pp_paypal_main"), payments=()), "none"),
    "paid by hand": (after(payments=(Payment(),)), "void_pending"),
}


@pytest.mark.parametrize(("situation", "action"), ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_accepted(shop: Shop, api: Api, situation: Situation, action: str) -> None:
    order = await situation(shop)

    answer = await api.cancel(order.id)

    assert_answer(answer, 200, {"order_id": order.id, "status": "canceled", "payment_action": action})
    assert await shop.status(order) == "canceled"


ALREADY: dict[str, tuple[Situation, str]] = {
    "by the admin": (after(canceled_by_admin), "voided"),
    "by the admin, late": (after(canceled_by_admin, **LATE), "voided"),
    "by the admin, void failed": (after(canceled_with_failed_void), "void_pending"),
    "by the admin, refunded": (after(captured(), canceled_by_admin), "none"),
    "and archived": (after(canceled_by_admin, archived), "voided"),
}


@pytest.mark.parametrize(("situation", "action"), ALREADY.values(), ids=ALREADY.keys())
async def test_already_canceled(shop: Shop, api: Api, situation: Situation, action: str) -> None:
    order = await situation(shop)
    before = await everything(shop.conn)

    answer = await api.cancel(order.id)

    body = {"order_id": order.id, "status": "canceled", "payment_action": action, "message": "Already canceled"}
    assert_answer(answer, 200, body)
    assert await everything(shop.conn) == before


async def test_twice(shop: Shop, api: Api) -> None:
    order = await shop.place()
    first = await api.cancel(order.id, json={"reason": "first"})
    before = await everything(shop.conn)

    second = await api.cancel(order.id, json={"reason": "second"})

    body = {"order_id": order.id, "status": "canceled", "payment_action": "void_pending"}
    assert_answer(first, 200, body)
    assert_answer(second, 200, {**body, "message": "Already canceled"})
    assert await everything(shop.conn) == before


NOBODYS: dict[str, Situation] = {
    "deleted": after(lambda shop, order: soft_delete(shop.conn, order)),
    "deleted after its cancel": after(canceled_by_admin, lambda shop, order: soft_delete(shop.conn, order)),
    "draft": after(is_draft=True),
    "draft by its flag": after(is_draft=True, status="pending"),
    "draft by its status": after(status="draft"),
}


@pytest.mark.parametrize("situation", NOBODYS.values(), ids=NOBODYS.keys())
async def test_not_found(shop: Shop, api: Api, situation: Situation) -> None:
    order = await situation(shop)
    await assert_refused(shop, api, order.id, 404, not_found(order.id))


async def test_unknown(shop: Shop, api: Api) -> None:
    await shop.place()
    await assert_refused(shop, api, "order_unknown", 404, not_found("order_unknown"))
