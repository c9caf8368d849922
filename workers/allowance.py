"""What the relay may queue of a kind of job without exceeding the budget of requests to Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.domain.jobs import JobKind
from app.ports.stripe_budget import CLASS_OF, StripeBudget

KEPT: Final[Mapping[JobKind, int]] = {kind: 4 if kind is JobKind.VOID else 1 for kind in CLASS_OF}
"""Requests that a relay has in hand while it has nothing to queue, so that a void asks Redis for nothing first."""


class Allowance:
    """Requests that were taken from the budget for one kind of job and are not used yet.

    How many jobs are due is not known before they are queued: twice as many as were used are taken for the next time.
    """

    def __init__(self, kind: JobKind, budget: StripeBudget) -> None:
        self._kind, self._budget = kind, budget
        self._wanted = KEPT[kind]
        self.left = 0

    async def top_up(self) -> None:
        """Take what is wanted, as far as the budget has it. Waits for nothing."""
        if self.left < self._wanted:
            self.left += await self._budget.take(CLASS_OF[self._kind], self._wanted - self.left)

    def use(self, jobs: int) -> None:
        """Note how many were queued, each for one request. What is left of a rush is forgotten: the bucket refills."""
        self._wanted = max(2 * jobs, KEPT[self._kind])
        self.left = min(self.left - jobs, self._wanted)
