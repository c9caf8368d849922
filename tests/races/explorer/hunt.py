"""Plays an aimed setup until something is found."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.races.explorer.explore import Setup, every_end, every_order
from tests.races.explorer.lane import Lane
from tests.races.explorer.plans import Plan
from tests.races.explorer.records import Record


@dataclass
class Hunt:
    """What was played, and the first of it that was wrong."""

    played: list[Plan] = field(default_factory=list)
    caught: Record | None = None

    @property
    def schedules(self) -> int:
        """How many it took."""
        return len(self.played)


class _EnoughError(Exception):
    """Found, or the bound is reached."""


async def hunt(dsn: str, setup: Setup, within: int, *, batch: int = 10) -> Hunt:
    """Every order and every end of the setup, up to the first that is wrong or to the bound."""
    found = Hunt()
    async with Lane.of(dsn, batch=batch) as lane:

        async def play(plan: Plan) -> Record:
            if found.schedules == within:
                raise _EnoughError
            found.played.append(plan)
            record = await lane.play(plan)
            _look(found, lane.judged())
            return record

        with suppress(_EnoughError):
            await every_order(play, setup)
            await every_end(play, setup)
        if found.caught is None:
            await lane.finish()
            with suppress(_EnoughError):
                _look(found, lane.judged())
    return found


def _look(found: Hunt, judged: Sequence[Record]) -> None:
    for record in judged:
        if record.findings:
            found.caught = record
            found.played = found.played[: found.played.index(record.plan) + 1]
            raise _EnoughError


async def findings_of(dsn: str, plans: Sequence[Plan]) -> list[tuple[str, str]]:
    """Play these very schedules. What is wrong, by schedule."""
    async with Lane.of(dsn, batch=min(len(plans), 50)) as lane:
        for plan in plans:
            await lane.play(plan)
        await lane.finish()
        return [(str(record.plan), finding) for record in lane.judged() for finding in record.findings]
