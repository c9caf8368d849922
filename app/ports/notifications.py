"""Notify the workers after a commit."""

from __future__ import annotations

from typing import Protocol


class WorkerWakeup(Protocol):
    """Wakes the workers after a commit. A lost message costs a poll interval."""

    async def wake(self) -> None:
        """Tell the workers that jobs are due. Never raises, never waits long."""
        ...
