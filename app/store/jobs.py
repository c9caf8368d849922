"""``grace.jobs``: schedule, queue, take, finish, fail, remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import astuple

from app.domain.cancellation import HandOver
from app.domain.incidents import IncidentKind
from app.domain.jobs import LEASE, Job, JobKind, JobRef, JobState, job_of
from app.domain.order import Order
from app.domain.timeline import JobRow
from app.ports import NO_ORIGIN, Connection, Event, Origin
from app.store.sql import statement

_SCHEDULE: Final = statement("schedule_jobs")
_SCHEDULE_AGAIN: Final = statement("schedule_again")
_SCHEDULE_EVENT: Final = statement("schedule_event")
_AGAIN: Final = statement("job_again")
_ORDER_JOBS: Final = statement("order_jobs")
_REMOVE_CAPTURES: Final = statement("remove_captures")
_QUEUE_DUE: Final = statement("queue_due")
_TAKE: Final = statement("take_job")
_VOID_IS_OPEN: Final = statement("void_is_open")
_RUNNING: Final = statement("running_job")
_RENEW: Final = statement("renew_lease")
_FINISH: Final = statement("finish_job")
_END_WELL: Final = statement("end_well")
_FAIL: Final = statement("fail_job")
_SNOOZE: Final = statement("snooze_job")
_POSTPONE: Final = statement("postpone_queued")
_IS_FOREIGN: Final = statement("is_foreign")
_SWEEP: Final = statement("sweep_lost")
_OTHER_TROUBLE: Final = statement("other_trouble")
_RETRY: Final = statement("retry_jobs")
_ROWS: Final = statement("jobs_of_order")
_HAND_OVER: Final = statement("hand_over_captures")


async def schedule(
    conn: Connection,
    kind: JobKind,
    order_id: str,
    subjects: Sequence[str],
    *,
    run_at: datetime | None = None,
    origin: Origin = NO_ORIGIN,
) -> None:
    """One job per subject, due at ``run_at`` or now. Subjects that had one before are left alone."""
    await schedule_many(conn, kind, [(order_id, subject, run_at) for subject in subjects], origin=origin)


async def schedule_many(
    conn: Connection,
    kind: JobKind,
    jobs: Sequence[tuple[str, str, datetime | None]],
    *,
    origin: Origin = NO_ORIGIN,
) -> None:
    """As ``schedule``, for ``(order_id, subject, run_at)`` of many orders in one statement."""
    if jobs:
        order_ids, subjects, run_ats = zip(*jobs, strict=True)
        await conn.execute(_SCHEDULE, kind.value, order_ids, subjects, run_ats, *astuple(origin))


async def schedule_again(
    conn: Connection,
    kind: JobKind,
    order_id: str,
    subjects: Sequence[str],
    *,
    run_at: datetime | None = None,
    origin: Origin = NO_ORIGIN,
) -> None:
    """As ``schedule``, and jobs of these subjects that are over are done once more."""
    if subjects:
        await conn.execute(_SCHEDULE_AGAIN, kind.value, order_id, list(subjects), *astuple(origin), run_at)


async def schedule_for_cancel(
    conn: Connection, kind: JobKind, order: Order, subject: str, *, origin: Origin = NO_ORIGIN
) -> None:
    """As ``schedule`` for a canceled order, and a job that was over before this cancel is done once more.

    An order can be canceled, opened and canceled again. What ended since is left alone: its rows tell what it found.
    """
    ended = [job.ended_at for job in await of_order(conn, order.id, kind) if job.subject == subject]
    if order.canceled_at is not None and any(at is not None and at < order.canceled_at for at in ended):
        await schedule_again(conn, kind, order.id, [subject], origin=origin)
    else:
        await schedule(conn, kind, order.id, [subject], origin=origin)


async def hand_over_captures(
    conn: Connection, order_id: str, hand_overs: Sequence[HandOver], *, origin: Origin = NO_ORIGIN
) -> None:
    """Schedule the order's removed or dead captures for the orders that need their holds."""
    if hand_overs:
        await conn.execute(
            _HAND_OVER,
            order_id,
            [one.payment_id for one in hand_overs],
            [one.order_id for one in hand_overs],
            [one.due for one in hand_overs],
            *astuple(origin),
        )


async def schedule_event(conn: Connection, order_id: str, event: Event, *, origin: Origin = NO_ORIGIN) -> None:
    """One job to publish ``event``, due now: one for each occurrence where it has one, else one ever."""
    once = Event(event.name, event.id).subject
    await conn.execute(_SCHEDULE_EVENT, order_id, once, event.occurrence, *astuple(origin))


async def again(conn: Connection, kind: JobKind, order_id: str, subject: str) -> None:
    """Take up a job that is done once more; one that waits or runs will see for itself."""
    await conn.execute(_AGAIN, kind.value, order_id, subject)


async def retry(conn: Connection, order_id: str, kind: JobKind) -> int:
    """Make the order's failing and given-up jobs of a kind due at once. How many: those under way are no business."""
    return len(await conn.fetch(_RETRY, order_id, kind.value))


