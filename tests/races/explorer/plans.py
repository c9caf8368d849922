"""A schedule by its name: ``open/cancel+capture/down/a3b5``.

Scenario, actors, the state of Redis, and turns. The actors are lettered in the order they are named. A turn lets one
actor pass so many points; after the last turn everybody runs to the end, in the order of their first turns.
A mark behind a turn happens at the next point of that actor: ``!`` it dies there, ``?`` the line drops before anything
is done, ``~`` the line drops after it was done.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What may happen at a point instead of passing it."""

    DIES = "!"
    DROPPED = "?"
    UNANSWERED = "~"
    TIRED = "^"
    """Never named in a schedule: nobody can move, and the one who waits for a Redis lock gives up."""


class RedisState(StrEnum):
    """How the locks in Redis behave."""

    DOWN = "down"
    """Our own Redis is away, so that the order lock keeps nobody out. Medusa's is there."""
    WAIT = "wait"
    """Who finds a lock taken waits until it is given back."""
    LATE = "late"
    """Who finds a lock taken gives up at once."""


@dataclass(frozen=True)
class Turn:
    """One actor passes ``points`` points, and meets ``fate`` at the next one."""

    letter: str
    points: int
    fate: Fate | None = None

    def __str__(self) -> str:
        return f"{self.letter}{self.points}{self.fate or ''}"


@dataclass(frozen=True)
class Plan:
    """A schedule, before it is run."""

    scenario: str
    actors: tuple[str, ...]
    redis: RedisState
    turns: tuple[Turn, ...] = ()

    def __str__(self) -> str:
        return "/".join((self.scenario, "+".join(self.actors), self.redis, "".join(map(str, self.turns))))

    @property
    def letters(self) -> str:
        """The actors' letters, in their order."""
        return "abcdefgh"[: len(self.actors)]

    @property
    def crashes(self) -> bool:
        """Whether somebody dies in it."""
        return any(turn.fate is Fate.DIES for turn in self.turns)

    @property
    def drops(self) -> bool:
        """Whether a line drops in it."""
        return any(turn.fate in {Fate.DROPPED, Fate.UNANSWERED} for turn in self.turns)


def parse(name: str) -> Plan:
    """The plan of a name."""
    scenario, actors, redis, turns = name.split("/")
    steps = re.findall(r"([a-h])(\d+)([!?~]?)", turns)
    if "".join(map("".join, steps)) != turns:
        raise ValueError(f"{turns!r} are no turns: expected something like a3b5!")
    return Plan(
        scenario,
        tuple(actors.split("+")),
        RedisState(redis),
        tuple(Turn(letter, int(points), Fate(fate) if fate else None) for letter, points, fate in steps),
    )


def turns(*steps: tuple[str, int] | tuple[str, int, Fate | None]) -> Sequence[Turn]:
    """Turns from pairs and triples."""
    return tuple(Turn(*step) for step in steps)
