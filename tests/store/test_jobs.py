"""``grace.jobs``, statement by statement."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import structlog
from msgspec.structs import astuple, replace
from ulid import ULID

from app.domain.incidents import IncidentKind
from app.domain.jobs import LEASE, Job, JobKind, JobRef, JobState
from app.ports import Event, Origin
from app.store import jobs
from app.usecases.dispatch_jobs import LOST_AFTER
from tests.world import fetch_one

KINDS = list(JobKind)


async def test_a_subject_has_one_job_of_a_kind_for_ever(conn: asyncpg.Connection) -> None:
    await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["pay_1", "pay_2"])
    await conn.execute("update grace.jobs set state = 'done'")
    await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["pay_1", "pay_3"])
    await jobs.schedule(conn, JobKind.VOID, "order_1", ["pay_1"])
    await jobs.schedule(conn, JobKind.VOID, "order_1", [])
    rows = await conn.fetch("select kind, subject, state from grace.jobs order by id")
    assert [tuple(row) for row in rows] == [
        ("capture", "pay_1", "done"),
        ("capture", "pay_2", "done"),
        ("capture", "pay_3", "scheduled"),
        ("void", "pay_1", "scheduled"),
    ]


async def test_a_job_is_due_at_its_time_or_at_once(conn: asyncpg.Connection) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["later"], run_at=later)
    await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["now"])
    assert [(kind, ref.order_id) for kind, ref in await jobs.queue_due(conn, at_once=10)] == [
        (JobKind.CAPTURE, "order_1")
    ]
    assert await _states(conn) == {"later": "scheduled", "now": "queued"}
    assert await conn.fetchval("select run_at from grace.jobs where subject = 'later'") == later


async def test_queue_due_takes_the_oldest_first_and_no_more_than_the_bound(conn: asyncpg.Connection) -> None:
    await conn.execute("set enable_indexscan = off; set enable_bitmapscan = off")  # whose order would do for "order by"
    for number in reversed(range(5)):  # the oldest is not the first row
        await jobs.schedule(conn, JobKind.VOID, "order_1", [f"{number}"], run_at=_ago(seconds=60 - number))
    await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["another kind"], run_at=_ago(hours=1))
    kinds = [kind for kind, _ in await jobs.queue_due(conn, at_once=2)]
    assert sorted(kinds) == [JobKind.CAPTURE, JobKind.VOID, JobKind.VOID], "each kind has a bound of its own"
    assert await jobs.queue_due(conn, at_once=2) == [], "two are under way"
    assert len(await jobs.queue_due(conn, at_once=3)) == 1
    states = await _states(conn)
    assert [states[f"{number}"] for number in range(5)] == ["queued"] * 3 + ["scheduled"] * 2
    assert await jobs.queue_due(conn, at_once=1) == [], "a bound that sank is no error"


async def test_only_the_message_of_the_last_dispatch_takes_the_job(conn: asyncpg.Connection) -> None:
    ref = await _queued(conn)
    assert ref.generation == 1
    for stale in (replace(ref, generation=0), replace(ref, generation=2)):
        assert await jobs.take(conn, stale) is None
    job = await jobs.take(conn, ref)
    assert job is not None
    assert (job.state, job.attempts, job.in_doubt) == (JobState.RUNNING, 1, False)
    assert await jobs.take(conn, ref) is None, "the same message twice"
    row = await fetch_one(conn, "select *, lease_until - now() as lease from grace.jobs")
    assert row["in_doubt"], "from here on Stripe may have been asked"
    assert LEASE - timedelta(seconds=2) < row["lease"] <= LEASE


FOREIGN: list[dict[str, Any]] = [
    {"installation": f"{0:026d}"},
    {"id": f"{0:026d}"},
    {"kind": JobKind.RELEASE},
    {"order_id": "order_of_another_shop"},
    {"generation": 2},
]


@pytest.mark.parametrize("change", FOREIGN, ids=lambda change: next(iter(change)))
async def test_a_foreign_message_does_nothing_whatever_is_done_with_it(
    conn: asyncpg.Connection, change: dict[str, Any]
) -> None:
    """Each part of it must be the row's."""
    ref = await _queued(conn)
    foreign = replace(ref, **change)
    assert not await jobs.is_foreign(conn, ref)
    assert await jobs.is_foreign(conn, foreign)
    before = await _everything(conn)
    assert await jobs.take(conn, foreign) is None
    assert await jobs.postpone(conn, foreign, timedelta(0)) is None
    assert await _everything(conn) == before

    job = await jobs.take(conn, ref)
    assert job is not None
    before = await _everything(conn)
    theirs = replace(job, **change)
    assert await jobs.running(conn, foreign) is None
    assert not await jobs.hold(conn, theirs)
    await jobs.finish(conn, theirs)
    assert not await jobs.end_well(conn, theirs, IncidentKind.VOID_FAILED)
    await jobs.fail(conn, theirs, delay=timedelta(0), error="x", in_doubt=False, new_key=True)
    await jobs.snooze(conn, theirs, timedelta(0), in_doubt=False)
    assert await _everything(conn) == before
    assert await jobs.hold(conn, job)


