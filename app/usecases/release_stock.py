"""Release the stock that a canceled order reserved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random

from app.domain.incidents import IncidentKind
from app.domain.jobs import Job, JobRef, JobState
from app.domain.order import OrderState
from app.ports import Reservation, Services, StockBusy, Unavailable, Unknown, Unseen
from app.store import jobs
from app.usecases.job_failures import record_failure

log = structlog.get_logger()

_STOCK_PATIENCE: Final = 5.0
"""Seconds. Medusa's own patience with an inventory lock."""
_MORE_TO_RELEASE: Final = timedelta(seconds=1)


class _Claim(msgspec.Struct, frozen=True):
    job: Job
    reservations: Sequence[Reservation]


async def release_stock(services: Services, ref: JobRef) -> None:
    """Release every live reservation of the order, each once. Safe to run any number of times."""
    claim = await _claim(services, ref)
    if claim is None:
        return
    try:
        async with services.commerce.stock_guard(claim.reservations):
            await _record_patiently(services, claim)
    except Unavailable as error:
        await _record_failure(services, claim.job, error)


async def _claim(services: Services, ref: JobRef) -> _Claim | None:
    """Without the order's lock, which the void of the same order is after: what was canceled stays canceled."""
    async with services.db.single("release.claim") as conn:
        job = await jobs.take(conn, ref)
    if job is None:
        return None
    async with services.db.read("release.look") as conn:
        order = await services.commerce.read_order(conn, job.order_id)
        if order is not None and order.state is OrderState.CANCELED:
            return _Claim(job, await services.commerce.reservations(conn, order.id))
    return await _put_aside(services, job)


async def _put_aside(services: Services, job: Job) -> _Claim | None:
    """The order is not canceled, it seems. Say so in the rows, unless it is after all."""
    async with services.db.transaction("release.unwanted") as conn:
        order = await services.commerce.lock_order(conn, job.order_id)
        if not await jobs.hold(conn, job):
            return None
        if order is None or order.state is not OrderState.CANCELED:
            await jobs.finish(conn, job, JobState.REMOVED, note="the order is not canceled")
            return None
        return _Claim(job, await services.commerce.reservations(conn, order.id))


async def _record_patiently(services: Services, claim: _Claim) -> None:
    """Try again for a few seconds while the shop is at work on the same stock."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(StockBusy),
        wait=wait_random(0.02, 0.2),
        stop=stop_after_delay(_STOCK_PATIENCE),
        reraise=True,
    )
    await retrying(_record, services, claim)


async def _record(services: Services, claim: _Claim) -> None:
    job = claim.job
    async with services.db.transaction("release.record") as conn:
        await services.commerce.lock_stock(conn, claim.reservations)
        if not await jobs.hold(conn, job):
            return
        left = await services.commerce.release_stock(conn, job.order_id, claim.reservations)
        kept = set(left) & set(claim.reservations)
        if kept:
            now = await conn.fetchval("select now()")
            outcome = Unseen(f"released, and reserved all the same: {', '.join(sorted(r.id for r in kept))}")
            await record_failure(conn, job, outcome, kind=IncidentKind.RELEASE_FAILED, now=now)
        elif left:
            await jobs.snooze(conn, job, _MORE_TO_RELEASE, in_doubt=False)
        else:
            await jobs.end_well(conn, job, IncidentKind.RELEASE_FAILED)
            log.info("stock.released", order_id=job.order_id, reservations=len(claim.reservations))


async def _record_failure(services: Services, job: Job, error: Unavailable) -> None:
    async with services.db.transaction("release.failed") as conn:
        now = await conn.fetchval("select now()")
        if await jobs.hold(conn, job):
            await record_failure(conn, job, Unknown(str(error)), kind=IncidentKind.RELEASE_FAILED, now=now)
    log.warning("release.failed", order_id=job.order_id, error=str(error))