async def all_of(conn: Connection, order_id: str) -> list[JobRow]:
    """The order's jobs of every kind, oldest first, to be shown."""
    return [
        JobRow(**{**dict(row), "kind": JobKind(row["kind"]), "state": JobState(row["state"])})
        for row in await conn.fetch(_ROWS, order_id)
    ]


async def of_order(conn: Connection, order_id: str, kind: JobKind) -> list[Job]:
    """The order's jobs of a kind. Under the order's lock, none of them can begin to run."""
    return [job_of(row) for row in await conn.fetch(_ORDER_JOBS, order_id, kind.value)]


async def void_is_open(conn: Connection, order_id: str) -> bool:
    """Whether the outcome of the order's voids is still to come, and nothing is known to go wrong."""
    return bool(await conn.fetchval(_VOID_IS_OPEN, order_id))


async def remove_captures(conn: Connection, order_id: str) -> int:
    """Take the order's waiting capture jobs out, for good. How many there were."""
    return len(await conn.fetch(_REMOVE_CAPTURES, order_id))


async def queue_due(
    conn: Connection, *, at_once: int, room: Mapping[JobKind, int] | None = None
) -> list[tuple[JobKind, JobRef]]:
    """Queue due jobs so that no more than ``at_once`` of each kind wait for a worker.

    ``room`` has the kinds to queue, and how many of each at most; ``None`` is every kind.
    """
    room = dict.fromkeys(JobKind, at_once) if room is None else room
    rows = await conn.fetch(_QUEUE_DUE, list(room), at_once, list(room.values()))
    return [(kind, JobRef(**{**row, "kind": kind})) for row in rows for kind in (JobKind(row["kind"]),)]


async def take(conn: Connection, ref: JobRef) -> Job | None:
    """Make the job this worker's, or ``None`` when the message is stale.

    ``in_doubt`` of the answer says whether an *earlier* attempt may have reached Stripe.
    """
    row = await conn.fetchrow(_TAKE, *astuple(ref), LEASE)
    return None if row is None else job_of(row)


async def running(conn: Connection, ref: JobRef) -> Job | None:
    """The job as it runs, locked until the commit; ``None`` when it does not, or not for this message any more."""
    row = await conn.fetchrow(_RUNNING, *astuple(ref))
    return None if row is None else job_of(row)


async def hold(conn: Connection, job: Job) -> bool:
    """Whether the job is still this worker's; its row stays locked until the commit."""
    return await running(conn, job.ref) is not None


async def renew(conn: Connection, job: Job) -> None:
    """Begin the lease of this worker's job again, for another call to Stripe."""
    await conn.execute(_RENEW, *astuple(job.ref), LEASE)


async def finish(conn: Connection, job: Job, state: JobState = JobState.DONE, *, note: str | None = None) -> None:
    """End the job: ``done``, ``removed`` or ``dead``."""
    await conn.execute(_FINISH, *astuple(job.ref), state.value, note)


async def end_well(conn: Connection, job: Job, incident: IncidentKind, *, note: str | None = None) -> bool:
    """The job is done; over is the incident that failures opened, unless another job of the order still fails.

    ``False``, and nothing is written, when the job is not this worker's any more.
    """
    return bool(await conn.fetch(_END_WELL, *astuple(job.ref), note, incident.value))


async def fail(conn: Connection, job: Job, *, delay: timedelta, error: str, in_doubt: bool, new_key: bool) -> None:
    """Try again after ``delay``. ``in_doubt`` when Stripe may have done it, ``new_key`` when it surely did not."""
    await conn.execute(_FAIL, *astuple(job.ref), delay, error[:2000], in_doubt, new_key)


async def snooze(conn: Connection, job: Job, delay: timedelta, *, in_doubt: bool, new_key: bool = False) -> None:
    """Look again after ``delay``; nothing failed. ``new_key`` when Stripe would replay the answer that it gave."""
    await conn.execute(_SNOOZE, *astuple(job.ref), delay, in_doubt, new_key)


async def others_in_trouble(conn: Connection, job: Job) -> bool:
    """Whether another job of the same order and kind still fails."""
    return bool(await conn.fetchval(_OTHER_TROUBLE, job.order_id, job.kind.value, job.id))


async def postpone(conn: Connection, ref: JobRef, delay: timedelta, *, longest: timedelta = LEASE) -> bool | None:
    """Put a queued job back that no worker has claimed, and return ``True``. ``False`` when it was put back for
    ``longest`` already, ``None`` when the message is stale."""
    postponed: bool | None = await conn.fetchval(_POSTPONE, *astuple(ref), delay, longest)
    return postponed


async def is_foreign(conn: Connection, ref: JobRef) -> bool:
    """Return whether no job of this installation was ever dispatched with that message."""
    return bool(await conn.fetchval(_IS_FOREIGN, *astuple(ref)))


async def sweep_lost(conn: Connection, *, queued_for: timedelta) -> int:
    """Put back jobs whose message or worker got lost. How many."""
    return len(await conn.fetch(_SWEEP, queued_for))
