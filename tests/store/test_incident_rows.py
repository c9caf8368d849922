"""``grace.incidents`` and ``grace.alerts``, statement by statement: what opens, closes, is settled and told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app.domain.incidents import IncidentKind
from app.store import alerts, incidents
from app.telling import AlertEvent
from tests.databases import one_database_a_file
from tests.leftovers import connected
from tests.world import fetch_one

database = one_database_a_file()
TABLES = "jobs events incidents alerts cursors heartbeats cancellations pending_stripe_events operator_sessions"


@pytest.fixture
async def conn(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to this file's database, whose tables are empty."""
    async with connected(database) as connection:
        for table in TABLES.split():
            await connection.execute(f"delete from grace.{table}")
        yield connection


VOID, CAPTURE, LATE = IncidentKind.VOID_FAILED, IncidentKind.CAPTURE_FAILED, IncidentKind.LATE_MONEY
ORDER, OTHER = "order_1", "order_2"
LEASE = timedelta(seconds=30)


async def told(conn: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await conn.fetch("select order_id, kind, detail ->> 'incident' as incident from grace.events order by id")
    return [(row["order_id"], f"{row['kind']}:{row['incident']}") for row in rows]


async def the(conn: asyncpg.Connection, order_id: str, kind: IncidentKind) -> list[dict[str, Any]]:
    query = "select * from grace.incidents where order_id = $1 and kind = $2 order by id"
    return [dict(row) for row in await conn.fetch(query, order_id, kind.value)]


async def settled(conn: asyncpg.Connection, order_id: str, kind: IncidentKind) -> None:
    number = await conn.fetchval(
        "select id from grace.incidents where order_id = $1 and kind = $2 and closed_at is null", order_id, kind.value
    )
    await incidents.settle(conn, number, closed_by="Ada (ada@shop.test)", note="done")


async def test_an_incident_opens_once_and_its_detail_is_the_last(conn: asyncpg.Connection) -> None:
    await incidents.open_(conn, ORDER, VOID, "first")
    await incidents.open_(conn, ORDER, VOID, "second")
    await incidents.open_(conn, ORDER, CAPTURE, "another kind")
    await incidents.open_(conn, OTHER, VOID, "another order")
    assert [one["detail"] for one in await the(conn, ORDER, VOID)] == ["second"]
    assert await incidents.open_of(conn, ORDER) == {VOID, CAPTURE}
    assert await incidents.count_open(conn) == {VOID: 2, CAPTURE: 1}
    assert await told(conn) == [
        (ORDER, "incident_opened:void_failed"),
        (ORDER, "incident_opened:capture_failed"),
        (OTHER, "incident_opened:void_failed"),
    ]


async def test_closing_is_about_one_order_and_kind(conn: asyncpg.Connection) -> None:
    for order_id, kind in ((ORDER, VOID), (ORDER, CAPTURE), (OTHER, VOID)):
        await incidents.open_(conn, order_id, kind, "x")
    await incidents.close(conn, ORDER, VOID)
    assert await incidents.open_of(conn, ORDER) == {CAPTURE}
    assert await incidents.open_of(conn, OTHER) == {VOID}
    closed_at = (await the(conn, ORDER, VOID))[0]["closed_at"]
    await incidents.close(conn, ORDER, VOID)
    assert (await the(conn, ORDER, VOID))[0]["closed_at"] == closed_at
    assert (await told(conn))[3:] == [(ORDER, "incident_closed:void_failed")], "once"
    await incidents.open_(conn, ORDER, VOID, "x")
    assert len(await the(conn, ORDER, VOID)) == 2, "what was over and comes again is another incident"


async def test_what_was_settled_opens_for_something_new_alone(conn: asyncpg.Connection) -> None:
    await incidents.open_(conn, ORDER, VOID, "x")
    await settled(conn, ORDER, VOID)
    (row,) = await the(conn, ORDER, VOID)
    assert (row["closed_by"], row["note"], row["settled"]) == ("Ada (ada@shop.test)", "done", True)
    assert row["announced_at"] is not None, "nobody is told of what a person has seen to"
    await incidents.open_(conn, ORDER, VOID, "x")
    await incidents.open_(conn, ORDER, CAPTURE, "x")
    await incidents.open_(conn, OTHER, VOID, "x")
    assert await incidents.open_of(conn, ORDER) == {CAPTURE}
    assert await incidents.open_of(conn, OTHER) == {VOID}
    await incidents.open_(conn, ORDER, VOID, "y")
    await incidents.open_(conn, ORDER, VOID, "x")
    assert [one["detail"] for one in await the(conn, ORDER, VOID)] == ["x", "x"], "the open one has the last word"


async def test_over_a_settled_one_excuses_nothing_and_is_not_told_as_closed_again(conn: asyncpg.Connection) -> None:
    await incidents.open_(conn, ORDER, VOID, "x")
    await settled(conn, ORDER, VOID)
    (before,) = await the(conn, ORDER, VOID)
    await incidents.close(conn, ORDER, VOID)
    (after,) = await the(conn, ORDER, VOID)
    assert after == {**before, "settled": False}, "when and by whom it was closed stays"
    assert await told(conn) == [(ORDER, "incident_opened:void_failed")]
    await incidents.open_(conn, ORDER, VOID, "x")
    assert await incidents.open_of(conn, ORDER) == {VOID}


async def test_only_an_open_one_is_settled_and_an_announcement_keeps_its_time(conn: asyncpg.Connection) -> None:
    await incidents.open_(conn, ORDER, VOID, "x")
    (new,) = await incidents.unannounced(conn)
    await incidents.mark_announced(conn, [new])
    await conn.execute("update grace.incidents set announced_at = announced_at - interval '1 hour'")
    (row,) = await the(conn, ORDER, VOID)
    await settled(conn, ORDER, VOID)
    assert (await the(conn, ORDER, VOID))[0]["announced_at"] == row["announced_at"]
    before = await the(conn, ORDER, VOID)
    await incidents.settle(conn, new.id, closed_by="Bob", note="again")
    assert await the(conn, ORDER, VOID) == before


async def test_what_nobody_was_told_of_is_told_the_oldest_first_a_hundred_at_a_time(conn: asyncpg.Connection) -> None:
    for number in range(102):
        await incidents.open_(conn, f"order_{number}", VOID, "x")
    first = await incidents.unannounced(conn)
    assert [one.order_id for one in first] == [f"order_{number}" for number in range(100)]
    assert [one.order_id for one in await incidents.unannounced(conn, "order_101")] == ["order_101"]
    await incidents.mark_announced(conn, first)
    assert [one.order_id for one in await incidents.unannounced(conn)] == ["order_100", "order_101"]
    await conn.execute("update grace.incidents set closed_at = now() where order_id = 'order_100'")
    assert len(await incidents.unannounced(conn)) == 2, "also when it is over already"


async def test_orders_with_an_incident_of_a_kind_two_hundred_at_a_time(conn: asyncpg.Connection) -> None:
    await conn.execute(
        "insert into grace.incidents (order_id, kind, detail, closed_at) "
        "select 'order_' || n, 'late_money', 'x', case when n > 250 then now() end from generate_series(1, 300) as n"
    )
    await incidents.open_(conn, "order_of_another", VOID, "x")
    found = [await incidents.some_orders_with(conn, LATE) for _ in range(8)]
    assert {len(one) for one in found} == {200}
    assert {order_id for one in found for order_id in one} == {f"order_{number}" for number in range(1, 251)}


async def test_the_list_is_of_the_newest_with_the_job_that_fails_most(conn: asyncpg.Connection) -> None:
    for number in range(4):
        await incidents.open_(conn, f"order_{number}", VOID, "x")
        await conn.execute("update grace.incidents set opened_at = now() - $2 * interval '1 hour' where order_id = $1",
                           f"order_{number}", number)  # fmt: skip
    await incidents.open_(conn, "order_1", CAPTURE, "x")
    await conn.execute(
        "update grace.incidents set opened_at = now() - interval '9 hours' where kind = 'capture_failed'"
    )
    await conn.execute(
        """insert into grace.jobs
            (kind, order_id, subject, state, run_at, failures, failing_since, last_error, attempts)
        values ('void', 'order_1', 'a', 'scheduled', now(), 1, now(), 'few', 1),
            ('void', 'order_1', 'b', 'scheduled', now(), 7, now(), 'most', 8),
            ('void', 'order_1', 'c', 'done', now(), 0, null, 'over', 9),
            ('capture', 'order_2', 'd', 'scheduled', now(), 9, now(), 'another kind', 9),
            ('refund', 'order_2', 'e', 'queued', now(), 0, null, null, 0),
            ('refund', 'order_3', 'f', 'done', now(), 0, null, null, 0)"""
    )
    listed = await incidents.listed(conn, open_only=True)
    assert [one.order_id for one in listed] == ["order_0", "order_1", "order_2", "order_3", "order_1"]
    assert [one.last_error for one in listed] == [None, "most", None, None, None]
    assert [one.refund_on_its_way for one in listed] == [False, False, True, False, False]
    assert [one.kind for one in await incidents.listed(conn, open_only=True, order_id="order_1")] == [VOID, CAPTURE]
    assert [one.kind for one in await incidents.listed(conn, open_only=True, kind=CAPTURE)] == [CAPTURE]
    assert len(await incidents.listed(conn, open_only=True, limit=2)) == 2
    assert await incidents.listed(conn, open_only=False) == []


async def test_closed_ones_are_listed_for_a_week_by_when_they_closed(conn: asyncpg.Connection) -> None:
    for name, days in (("first", 6.9), ("second", 1), ("old", 7.1)):
        await incidents.open_(conn, name, VOID, "x")
        await conn.execute(
            "update grace.incidents set opened_at = now() - interval '9 days', "
            "closed_at = now() - $2 * interval '1 day' where order_id = $1",
            name,
            days,
        )
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at, last_error) "
        "values ('void', 'second', 'a', 'dead', now(), 'x')"
    )
    listed = await incidents.listed(conn, open_only=False)
    assert [(one.order_id, one.job_state) for one in listed] == [("second", None), ("first", None)]