async def test_an_older_message_is_stale_and_not_foreign(conn: asyncpg.Connection) -> None:
    assert not await jobs.is_foreign(conn, replace(await _queued(conn), generation=0))


async def test_a_job_has_one_id_for_good_and_no_two_have_the_same(conn: asyncpg.Connection) -> None:
    """A row that the version before made has none: it gets it with its next message."""
    await jobs.schedule(conn, JobKind.VOID, "order_1", [f"pay_{number}" for number in range(100)])
    await conn.execute("update grace.jobs set ulid = null where id % 2 = 0")
    first = {ref.id for _, ref in await jobs.queue_due(conn, at_once=100)}
    await conn.execute("update grace.jobs set state = 'scheduled'")
    again = {ref.id for _, ref in await jobs.queue_due(conn, at_once=100)}
    assert first == again
    assert len(first) == 100
    made = {ULID.from_str(id_).datetime for id_ in first}
    assert max(made) - min(made) < timedelta(minutes=1)
    assert abs(datetime.now(UTC) - max(made)) < timedelta(minutes=1)
    assert await conn.fetchval("select bool_and(ulid ~ '^[0-7][0-9A-HJKMNP-TV-Z]{25}$') from grace.jobs")


async def test_a_job_is_postponed_for_a_lease_at_most(conn: asyncpg.Connection) -> None:
    """However often; and it has waited no longer than that for its next attempt, too."""
    ref = await _queued(conn)
    for _ in range(3):
        assert await jobs.postpone(conn, ref, timedelta(0)) is True
        assert await jobs.postpone(conn, ref, timedelta(0)) is None, "it is queued no more"
        ((_, ref),) = await jobs.queue_due(conn, at_once=10)
    await conn.execute("update grace.jobs set postponed_since = now() - $1::interval", LEASE)
    assert await jobs.postpone(conn, ref, timedelta(0)) is False
    row = await conn.fetchrow(jobs._TAKE, *astuple(ref), LEASE)
    assert row is not None
    assert row["late"] >= LEASE.total_seconds(), "it is as late as it has waited"
    assert await conn.fetchval("select postponed_since from grace.jobs") is None


@pytest.mark.parametrize("state", ["scheduled", "done", "removed", "dead"])
async def test_a_job_in_another_state_is_not_taken(conn: asyncpg.Connection, state: str) -> None:
    ref = await _queued(conn)
    await conn.execute("update grace.jobs set state = $1", state)
    assert await jobs.take(conn, ref) is None
    assert await jobs.running(conn, ref) is None


async def test_the_next_attempt_knows_that_the_last_one_is_in_doubt(conn: asyncpg.Connection) -> None:
    job = await _taken(conn)
    await jobs.fail(conn, job, delay=timedelta(0), error="no answer", in_doubt=True, new_key=False)
    again = await _take_again(conn)
    assert (again.in_doubt, again.attempts, again.failures, again.key_number) == (True, 2, 1, 1)
    await jobs.fail(conn, again, delay=timedelta(0), error="declined", in_doubt=False, new_key=True)
    third = await _take_again(conn)
    assert (third.in_doubt, third.attempts, third.failures, third.key_number) == (False, 3, 2, 2)
    assert third.idempotency_key == "grace-capture-pay_1-2"


async def test_a_failure_waits_and_remembers_since_when(conn: asyncpg.Connection) -> None:
    job = await _taken(conn)
    await jobs.fail(conn, job, delay=timedelta(minutes=3), error="x" * 5000, in_doubt=False, new_key=False)
    row = await fetch_one(conn, "select *, run_at - now() as wait from grace.jobs")
    assert (row["state"], row["lease_until"], len(row["last_error"])) == ("scheduled", None, 2000)
    assert timedelta(minutes=2, seconds=58) < row["wait"] <= timedelta(minutes=3)
    since = row["failing_since"]
    await conn.execute("update grace.jobs set run_at = now()")
    again = await _take_again(conn)
    assert again.failing_since == since
    await jobs.fail(conn, again, delay=timedelta(0), error="x", in_doubt=False, new_key=False)
    assert await conn.fetchval("select failing_since from grace.jobs") == since


