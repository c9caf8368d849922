"""Captures that came too late. A lost one has no time: the checker on rows and ledger names it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tests.chaos.records import Fault, Heard, OrderRow, Orders

CAPTURED_WITHIN: Final = 30.0


def late_captures(orders: Orders, heard: Heard) -> Iterator[tuple[str, str]]:
    """A capture has 30 s from its hour, or from the end of the last fault before it that can hold captures up.

    Faults that come again and again would excuse everything. So it has also, all faults taken out, no more than
    30 s for each time that a worker began it: a fault can spoil an attempt, but not what nobody attempts.
    Time in which the machine stood still is no worker's.
    """
    for order in orders.values():
        if order.captured_at is None:
            continue
        late = lateness(order, order.captured_at, heard)
        if late > CAPTURED_WITHIN:
            yield order.id, f"captured {late:.1f} s after it was due and every fault had ended"
        left = _without_faults(order, order.captured_at, heard)
        if left > CAPTURED_WITHIN * max(order.capture_attempts, 1):
            tries = f"in {order.capture_attempts} attempts"
            yield order.id, f"captured {left:.1f} s after it was due, the faults taken out, {tries}"


def lateness(order: OrderRow, captured_at: float, heard: Heard) -> float:
    """Seconds from the capture's hour, or from the end of the last fault before it."""
    since = max([order.due_at, *(fault.end for fault in _weighty(heard) if fault.begin < captured_at)])
    return max(0.0, captured_at - since - heard.lost(since, captured_at))


def _without_faults(order: OrderRow, captured_at: float, heard: Heard) -> float:
    spoilt = sum(fault.overlap(order.due_at, captured_at) for fault in _weighty(heard))
    return captured_at - order.due_at - spoilt - heard.lost(order.due_at, captured_at)


def _weighty(heard: Heard) -> Iterator[Fault]:
    """No capture waits for the API, nor for messages that are about something else."""
    return (fault for fault in heard.faults if not fault.is_of("API", "astray"))


def last_capture_after(fault: Fault, orders: Iterable[OrderRow]) -> tuple[int, float]:
    """How many captures were overdue when the fault ended, and how long the last of them took from there."""
    overdue = [o.captured_at - fault.end for o in orders if o.captured_at and o.due_at <= fault.end < o.captured_at]
    return len(overdue), max(overdue, default=0.0)
