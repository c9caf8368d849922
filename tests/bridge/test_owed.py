"""What an order owes, from its summary, its transactions and its capture rows."""

from __future__ import annotations

from decimal import Decimal

from app.domain.jobs import JobKind
from app.domain.order import Order
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import add_credit_line, capture_by_medusa, drop_capture, refund_by_medusa, settle_capture
from app.embedded.shop_rows import next_version, now_ms
from app.store import jobs
from plugins.medusa_bridge import order_rows
from tests.world import Shop

Sums = tuple[Decimal | None, ...]


def _sums(*sums: str | int | None) -> Sums:
    return tuple(None if value is None else Decimal(value) for value in sums)


async def _read(shop: Shop, order: PlacedOrder) -> Order:
    unlocked = await order_rows.read(shop.conn, order.id, lock=False)
    locked = await order_rows.read(shop.conn, order.id, lock=True)
    assert unlocked is not None
    assert locked is not None
    assert (unlocked.total, unlocked.paid, unlocked.mark) == (locked.total, locked.paid, locked.mark)
    return locked


def _unbooked(order: Order) -> dict[str, Decimal]:
    return {payment.id: payment.unbooked for payment in order.payments}


def _capturing(order: Order) -> set[str]:
    return {payment.id for payment in order.payments if payment.is_capturing}


async def test_a_new_order_owes_its_total(shop: Shop) -> None:
    order = await _read(shop, await shop.place(amounts=("29.7381", "10")))

    assert (order.total, order.paid, order.owed) == _sums("39.7381", 0, "39.7381")


async def test_a_credit_line_lowers_what_is_owed_and_the_tag_changes(shop: Shop) -> None:
    placed = await shop.place(amounts=("30",))
    before = await _read(shop, placed)

    await add_credit_line(shop.conn, placed, Decimal(10))
    less = await _read(shop, placed)
    await add_credit_line(shop.conn, placed, Decimal(20))
    nothing = await _read(shop, placed)

    assert (less.total, less.owed) == _sums(20, 20)
    assert (nothing.total, nothing.owed) == _sums(0, 0)
    assert len({before.mark, less.mark, nothing.mark}) == 3


async def test_a_capture_counts_from_its_row_on_and_once(shop: Shop) -> None:
    placed = await shop.place(amounts=("30", "20"))

    capture = await capture_by_medusa(shop.conn, placed, placed.payment_ids[0], Decimal(12), in_flight=True)
    in_flight = await _read(shop, placed)
    await settle_capture(shop.conn, placed, capture)
    booked = await _read(shop, placed)

    first, second = placed.payment_ids
    assert (in_flight.paid, in_flight.owed) == (booked.paid, booked.owed) == _sums(12, 38)
    assert _unbooked(in_flight) == {first: Decimal(12), second: Decimal(0)}
    assert _unbooked(booked) == {first: Decimal(0), second: Decimal(0)}


async def test_a_capture_that_stripe_refused_counts_for_nothing(shop: Shop) -> None:
    placed = await shop.place(amounts=("30",))

    await drop_capture(shop.conn, await capture_by_medusa(shop.conn, placed, placed.payment_ids[0], in_flight=True))

    assert (await _read(shop, placed)).owed == 30


async def test_a_refund_lowers_the_total_as_well_as_what_was_paid(shop: Shop) -> None:
    placed = await shop.place(amounts=("30", "20"))
    await capture_by_medusa(shop.conn, placed, placed.payment_ids[0])

    await refund_by_medusa(shop.conn, placed, placed.payment_ids[0], Decimal(10))

    order = await _read(shop, placed)
    assert (order.total, order.paid, order.owed) == _sums(40, 20, 20)


async def test_more_paid_than_owed_is_nothing_owed(shop: Shop) -> None:
    placed = await shop.place(amounts=("30",))
    await add_credit_line(shop.conn, placed, Decimal(10))
    await capture_by_medusa(shop.conn, placed, placed.payment_ids[0])

    order = await _read(shop, placed)

    assert (order.total, order.paid, order.owed) == _sums(20, 30, 0)


async def test_captured_at_without_a_row_is_paid_too(shop: Shop) -> None:
    placed = await shop.place(amounts=("30", "20"))
    await shop.conn.execute("update payment set captured_at = now() where id = $1", placed.payment_ids[0])

    assert (await _read(shop, placed)).owed == 20