async def test_finishing_ends_doubt_and_failures(conn: asyncpg.Connection) -> None:
    job = await _taken(conn)
    await jobs.fail(conn, job, delay=timedelta(0), error="no answer", in_doubt=True, new_key=False)
    await jobs.finish(conn, await _take_again(conn))
    row = await fetch_one(conn, "select * from grace.jobs")
    assert (row["state"], row["in_doubt"], row["failures"], row["failing_since"]) == ("done", False, 0, None)
    assert row["last_error"] == "no answer", "what it was is kept"


async def test_a_snooze_is_no_failure_and_keeps_them(conn: asyncpg.Connection) -> None:
    job = await _taken(conn)
    await jobs.fail(conn, job, delay=timedelta(0), error="x", in_doubt=False, new_key=True)
    await jobs.snooze(conn, await _take_again(conn), timedelta(0), in_doubt=True)
    again = await _take_again(conn)
    assert (again.failures, again.key_number, again.in_doubt) == (1, 2, True)


async def test_a_sweep_reads_the_jobs_that_may_be_lost_and_not_all_there_ever_were(conn: asyncpg.Connection) -> None:
    """It comes every second."""
    await conn.execute("set session_replication_role = replica")
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at) "
        "select 'capture', 'order_' || i, 'pay_' || i, 'done', now() from generate_series(1, 20000) as i"
    )
    await conn.execute("analyze grace.jobs")
    plan = "\n".join(row[0] for row in await conn.fetch(f"explain (analyze) {jobs._SWEEP}", LOST_AFTER))
    assert "Seq Scan" not in plan, plan
    assert not re.search(r"Rows Removed by Filter: \d{3}", plan), plan


@pytest.mark.parametrize("verb", ["finish", "fail", "snooze"])
async def test_a_worker_that_lost_its_lease_writes_nothing(conn: asyncpg.Connection, verb: str) -> None:
    lost = await _taken(conn)
    await _let_leases_lapse(conn)
    assert await jobs.sweep_lost(conn, queued_for=LOST_AFTER) == 1
    own = await _take_again(conn)
    before = await conn.fetch("select * from grace.jobs")

    assert not await jobs.hold(conn, lost)
    match verb:
        case "finish":
            await jobs.finish(conn, lost)
        case "fail":
            await jobs.fail(conn, lost, delay=timedelta(0), error="x", in_doubt=False, new_key=True)
        case _:
            await jobs.snooze(conn, lost, timedelta(0), in_doubt=False)

    assert await conn.fetch("select * from grace.jobs") == before
    assert await jobs.hold(conn, own)


async def test_a_sweep_puts_back_lost_messages_and_lapsed_leases_and_nothing_else(conn: asyncpg.Connection) -> None:
    for subject in ("lost", "fresh", "crashed", "at work", "done"):
        await jobs.schedule(conn, JobKind.CAPTURE, "order_1", [subject])
    await conn.execute(
        "update grace.jobs set state = 'queued', updated_at = now() - interval '11 seconds' where subject = 'lost'; "
        "update grace.jobs set state = 'queued', updated_at = now() - interval '9 seconds' where subject = 'fresh'; "
        "update grace.jobs set state = 'running', in_doubt = true, failures = 2, failing_since = now(), "
        "lease_until = now() - interval '1 ms' where subject = 'crashed'; "
        "update grace.jobs set state = 'running', lease_until = now() + interval '5 s' where subject = 'at work'; "
        "update grace.jobs set state = 'done', updated_at = now() - interval '1 day' where subject = 'done'"
    )
    assert await jobs.sweep_lost(conn, queued_for=LOST_AFTER) == 2
    assert await _states(conn) == {
        "lost": "scheduled",
        "fresh": "queued",
        "crashed": "scheduled",
        "at work": "running",
        "done": "done",
    }
    crashed = await fetch_one(conn, "select * from grace.jobs where subject = 'crashed'")
    assert (crashed["in_doubt"], crashed["lease_until"], crashed["failures"]) == (True, None, 2)
    assert await jobs.sweep_lost(conn, queued_for=LOST_AFTER) == 0


async def test_a_message_swept_back_is_stale_once_the_job_is_queued_again(conn: asyncpg.Connection) -> None:
    old = await _queued(conn)
    await conn.execute("update grace.jobs set updated_at = now() - interval '11 seconds'")
    await jobs.sweep_lost(conn, queued_for=LOST_AFTER)
    assert await jobs.take(conn, old) is None
    ((_, new),) = await jobs.queue_due(conn, at_once=10)
    assert await jobs.take(conn, old) is None
    assert await jobs.take(conn, new) is not None


