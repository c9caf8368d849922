"""What was promised and not kept: the checker on rows and ledger at rest, and every answer that a shopper got."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from app.embedded.stripe_sandbox.client import Sandbox
from tests.chaos.answers import bad_answers
from tests.chaos.captures import late_captures
from tests.chaos.records import Attempt, Heard, OrderRow, Orders
from tests.promises import broken_promises

REST_SECONDS: Final = 60.0


@dataclass
class Verdict:
    """Everything at rest."""

    rested_after: float
    orders: dict[str, OrderRow]
    broken: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)


async def judge(
    conn: asyncpg.Connection, sandbox: Sandbox, heard: Heard, *, rest_seconds: float = REST_SECONDS
) -> Verdict:
    """Wait for rest, at most so long, then look at everything. Each broken promise is named with its order."""
    began = time.monotonic()
    restless = await _await_rest(conn, rest_seconds)
    verdict = Verdict(time.monotonic() - began, await _orders(conn))
    if restless:
        verdict.broken.append(f"not at rest after {rest_seconds:.0f} s: {restless}")
    suspects: set[str] = set()
    for finding in await broken_promises(conn, sandbox):
        verdict.broken.append(f"{finding.defect.value}: {finding.order_id}: {finding.detail}")
        suspects |= {finding.order_id} if finding.order_id else set()
    for order_id, words in (
        *_missing(verdict.orders, heard),
        *bad_answers(verdict.orders, heard),
        *late_captures(verdict.orders, heard),
    ):
        verdict.broken.append(f"{order_id}: {words}")
        suspects.add(order_id)
    verdict.broken += heard.deserters
    for order_id in sorted(suspects)[:10]:
        verdict.evidence += await _evidence(conn, order_id, heard.attempts)
    return verdict


async def _await_rest(conn: asyncpg.Connection, rest_seconds: float) -> str:
    """Until every hold has its capture job, no job waits and no incident is open; else what is still going on."""
    until = time.monotonic() + rest_seconds
    while True:
        row = await conn.fetchrow(
            "select (select count(*) from grace.jobs where state in ('scheduled', 'queued', 'running')) as jobs, "
            "(select count(*) from grace.incidents where closed_at is null) as incidents, "
            "(select count(*) from payment p where p.canceled_at is null and not exists "
            " (select from grace.jobs j where j.kind = 'capture' and j.subject = p.id)) as untracked"
        )
        assert row is not None
        if not any(row.values()):
            return ""
        if time.monotonic() > until:
            return ", ".join(f"{count} {what}" for what, count in row.items() if count)
        await asyncio.sleep(0.2)


async def _orders(conn: asyncpg.Connection) -> dict[str, OrderRow]:
    rows = await conn.fetch(
        "select o.id, o.status, o.created_at, c.request_id, j.state, j.updated_at, j.attempts "
        'from "order" o left join grace.cancellations c on c.order_id = o.id '
        "left join grace.jobs j on j.order_id = o.id and j.kind = 'capture'"
    )
    return {
        row["id"]: OrderRow(
            id=row["id"],
            status=row["status"],
            created_at=row["created_at"].timestamp(),
            canceled_by=row["request_id"],
            capture_state=row["state"],
            captured_at=row["updated_at"].timestamp() if row["state"] == "done" else None,
            capture_attempts=row["attempts"] or 0,
        )
        for row in rows
    }


def _missing(orders: Orders, heard: Heard) -> Iterator[tuple[str, str]]:
    for order_id in heard.placed:
        if order_id not in orders:
            yield order_id, "was placed and is gone: the database lost a commit"


async def _evidence(conn: asyncpg.Connection, order_id: str, attempts: Sequence[Attempt]) -> list[str]:
    lines = [f"--- {order_id}"]
    for table, order_by in (("jobs", "id"), ("cancellations", "order_id"), ("incidents", "id")):
        rows = await conn.fetch(f"select * from grace.{table} where order_id = $1 order by {order_by}", order_id)
        lines += [f"{table}: " + ", ".join(f"{k}={v}" for k, v in row.items() if v is not None) for row in rows]
    lines += [
        f"attempt: sent {one.sent:.3f}, {one.seconds:.3f} s, {one.outcome}, request {one.request_id}"
        for one in attempts
        if one.order_id == order_id
    ]
    return lines
