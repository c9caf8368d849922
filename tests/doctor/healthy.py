"""Orders in every sound state there is, by the real use cases where there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from app.domain.jobs import JobKind
from app.embedded.shop import Line, Payment, PlacedOrder
from app.embedded.shop_acts import (
    add_credit_line,
    archive,
    cancel_by_medusa,
    capture_by_medusa,
    complete,
    open_order_change,
    refund_by_medusa,
)
from app.embedded.shop_parcels import cancel_fulfillment, fulfill
from tests.doctor.clinic import SYSTEM, Clinic

State = Callable[[Clinic], Awaitable[PlacedOrder]]


async def open_and_waiting(clinic: Clinic) -> PlacedOrder:
    return await clinic.watched()


async def from_before_this_sidecar(clinic: Clinic) -> PlacedOrder:
    return await clinic.place(placed_ago=timedelta(days=3))


async def canceled_and_settled(clinic: Clinic) -> PlacedOrder:
    order = await clinic.canceled()
    await clinic.finish(order)
    return order


async def canceled_then_archived(clinic: Clinic) -> PlacedOrder:
    order = await canceled_and_settled(clinic)
    await archive(clinic.conn, order)
    return order


async def captured_by_us(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched()
    await clinic.finish(order)
    return order


async def captured_by_the_webhook(clinic: Clinic) -> PlacedOrder:
    """Medusa's webhook books Stripe's rounded sum: more than the payment's."""
    order = await clinic.place()
    await clinic.take(order)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal("29.74"))
    return order


async def late_money_refunded(clinic: Clinic) -> PlacedOrder:
    order = await clinic.canceled()
    await clinic.take(order)
    await clinic.hand.refunding().run(order, JobKind.VOID)
    await clinic.finish(order)
    return order


async def late_money_with_incident(clinic: Clinic) -> PlacedOrder:
    order = await clinic.canceled()
    await clinic.take(order)
    await clinic.finish(order)
    return order


async def partly_captured_with_incident(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched()
    await clinic.take(order, 1000)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(10))
    await clinic.finish(order)
    return order


async def void_fails_with_incident(clinic: Clinic) -> PlacedOrder:
    order = await clinic.canceled()
    await clinic.shop.sandbox.fault("payment_intents.cancel", "error", times=None, object_id=order.intent_ids[0])
    for _ in range(3):
        await clinic.hand.run(order, JobKind.VOID)
    await clinic.hand.run(order, JobKind.RELEASE)
    await clinic.hand.run(order, JobKind.PUBLISH)
    await clinic.conn.execute(
        "update grace.jobs set failing_since = now() - interval '2 hours' where order_id = $1 and failures > 0",
        order.id,
    )
    return order


