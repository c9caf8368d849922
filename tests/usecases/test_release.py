"""Stock of a canceled order is released exactly once; the column equals the sum of the live reservations."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from app.domain.jobs import JobKind, JobState
from app.embedded.shop import Line, PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa
from app.embedded.shop_parcels import cancel_fulfillment, fulfill
from app.embedded.shop_rows import insert, move_stock, new_id, now_ms, twins
from tests.usecases.hand import Hand, Killed, nobody_is_told
from tests.world import Shop


async def test_a_release_leaves_the_rows_of_medusas_own_cancel(hand: Hand, shop: Shop) -> None:
    ours, theirs = await shop.place(lines=[Line(quantity=3)]), await shop.place(lines=[Line(quantity=3)])
    await hand.cancel(ours)
    assert await _reserved(shop, ours) == [Decimal(3)], "not before the job ran"

    job = await hand.run(ours, JobKind.RELEASE)
    await cancel_by_medusa(shop.conn, theirs)

    assert job["state"] == "done"
    assert await _reserved(shop, ours) == await _reserved(shop, theirs) == [Decimal(0)]
    reservation = await shop.row("select * from reservation_item where id = $1", ours.reservation_ids[0])
    medusas = await shop.row("select * from reservation_item where id = $1", theirs.reservation_ids[0])
    assert (reservation["quantity"], reservation["raw_quantity"]) == (medusas["quantity"], medusas["raw_quantity"])
    assert reservation["deleted_at"] == reservation["updated_at"] is not None
    assert reservation["deleted_at"] == _in_ms(reservation["deleted_at"]), "Medusa writes milliseconds"
    level = await shop.row("select * from inventory_level where id = $1", ours.level_ids[0])
    assert level["stocked_quantity"] == 1000
    await _columns_are_true(shop)


async def test_several_lines_and_orders_share_stock(hand: Hand, shop: Shop) -> None:
    first = await shop.place(lines=[Line(quantity=2), Line(quantity=5)])
    shirts, caps = first.inventory_item_ids
    again = Line(quantity=3, inventory_item_id=shirts)
    second = await shop.place(lines=[again, Line(quantity=1, inventory_item_id=caps), again])
    assert await _reserved(shop, first) == [Decimal(8), Decimal(6)]

    await hand.cancel(second)
    assert (await hand.run(second, JobKind.RELEASE))["state"] == "done"
    assert await _reserved(shop, first) == [Decimal(2), Decimal(5)], "the other order's stay"
    await _columns_are_true(shop)

    await hand.cancel(first)
    await hand.run(first, JobKind.RELEASE)
    assert await _reserved(shop, first) == [Decimal(0), Decimal(0)]
    await _columns_are_true(shop)


@pytest.mark.parametrize(
    "quantity", [Decimal("0.5"), Decimal("1.125"), Decimal("12345678.25")], ids=["0.5", "1.125", "12345678.25"]
)
async def test_quantities_have_decimals(hand: Hand, shop: Shop, quantity: Decimal) -> None:
    kept = await shop.place(lines=[Line(quantity=1)])
    shared = kept.inventory_item_ids[0]
    order = await shop.place(lines=[Line(quantity=quantity, inventory_item_id=shared)])  # type: ignore[arg-type]
    await hand.cancel(order)
    await hand.run(order, JobKind.RELEASE)
    assert await _reserved(shop, kept) == [Decimal(1)]
    await _columns_are_true(shop)


async def test_lines_without_managed_stock_have_nothing_to_release(hand: Hand, shop: Shop) -> None:
    order = await shop.place(lines=[Line(managed=False), Line(quantity=4)])
    none = await shop.place(lines=[Line(managed=False)])
    for canceled in (order, none):
        await hand.cancel(canceled)
        assert (await hand.run(canceled, JobKind.RELEASE))["state"] == "done"
    assert await _reserved(shop, order) == [Decimal(0)]
    assert await nobody_is_told(hand, none)


async def test_what_medusa_released_already_is_not_released_again(hand: Hand, shop: Shop) -> None:
    order = await shop.place(lines=[Line(quantity=2)])
    other = await shop.place(lines=[Line(quantity=7, inventory_item_id=order.inventory_item_ids[0])])
    await cancel_by_medusa(shop.conn, order)
    await hand.schedule(order, JobKind.RELEASE, [order.id])
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    assert await _reserved(shop, other) == [Decimal(7)]


async def test_reservations_of_an_unpacked_parcel_are_released(hand: Hand, shop: Shop) -> None:
    """The version rose twice, and the reservation is a new one."""
    order = await shop.place(lines=[Line(quantity=2)])
    await cancel_fulfillment(shop.conn, order, await fulfill(shop.conn, order))
    assert await _reserved(shop, order) == [Decimal(2)]
    await hand.cancel(order)
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    assert await _reserved(shop, order) == [Decimal(0)]
    await _columns_are_true(shop)


async def test_the_reservation_of_an_undone_edits_line_is_released_with_the_order(hand: Hand, shop: Shop) -> None:
    """Medusa soft-deletes the items of a version that is undone; a reservation made for one of them may stay."""
    order = await shop.place(lines=[Line(quantity=2)])
    other = await shop.place(lines=[Line(quantity=1)])
    shirts = order.inventory_item_ids[0]
    undone = [await _undo_edit(shop, one, shirts, quantity=3) for one in (order, order, other)]
    assert await _reserved(shop, order) == [Decimal(2 + 3 * 3)]
    await hand.cancel(order)
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    live = await shop.conn.fetch(
        "select line_item_id from reservation_item where inventory_item_id = $1 and deleted_at is null", shirts
    )
    assert [row["line_item_id"] for row in live] == undone[2:], "the other order keeps its own"
    assert await _reserved(shop, order) == [Decimal(3)]
    await _columns_are_true(shop)


async def _undo_edit(shop: Shop, order: PlacedOrder, inventory_item_id: str, *, quantity: int) -> str:
    """Leave what an edit that added a line and was undone leaves. The line's id."""
    moment = now_ms()
    stamps = {"created_at": moment, "updated_at": moment}
    line, zero = new_id("ordli", moment), Decimal(0)
    title = {"title": "Cap", "requires_shipping": True, "metadata": {}}
    await insert(shop.conn, "order_line_item", {"id": line, **title, **twins(unit_price=Decimal(5)), **stamps})
    counts = ("fulfilled", "shipped", "delivered", "return_requested", "return_received", "return_dismissed")
    item = {"id": new_id("orditem", moment), "order_id": order.id, "version": 2, "item_id": line, "deleted_at": moment}
    quantities = twins(
        quantity=Decimal(quantity), written_off_quantity=zero, **{f"{name}_quantity": zero for name in counts}
    )
    await insert(shop.conn, "order_item", {**item, **quantities, "metadata": {}, **stamps})
    reservation = {"id": new_id("resitem", moment), "line_item_id": line, "location_id": order.location_id}
    stock = {"inventory_item_id": inventory_item_id, "allow_backorder": False}
    await insert(shop.conn, "reservation_item", {**reservation, **stock, **twins(quantity=Decimal(quantity)), **stamps})
    await move_stock(shop.conn, inventory_item_id, order.location_id, reserved=Decimal(quantity))
    return line