async def test_of_two_summaries_of_a_version_the_lower_total_counts(shop: Shop) -> None:
    placed = await shop.place(amounts=("30",))
    await shop.conn.execute(
        "insert into order_summary (id, order_id, version, totals) values ('ordsum_other', $1, 1, "
        """'{"current_order_total": 25, "raw_current_order_total": {"value": "25", "precision": 20}}')""",
        placed.id,
    )

    assert (await _read(shop, placed)).owed == 25


async def test_only_the_present_version_counts_and_no_deleted_summary(shop: Shop) -> None:
    placed = await shop.place(amounts=("30",))
    await next_version(shop.conn, placed.id, now_ms(), credit=Decimal(10))
    later = await _read(shop, placed)
    await shop.conn.execute(
        "insert into order_summary (id, order_id, version, totals, deleted_at) values ('ordsum_gone', $1, 2, "
        """'{"current_order_total": 5}', now())""",
        placed.id,
    )

    assert later.total == 20
    assert (await _read(shop, placed)).total == 20


async def test_without_a_summary_all_that_is_held_is_owed(shop: Shop) -> None:
    placed = await shop.place(amounts=("30", "20"))
    await capture_by_medusa(shop.conn, placed, placed.payment_ids[0])
    await shop.conn.execute("delete from order_summary where order_id = $1", placed.id)

    order = await _read(shop, placed)

    assert (order.total, order.owed) == _sums(None, 20)


async def test_a_deleted_transaction_is_no_payment(shop: Shop) -> None:
    placed = await shop.place(amounts=("30",))
    await shop.conn.execute(
        "insert into order_transaction (id, order_id, amount, raw_amount, currency_code, reference, deleted_at) "
        "values ('ordtrx_gone', $1, 7, '{}', 'eur', 'gift_card', now())",
        placed.id,
    )
    gone = await _read(shop, placed)
    await shop.conn.execute("update order_transaction set deleted_at = null where id = 'ordtrx_gone'")

    assert (gone.owed, (await _read(shop, placed)).owed) == _sums(30, 23)


async def test_a_capture_of_ours_that_may_have_reached_stripe_is_told(shop: Shop) -> None:
    placed = await shop.place(amounts=("30", "20"))
    await jobs.schedule(shop.conn, JobKind.CAPTURE, placed.id, placed.payment_ids)
    told = {}
    for state, in_doubt in (("scheduled", False), ("scheduled", True), ("queued", True), ("done", True)):
        await shop.conn.execute(
            "update grace.jobs set state = $2, in_doubt = $3 where subject = $1", placed.payment_ids[0], state, in_doubt
        )
        told[state, in_doubt] = _capturing(await _read(shop, placed))
    await shop.conn.execute(
        "update grace.jobs set state = 'running', lease_until = now() where subject = $1", placed.payment_ids[0]
    )
    running = _capturing(await _read(shop, placed))

    first = {placed.payment_ids[0]}
    assert told == {
        ("scheduled", False): set(),
        ("scheduled", True): first,
        ("queued", True): first,
        ("done", True): set(),
    }
    assert running == first


async def test_a_booked_capture_books_no_other(shop: Shop) -> None:
    placed = await shop.place(amounts=("30", "20"))
    first, second = placed.payment_ids
    done = await capture_by_medusa(shop.conn, placed, first, Decimal(12), in_flight=True)
    await settle_capture(shop.conn, placed, done)
    await capture_by_medusa(shop.conn, placed, second, Decimal(5), in_flight=True)
    await capture_by_medusa(shop.conn, placed, first, Decimal(3), in_flight=True)

    order = await _read(shop, placed)

    assert _unbooked(order) == {first: Decimal(3), second: Decimal(5)}
    assert order.paid == 20


async def test_a_collection_is_canceled_by_its_own_status_alone(shop: Shop) -> None:
    placed = await shop.place(amounts=("30", "20"), same_collection=False)
    await shop.conn.execute("update payment_collection set status = 'canceled' where id = $1", placed.collection_ids[1])
    order = await _read(shop, placed)
    told = {payment.collection_id: payment.collection_canceled for payment in order.payments}
    assert told == dict(zip(placed.collection_ids, [False, True], strict=True))
