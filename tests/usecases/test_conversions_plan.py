"""A shop whose orders were all made from drafts, never analyzed: looking for conversions reads a window of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.usecases.track_conversions import CURSOR, WINDOW, track_conversions
from app.usecases.track_payments import start_tracking
from tests.benchmarks.orders import copy_orders
from tests.usecases.hand import Hand
from tests.usecases.test_without_statistics import _READ, _REINDEX, _UNANALYZED, flush, place
from tests.world import Shop

ORDERS = 3_000
A_ORDER = 8
"""Rows, or entries of one index, for each order: it has a line, a reservation, a payment."""


@pytest.mark.parametrize("restored", [False, True], ids=["grown", "restored"])
async def test_a_turn_reads_a_window(hand: Hand, shop: Shop, restored: bool) -> None:
    for row in await shop.conn.fetch(_UNANALYZED):
        await shop.conn.execute(row[0])
    now = datetime.now(UTC)
    await start_tracking(hand.services, now - timedelta(days=60))
    template = await place(shop)
    await copy_orders(shop.conn, [template.id], first=1, count=ORDERS, placed_at=now, spread="30 days")
    await shop.conn.execute("delete from order_cart")
    if restored:
        for row in await shop.conn.fetch(_REINDEX):
            await shop.conn.execute(row[0])
    scheduled = 0
    for turn in range(ORDERS // WINDOW + 6):
        if turn in {1, ORDERS // WINDOW // 2, ORDERS // WINDOW + 3}:  # the first, amid the round, and of the next round
            await flush(hand)
            await shop.conn.execute("select pg_stat_reset()")
            scheduled += await track_conversions(hand.services)
            await flush(hand)
            reads = {row["relation"]: row["read"] for row in await shop.conn.fetch(_READ)}
            assert {name: read for name, read in reads.items() if read > A_ORDER * WINDOW} == {}, turn
        else:
            scheduled += await track_conversions(hand.services)
    assert scheduled == ORDERS + 1
    assert await shop.conn.fetchval("select count(*) from grace.conversions") == ORDERS
    assert await shop.conn.fetchval("select position from grace.cursors where name = $1", CURSOR) > ""
