"""Which order's capture a found hold is, when it is due, and who is told of one that we cannot serve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.ports import NewAuthorization
from app.usecases.schedule_captures import schedule_captures
from tests.usecases.hand import Hand

AT = datetime(2026, 11, 27, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)

FIRST, LATER = (NewAuthorization(name, "pay_1", at) for name, at in (("order_1", AT), ("order_2", AT + HOUR)))
GONE, GONE_LATER = (
    NewAuthorization(name, "pay_1", at, is_canceled=True) for name, at in (("order_3", AT), ("order_4", AT + 2 * HOUR))
)


FOUND = [
    ([FIRST], "order_1", AT),
    ([FIRST, LATER], "order_1", AT + HOUR),
    ([LATER, FIRST], "order_2", AT + HOUR),
    ([FIRST, GONE_LATER], "order_1", AT),
    ([GONE_LATER, FIRST], "order_1", AT),
    ([GONE, FIRST, LATER], "order_1", AT + HOUR),
    ([GONE, GONE_LATER], "order_3", AT + 2 * HOUR),
    ([GONE_LATER], "order_4", AT + 2 * HOUR),
]


async def test_a_hold_has_one_capture_at_the_end_of_the_last_period(hand: Hand) -> None:
    other = NewAuthorization("order_9", "pay_9", AT)
    hand = hand.with_policy(grace_period=HOUR, capture_delay=timedelta(seconds=30))
    for found, order_id, placed_at in FOUND:
        await hand.shop.conn.execute("delete from grace.jobs")
        await schedule_captures(hand.services, hand.shop.conn, [*found, other])
        rows = await hand.shop.conn.fetch("select order_id, subject, kind, run_at from grace.jobs order by subject")
        assert [tuple(row) for row in rows] == [
            (order_id, "pay_1", "capture", placed_at + HOUR + timedelta(seconds=30)),
            ("order_9", "pay_9", "capture", AT + HOUR + timedelta(seconds=30)),
        ], found
    assert await hand.shop.conn.fetchval("select count(*) from grace.incidents") == 0


async def test_a_provider_that_no_key_serves_is_told_of_once_an_order(hand: Hand) -> None:
    found = [NewAuthorization("order_1", "pay_1", AT, unsupported="pp_stripe_us"), FIRST]
    for _ in range(2):
        await schedule_captures(hand.services, hand.shop.conn, found)
    rows = await hand.shop.conn.fetch("select order_id, kind, detail from grace.incidents")
    said = "pay_1: pp_stripe_us is none of STRIPE_PROVIDERS; capture or void it by hand"
    assert [tuple(row) for row in rows] == [("order_1", "unsupported_provider", said)]
