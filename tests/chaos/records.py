"""What a run leaves to be judged: orders at rest, the answers that shoppers got, what went wrong and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

GRACE_SECONDS: Final = 5
DELAY_SECONDS: Final = 1


class Plan(StrEnum):
    """What a shopper means to do."""

    KEEP = "keep"
    CANCEL = "cancel"
    DOUBLE = "double"
    LATE = "late"


@dataclass
class Attempt:
    """One request and what came back."""

    order_id: str
    plan: Plan
    sent: float
    answered: float
    status: int | None = None
    request_id: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def seconds(self) -> float:
        """How long the shopper waited."""
        return self.answered - self.sent

    @property
    def is_first(self) -> bool:
        """Whether the shopper was told that this very request canceled the order."""
        return self.status == 200 and "message" not in self.body

    @property
    def outcome(self) -> str:
        """In a few words, for counting."""
        if self.status is None:
            return f"no answer ({self.error})"
        if self.status == 200:
            return f"200 {self.body.get('payment_action')}{'' if self.is_first else ' already'}"
        return " ".join(filter(None, (str(self.status), self.body.get("code"), self.body.get("reason"))))


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong, by the clock on the wall."""

    kind: str
    begin: float
    end: float

    def is_of(self, *parts: str) -> bool:
        """Whether it is about one of these (``postgres``, ``API``, ...)."""
        return any(part in self.kind for part in parts)

    def overlap(self, begin: float, end: float) -> float:
        """Seconds of it between two moments."""
        return max(0.0, min(self.end, end) - max(self.begin, begin))


@dataclass(frozen=True)
class OrderRow:
    """An order at rest."""

    id: str
    status: str
    created_at: float
    canceled_by: str | None = None
    capture_state: str | None = None
    captured_at: float | None = None
    capture_attempts: int = 0

    @property
    def cancelable_until(self) -> float:
        """The end of its grace period."""
        return self.created_at + GRACE_SECONDS

    @property
    def due_at(self) -> float:
        """When its money is to be taken, unless it was canceled."""
        return self.cancelable_until + DELAY_SECONDS


@dataclass
class Heard:
    """What is known from outside the shop."""

    attempts: Sequence[Attempt] = ()
    faults: Sequence[Fault] = ()
    placed: Sequence[str] = ()
    """Orders that a shopper was told of."""
    gave_up: Sequence[str] = ()
    """Orders whose shopper never got an answer."""
    deserters: Sequence[str] = ()
    """Processes of the sidecar that ended although nobody killed them."""
    stalls: Sequence[Fault] = ()
    """Times in which this machine ran nothing at all."""

    def lost(self, begin: float, end: float) -> float:
        """Seconds between two moments in which the machine stood still: nobody can be blamed for them."""
        return sum(stall.overlap(begin, end) for stall in self.stalls)


Orders = Mapping[str, OrderRow]