async def test_a_postponed_job_comes_back_later_and_only_if_nobody_took_it(conn: asyncpg.Connection) -> None:
    ref = await _queued(conn)
    await jobs.postpone(conn, replace(ref, generation=7), timedelta(0))
    assert await _states(conn) == {"pay_1": "queued"}
    await jobs.postpone(conn, ref, timedelta(minutes=1))
    assert await _states(conn) == {"pay_1": "scheduled"}
    assert await jobs.queue_due(conn, at_once=10) == []
    await conn.execute("update grace.jobs set run_at = now()")
    job = await _take_again(conn)
    await jobs.postpone(conn, job.ref, timedelta(0))
    assert await _states(conn) == {"pay_1": "running"}


async def test_removing_captures_takes_what_waits_and_leaves_the_rest(conn: asyncpg.Connection) -> None:
    for state in JobState:
        await jobs.schedule(conn, JobKind.CAPTURE, "order_1", [state])
        await conn.execute(
            "update grace.jobs set state = subject, lease_until = case subject when 'running' then now() end "
            "where subject = $1",
            state.value,
        )
    await jobs.schedule(conn, JobKind.CAPTURE, "order_2", ["another order"])
    await jobs.schedule(conn, JobKind.VOID, "order_1", ["a void"])
    assert await jobs.remove_captures(conn, "order_1") == 2
    untouched = {state.value: state.value for state in JobState}
    assert await _states(conn) == untouched | {
        "scheduled": "removed",
        "queued": "removed",
        "another order": "scheduled",
        "a void": "scheduled",
    }


async def test_trouble_of_other_jobs_of_the_order_and_kind(conn: asyncpg.Connection) -> None:
    first = await _taken(conn)
    await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["pay_2"])
    await jobs.schedule(conn, JobKind.VOID, "order_1", ["pay_1"])
    failing = "update grace.jobs set failures = 1, failing_since = now() where"
    await conn.execute(f"{failing} kind = 'void' or ulid = $1", first.id)
    assert not await jobs.others_in_trouble(conn, first)
    await conn.execute(f"{failing} subject = 'pay_2'")
    assert await jobs.others_in_trouble(conn, first)


async def test_a_stored_job_is_read_as_it_was_written(conn: asyncpg.Connection) -> None:
    job = await _taken(conn)
    (read,) = await jobs.of_order(conn, "order_1", JobKind.CAPTURE)
    assert (read.id, read.kind, read.subject, read.ref) == (job.id, JobKind.CAPTURE, "pay_1", job.ref)
    assert await jobs.of_order(conn, "order_1", JobKind.VOID) == []


async def _queued(conn: asyncpg.Connection) -> JobRef:
    await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["pay_1"])
    ((_, ref),) = await jobs.queue_due(conn, at_once=10)
    return ref


async def _taken(conn: asyncpg.Connection) -> Job:
    job = await jobs.take(conn, await _queued(conn))
    assert job is not None
    return job


async def _take_again(conn: asyncpg.Connection) -> Job:
    ((_, ref),) = await jobs.queue_due(conn, at_once=10)
    job = await jobs.take(conn, ref)
    assert job is not None
    return job


async def _let_leases_lapse(conn: asyncpg.Connection) -> None:
    await conn.execute("update grace.jobs set lease_until = now() - interval '1 s' where state = 'running'")


async def _everything(conn: asyncpg.Connection) -> list[asyncpg.Record]:
    return [
        row
        for table in ("jobs", "events", "incidents")
        for row in await conn.fetch(f"select * from grace.{table} order by 1")
    ]


async def _states(conn: asyncpg.Connection) -> dict[str, str]:
    return {row["subject"]: row["state"] for row in await conn.fetch("select subject, state from grace.jobs")}


def _ago(**time: Any) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


async def test_a_job_goes_back_to_what_its_caller_names_and_not_to_what_is_logged(conn: asyncpg.Connection) -> None:
    origin = Origin("01M8FEV2P3KVVKRAEDWP4NQZ91", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    with structlog.contextvars.bound_contextvars(request_id="logged", traceparent="logged"):
        await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["pay_1"], origin=origin)
        await jobs.schedule_again(conn, JobKind.VOID, "order_1", ["pay_1"], origin=origin)
        await jobs.schedule_event(conn, "order_1", Event("payment.captured", "pay_1"), origin=origin)
        await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["pay_2"])
    rows = await conn.fetch("select request_id, traceparent from grace.jobs order by id")
    assert [tuple(row) for row in rows] == [astuple(origin)] * 3 + [(None, None)]
