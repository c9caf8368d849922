"""Two orders placed alike, one for Medusa's own act and one for ours, and all that either act changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from .orders import Medusa, Placed
from .rows import Act, Change, take_snapshot
from .sidecar import Sidecar

Connection = asyncpg.Connection

_OPEN_JOBS = """
select kind, subject, state, attempts, last_error from grace.jobs
 where order_id = $1 and state in ('scheduled', 'queued', 'running')
"""


async def watched(
    conn: Connection, place: Callable[[], Awaitable[Placed]], act: Callable[[Placed], Awaitable[Any]]
) -> tuple[Placed, list[Change]]:
    """Place an order, do something to it, and say what that changed in any table."""
    empty = await take_snapshot(conn)
    placed = await place()
    before = await take_snapshot(conn)
    await act(placed)
    after = await take_snapshot(conn)
    return placed, Act(placing=(empty, before), acting=(before, after)).changes()


async def tracked(conn: Connection, placed: Placed, *, seconds: float = 10) -> None:
    """Return once the sidecar has seen the order's hold."""
    deadline = time.monotonic() + seconds
    while not await conn.fetchval("select 1 from grace.jobs where subject = $1", placed.payment_id):
        assert time.monotonic() < deadline, f"{placed.payment_id} was not seen in {seconds} s"
        await asyncio.sleep(0.05)


async def settled(conn: Connection, order_id: str, *, seconds: float = 20) -> None:
    """Return once the workers have nothing left to do for the order."""
    deadline = time.monotonic() + seconds
    while still := await conn.fetch(_OPEN_JOBS, order_id):
        assert time.monotonic() < deadline, f"still to be done after {seconds} s: {[dict(job) for job in still]}"
        await asyncio.sleep(0.05)


async def captured(conn: Connection, placed: Placed, *, seconds: float = 20) -> None:
    """Return once the sidecar's workers have captured the order's payment."""
    deadline = time.monotonic() + seconds
    while not await conn.fetchval("select captured_at from payment where id = $1", placed.payment_id):
        assert time.monotonic() < deadline, f"{placed.payment_id} is not captured after {seconds} s"
        await asyncio.sleep(0.1)
    await settled(conn, placed.id)


async def cancel_by_medusa(medusa: Medusa, placed: Placed) -> None:
    """The admin's Cancel button."""
    await medusa.admin_post(f"/admin/orders/{placed.id}/cancel")


async def cancel_by_us(sidecar: Sidecar, conn: Connection, placed: Placed) -> dict[str, Any]:
    """A shopper's cancel and all that the workers do after it; the answer the shopper got."""
    answer = await sidecar.cancel(placed.id)
    assert answer.status_code == 200, answer.text
    await settled(conn, placed.id)
    return dict(answer.json())
