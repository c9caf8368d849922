"""The searches for late money read a window at a time: what does not fit into one is found by the next."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import capture_by_medusa, refund_by_medusa
from app.embedded.shop_rows import now_ms
from app.embedded.shop_sessions import open_session
from app.store import cursors
from app.usecases import find_late_money
from app.usecases.cancel_order import Canceled
from app.usecases.find_late_money import find_arrived_money, find_kept_money
from app.usecases.track_payments import OVERLAP, start_tracking
from plugins.medusa_bridge.ids import payment_id_at
from tests.usecases.hand import Hand
from tests.world import Shop

HOUR = timedelta(hours=1)


async def canceled(hand: Hand, shop: Shop, made_at: datetime) -> PlacedOrder:
    """A canceled order that a hold was made for then, which nothing of ours knows."""
    order = await shop.place()
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    await move(shop, order, made_at)
    await shop.conn.execute("update payment set canceled_at = null where payment_collection_id = any($1)",
                            list(order.collection_ids))  # fmt: skip
    return order


async def move(shop: Shop, order: PlacedOrder, made_at: datetime) -> None:
    await shop.conn.execute(
        "update payment set id = $2 || right(id, 16), created_at = $3, updated_at = $3 "
        "where payment_collection_id = any($1)",
        list(order.collection_ids),
        payment_id_at(made_at),
        made_at,
    )


async def test_arrivals_beyond_a_round_are_found_by_the_next_rounds(
    hand: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_late_money, "WINDOW", 1)
    monkeypatch.setattr(find_late_money, "MAX_READS", 2)
    now = now_ms()
    await start_tracking(hand.services, now - 5 * HOUR)
    orders = [await canceled(hand, shop, now - 4 * HOUR + number * 10 * OVERLAP) for number in range(5)]
    rounds = [await find_arrived_money(hand.services) for _ in range(9)]
    assert {order_id for found in rounds for order_id in found} == {order.id for order in orders}
    assert len(rounds[0]) == 2, "no more than two windows"
    assert rounds[-1] == [], "and then there is nothing left"


async def test_a_window_goes_on_where_it_ended_within_a_round(
    hand: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_late_money, "WINDOW", 1)
    now = now_ms()
    await start_tracking(hand.services, now - 5 * HOUR)
    orders = [await canceled(hand, shop, now - 2 * HOUR + number * OVERLAP) for number in range(3)]
    assert await find_arrived_money(hand.services) == sorted(order.id for order in orders)


async def test_what_appears_within_the_overlap_of_a_look_is_found_and_what_is_older_is_not(
    hand: Hand, shop: Shop
) -> None:
    """Ids sort by the clocks of Medusa's hosts, and rows appear at their commit."""
    now = now_ms()
    await start_tracking(hand.services, now - 5 * HOUR)
    assert await find_arrived_money(hand.services) == []
    late = await canceled(hand, shop, now - OVERLAP + timedelta(seconds=40))
    await canceled(hand, shop, now - OVERLAP - timedelta(minutes=2))
    assert await find_arrived_money(hand.services) == [late.id]


async def test_the_walk_round_all_orders_comes_by_each_of_them_and_begins_again(
    hand: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_late_money, "WINDOW", 2)
    now = now_ms()
    await start_tracking(hand.services, now - 5 * HOUR)
    orders = [await canceled(hand, shop, now - HOUR) for _ in range(5)]
    expected = sorted(order.id for order in orders)
    rounds = [await find_kept_money(hand.services) for _ in range(6)]
    assert [sorted(found) for found in rounds] == 2 * [expected[:2], expected[2:4], expected[4:]]


@pytest.mark.parametrize("search", [find_kept_money, find_arrived_money])
@pytest.mark.parametrize(("minutes", "found"), [(-30, True), (-90, False), (30, True)])
async def test_money_from_before_this_sidecar_is_left_to_the_shop_save_for_an_hour(
    hand: Hand, shop: Shop, search: object, minutes: int, found: bool
) -> None:
    began = now_ms() - 9 * HOUR
    await start_tracking(hand.services, began + hand.services.policy.grace_period)
    order = await canceled(hand, shop, began + timedelta(minutes=minutes))
    assert callable(search)
    assert await search(hand.services) == ([order.id] if found else [])


