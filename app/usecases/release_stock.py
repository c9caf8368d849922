"""Release the stock that a canceled order reserved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random

from app.domain.jobs import JobState
from app.domain.order import Order, OrderState
from app.ports import Reservation, StockBusy, Unavailable, Unseen
from app.usecases.job_failures import record_failure, record_unavailable
from app.usecases.job_run import JobRun

log = structlog.get_logger()

_STOCK_PATIENCE: Final = 5.0
"""Seconds. Medusa's own patience with an inventory lock."""
_MORE_TO_RELEASE: Final = timedelta(seconds=1)


async def release_stock(run: JobRun, _: Order | None) -> None:
    """Release every live reservation of the order, each once. Safe to run any number of times."""
    claim = await _claim(run)
    if claim is None:
        return
    try:
        async with run.services.inventory.stock_guard(claim):
            await _record_patiently(run, claim)
    except Unavailable as error:
        await record_unavailable(run, error)


async def _claim(run: JobRun) -> Sequence[Reservation] | None:
    """Without the order's lock, which the void of the same order is after: what was canceled stays canceled."""
    services = run.services
    async with services.db.read("release.look") as conn:
        order = await services.orders.read_order(conn, run.job.order_id)
        if order is not None and order.state is OrderState.CANCELED:
            return await services.inventory.reservations(conn, order.id)
    async with run.transaction("unwanted") as recording:
        if recording is None:
            return None
        order = recording.order
        if order is None or order.state is not OrderState.CANCELED:
            await recording.finish(JobState.REMOVED, note="the order is not canceled")
            return None
        return await services.inventory.reservations(recording.conn, order.id)


async def _record_patiently(run: JobRun, claim: Sequence[Reservation]) -> None:
    """Try again for a few seconds while the shop is at work on the same stock."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(StockBusy),
        wait=wait_random(0.02, 0.2),
        stop=stop_after_delay(_STOCK_PATIENCE),
        reraise=True,
    )
    await retrying(_record, run, claim)


async def _record(run: JobRun, claim: Sequence[Reservation]) -> None:
    inventory, order_id = run.services.inventory, run.job.order_id
    async with run.services.db.transaction("release.record") as conn:
        await inventory.lock_stock(conn, claim)
        recording = await run.recording(conn)
        if recording is None:
            return
        left = await inventory.release_stock(conn, order_id, claim)
        kept = set(left) & set(claim)
        if kept:
            outcome = Unseen(f"released, and reserved all the same: {', '.join(sorted(r.id for r in kept))}")
            await record_failure(recording, outcome)
        elif left:
            await recording.snooze(_MORE_TO_RELEASE, in_doubt=False)
        else:
            await recording.complete()
            log.info("stock.released", order_id=order_id, reservations=len(claim))