async def test_stock_of_an_order_that_is_open_again_is_kept(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "removed"
    assert await _reserved(shop, order) == [Decimal(1)]


async def test_a_reservation_that_appears_meanwhile_is_released_next(hand: Hand, shop: Shop) -> None:
    order = await shop.place(lines=[Line(quantity=2)])
    await hand.cancel(order)

    async def medusa_reserves_again() -> None:
        await shop.conn.execute(
            "insert into reservation_item (id, line_item_id, location_id, inventory_item_id, quantity, raw_quantity) "
            "select 'resitem_new', line_item_id, location_id, inventory_item_id, quantity, raw_quantity "
            "from reservation_item where id = $1",
            order.reservation_ids[0],
        )
        await shop.conn.execute(
            'update inventory_level set reserved_quantity = 4, raw_reserved_quantity = \'{"value": "4"}\''
        )

    late = await hand.before("release.record", medusa_reserves_again).run(order, JobKind.RELEASE)
    assert (late["state"], late["failures"]) == ("scheduled", 0)
    assert await _reserved(shop, order) == [Decimal(2)]
    assert await hand.run_until(order, JobKind.RELEASE, JobState.DONE) == 1
    assert await _reserved(shop, order) == [Decimal(0)]


async def test_what_medusa_releases_meanwhile_is_not_released_again(hand: Hand, shop: Shop) -> None:
    order = await shop.place(lines=[Line(quantity=2), Line(quantity=3)])
    other = await shop.place(lines=[Line(quantity=7, inventory_item_id=order.inventory_item_ids[0])])
    await hand.cancel(order)

    async def medusa_releases_one() -> None:
        await shop.conn.execute(
            "update reservation_item set deleted_at = now() where id = $1", order.reservation_ids[0]
        )
        await move_stock(shop.conn, order.inventory_item_ids[0], order.location_id, reserved=Decimal(-2))

    job = await hand.before("release.record", medusa_releases_one).run(order, JobKind.RELEASE)
    assert job["state"] == "done"
    assert await _reserved(shop, other) == [Decimal(7)]
    await _columns_are_true(shop)


async def test_releases_of_many_orders_at_once_lose_no_update(hand: Hand, shop: Shop) -> None:
    first = await shop.place(lines=[Line(quantity=2)])
    shirts = Line(quantity=2, inventory_item_id=first.inventory_item_ids[0])
    orders = [first, *[await shop.place(lines=[shirts, shirts]) for _ in range(6)]]
    for order in orders:
        await hand.cancel(order)
    refs = [await hand.queue(order, JobKind.RELEASE) for order in orders]

    await asyncio.gather(*(hand.deliver(JobKind.RELEASE, ref) for ref in refs for _ in range(2)))

    assert {(await hand.job(order, JobKind.RELEASE))["state"] for order in orders} == {"done"}
    assert await _reserved(shop, first) == [Decimal(0)]
    await _columns_are_true(shop)


async def test_a_worker_that_died_before_the_commit_released_nothing(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.cancel(order)
    with pytest.raises(Killed):
        await hand.dying_at("release.record").run(order, JobKind.RELEASE)
    assert await _reserved(shop, order) == [Decimal(1)]
    await hand.bury()
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    assert await _reserved(shop, order) == [Decimal(0)]


async def test_two_workers_with_one_release_release_once(hand: Hand, shop: Shop) -> None:
    """The first is slow and loses its lease; the second releases; the first must not."""
    order = await shop.place(lines=[Line(quantity=2)])
    await shop.place(lines=[Line(quantity=5, inventory_item_id=order.inventory_item_ids[0])])
    await hand.cancel(order)

    async def another_worker_takes_over() -> None:
        await hand.bury()
        await shop.conn.execute("update grace.jobs set state = 'done' where kind = 'release'")
        await shop.conn.execute(
            "update reservation_item set deleted_at = now() where id = $1", order.reservation_ids[0]
        )
        await shop.conn.execute("update inventory_level set reserved_quantity = 5")

    await hand.before("release.record", another_worker_takes_over).run(order, JobKind.RELEASE)
    assert await _reserved(shop, order) == [Decimal(5)]


async def _reserved(shop: Shop, order: PlacedOrder) -> list[Any]:
    rows = await shop.conn.fetch(
        "select inventory_item_id, reserved_quantity from inventory_level where inventory_item_id = any($1)",
        order.inventory_item_ids,
    )
    reserved = {row["inventory_item_id"]: row["reserved_quantity"] for row in rows}
    return [reserved[item_id] for item_id in order.inventory_item_ids]


async def _columns_are_true(shop: Shop) -> None:
    wrong = await shop.conn.fetch(
        "select l.* from inventory_level as l where l.reserved_quantity is distinct from (select "
        "coalesce(sum(quantity), 0) from reservation_item as r where r.inventory_item_id = l.inventory_item_id "
        "and r.deleted_at is null) "
        "or (l.raw_reserved_quantity ->> 'value')::numeric is distinct from l.reserved_quantity "
        "or (l.raw_reserved_quantity ->> 'value') ~ '\\.0*$'"
    )
    assert wrong == []


def _in_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
