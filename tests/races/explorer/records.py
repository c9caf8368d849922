"""What is kept of a schedule until it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.races.explorer.cases import Case
from tests.races.explorer.plans import Plan
from tests.races.explorer.postgres_seam import Transaction
from tests.races.explorer.stage import Actor, Played


@dataclass
class Record:
    """A schedule, what was seen of it, and what is wrong with it."""

    plan: Plan
    case: Case
    played: Played = field(default_factory=Played)
    actors: Sequence[Actor] = ()
    committed: list[Transaction] = field(default_factory=list)
    """In the order of their commits."""
    left: list[dict[str, Any]] = field(default_factory=list)
    """The order's jobs when the last actor was through."""
    findings: list[str] = field(default_factory=list)
