"""What one run of a job comes to, noted as its rows are written: for the log, the meters and the trace."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import structlog


@dataclass
class Run:
    """One run. Nothing in it is sure before the transaction that wrote it has been committed."""

    on_taken: Callable[[str | None], object]
    outcome: str | None = None
    """``done``, ``removed``, ``dead`` or ``failed``; ``None`` when it was stale, postponed or snoozed."""
    claimed: bool = False
    _late_when_taken: float = 0.0
    _taken_at: float = field(default_factory=time.monotonic)

    @property
    def late(self) -> float:
        """Seconds from the moment when the job was due, by the database's clock, until now."""
        return max(self._late_when_taken, 0.0) + time.monotonic() - self._taken_at

    def taken(self, traceparent: str | None, late: float) -> None:
        """The job is this worker's."""
        self.claimed, self._late_when_taken, self._taken_at = True, late, time.monotonic()
        self.on_taken(traceparent)


_current: Final[ContextVar[Run | None]] = ContextVar("run", default=None)


def begin_run(on_taken: Callable[[str | None], object]) -> Run:
    """The run that the caller's task begins. ``on_taken`` is called with the job's traceparent once it is taken."""
    run = Run(on_taken)
    _current.set(run)
    return run


def note_taken(*, request_id: str | None, traceparent: str | None, late: float) -> None:
    """From here on the log names the request that the job goes back to."""
    if request_id is not None:
        structlog.contextvars.bind_contextvars(request_id=request_id)
    if traceparent is not None:
        structlog.contextvars.bind_contextvars(traceparent=traceparent)
    run = _current.get()
    if run is not None:
        run.taken(traceparent, late)


def note_ended(outcome: str) -> None:
    """How it ended."""
    run = _current.get()
    if run is not None:
        run.outcome = outcome