async def hold_lost_with_incident(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched()
    await clinic.shop.sandbox.lapse(order.intent_ids[0])
    await clinic.hand.run(order, JobKind.CAPTURE)
    return order


async def another_provider_with_incident(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched(payments=[Payment(provider_id="pp_paypal_paypal")])
    await clinic.finish(order)
    return order


async def old_hold_that_somebody_knows_of(clinic: Clinic) -> PlacedOrder:
    order = await clinic.place(placed_ago=timedelta(days=6, hours=12))
    await clinic.job(order, "capture", order.payment_ids[0], "dead", last_error="'of the test'")
    await clinic.incident(order, "capture_failed")
    return order


async def given_up_by_a_person(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched(payments=[Payment(provider_id="pp_paypal_paypal")])
    await clinic.finish(order)
    await clinic.conn.execute("update grace.incidents set closed_at = now() where order_id = $1", order.id)
    return order


async def fulfilled(clinic: Clinic) -> PlacedOrder:
    order = await clinic.captured()
    await fulfill(clinic.conn, order)
    return order


async def packed_and_unpacked(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched()
    await cancel_fulfillment(clinic.conn, order, await fulfill(clinic.conn, order))
    return order


async def completed_and_archived(clinic: Clinic) -> PlacedOrder:
    order = await clinic.captured()
    await fulfill(clinic.conn, order)
    await complete(clinic.conn, order)
    await archive(clinic.conn, order)
    return order


async def draft(clinic: Clinic) -> PlacedOrder:
    return await clinic.place(is_draft=True)


async def paid_draft(clinic: Clinic) -> PlacedOrder:
    return await clinic.captured(is_draft=True)


async def deleted(clinic: Clinic) -> PlacedOrder:
    order = await clinic.canceled_by_medusa()
    await clinic.conn.execute('update "order" set deleted_at = now() where id = $1', order.id)
    return order


async def being_edited(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched()
    await open_order_change(clinic.conn, order)
    return order


async def canceled_by_medusa(clinic: Clinic) -> PlacedOrder:
    return await clinic.canceled_by_medusa()


async def refunded_by_medusas_cancel(clinic: Clinic) -> PlacedOrder:
    order = await clinic.captured()
    await clinic.give_back(order, 2974)
    await cancel_by_medusa(clinic.conn, order)
    return order


async def partly_refunded(clinic: Clinic) -> PlacedOrder:
    order = await clinic.captured()
    for _ in range(2):
        await refund_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(5))
    await clinic.give_back(order, 400)
    await clinic.give_back(order, 600)
    return order


async def yen(clinic: Clinic) -> PlacedOrder:
    return await clinic.captured(amounts=("3500.5",), currency="jpy")


async def dinars(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched(amounts=("9.991",), currency="kwd")
    await clinic.finish(order)
    return order


async def dinars_by_the_webhook(clinic: Clinic) -> PlacedOrder:
    """Stripe takes three decimals rounded up to a multiple of ten."""
    order = await clinic.place(amounts=("9.991",), currency="kwd")
    await clinic.take(order)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal("10.000"))
    return order


async def paid_by_hand(clinic: Clinic) -> PlacedOrder:
    order = await clinic.watched(payments=SYSTEM)
    await clinic.finish(order)
    return order


async def second_card_after_the_first(clinic: Clinic) -> PlacedOrder:
    order = await clinic.place(amounts=("29.7381", "29.7381"))
    await add_credit_line(clinic.conn, order, Decimal("29.7381"))  # one of the two was the total
    await clinic.let_go(order)
    first, second = order.payment_ids
    await clinic.conn.execute("update payment set canceled_at = now() where id = $1", first)
    await clinic.job(order, "capture", first, "removed")
    await clinic.gateway.capture(order.intent_ids[1], amount=2974, key=second)
    await capture_by_medusa(clinic.conn, order, second)
    return order


async def two_orders_of_one_shirt(clinic: Clinic) -> PlacedOrder:
    first = await clinic.watched(lines=[Line(quantity=3)])
    second = await clinic.canceled(lines=[Line(inventory_item_id=first.inventory_item_ids[0])])
    await clinic.finish(second)
    return first


async def nothing_in_stock_is_counted(clinic: Clinic) -> PlacedOrder:
    return await clinic.watched(lines=[Line(managed=False)])


async def reserved_by_hand(clinic: Clinic) -> PlacedOrder:
    """An admin keeps some aside: a reservation without a line item."""
    order = await clinic.watched()
    await clinic.conn.execute(
        "insert into reservation_item (id, location_id, quantity, raw_quantity, inventory_item_id) "
        "select 'resitem_hand_' || id, location_id, 2, '{\"value\": \"2\"}', inventory_item_id "
        "from inventory_level where id = $1",
        order.level_ids[0],
    )
    await clinic.conn.execute(
        'update inventory_level set reserved_quantity = 3, raw_reserved_quantity = \'{"value": "3"}\' where id = $1',
        order.level_ids[0],
    )
    return order


async def many_digits(clinic: Clinic) -> PlacedOrder:
    """JavaScript's number has 17 digits, its raw form 20."""
    order = await clinic.captured(payments=SYSTEM)
    await clinic.conn.execute(
        "update payment set amount = amount + 0.00000000000001 where id = $1", order.payment_ids[0]
    )
    return order


HEALTHY: Mapping[str, State] = {
    name: state
    for name, state in globals().items()
    if callable(state) and name.islower() and not name.startswith("_") and getattr(state, "__module__", "") == __name__
}