async def alert_rows(conn: asyncpg.Connection) -> list[tuple[str, str, str]]:
    rows = await conn.fetch(
        "select i.order_id, a.event, a.channel from grace.alerts as a join grace.incidents as i on i.id = a.incident_id"
        " order by i.order_id, a.event, a.channel"
    )
    return [tuple(row) for row in rows]


async def test_each_channel_is_told_once_of_each_that_opens_and_closes(conn: asyncpg.Connection) -> None:
    await incidents.open_(conn, ORDER, VOID, "x")
    await incidents.open_(conn, OTHER, VOID, "x")
    await alerts.raise_new(conn, ["pager"], ORDER)
    assert await alert_rows(conn) == [(ORDER, "opened", "pager")]
    await alerts.raise_new(conn, ["pager", "chat"])
    await alerts.raise_new(conn, ["pager", "chat"])
    assert await alert_rows(conn) == [
        (ORDER, "opened", "pager"),
        (OTHER, "opened", "chat"),
        (OTHER, "opened", "pager"),
    ]
    await incidents.close(conn, ORDER, VOID)
    await incidents.close(conn, OTHER, VOID)
    await alerts.raise_new(conn, ["chat"], ORDER)
    await alerts.raise_new(conn, ["chat"], OTHER)
    await alerts.raise_new(conn, ["pager", "chat"])
    resolved = [row for row in await alert_rows(conn) if row[1] == "resolved"]
    assert resolved == [(OTHER, "resolved", "chat")], "who was not told of it, or is gone, is not told that it is over"


