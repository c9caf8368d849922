"""Cursors, heartbeats, events, cancellations, waiting webhooks and operators' sessions, statement by statement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.domain.cancellation import NewCancellation
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.domain.timeline import Act
from app.ports import Hint
from app.store import cancellations, cursors, events, examine, fleet, incidents, jobs, operator_sessions, stripe_events
from plugins.medusa_bridge import BridgeConfig, MedusaBridge
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


MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def test_a_cursor_is_begun_once_read_by_one_and_peeked_at_by_all(conn: asyncpg.Connection, database: str) -> None:
    assert await cursors.take(conn, "x") is None
    assert await cursors.peek(conn, "x") is None
    await cursors.start(conn, "x", "1")
    await cursors.start(conn, "x", "2")
    await cursors.move(conn, "y", "9")
    assert (await cursors.peek(conn, "x"), await cursors.peek(conn, "y")) == ("1", "9")
    async with conn.transaction():
        assert await cursors.take(conn, "x") == "1"
        await cursors.move(conn, "x", "3")
        other = await asyncpg.connect(database)
        try:
            assert await cursors.take(other, "x") is None, "its turn is another worker's"
            assert await cursors.take(other, "y") == "9"
            assert await cursors.peek(other, "x") == "1", "who only looks does not wait"
        finally:
            await other.close()
    assert await cursors.take(conn, "x") == "3"


async def test_a_beat_is_written_every_other_second(conn: asyncpg.Connection) -> None:
    assert await fleet.last_beat(conn) is None
    await fleet.beat(conn)
    first = await conn.fetchval("select seen_at from grace.heartbeats")
    await fleet.beat(conn)
    assert await conn.fetchval("select seen_at from grace.heartbeats") == first
    await conn.execute("update grace.heartbeats set seen_at = now() - interval '100 seconds'")
    seen = await fleet.last_beat(conn)
    assert seen is not None
    assert 100 <= seen < 130
    await fleet.beat(conn, "another")
    await fleet.beat(conn)
    seen = await fleet.last_beat(conn)
    assert seen is not None
    assert seen < 30


async def test_the_fleets_numbers_are_of_what_is_not_over(conn: asyncpg.Connection) -> None:
    await conn.execute(
        """insert into grace.jobs (kind, order_id, subject, state, run_at, updated_at, lease_until)
        select k, 'order_1', k || s || n, s, now() - n * interval '10 minutes', now() - interval '30 seconds',
            case when s = 'running' then now() end
        from unnest(array['void', 'capture']) as k
        cross join unnest(array['scheduled', 'queued', 'running', 'done', 'removed', 'dead']) as s
        cross join generate_series(-1, 2) as n"""
    )
    rows = {(row["kind"], row["state"]): row for row in await fleet.jobs(conn)}
    assert {key: row["number"] for key, row in rows.items()} == {
        (kind, state): 4 for kind in ("void", "capture") for state in ("scheduled", "queued", "running")
    }
    assert 1200 <= rows["void", "scheduled"]["oldest_due"] < 1260
    assert 30 <= rows["void", "queued"]["oldest_due"] < 90
    assert rows["void", "running"]["oldest_due"] is None
    await conn.execute("update grace.jobs set run_at = now() + interval '1 hour' where state = 'scheduled'")
    rows = {(row["kind"], row["state"]): row for row in await fleet.jobs(conn)}
    assert rows["void", "scheduled"]["oldest_due"] is None, "what is not due is not late"


@pytest.mark.parametrize(
    ("state", "run_at", "failing", "lease", "late"),
    [
        ("scheduled", -61, None, None, True),
        ("scheduled", -50, None, None, False),
        ("scheduled", 600, -61, None, True),
        ("scheduled", 600, -50, None, False),
        ("queued", -61, None, None, True),
        ("running", -50, None, -61, True),
        ("running", -50, None, 20, False),
        ("done", -600, None, None, False),
        ("removed", -600, None, None, False),
        ("dead", -600, None, None, False),
    ],
)
async def test_a_job_is_late_a_minute_after_it_should_have_been_done(
    conn: asyncpg.Connection, state: str, run_at: int, failing: int | None, lease: int | None, late: bool
) -> None:
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at, failing_since, failures, lease_until) values "
        "('void', 'order_1', 'pay_1', $1, now() + $2 * interval '1 s', now() + $3 * interval '1 s', "
        "case when $3::float8 is null then 0 else 3 end, now() + $4 * interval '1 s')",
        state,
        float(run_at),
        failing,
        lease,
    )
    await conn.execute(
        "insert into grace.incidents (order_id, kind, detail, closed_at) "
        "values ('order_1', 'void_failed', 'x', null), ('order_1', 'late_money', 'x', now())"
    )
    assert await examine.backlog(conn, late_after=MINUTE) == (1, int(late))


def cancellation(request_id: str, *left: tuple[JobKind, str], by: str = "token") -> NewCancellation:
    return NewCancellation(canceled_by=by, reason="why", reason_label=None, request_id=request_id, jobs=tuple(left))


async def write_cancellation(conn: asyncpg.Connection, order_id: str, new: NewCancellation) -> None:
    await conn.execute(
        "insert into \"order\" (id, currency_code) values ($1, 'eur') on conflict do nothing",
        order_id,
    )
    orders = MedusaBridge(BridgeConfig(), None, None).orders
    order = await orders.read_order(conn, order_id)
    assert order is not None
    assert await orders.cancel_if_unchanged(conn, order, new)


async def test_a_cancellation_is_found_by_its_own_request(conn: asyncpg.Connection) -> None:
    await write_cancellation(conn, "order_1", cancellation("one"))
    await write_cancellation(conn, "order_2", cancellation("two"))
    assert await cancellations.made_by_request(conn, "order_1", "one")
    assert not await cancellations.made_by_request(conn, "order_1", "two")
    assert not await cancellations.made_by_request(conn, "order_2", "one")


async def test_a_cancellation_takes_waiting_captures_out_and_leaves_what_runs_or_ended(
    conn: asyncpg.Connection,
) -> None:
    await conn.execute(
        """insert into grace.jobs (kind, order_id, subject, state, run_at, lease_until, failures, failing_since)
        select k, o, o || k || s, s, now(), case when s = 'running' then now() end, 1, now()
        from unnest(array['void', 'capture']) as k
        cross join unnest(array['order_1', 'order_2']) as o
        cross join unnest(array['scheduled', 'queued', 'running', 'done', 'dead']) as s"""
    )
    await write_cancellation(conn, "order_1", cancellation("one", (JobKind.VOID, "new")))
    rows = await conn.fetch("select * from grace.jobs where state = 'removed' order by id")
    assert [row["subject"] for row in rows] == ["order_1capturescheduled", "order_1capturequeued"]
    assert {(row["failures"], row["failing_since"]) for row in rows} == {(0, None)}
    new = await fetch_one(conn, "select * from grace.jobs where subject = 'new'")
    assert (new["kind"], new["order_id"], new["state"], new["request_id"]) == ("void", "order_1", "scheduled", "one")


@pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.RELEASE])
@pytest.mark.parametrize("state", ["done", "removed", "dead", "scheduled", "queued"])
async def test_a_second_cancellation_does_what_is_over_once_more(
    conn: asyncpg.Connection, kind: JobKind, state: str
) -> None:
    await write_cancellation(conn, "order_1", cancellation("one", (kind, "subject")))
    await conn.execute("update grace.jobs set state = $1, run_at = now() - interval '1 hour'", state)
    before = await fetch_one(conn, "select * from grace.jobs")
    await write_cancellation(conn, "order_1", cancellation("two", (kind, "subject"), by="customer"))
    after = await fetch_one(conn, "select * from grace.jobs")
    if state in ("scheduled", "queued"):
        assert after == before
    else:
        assert (after["state"], after["key_number"], after["request_id"]) == ("scheduled", 2, "two")
        assert after["run_at"] > before["run_at"]
    written = await fetch_one(conn, "select * from grace.cancellations")
    assert (written["request_id"], written["canceled_by"]) == ("two", "customer")


@pytest.mark.parametrize("kind", [JobKind.CAPTURE, JobKind.PUBLISH, JobKind.REFUND])
async def test_a_second_cancellation_repeats_nothing_else(conn: asyncpg.Connection, kind: JobKind) -> None:
    await jobs.schedule(conn, kind, "order_1", ["a:b:c"])
    await conn.execute("update grace.jobs set state = 'done'")
    before = await conn.fetch("select * from grace.jobs")
    await write_cancellation(conn, "order_1", cancellation("two", (kind, "a:b:c")))
    assert (await conn.fetch("select * from grace.jobs where subject = 'a:b:c' order by id"))[:1] == before


async def test_recent_ones_are_cancellations_and_ended_captures_within_the_time(conn: asyncpg.Connection) -> None:
    await conn.execute(
        """insert into grace.cancellations (order_id, canceled_by, request_id, canceled_at)
        values ('recent', 'x', 'x', now() - interval '9 minutes'), ('old', 'x', 'x', now() - interval '11 minutes'),
            ('ahead', 'x', 'x', now() + interval '1 hour')"""
    )
    await conn.execute(
        """insert into grace.jobs (kind, order_id, subject, state, run_at, updated_at)
        select k, k || '_' || s || '_' || m, k || s || m, s, now(), now() - m * interval '1 minute'
        from unnest(array['void', 'capture']) as k
        cross join unnest(array['scheduled', 'done', 'removed', 'dead']) as s
        cross join unnest(array[9, 11]) as m"""
    )
    found = await cancellations.since(conn, timedelta(minutes=10))
    assert sorted(found) == ["ahead", "capture_dead_9", "capture_done_9", "recent"]


async def test_a_refusal_is_told_once_a_minute_for_each_reason_and_order(conn: asyncpg.Connection) -> None:
    async def refuse(order_id: str, reason: str) -> int:
        await events.add_refusal(conn, order_id, request_id="r", actor="token", reason=reason)
        return int(await conn.fetchval("select count(*) from grace.events"))

    assert [await refuse("order_1", "captured") for _ in range(3)] == [1, 1, 1]
    assert await refuse("order_1", "fulfilled") == 2
    assert await refuse("order_2", "captured") == 3
    await conn.execute("update grace.events set at = at - interval '59 seconds'")
    assert await refuse("order_1", "captured") == 3
    await conn.execute("update grace.events set at = at - interval '2 seconds'")
    assert await refuse("order_1", "captured") == 4


async def test_a_form_is_one_act_whatever_its_order_and_act(conn: asyncpg.Connection) -> None:
    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)

    async def act(order_id: str, kind: Act, token: str) -> bool:
        return await events.add_act(conn, order_id, kind, token=token, actor="ada", detail={"n": 1})

    assert await act("order_1", Act.RETRY, "one")
    assert not await act("order_1", Act.RETRY, "one")
    assert not await act("order_1", Act.REFUND, "one")
    assert not await act("order_2", Act.SETTLE, "one")
    assert await act("order_1", Act.RETRY, "two")
    told = await events.of_order(conn, "order_1")
    assert [(event.kind, event.request_id, event.actor, event.detail) for event in told] == [
        ("act_retry", "two", "ada", {"n": 1}),
        ("act_retry", "one", "ada", {"n": 1}),
    ]


async def test_a_timeline_is_of_the_newest_four_hundred(conn: asyncpg.Connection) -> None:
    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    await conn.execute(
        "insert into grace.events (order_id, kind, request_id) "
        "select 'order_' || n % 2, 'x', n::text from generate_series(1, 820) as n"
    )
    told = await events.of_order(conn, "order_0")
    assert (len(told), told[0].request_id, told[-1].request_id) == (400, "820", "22")


async def test_the_numbers_of_the_day(conn: asyncpg.Connection) -> None:
    """Of 24 hours; a job that found its work done by others counts for nobody."""
    late = ["completed", "captured", "fulfilled", "capture_in_flight", "grace_period_over"]
    told: list[tuple[str, dict[str, str | None]]] = [("cancel_accepted", {})] * 2
    for number, job in enumerate(("void", "capture", "refund")):
        told += [("job_done", {"job": job, "note": None})] * (3 + number)
        told += [("job_done", {"job": job, "note": "by others"}), ("job_failed", {"job": job})]
    told += [("job_done", {"job": "release"}), ("cancel_refused", {"reason": "order_change_pending"})]
    told += [("cancel_refused", {"reason": reason}) for reason in late]
    for kind, detail in told:
        await conn.execute(
            "insert into grace.events (order_id, kind, detail, at) "
            "select 'order_1', $1, $2, now() - h * interval '1 hour' from unnest(array[1, 23.9, 24.1, 99]) as h",
            kind,
            json.dumps(detail),
        )
    assert await events.numbers_of_the_day(conn) == {
        "cancels": 4,
        "voids": 6,
        "captures": 8,
        "refunds": 10,
        "refused_late": 2 * len(late),
    }


def hint(name: str) -> Hint:
    return Hint(id=name, type="payment_intent.succeeded", intent_id=f"pi_{name}", session=f"payses_{name}")


async def test_a_webhook_is_kept_once_and_no_more_than_there_is_room_for(
    conn: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_events, "MAX_PENDING", 2)
    for name in ("one", "one", "two", "three"):
        await stripe_events.keep(conn, hint(name))
    assert await conn.fetchval("select array_agg(event_id order by event_id) from grace.pending_stripe_events") == [
        "one",
        "two",
    ]
    await stripe_events.drop(conn, hint("one"))
    await stripe_events.keep(conn, hint("three"))
    (first, second) = await stripe_events.due(conn, limit=9)
    assert {first.hint, second.hint} == {hint("two"), hint("three")}
    assert not first.is_over


@pytest.mark.parametrize(
    ("age", "pause", "over"),
    [
        (timedelta(0), timedelta(seconds=5), False),
        (timedelta(seconds=49), timedelta(seconds=5), False),
        (timedelta(seconds=100), timedelta(seconds=10), False),
        (HOUR, timedelta(minutes=6), False),
        (DAY - MINUTE, timedelta(minutes=10), False),
        (DAY + MINUTE, timedelta(minutes=10), True),
    ],
)
async def test_a_waiting_webhook_is_looked_at_again_after_a_tenth_of_its_age(
    conn: asyncpg.Connection, age: timedelta, pause: timedelta, over: bool
) -> None:
    await stripe_events.keep(conn, hint("one"))
    await conn.execute("update grace.pending_stripe_events set received_at = now() - $1::interval", age)
    async with conn.transaction():
        (pending,) = await stripe_events.due(conn, limit=9)
        wait = await conn.fetchval("select next_at - now() from grace.pending_stripe_events")
    assert pending.is_over is over
    assert abs(wait - pause) < timedelta(seconds=3)
    assert await stripe_events.due(conn, limit=9) == []


async def test_waiting_webhooks_come_oldest_first(conn: asyncpg.Connection) -> None:
    await conn.execute("set enable_indexscan = off; set enable_bitmapscan = off")  # whose order would do for "order by"
    for number in range(5):
        await stripe_events.keep(conn, hint(str(number)))
        await conn.execute(
            "update grace.pending_stripe_events set next_at = now() - $2 * interval '1 minute' where event_id = $1",
            str(number),
            number * 2 % 5,
        )
    await conn.execute(
        "update grace.pending_stripe_events set next_at = now() + interval '1 minute' where event_id = '0'"
    )
    assert {one.hint.id for one in await stripe_events.due(conn, limit=2)} == {"2", "4"}
    assert {one.hint.id for one in await stripe_events.due(conn, limit=9)} == {"1", "3"}


ONE, TWO = b"one", b"two"


async def look(conn: asyncpg.Connection, id_hash: bytes = ONE) -> operator_sessions.SessionRow | None:
    return await operator_sessions.read(conn, id_hash, idle=30 * MINUTE, lasts=8 * HOUR, check_every=MINUTE)


async def age(conn: asyncpg.Connection, **columns: timedelta) -> None:
    for name, by in columns.items():
        await conn.execute(
            f"update grace.operator_sessions set {name} = now() - $1::interval where id_hash = $2", by, ONE
        )


@pytest.fixture
async def session(conn: asyncpg.Connection) -> None:
    """Two sessions that have just begun."""
    await operator_sessions.insert(conn, ONE, "user_1", b"sealed", b"home")
    await operator_sessions.insert(conn, TWO, "user_2", b"sealed too", b"office")


@pytest.mark.usefixtures("session")
async def test_a_session_that_has_just_begun(conn: asyncpg.Connection) -> None:
    row = await look(conn)
    assert row is not None
    assert (row.credential, row.over, row.ended, row.touch_due, row.check_due) == (b"sealed", None, False, False, False)
    assert await look(conn, b"nobody's") is None
    assert await operator_sessions.is_known_origin(conn, b"home")
    assert not await operator_sessions.is_known_origin(conn, b"elsewhere")


OVER: list[tuple[dict[str, timedelta], str | None, bool, bool]] = [
    ({"seen_at": 59 * timedelta(seconds=1)}, None, False, False),
    ({"seen_at": MINUTE}, None, True, False),
    ({"checked_at": MINUTE}, None, False, True),
    ({"seen_at": 29.9 * MINUTE}, None, True, False),
    ({"seen_at": 30 * MINUTE}, "idle", True, False),
    ({"begun_at": 7.9 * HOUR}, None, False, False),
    ({"begun_at": 8 * HOUR}, "expired", False, False),
    ({"begun_at": 8 * HOUR, "seen_at": HOUR}, "expired", True, False),
]


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(("columns", "over", "touch", "check"), OVER)
async def test_when_a_session_is_over(
    conn: asyncpg.Connection, columns: dict[str, timedelta], over: str | None, touch: bool, check: bool
) -> None:
    await age(conn, **columns)
    row = await look(conn)
    assert row is not None
    assert (row.over, row.ended, row.touch_due, row.check_due) == (over, False, touch, check)


@pytest.mark.usefixtures("session")
async def test_a_session_ends_once_and_forgets_its_credential(conn: asyncpg.Connection) -> None:
    assert await operator_sessions.end(conn, ONE, "signed_out")
    assert not await operator_sessions.end(conn, ONE, "idle")
    row = await look(conn)
    assert row is not None
    assert (row.credential, row.over, row.ended) == (None, "signed_out", True)
    await age(conn, seen_at=HOUR, checked_at=HOUR)
    await operator_sessions.touch(conn, ONE)
    assert await conn.fetchval("select now() - seen_at from grace.operator_sessions where id_hash = $1", ONE) > MINUTE
    assert not await operator_sessions.claim_check(conn, ONE, check_every=MINUTE)
    other = await look(conn, TWO)
    assert other is not None
    assert (other.credential, other.over) == (b"sealed too", None)


@pytest.mark.usefixtures("session")
async def test_activity_and_checks_are_of_one_session(conn: asyncpg.Connection) -> None:
    await conn.execute(
        "update grace.operator_sessions set seen_at = now() - interval '9 minutes', checked_at = seen_at"
    )
    await operator_sessions.touch(conn, ONE)
    assert not await operator_sessions.claim_check(conn, ONE, check_every=HOUR)
    await age(conn, checked_at=9 * MINUTE)
    await conn.execute("update grace.operator_sessions set checked_at = now() - interval '9 minutes'")
    assert await operator_sessions.claim_check(conn, ONE, check_every=MINUTE)
    assert not await operator_sessions.claim_check(conn, ONE, check_every=MINUTE), "one in a minute asks"
    rows = {one: await look(conn, one) for one in (ONE, TWO)}
    assert [(row.touch_due, row.check_due) for row in rows.values() if row] == [(False, False), (True, True)]


@pytest.mark.usefixtures("session")
async def test_old_sessions_are_removed_a_thousand_at_a_time(conn: asyncpg.Connection) -> None:
    await conn.execute(
        "insert into grace.operator_sessions (id_hash, admin_id, begun_at) "
        "select n::text::bytea, 'user_1', now() - interval '31 days' - n * interval '1 s' "
        "from generate_series(1, 1003) as n"
    )
    await age(conn, begun_at=29 * DAY)
    await operator_sessions.remove_old(conn, kept=30 * DAY)
    left = await conn.fetch("select id_hash from grace.operator_sessions where id_hash not in ($1, $2)", ONE, TWO)
    assert sorted(bytes(row["id_hash"]) for row in left) == [b"1", b"2", b"3"], "the oldest first"
    await operator_sessions.remove_old(conn, kept=30 * DAY)
    assert await conn.fetchval("select count(*) from grace.operator_sessions") == 2


@pytest.mark.parametrize("state", ["scheduled", "queued", "done", "removed", "dead"])
@pytest.mark.parametrize("verb", ["finish", "fail", "snooze", "end_well"])
async def test_only_a_running_job_comes_to_an_end(conn: asyncpg.Connection, state: str, verb: str) -> None:
    """Each statement alone, without the check for a running job that comes before it."""
    await jobs.schedule(conn, JobKind.VOID, "order_1", ["pay_1"])
    ((_, ref),) = await jobs.queue_due(conn, at_once=1)
    job = await jobs.take(conn, ref)
    assert job is not None
    await conn.execute("update grace.jobs set state = $1, lease_until = null", state)
    before = await conn.fetch("select * from grace.jobs")
    told = await conn.fetchval("select count(*) from grace.events")
    match verb:
        case "finish":
            await jobs.finish(conn, job)
        case "fail":
            await jobs.fail(conn, job, delay=HOUR, error="x", in_doubt=False, new_key=True)
        case "snooze":
            await jobs.snooze(conn, job, HOUR, in_doubt=True, new_key=True)
        case _:
            assert not await jobs.end_well(conn, job, IncidentKind.VOID_FAILED)
    assert await conn.fetch("select * from grace.jobs") == before
    assert await conn.fetchval("select count(*) from grace.events") == told


AGAIN = {"again": ("done", "removed"), "schedule_again": ("done", "removed", "dead"), "retry": ("dead",)}


@pytest.mark.parametrize("verb", AGAIN)
@pytest.mark.parametrize("state", ["scheduled", "queued", "done", "removed", "dead"])
async def test_what_is_taken_up_again_and_under_which_key(conn: asyncpg.Connection, state: str, verb: str) -> None:
    at = datetime(2030, 1, 2, tzinfo=UTC)
    subjects = ["pay_1", "pay_2"]
    for kind, order_id in ((JobKind.VOID, "order_1"), (JobKind.CAPTURE, "order_2")):
        await jobs.schedule(conn, kind, order_id, subjects, run_at=at)
    await conn.execute("update grace.jobs set state = $1, key_number = 5", state)
    before = {row["id"]: row for row in await conn.fetch("select * from grace.jobs")}
    match verb:
        case "again":
            await jobs.again(conn, JobKind.VOID, "order_1", "pay_1")
            about = {"pay_1"}
        case "schedule_again":
            await jobs.schedule_again(conn, JobKind.VOID, "order_1", ["pay_1"])
            about = {"pay_1"}
        case _:
            assert await jobs.retry(conn, "order_1", JobKind.VOID) == (2 if state == "dead" else 0)
            about = set(subjects)
    for row in await conn.fetch("select *, run_at <= now() as is_due from grace.jobs"):
        meant = (row["kind"], row["order_id"]) == ("void", "order_1") and row["subject"] in about
        if meant and state in AGAIN[verb]:
            assert (row["state"], row["key_number"], row["is_due"]) == ("scheduled", 6, True)
        else:
            assert dict(row) == {**before[row["id"]], "is_due": False}


async def test_a_retry_keeps_the_key_of_what_fails_and_leaves_what_only_waits(conn: asyncpg.Connection) -> None:
    await jobs.schedule(conn, JobKind.VOID, "order_1", ["fails", "waits"], run_at=datetime(2030, 1, 2, tzinfo=UTC))
    await conn.execute("update grace.jobs set failures = 1, failing_since = now() where subject = 'fails'")
    assert await jobs.retry(conn, "order_1", JobKind.VOID) == 1
    rows = await conn.fetch("select subject, key_number, run_at <= now() as is_due from grace.jobs order by subject")
    assert [tuple(row) for row in rows] == [("fails", 1, True), ("waits", 1, False)]


async def test_a_job_of_another_time_is_scheduled_again_for_that(conn: asyncpg.Connection) -> None:
    at = datetime(2030, 1, 2, tzinfo=UTC)
    await jobs.schedule_again(conn, JobKind.LOOK, "order_1", ["new"], run_at=at)
    await jobs.schedule(conn, JobKind.LOOK, "order_1", ["done"])
    await conn.execute("update grace.jobs set state = 'done' where subject = 'done'")
    await jobs.schedule_again(conn, JobKind.LOOK, "order_1", ["done"], run_at=at)
    assert {row["run_at"] for row in await conn.fetch("select run_at from grace.jobs")} == {at}


@pytest.mark.parametrize("state", ["scheduled", "queued", "running", "done", "removed", "dead"])
async def test_whether_a_void_is_still_to_come(conn: asyncpg.Connection, state: str) -> None:
    is_open = state in {"scheduled", "queued", "running"}
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at, lease_until) "
        "select k, 'order_1', 'x', $1, now(), case when $1 = 'running' then now() end "
        "from unnest(array['void', 'refund']) as k",
        state,
    )
    assert await jobs.void_is_open(conn, "order_1") is is_open
    assert not await jobs.void_is_open(conn, "order_2")
    await conn.execute("insert into grace.incidents (order_id, kind, detail) values ('order_2', 'void_failed', 'x')")
    assert await jobs.void_is_open(conn, "order_1") is is_open
    await conn.execute("insert into grace.incidents (order_id, kind, detail) values ('order_1', 'void_failed', 'x')")
    assert not await jobs.void_is_open(conn, "order_1"), "there is something to tell"
    await conn.execute("update grace.incidents set closed_at = now()")
    assert await jobs.void_is_open(conn, "order_1") is is_open
    await conn.execute("update grace.jobs set state = 'done', lease_until = null where kind = 'void'")
    assert not await jobs.void_is_open(conn, "order_1"), "a refund is no void"


async def test_the_incident_of_a_job_closes_with_the_last_that_failed(conn: asyncpg.Connection) -> None:
    """Beside it failed: a job of the same kind, one of another kind, one of another order."""
    for kind, order_id, subject in (
        (JobKind.VOID, "order_1", "a"),
        (JobKind.VOID, "order_1", "b"),
        (JobKind.CAPTURE, "order_1", "c"),
        (JobKind.VOID, "order_2", "d"),
    ):
        await jobs.schedule(conn, kind, order_id, [subject])
    taken = {}
    for _, ref in await jobs.queue_due(conn, at_once=9):
        job = await jobs.take(conn, ref)
        assert job is not None
        taken[job.subject] = job
    await conn.execute("update grace.jobs set failures = 3, failing_since = now()")
    for order_id in ("order_1", "order_2"):
        await incidents.open_(conn, order_id, IncidentKind.VOID_FAILED, "x")
    assert await jobs.end_well(conn, taken["a"], IncidentKind.VOID_FAILED)
    assert await incidents.open_of(conn, "order_1") == {IncidentKind.VOID_FAILED}
    assert await jobs.end_well(conn, taken["b"], IncidentKind.VOID_FAILED)
    assert await incidents.open_of(conn, "order_1") == set()
    assert await incidents.open_of(conn, "order_2") == {IncidentKind.VOID_FAILED}
    told = [
        row["kind"] for row in await conn.fetch("select kind from grace.events where order_id = 'order_1' order by id")
    ]
    assert told[-3:] == ["job_done", "job_done", "incident_closed"]


async def test_what_is_postponed_again_has_waited_since_the_first_time(conn: asyncpg.Connection) -> None:
    await jobs.schedule(conn, JobKind.VOID, "order_1", ["pay_1"])
    ((_, ref),) = await jobs.queue_due(conn, at_once=1)
    assert await jobs.postpone(conn, ref, timedelta(0)) is True
    first = await conn.fetchval(
        "update grace.jobs set postponed_since = postponed_since - interval '7 seconds' returning postponed_since"
    )
    ((_, ref),) = await jobs.queue_due(conn, at_once=1)
    assert await jobs.postpone(conn, ref, timedelta(0)) is True
    assert await conn.fetchval("select postponed_since from grace.jobs") == first


@pytest.mark.parametrize(
    ("kind", "incident", "closed", "named"),
    [
        ("void", None, None, True),
        ("void", "void_failed", None, False),
        ("void", "void_failed", timedelta(minutes=1), False),  # settled since
        ("void", "void_failed", -timedelta(minutes=1), True),  # of an earlier time
        ("void", "late_money", None, False),
        ("void", "fulfilled", None, True),
        ("release", "late_money", None, True),
        ("release", "release_failed", None, False),
        ("publish", "publish_failed", timedelta(minutes=1), False),
        ("look", "partial_capture", None, False),
        ("refund", "over_captured", None, False),
        ("capture", "authorization_lost", None, False),
        ("capture", "unsupported_provider", None, False),
        ("capture", "void_failed", None, True),
    ],
)
async def test_a_job_that_was_given_up_is_named_where_no_incident_says_so(
    conn: asyncpg.Connection, kind: str, incident: str | None, closed: timedelta | None, named: bool
) -> None:
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at, updated_at, last_error) "
        "values ($1, 'order_1', 'x', 'dead', now(), now() - interval '1 hour', 'no')",
        kind,
    )
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at) values ('void', 'order_2', 'y', 'done', now())"
    )
    if incident is not None:
        await conn.execute(
            "insert into grace.incidents (order_id, kind, detail, closed_at) "
            "values ('order_1', $1, 'x', now() - interval '1 hour' + $2::interval)",
            incident,
            closed,
        )
    found = [(one.order_id, one.detail) for one in await examine.dead_jobs(conn, lenient=False)]
    assert found == ([("order_1", f"{kind} of x: no")] if named else [])


STUCK: list[tuple[str, dict[str, str], str | None]] = [
    ("queued", {"updated_at": "now() - interval '6 min'"}, "is queued for 6 min"),
    ("queued", {"updated_at": "now() - interval '4 min'"}, None),
    ("queued", {"updated_at": "now()", "run_at": "now() - interval '9 min'"}, None),
    ("running", {"lease_until": "now() - interval '6 min'"}, "lost its worker 6 min ago"),
    ("running", {"lease_until": "now() - interval '4 min'"}, None),
    ("running", {"lease_until": "now()", "updated_at": "now() - interval '9 min'"}, None),
    ("scheduled", {"run_at": "now() - interval '6 min'"}, "is overdue for 6 min"),
    ("scheduled", {"run_at": "now() - interval '4 min'"}, None),
    ("scheduled", {"run_at": "now() + interval '1 h'", "updated_at": "now() - interval '9 min'"}, None),
    ("scheduled", {"failing_since": "now() - interval '61 min'", "failures": "9"}, "fails for 61 min"),
    ("scheduled", {"failing_since": "now() - interval '59 min'", "failures": "9"}, None),
    ("queued", {"failing_since": "now() - interval '61 min'", "failures": "9"}, "fails for 61 min"),
    ("done", {"updated_at": "now() - interval '9 min'", "run_at": "now() - interval '9 min'"}, None),
    ("removed", {"updated_at": "now() - interval '9 min'", "run_at": "now() - interval '9 min'"}, None),
    ("dead", {"updated_at": "now() - interval '9 min'", "run_at": "now() - interval '9 min'"}, None),
]


async def put(conn: asyncpg.Connection, state: str, subject: str = "pay_1", **columns: str) -> None:
    """A job of ``order_1``, columns by their SQL."""
    given = {"run_at": "now()", "lease_until": "now()" if state == "running" else "null", **columns}
    await conn.execute(
        f"insert into grace.jobs (kind, order_id, subject, state, {', '.join(given)}) "
        f"values ('void', 'order_1', '{subject}', '{state}', {', '.join(given.values())})"
    )


@pytest.mark.parametrize(("state", "columns", "said"), STUCK)
async def test_a_job_that_does_not_move_is_told_with_its_time(
    conn: asyncpg.Connection, state: str, columns: dict[str, str], said: str | None
) -> None:
    await put(conn, state, **columns)
    found = [(one.order_id, one.detail) for one in await examine.stuck_jobs(conn, lenient=False)]
    assert found == ([] if said is None else [("order_1", f"void of pay_1 {said}")])


@pytest.mark.parametrize(
    ("order_id", "kind", "closed_at", "told"),
    [
        ("order_1", "void_failed", "null", True),
        ("order_1", "void_failed", "now()", False),
        ("order_1", "capture_failed", "null", False),
        ("order_2", "void_failed", "null", False),
    ],
)
async def test_a_job_that_fails_is_named_unless_its_own_incident_is_open(
    conn: asyncpg.Connection, order_id: str, kind: str, closed_at: str, told: bool
) -> None:
    await put(conn, "scheduled", failing_since="now() - interval '2 h'", failures="9")
    await conn.execute(
        f"insert into grace.incidents (order_id, kind, detail, closed_at) values ($1, $2, 'x', {closed_at})",
        order_id,
        kind,
    )
    assert (await examine.stuck_jobs(conn, lenient=False) == []) is told


async def test_stuck_and_dead_jobs_are_named_oldest_first(conn: asyncpg.Connection) -> None:
    await conn.execute("set enable_indexscan = off; set enable_bitmapscan = off")  # whose order would do for "order by"
    for subject in ("b", "c", "a"):
        await put(conn, "scheduled", subject, run_at="now() - interval '9 min'")
        await put(conn, "dead", f"{subject}2")
    await conn.execute("update grace.jobs set run_at = run_at where subject in ('b', 'b2')")  # its row goes to the end
    assert [one.detail[8] for one in await examine.stuck_jobs(conn, lenient=False)] == ["b", "c", "a"]
    assert [one.detail for one in await examine.dead_jobs(conn, lenient=False)] == [
        f"void of {subject}2: no reason kept" for subject in ("b", "c", "a")
    ]


@pytest.mark.parametrize(
    ("kind", "incident", "named"),
    [
        ("capture", "payment_shared", False),
        ("refund", "late_money", False),
        ("look", "authorization_lost", False),
        ("void", "unsupported_provider", False),
        ("publish", "payment_shared", True),
        ("release", "over_captured", True),
    ],
)
async def test_what_else_tells_of_a_job_that_was_given_up(
    conn: asyncpg.Connection, kind: str, incident: str, named: bool
) -> None:
    await put(conn, "dead")
    await conn.execute("update grace.jobs set kind = $1", kind)
    for order_id in ("order_1", "order_2"):
        await conn.execute(
            "insert into grace.incidents (order_id, kind, detail) values ($1, $2, 'x')", order_id, incident
        )
    assert (await examine.dead_jobs(conn, lenient=False) != []) is named
    await conn.execute("update grace.jobs set order_id = 'order_3'")
    assert len(await examine.dead_jobs(conn, lenient=False)) == 1, "incidents of another order"


@pytest.mark.parametrize(
    ("state", "worked_on"),
    [("scheduled", True), ("queued", True), ("running", True), ("dead", True), ("done", False), ("removed", False)],
)
async def test_whether_somebody_works_on_an_incident(conn: asyncpg.Connection, state: str, worked_on: bool) -> None:
    await put(conn, state)
    told = [
        ("order_1", "void_failed"),
        ("order_1", "capture_failed"),
        ("order_2", "void_failed"),
        ("order_0", "late_money"),
    ]
    for order_id, kind in told:
        await conn.execute("insert into grace.incidents (order_id, kind, detail) values ($1, $2, 'x')", order_id, kind)
    await conn.execute("insert into grace.incidents (order_id, kind, detail, closed_at) values ('x', 'a', 'x', now())")
    found = await examine.open_incidents(conn)
    assert [(one.order_id, one.kind.value, one.worked_on) for one in found] == [
        (order_id, kind, worked_on and place == 0) for place, (order_id, kind) in enumerate(told)
    ]


async def test_alerts_that_wait_are_counted_by_channel_with_the_age_of_the_oldest(conn: asyncpg.Connection) -> None:
    number = await conn.fetchval(
        "insert into grace.incidents (order_id, kind, detail) values ('order_1', 'void_failed', 'x') returning id"
    )
    await conn.execute(
        """insert into grace.alerts (incident_id, event, channel, created_at, delivered_at)
        values ($1, 'opened', 'pager', now() - interval '9 min', null),
            ($1, 'resolved', 'pager', now() - interval '2 min', null),
            ($1, 'opened', 'chat', now() - interval '3 min', null),
            ($1, 'resolved', 'chat', now() - interval '1 h', now())
        """,
        number,
    )
    rows = {row["channel"]: (row["number"], row["oldest"]) for row in await fleet.alerts(conn)}
    assert {channel: waiting for channel, (waiting, _) in rows.items()} == {"pager": 2, "chat": 1}
    assert 540 <= rows["pager"][1] < 600
    assert 180 <= rows["chat"][1] < 240


@pytest.mark.parametrize("flag", ["indisvalid", "indisready"])
async def test_an_index_that_cannot_be_used_is_missed(database: str, flag: str) -> None:
    async with connected(database) as connection, connection.transaction():
        assert await examine.missing_indexes(connection) == []
        await connection.execute(
            f"update pg_index set {flag} = false where indexrelid in ('grace.jobs_order'::regclass, "
            "'grace.incidents_one_open'::regclass)"
        )
        found = [one.detail for one in await examine.missing_indexes(connection)]
        await connection.execute("update pg_index set indisvalid = true, indisready = true")
    assert found == ["grace.incidents_one_open", "grace.jobs_order"]