async def test_where_nothing_says_when_it_began_all_money_counts(hand: Hand, shop: Shop) -> None:
    order = await canceled(hand, shop, now_ms() - timedelta(days=400))
    assert await cursors.peek(shop.conn, "payments.start") is None
    assert await find_kept_money(hand.services) == [order.id]
    assert await find_arrived_money(hand.services) == [order.id]


async def test_another_workers_turn_is_left_to_it(hand: Hand, shop: Shop) -> None:
    await start_tracking(hand.services, now_ms() - 5 * HOUR)
    order = await canceled(hand, shop, now_ms() - HOUR)
    for search, name in ((find_kept_money, "money.walk"), (find_arrived_money, "money.arrived")):
        await cursors.start(shop.conn, name, "" if name == "money.walk" else (now_ms() - 5 * HOUR).isoformat())
        async with shop.conn.transaction():
            assert await cursors.take(shop.conn, name) is not None
            assert await search(hand.services) == []
        assert await search(hand.services) == [order.id]


SESSIONS: dict[str, tuple[str, bool]] = {
    "may be paid": ("select", True),
    "paid": ("update payment_session set data = jsonb_set(data, '{status}', '\"succeeded\"')", True),
    "paid and given back": ('update payment_session set metadata = \'{"grace_refunded": "5"}\'', False),
    "canceled": ("update payment_session set data = jsonb_set(data, '{status}', '\"canceled\"')", False),
    "of another gateway": ("update payment_session set provider_id = 'pp_paypal_paypal'", False),
    "of a method of Stripe's": ("update payment_session set provider_id = 'pp_stripe-ideal_stripe'", True),
    "without an intent": ("update payment_session set data = '{}'", False),
    "deleted": ("update payment_session set deleted_at = now()", False),
    "of another link": ("update order_payment_collection set deleted_at = now()", False),
    "of an open order": ("update \"order\" set status = 'pending', canceled_at = null", False),
    "of an order that was archived": ("update \"order\" set status = 'archived'", True),
}


@pytest.mark.parametrize("name", SESSIONS)
async def test_sessions_that_the_walk_stops_at(hand: Hand, shop: Shop, name: str) -> None:
    change, found = SESSIONS[name]
    order = await shop.place(payments=())
    await open_session(shop.conn, order, {"id": "pi_1", "status": "processing"}, amount=Decimal(5))
    assert isinstance(await hand.cancel(order), Canceled)
    await shop.conn.execute(change)
    assert await find_kept_money(hand.services) == ([order.id] if found else [])


PAYMENTS: dict[str, tuple[str, bool]] = {
    "closed by the cancel": ("select", False),
    "held": ("update payment set canceled_at = null", True),
    "held, of nothing": ("update payment set canceled_at = null, amount = 0", False),
    "deleted, which leaves its session": ("update payment set deleted_at = now()", True),
    "deleted, with its session": (
        "update payment set canceled_at = null, deleted_at = now(); update payment_session set deleted_at = now()",
        False,
    ),
    "held, and its capture waits": (
        "update payment set canceled_at = null; update grace.jobs set state = 'scheduled' where kind = 'capture'",
        False,
    ),
    "held, and its capture is queued": (
        "update payment set canceled_at = null; update grace.jobs set state = 'queued' where kind = 'capture'",
        False,
    ),
    "held, and its capture was given up": (
        "update payment set canceled_at = null; update grace.jobs set state = 'dead' where kind = 'capture'",
        True,
    ),
    "captured, without a row that says how much": ("update payment set captured_at = now()", True),
}


@pytest.mark.parametrize("name", PAYMENTS)
async def test_payments_that_the_walk_stops_at(hand: Hand, shop: Shop, name: str) -> None:
    change, found = PAYMENTS[name]
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.cancel(order)
    await shop.conn.execute(change)
    assert await find_kept_money(hand.services) == ([order.id] if found else [])


@pytest.mark.parametrize(("refunded", "found"), [(None, True), ("29", True), ("29.7381", False)])
async def test_what_was_captured_and_not_given_back_is_found(
    hand: Hand, shop: Shop, refunded: str | None, found: bool
) -> None:
    order = await shop.place(amounts=("29.7381",))
    await hand.cancel(order)
    await shop.conn.execute("update payment set canceled_at = null")
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    if refunded is not None:
        await refund_by_medusa(shop.conn, order, order.payment_ids[0], Decimal(refunded))
    assert await find_kept_money(hand.services) == ([order.id] if found else [])