async def test_one_that_closes_before_anybody_was_told_is_told_all_the_same(conn: asyncpg.Connection) -> None:
    await incidents.open_(conn, ORDER, VOID, "x")
    await incidents.close(conn, ORDER, VOID)
    await alerts.raise_new(conn, ["pager"])
    assert await alert_rows(conn) == [(ORDER, "opened", "pager"), (ORDER, "resolved", "pager")]


async def test_without_channels_they_count_as_told(conn: asyncpg.Connection) -> None:
    await incidents.open_(conn, ORDER, VOID, "x")
    await alerts.raise_new(conn, [])
    await alerts.raise_new(conn, ["pager"])
    assert await alert_rows(conn) == []


async def test_a_claim_is_of_what_is_due_on_its_channel_oldest_first_for_a_lease(conn: asyncpg.Connection) -> None:
    await conn.execute("set enable_indexscan = off; set enable_bitmapscan = off")  # whose order would do for "order by"
    for number in range(4):
        await incidents.open_(conn, f"order_{number}", VOID, "x")
    await alerts.raise_new(conn, ["pager", "chat"])
    await conn.execute(
        "update grace.alerts as a set next_at = now() - (i.id % 7) * interval '1 minute' from grace.incidents as i "
        "where i.id = a.incident_id"
    )
    await conn.execute("update grace.alerts set next_at = now() + interval '1 minute' where incident_id % 7 = 0")
    due = [row["order_id"] for row in await conn.fetch(
        "select i.order_id from grace.alerts as a join grace.incidents as i on i.id = a.incident_id "
        "where a.channel = 'pager' and a.next_at <= now() order by a.next_at"
    )]  # fmt: skip
    first = await alerts.claim(conn, "pager", limit=1, lease=LEASE)
    rest = await alerts.claim(conn, "pager", limit=10, lease=LEASE)
    assert [one.order_id for one in first] == due[:1]
    assert sorted(one.order_id for one in rest) == sorted(due[1:])
    assert {one.attempts for one in [*first, *rest]} == {1}
    assert await alerts.claim(conn, "pager", limit=10, lease=LEASE) == []
    left = await conn.fetchval("select min(next_at - now()) from grace.alerts where channel = 'pager' and attempts > 0")
    assert LEASE - timedelta(seconds=5) < left <= LEASE
    assert len(await alerts.claim(conn, "chat", limit=10, lease=LEASE)) == len(due)


