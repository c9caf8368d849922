"""What was promised and not kept: the checker on rows and ledger at rest, and every answer that a shopper got."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from tests.chaos.faults import Fault, is_of
from tests.chaos.ground import DELAY_SECONDS, GRACE_SECONDS, Ground
from tests.chaos.load import Attempt
from tests.promises import broken_promises

REST_SECONDS: Final = 60.0
LONGEST_CANCEL: Final = 10.0
CAPTURED_WITHIN: Final = 30.0
AFTERMATH: Final = 1.0
"""Seconds after a restart in which pooled connections to the old server may still be found dead."""


@dataclass(frozen=True)
class OrderRow:
    """An order at rest."""

    id: str
    status: str
    created_at: float
    canceled_by: str | None
    capture_state: str | None
    captured_at: float | None

    @property
    def due_at(self) -> float:
        """When its money is to be taken, unless it was canceled."""
        return self.created_at + GRACE_SECONDS + DELAY_SECONDS


@dataclass
class Verdict:
    """Everything at rest."""

    rested_after: float
    orders: dict[str, OrderRow]
    broken: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)


async def judge(ground: Ground, attempts: Sequence[Attempt], faults: Sequence[Fault], placed: Iterable[str]) -> Verdict:
    """Wait for rest, at most a minute, then look at everything."""
    conn = await asyncpg.connect(ground.dsn)
    try:
        began = time.monotonic()
        restless = await _await_rest(conn)
        verdict = Verdict(time.monotonic() - began, await _orders(conn))
        if restless:
            verdict.broken.append(f"not at rest after {REST_SECONDS:.0f} s: {restless}")
        suspects: set[str] = set()
        for finding in await broken_promises(conn, ground.sandbox):
            verdict.broken.append(f"{finding.defect.value}: {finding.order_id}: {finding.detail}")
            suspects |= {finding.order_id} if finding.order_id else set()
        for order_id, words in (
            *_missing(verdict.orders, placed),
            *_bad_answers(verdict.orders, attempts, faults),
            *_late_captures(verdict.orders, faults),
        ):
            verdict.broken.append(f"{order_id}: {words}")
            suspects.add(order_id)
        verdict.broken += ground.deserters
        for order_id in sorted(suspects)[:10]:
            verdict.evidence += await _evidence(conn, order_id, attempts)
        return verdict
    finally:
        await conn.close()


async def _await_rest(conn: asyncpg.Connection) -> str:
    """Until every hold has its capture job, no job waits and no incident is open; else what is still going on."""
    until = time.monotonic() + REST_SECONDS
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
        "select o.id, o.status, o.created_at, c.request_id, j.state, j.updated_at "
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
            captured_at=_seconds(row["updated_at"]) if row["state"] == "done" else None,
        )
        for row in rows
    }


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _missing(orders: Mapping[str, OrderRow], placed: Iterable[str]) -> Iterator[tuple[str, str]]:
    for order_id in placed:
        if order_id not in orders:
            yield order_id, "was placed and is gone: the database lost a commit"


def _bad_answers(
    orders: Mapping[str, OrderRow], attempts: Sequence[Attempt], faults: Sequence[Fault]
) -> Iterator[tuple[str, str]]:
    firsts = Counter(one.order_id for one in attempts if one.status == 200 and "message" not in one.body)
    for order_id, count in firsts.items():
        if count > 1:
            yield order_id, f"{count} requests were told that they canceled it"
    for one in attempts:
        for words in _wrong_with(one, orders.get(one.order_id), faults):
            yield one.order_id, f"{words} [{one.outcome}, request {one.request_id}, sent {one.sent:.2f}]"


def _wrong_with(one: Attempt, order: OrderRow | None, faults: Sequence[Fault]) -> Iterator[str]:
    if one.seconds > LONGEST_CANCEL:
        yield f"a cancel took {one.seconds:.1f} s"
    if one.status is None:
        if not _during(one, faults, "API killed"):
            yield "no answer, although the API was not killed"
        return
    if one.status == 503 and _during(one, faults, "postgres"):
        confirmed = "Nothing was changed" in str(one.body.get("message"))
        if confirmed and order is not None and order.canceled_by == one.request_id:
            yield "a 503 said that nothing was changed, and this very request canceled the order"
    elif one.status >= 500:
        yield "answered 5xx while Postgres was well" + (" (Redis was not)" if _during(one, faults, "valkey") else "")
    elif one.status == 200:
        if order is None or order.status != "canceled":
            yield f"answered 200, and the order is {order and order.status}"
    elif one.status != 409:
        yield "an answer that no shopper here can have earned"
    elif order is not None and order.canceled_by is not None and order.canceled_by == one.request_id:
        yield "refused, and this very request canceled the order"


def _during(one: Attempt, faults: Sequence[Fault], part: str) -> bool:
    return any(
        is_of(fault.kind, part) and one.sent < fault.end + AFTERMATH and one.answered > fault.begin for fault in faults
    )


def _late_captures(orders: Mapping[str, OrderRow], faults: Sequence[Fault]) -> Iterator[tuple[str, str]]:
    """A capture has 30 s from its hour, or from the end of the last fault before it that can hold captures up."""
    weighty = [fault for fault in faults if not is_of(fault.kind, "API")]
    for order in orders.values():
        if order.captured_at is None:
            continue
        since = max([order.due_at, *(fault.end for fault in weighty if fault.begin < order.captured_at)])
        if order.captured_at - since > CAPTURED_WITHIN:
            yield order.id, f"captured {order.captured_at - since:.1f} s after it was due and every fault had ended"


def last_capture_after(fault: Fault, orders: Iterable[OrderRow]) -> tuple[int, float]:
    """How many captures were overdue when the fault ended, and how long the last of them took from there."""
    overdue = [o.captured_at - fault.end for o in orders if o.captured_at and o.due_at <= fault.end < o.captured_at]
    return len(overdue), max(overdue, default=0.0)


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
