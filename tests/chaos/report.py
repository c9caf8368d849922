"""What happened, in one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.chaos.captures import last_capture_after, lateness
from tests.chaos.load import LoadGenerator
from tests.chaos.records import Attempt, Fault, Heard, OrderRow, Orders
from tests.chaos.verdict import Verdict
from tests.chaos.watch import PATIENCE

Requests = Sequence[Mapping[str, Any]]
"""What Stripe was asked, as the sandbox lists it."""

_SURPRISES: Final = ("job.crashed", "relay.step_failed", "request.failed", "Task exception was never retrieved")


def write_report(load: LoadGenerator, heard: Heard, verdict: Verdict, requests: Requests, logs: Sequence[Path]) -> str:
    """The report, with every broken promise at its end."""
    orders, attempts = verdict.orders.values(), heard.attempts
    lines = [f"orders: {len(verdict.orders)} ({_counted(load.placed.values())})"]
    if load.stayed_away:
        lines.append(f"orders that this machine was too slow for: {load.stayed_away}")
    if heard.stalls:
        longest = max(stall.end - stall.begin for stall in heard.stalls)
        lines.append(f"the machine stood still {len(heard.stalls)} times, {longest:.1f} s at most")
    lines.append(f"at rest: {_counted(f'{order.status}, capture {order.capture_state}' for order in orders)}")
    lines.append(f"rest came {verdict.rested_after:.1f} s after the load")
    lines += ["", f"cancels: {len(attempts)} requests", *_table(one.outcome for one in attempts)]
    lines += ["", "seconds to an answer:", *_latencies(attempts)]
    overdue = sorted(order.captured_at - order.due_at for order in orders if order.captured_at)
    late = sorted(lateness(order, order.captured_at, heard) for order in orders if order.captured_at)
    lines += ["", f"captures, seconds after they were due: {_spread(overdue)}"]
    lines.append(f"  counted from the end of the last fault before: {_spread(late)}")
    lines += ["", *_fault_table(heard, verdict.orders, requests)]
    held = load.locks.too_long
    words = f"{len(held)}, longest {held[0]:.0f} s" if held else "0"
    lines += ["", f"locks on Medusa's stock held longer than its checkouts wait ({PATIENCE:.0f} s): {words}"]
    lines += ["", f"surprises in the logs: {_surprises(logs)}"]
    lines += ["", f"broken promises: {len(verdict.broken)}", *(f"  {words}" for words in verdict.broken[:50])]
    return "\n".join([*lines, *verdict.evidence])


def nothing_tried(heard: Heard, orders: Orders, requests: Requests) -> Iterator[str]:
    """A run that broke no promise because nothing was asked of it shows nothing."""
    if not any(one.is_first for one in heard.attempts):
        yield "no order was canceled: this run shows nothing"
    if not any(order.captured_at for order in orders.values()):
        yield "no order was captured: this run shows nothing"
    for kind in sorted({fault.kind for fault in heard.faults if fault.is_of("stripe")}):
        if not any(_met_by(fault, heard, orders, requests) for fault in heard.faults if fault.kind == kind):
            yield f"no request to Stripe met the fault: {kind}"


def _fault_table(heard: Heard, orders: Orders, requests: Requests) -> Iterator[str]:
    yield f"faults: {len(heard.faults)} of {len({fault.kind for fault in heard.faults})} kinds"
    yield "      n  met by  overdue at its end  last of them after  kind"
    for kind in sorted({fault.kind for fault in heard.faults}):
        faults = [fault for fault in heard.faults if fault.kind == kind]
        met = sum(_met_by(fault, heard, orders, requests) for fault in faults)
        after = [last_capture_after(fault, orders.values()) for fault in faults]
        overdue, longest = sum(count for count, _ in after), max(seconds for _, seconds in after)
        yield f"  {len(faults):5}  {met:6}  {overdue:18}  {longest:16.1f} s  {kind}"
    yield "  (met by: requests to Stripe that failed so; else cancels asked for and captures due meanwhile)"


def _met_by(fault: Fault, heard: Heard, orders: Orders, requests: Requests) -> int:
    if fault.is_of("stripe"):
        return sum(bool(one["fault"]) and fault.begin <= one["at"] <= fault.end for one in requests)
    asked = sum(one.sent <= fault.end and one.answered >= fault.begin for one in heard.attempts)
    return asked + sum(_was_due(order, fault) for order in orders.values())


def _was_due(order: OrderRow, fault: Fault) -> bool:
    return order.captured_at is not None and order.due_at <= fault.end and order.captured_at >= fault.begin


def _counted(what: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(what).most_common()) or "none"


def _table(what: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(what).most_common():
        yield f"  {count:5}  {name}"


def _latencies(attempts: Sequence[Attempt]) -> Iterator[str]:
    for status in sorted({one.status for one in attempts if one.status is not None}):
        yield f"  {status}: {_spread(sorted(one.seconds for one in attempts if one.status == status))}"


def _spread(values: Sequence[float]) -> str:
    """Of sorted values."""
    if not values:
        return "none"
    at = {name: values[min(len(values) - 1, int(len(values) * share))] for name, share in _SHARES.items()}
    return ", ".join(f"{name} {value:.2f}" for name, value in at.items()) + f", max {values[-1]:.2f} (n={len(values)})"


_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def _surprises(logs: Sequence[Path]) -> str:
    found: Counter[str] = Counter()
    for log in logs:
        text = log.read_text(errors="replace")
        for what in _SURPRISES:
            found[f"{what} ({log.stem})"] += text.count(what)
    return _counted((+found).elements())