async def test_a_resolution_waits_for_the_alert_of_its_own_channel_and_incident(conn: asyncpg.Connection) -> None:
    for order_id in (ORDER, OTHER):
        await incidents.open_(conn, order_id, VOID, "x")
        await incidents.close(conn, order_id, VOID)
    await alerts.raise_new(conn, ["pager", "chat"])
    opened = await alerts.claim(conn, "pager", limit=10, lease=timedelta(0))
    assert {one.event for one in opened} == {AlertEvent.OPENED}
    (mine,) = [one for one in opened if one.order_id == ORDER]
    await alerts.delivered(conn, mine)
    again = await alerts.claim(conn, "pager", limit=10, lease=timedelta(0))
    assert sorted((one.order_id, one.event.value) for one in again) == [(ORDER, "resolved"), (OTHER, "opened")]
    assert {one.event for one in await alerts.claim(conn, "chat", limit=9, lease=LEASE)} == {AlertEvent.OPENED}


async def test_what_was_not_taken_waits_unless_somebody_else_has_it_now(conn: asyncpg.Connection) -> None:
    await incidents.open_(conn, ORDER, VOID, "x")
    await alerts.raise_new(conn, ["pager"])
    (slow,) = await alerts.claim(conn, "pager", limit=1, lease=timedelta(0))
    (own,) = await alerts.claim(conn, "pager", limit=1, lease=LEASE)
    before = await conn.fetch("select * from grace.alerts")
    await alerts.failed(conn, slow, delay=timedelta(hours=1), error="late")
    assert await conn.fetch("select * from grace.alerts") == before
    await alerts.failed(conn, own, delay=timedelta(minutes=3), error="no")
    row = await fetch_one(conn, "select last_error, next_at - now() as wait from grace.alerts")
    assert row["last_error"] == "no"
    assert timedelta(minutes=2.5) < row["wait"] <= timedelta(minutes=3)
    await alerts.delivered(conn, own)
    row = await fetch_one(conn, "select * from grace.alerts")
    assert (row["last_error"], row["delivered_at"] is not None) == (None, True)
    await alerts.failed(conn, own, delay=timedelta(minutes=3), error="after all")
    assert await fetch_one(conn, "select * from grace.alerts") == row
    assert await alerts.claim(conn, "pager", limit=1, lease=LEASE) == []


@pytest.mark.parametrize("verb", ["unannounced", "raise_new", "claim"])
async def test_what_another_worker_has_is_passed_over(conn: asyncpg.Connection, database: str, verb: str) -> None:
    """Two workers tell of different incidents, and neither waits."""
    for order_id in (ORDER, OTHER):
        await incidents.open_(conn, order_id, VOID, "x")
    if verb == "claim":
        await alerts.raise_new(conn, ["pager"])
    other = await asyncpg.connect(database)
    try:
        async with other.transaction():
            table = "alerts" if verb == "claim" else "incidents"
            await other.execute(f"select from grace.{table} order by id limit 1 for update")
            await conn.execute("set lock_timeout = '300ms'")
            match verb:
                case "unannounced":
                    assert [one.order_id for one in await incidents.unannounced(conn)] == [OTHER]
                case "raise_new":
                    await alerts.raise_new(conn, ["pager"])
                    assert await alert_rows(conn) == [(OTHER, "opened", "pager")]
                case _:
                    assert [one.order_id for one in await alerts.claim(conn, "pager", limit=9, lease=LEASE)] == [OTHER]
    finally:
        await other.close()
