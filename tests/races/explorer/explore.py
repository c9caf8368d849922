"""Which schedules are tried: all orders of two actors with up to two preemptions, a death and a dropped line at each
point, and samples of three actors."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.races.explorer.plans import Fate, Plan, RedisState, Turn
from tests.races.explorer.records import Record

DOWN, WAIT, LATE = RedisState.DOWN, RedisState.WAIT, RedisState.LATE
_TO_THE_END: Final = 99

Play = Callable[[Plan], Awaitable[Record]]


@dataclass(frozen=True)
class Setup:
    """Who meets whom, and where."""

    scenario: str
    actors: tuple[str, ...]
    redis: RedisState

    def plan(self, *turns: Turn) -> Plan:
        """A schedule of theirs."""
        return Plan(self.scenario, self.actors, self.redis, turns)


def _setups(scenario: str, redis: Iterable[RedisState], *casts: str) -> Iterator[Setup]:
    for state, cast in itertools.product(redis, casts):
        yield Setup(scenario, tuple(cast.split("+")), state)


PAIRS: Final = (
    *_setups(
        "open", [DOWN],
        "cancel+cancel", "cancel+capture", "cancel+stale-capture", "cancel+admin-capture", "cancel+admin-cancel",
        "cancel+sweep", "cancel+webhook", "cancel+checkout", "capture+capture", "capture+stale-capture",
        "capture+sweep", "capture+webhook", "capture+admin-capture", "capture+admin-cancel", "admin-capture+sweep",
        "admin-cancel+sweep", "admin-capture+webhook",
    ),
    *_setups("open", [WAIT, LATE], "capture+capture", "capture+sweep", "cancel+capture"),
    *_setups(
        "canceled", [DOWN],
        "void+void", "void+stale-void", "void+release", "void+sweep", "void+webhook", "cancel+void", "cancel+release",
        "release+release", "release+stale-release", "release+checkout", "release+sweep", "void+admin-cancel",
        "void+foreign-kind", "void+foreign-order", "void+foreign-shop", "release+foreign-kind", "sweep+foreign-id",
    ),
    *_setups(
        "canceled", [DOWN],
        "void+book-held", "void+book-captured", "recheck+book-held", "recheck+book-captured", "void+recheck",
        "void+vanish", "recheck+sweep", "cancel+book-held",
    ),
    *_setups("late", [DOWN], "void+heal", "void+recheck", "webhook+heal"),
    *_setups("open", [DOWN], "admin-cancel+adopt", "capture+adopt", "cancel+adopt", "cancel+recheck"),
    *_setups("other", [DOWN], "void+void", "void+heal", "void+recheck", "void+sweep"),
    *_setups("canceled", [LATE], "void+void", "void+sweep", "release+release", "release+checkout", "release+sweep"),
    *_setups("refunding", [DOWN], "cancel+admin-capture", "capture+admin-cancel", "admin-capture+admin-cancel"),
    *_setups("late", [DOWN], "void+void", "void+sweep", "void+webhook", "webhook+sweep", "sweep+sweep", "cancel+void"),
    *_setups(
        "deferred", [DOWN],
        "void+payment-held", "void+payment-captured", "void+void", "sweep+payment-held", "sweep+payment-captured",
        "webhook+payment-captured",
    ),
    *_setups("two", [DOWN], "cancel+capture", "cancel+capture-2", "capture+capture-2", "cancel+admin-capture"),
    *_setups("free", [DOWN], "cancel+cancel", "cancel+sweep"),
    *_setups("open", [DOWN], "capture+credit", "cancel+credit"),
    *_setups(
        "credited", [DOWN],
        "cancel+capture", "capture+capture", "capture+credit", "capture+admin-capture", "capture+sweep",
    ),
    *_setups("credited-two", [DOWN], "capture+capture-2", "cancel+capture-2", "capture-2+credit", "capture-2+sweep"),
    *_setups("given", [DOWN], "capture+capture", "cancel+capture", "capture+sweep", "capture+admin-capture"),
    *_setups("doubt-blind", [DOWN], "cancel+capture", "capture+capture", "capture+sweep", "capture+credit"),
    *_setups("doubt-done", [DOWN], "cancel+capture", "capture+capture", "capture+sweep", "capture+admin-cancel"),
    *_setups("doubt-not", [DOWN], "cancel+capture", "capture+capture", "capture+sweep", "capture+admin-capture"),
)  # fmt: skip

CORE: Final = tuple(
    setup
    for setup in PAIRS
    if setup.redis is DOWN
    and (setup.scenario, "+".join(setup.actors))
    in {
        ("open", "cancel+cancel"),
        ("open", "cancel+capture"),
        ("open", "cancel+admin-capture"),
        ("canceled", "release+checkout"),
    }
)
"""The pairs that the promises stand or fall with."""

TRIOS: Final = (
    *_setups(
        "open", [DOWN, LATE],
        "cancel+capture+sweep", "cancel+admin-capture+capture", "cancel+cancel+capture", "cancel+capture+admin-cancel",
        "cancel+webhook+capture", "cancel+capture+checkout",
    ),
    *_setups("canceled", [DOWN, LATE], "void+release+checkout", "void+sweep+webhook", "release+sweep+checkout"),
    *_setups("refunding", [DOWN], "cancel+admin-capture+sweep", "cancel+admin-capture+webhook"),
    *_setups("late", [DOWN], "void+sweep+webhook", "void+sweep+sweep"),
    *_setups("deferred", [DOWN], "void+payment-held+sweep", "void+payment-captured+sweep"),
    *_setups("two", [DOWN], "cancel+capture+capture-2", "cancel+capture+admin-capture"),
    *_setups("credited-two", [DOWN], "cancel+capture+capture-2", "capture+capture-2+credit"),
    *_setups("doubt-blind", [DOWN], "cancel+capture+sweep"),
    *_setups("doubt-done", [DOWN], "cancel+capture+sweep", "capture+sweep+credit"),
    *_setups("doubt-not", [DOWN], "cancel+capture+sweep"),
)  # fmt: skip


def _all(_place: str) -> bool:
    return True


def by_chance(seed: int, part: float) -> Callable[[str], bool]:
    """Keeps so many of the places where an actor can be stopped, the same ones for the same seed."""
    return lambda place: random.Random(f"{seed}/{place}").random() < part


async def every_order(play: Play, setup: Setup, kept: Callable[[str], bool] = _all) -> None:
    """One actor to some point, the other to some point, the first to its end, the other to its end.

    Where the other one is blocked, or through, more points for it would be the same schedule again.
    """
    for first, other in ("ab", "ba"):
        points = len(await _alone(play, setup, first))
        for i in range(1, points):
            if not kept(f"{setup}/{first}{i}"):
                continue
            for j in itertools.count(1):
                played = (await play(setup.plan(Turn(first, i), Turn(other, j)))).played
                if played.cut[1] is not None:
                    break


async def every_end(play: Play, setup: Setup, kept: Callable[[str], bool] = _all) -> None:
    """At each point of each actor: it dies, or its line drops, before the other one moves, while it waits, or after."""
    for first, other in ("ab", "ba"):
        for i, label in enumerate(await _alone(play, setup, first)):
            if not kept(f"{setup}/{first}{i}/end"):
                continue
            for fate in _fates(label):
                await play(setup.plan(Turn(first, i, fate)))
                await play(setup.plan(Turn(first, i), Turn(other, _TO_THE_END), Turn(first, 0, fate)))
                if fate is Fate.DIES:
                    await play(setup.plan(Turn(other, _TO_THE_END), Turn(first, i, fate)))


async def _alone(play: Play, setup: Setup, letter: str) -> list[str]:
    """The points that an actor passes when nobody else has moved yet."""
    played = (await play(setup.plan(Turn(letter, _TO_THE_END)))).played
    return [step.label for step in played.steps if step.letter == letter and not step.label.startswith("(")]


def _fates(label: str) -> Iterator[Fate]:
    yield Fate.DIES
    if label.endswith("commit"):
        yield Fate.UNANSWERED
    if label != "time passes":
        yield Fate.DROPPED


def by_lot(setup: Setup, chance: random.Random) -> Plan:
    """A schedule of the setup by lot. The seed gives it again, and so does its name."""
    letters = "abc"[: len(setup.actors)]
    turns = []
    for _ in range(chance.randint(2, 6)):
        fate = chance.choice([Fate.DIES, Fate.DROPPED, Fate.UNANSWERED]) if chance.random() < 0.15 else None
        turns.append(Turn(chance.choice(letters), chance.choice([1, 1, 2, 3, 4, 6, 9, 14]), fate))
    return setup.plan(*turns)


@dataclass
class Tally:
    """What was tried and what was found."""

    schedules: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, str]] = field(default_factory=list)
    """Schedule and what is wrong with it."""

    @property
    def total(self) -> int:
        """How many schedules were judged."""
        return sum(self.schedules.values())

    def add(self, records: Iterable[Record]) -> None:
        """Count judged records."""
        for record in records:
            self.schedules[record.plan.scenario] += 1
            self.kinds[_kind(record.plan)] += 1
            self.findings += [(str(record.plan), finding) for finding in record.findings]

    def merge(self, other: Tally) -> None:
        """Count what another process counted."""
        self.schedules += other.schedules
        self.kinds += other.kinds
        self.findings += other.findings


def _kind(plan: Plan) -> str:
    end = "with a crash" if plan.crashes else "with a dropped line" if plan.drops else "undisturbed"
    return f"{len(plan.actors)} actors, {end}"
