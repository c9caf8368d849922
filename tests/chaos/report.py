"""What happened, in one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.chaos.faults import Fault
from tests.chaos.load import Attempt, Crowd
from tests.chaos.verdict import Verdict, last_capture_after
from tests.chaos.watch import PATIENCE

_SURPRISES: Final = ("job.crashed", "relay.step_failed", "request.failed", "Task exception was never retrieved")


def write_report(crowd: Crowd, faults: Sequence[Fault], verdict: Verdict, logs: Path) -> str:
    """The report, with every broken promise at its end."""
    orders = verdict.orders.values()
    lines = [f"orders: {len(verdict.orders)} ({_counted(crowd.placed.values())})"]
    lines.append(f"at rest: {_counted(f'{order.status}, capture {order.capture_state}' for order in orders)}")
    lines.append(f"rest came {verdict.rested_after:.1f} s after the load")
    lines += ["", f"cancels: {len(crowd.attempts)} requests", *_table(one.outcome for one in crowd.attempts)]
    lines += ["", "seconds to an answer:", *_latencies(crowd.attempts)]
    lateness = sorted(order.captured_at - order.due_at for order in orders if order.captured_at)
    lines += ["", f"captures, seconds after they were due: {_spread(lateness)}"]
    lines += ["", f"faults: {len(faults)}", "      n  overdue at its end  last of them after  kind"]
    for kind in sorted({fault.kind for fault in faults}):
        after = [last_capture_after(fault, orders) for fault in faults if fault.kind == kind]
        overdue, longest = sum(count for count, _ in after), max(seconds for _, seconds in after)
        lines.append(f"  {len(after):5}  {overdue:18}  {longest:16.1f} s  {kind}")
    held = crowd.locks.too_long
    words = f"{len(held)}, longest {held[0]:.0f} s" if held else "0"
    lines += ["", f"locks on Medusa's stock held longer than its checkouts wait ({PATIENCE:.0f} s): {words}"]
    lines += ["", f"surprises in the logs: {_surprises(logs)}"]
    if crowd.gave_up:
        lines.append(f"shoppers who gave up: {len(crowd.gave_up)} {crowd.gave_up[:5]}")
    lines += ["", f"broken promises: {len(verdict.broken)}", *(f"  {words}" for words in verdict.broken[:50])]
    return "\n".join([*lines, *verdict.evidence])


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


def _surprises(logs: Path) -> str:
    found: Counter[str] = Counter()
    for log in sorted(logs.glob("*.log")):
        text = log.read_text(errors="replace")
        for what in _SURPRISES:
            found[f"{what} ({log.stem})"] += text.count(what)
    return _counted((+found).elements())
