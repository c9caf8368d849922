"""Workers that want the same rows at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

import asyncpg
import pytest

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobRef
from app.store import cursors, incidents, jobs
from tests.store.conftest import Connect

T = TypeVar("T")


async def test_a_removal_that_meets_a_take_removes_nothing(conn: asyncpg.Connection, connect: Connect) -> None:
    ref, worker = await _queued(conn), await connect()
    claim = worker.transaction()
    await claim.start()
    assert await jobs.take(worker, ref) is not None

    removal = await _blocked(jobs.remove_captures(conn, "order_1"))
    await claim.commit()
    assert await removal == 0
    assert await _state(conn) == "running"


async def test_a_removal_that_meets_a_take_that_dies_removes_the_job(
    conn: asyncpg.Connection, connect: Connect
) -> None:
    ref, worker = await _queued(conn), await connect()
    claim = worker.transaction()
    await claim.start()
    await jobs.take(worker, ref)

    removal = await _blocked(jobs.remove_captures(conn, "order_1"))
    await claim.rollback()
    assert await removal == 1
    assert await jobs.take(worker, ref) is None


async def test_a_take_that_meets_a_removal_waits_and_takes_nothing(conn: asyncpg.Connection, connect: Connect) -> None:
    ref, cancel = await _queued(conn), await connect()
    removal = cancel.transaction()
    await removal.start()
    assert await jobs.remove_captures(cancel, "order_1") == 1

    claim = await _blocked(jobs.take(conn, ref))
    await removal.commit()
    assert await claim is None
    assert await _state(conn) == "removed"


async def test_of_many_takes_of_one_message_one_wins(conn: asyncpg.Connection, connect: Connect) -> None:
    ref = await _queued(conn)
    workers = [await connect() for _ in range(6)]
    taken = await asyncio.gather(*(jobs.take(worker, ref) for worker in workers))
    assert sum(job is not None for job in taken) == 1
    assert await conn.fetchval("select attempts from grace.jobs") == 1


async def test_two_relays_share_what_is_due(conn: asyncpg.Connection, connect: Connect) -> None:
    await jobs.schedule(conn, JobKind.VOID, "order_1", [f"pay_{number}" for number in range(10)])
    relay = await connect()
    turn = relay.transaction()
    await turn.start()
    theirs = await jobs.queue_due(relay, at_once=4)
    ours = await asyncio.wait_for(jobs.queue_due(conn, at_once=4), 1)
    await turn.commit()
    assert len(theirs) == len(ours) == 4
    assert {ref.id for _, ref in theirs}.isdisjoint({ref.id for _, ref in ours})


async def test_two_sweeps_put_each_job_back_once(conn: asyncpg.Connection, connect: Connect) -> None:
    await jobs.schedule(conn, JobKind.VOID, "order_1", [f"pay_{number}" for number in range(10)])
    await conn.execute("update grace.jobs set state = 'running', lease_until = now() - interval '1 s'")
    sweeps = [
        jobs.sweep_lost(one, queued_for=timedelta(seconds=10)) for one in [conn, await connect(), await connect()]
    ]
    assert sum(await asyncio.gather(*sweeps)) == 10


async def test_a_job_that_is_being_recorded_is_not_swept(conn: asyncpg.Connection, connect: Connect) -> None:
    """Its lease lapsed a moment ago, but its worker holds the row: it will finish."""
    ref, worker = await _queued(conn), await connect()
    job = await jobs.take(worker, ref)
    assert job is not None
    await conn.execute("update grace.jobs set lease_until = now() - interval '1 s'")
    record = worker.transaction()
    await record.start()
    assert await jobs.hold(worker, job)
    assert await asyncio.wait_for(jobs.sweep_lost(conn, queued_for=timedelta(seconds=10)), 1) == 0
    await jobs.finish(worker, job)
    await record.commit()
    assert await _state(conn) == "done"


async def test_scheduling_the_same_subject_at_once_makes_one_job(conn: asyncpg.Connection, connect: Connect) -> None:
    workers = [await connect() for _ in range(4)]
    await asyncio.gather(*(jobs.schedule(one, JobKind.VOID, "order_1", ["pay_1"]) for one in workers))
    assert await conn.fetchval("select count(*) from grace.jobs") == 1


async def test_a_cursor_is_one_workers_at_a_time(conn: asyncpg.Connection, connect: Connect) -> None:
    await cursors.start(conn, "payments", "here")
    await cursors.start(conn, "payments", "not there")
    other = await connect()
    turn = other.transaction()
    await turn.start()
    assert await cursors.take(other, "payments") == "here"
    assert await cursors.take(conn, "payments") is None, "the others skip their turn"
    await cursors.move(other, "payments", "further")
    await turn.commit()
    assert await cursors.take(conn, "payments") == "further"


async def test_an_incident_is_announced_by_one_worker(conn: asyncpg.Connection, connect: Connect) -> None:
    kind = IncidentKind.VOID_FAILED
    for _ in range(2):
        await incidents.open_(conn, "order_1", kind, "once")
    other = await connect()
    turn = other.transaction()
    await turn.start()
    (told,) = await incidents.unannounced(other)
    assert await incidents.unannounced(conn) == []
    await incidents.mark_announced(other, [told])
    await turn.commit()
    assert await incidents.unannounced(conn) == []
    await incidents.close(conn, "order_1", kind)
    await incidents.open_(conn, "order_1", kind, "again")
    assert [new.detail for new in await incidents.unannounced(conn)] == ["again"], "a new incident is a new alarm"


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'running'", "jobs_lease_while_running"),
        ("lease_until = now()", "jobs_lease_while_running"),
        ("failures = 1", "jobs_failing_since"),
        ("failing_since = now()", "jobs_failing_since"),
        ("state = 'paused'", "jobs_state_check"),
        ("kind = 'chase'", "jobs_kind_check"),
    ],
)
async def test_what_cannot_be_cannot_be_stored(conn: asyncpg.Connection, change: str, constraint: str) -> None:
    await _queued(conn)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await conn.execute(f"update grace.jobs set {change}")
    assert refused.value.constraint_name == constraint


async def test_one_job_a_subject_and_one_open_incident_an_order_and_kind(conn: asyncpg.Connection) -> None:
    job = "insert into grace.jobs (kind, order_id, subject, run_at) values ('void', $1, 'pay_1', now())"
    await conn.execute(job, "order_1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await conn.execute(job, "order_2")
    incident = "insert into grace.incidents (order_id, kind, detail) values ('order_1', 'void_failed', '')"
    await conn.execute(incident)
    with pytest.raises(asyncpg.UniqueViolationError):
        await conn.execute(incident)
    await conn.execute("update grace.incidents set closed_at = now()")
    await conn.execute(incident)


async def test_a_cursor_that_another_session_keeps_locked_is_named_in_the_log(
    conn: asyncpg.Connection, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing new is found meanwhile. A worker's own search keeps it for seconds."""
    monkeypatch.setattr(cursors, "LOCKED_TOO_LONG", 0.2)
    await cursors.start(conn, "payments", "pay_1")
    holder = await connect()
    transaction = holder.transaction()
    await transaction.start()
    assert await cursors.take(holder, "payments") == "pay_1"
    assert await cursors.take(conn, "payments") is None
    assert caplog.text == ""
    await asyncio.sleep(0.3)
    assert await cursors.take(conn, "payments") is None
    assert "'cursor': 'payments'" in caplog.text
    await transaction.commit()
    caplog.clear()
    assert await cursors.take(conn, "payments") == "pay_1"
    holding = holder.transaction()
    await holding.start()
    await cursors.take(holder, "payments")
    assert await cursors.take(conn, "payments") is None
    assert caplog.text == "", "each wait is a wait of its own"
    await holding.rollback()


async def _queued(conn: asyncpg.Connection) -> JobRef:
    await jobs.schedule(conn, JobKind.CAPTURE, "order_1", ["pay_1"])
    ((_, ref),) = await jobs.queue_due(conn, at_once=10)
    return ref


async def _blocked(work: Awaitable[T]) -> asyncio.Future[T]:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.1)
    assert not task.done(), "it did not wait for the other transaction"
    return task


async def _state(conn: asyncpg.Connection) -> str:
    return str(await conn.fetchval("select state from grace.jobs"))
