"""Who may move: actors wait at their points, and the stage lets one at a time go on.

Nothing here goes by time. An actor whose statement does not return is taken for blocked when Postgres says that
another actor's transaction blocks it; until then its answer is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.races.explorer.plans import Fate, Turn

_GLANCE: Final = 0.002
"""Seconds after which Postgres is asked whether a statement waits for another actor's open transaction."""
_STUCK: Final = 30.0


class Died(BaseException):
    """The process of an actor ended here: nothing catches it, as nothing survives a SIGKILL."""


class StuckError(AssertionError):
    """An actor neither went on nor waited for another one."""


@dataclass
class Step:
    """One line of a trace."""

    letter: str
    label: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.letter}  {self.label}{f'   <- {self.note}' if self.note else ''}"


class Actor:
    """Somebody who does one thing, stopping at every point of it."""

    def __init__(self, letter: str, name: str, pid: int, holds: Callable[[], bool]) -> None:
        self.letter, self.name, self.pid, self.holds = letter, name, pid, holds
        self.at: str | None = None
        self.dead = self.done = self.blocked = self.let_go = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.ready: Callable[[], bool] = _always
        self._gate: asyncio.Future[Fate | None] | None = None
        self._news: asyncio.Future[bool] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def resting(self) -> bool:
        """At a point, or at the end."""
        return self.done or self._gate is not None

    @property
    def may_move(self) -> bool:
        """At a point that it could pass now."""
        return self._gate is not None and self.ready()

    async def reach(self, label: str, ready: Callable[[], bool] | None = None) -> Fate | None:
        """Called by the seams ahead of everything that others can see. Waits for the stage."""
        if self.dead:
            raise Died
        self.at, self.ready = label, ready or _always
        self._gate = asyncio.get_running_loop().create_future()
        self._tell()
        fate = await self._gate
        if fate is Fate.DIES:
            self.dead = True
            raise Died
        return fate

    def begin(self, act: Coroutine[Any, Any, Any], bury: Callable[[], Awaitable[None]]) -> None:
        """Start; ``bury`` ends what the actor leaves open when it dies."""

        async def live() -> None:
            try:
                self.result = await act
            except Died:
                await bury()
                self.let_go = True
            except Exception as error:  # noqa: BLE001 - an error is an outcome to be judged
                self.error = error
            finally:
                self.done = True
                self._tell()

        self._task = asyncio.create_task(live())

    def go(self, fate: Fate | None) -> None:
        """Pass the point. On a slow machine a time limit of the product's own may have cancelled the wait there."""
        gate, self._gate = self._gate, None
        assert gate is not None
        if not gate.cancelled():
            gate.set_result(fate)

    async def rested(self, within: float) -> bool:
        """Wait until the actor rests; ``False`` when it did not within so many seconds."""
        if self.resting:
            return True
        loop = asyncio.get_running_loop()
        self._news = loop.create_future()
        timer = loop.call_later(within, self._late)
        try:
            return await self._news
        finally:
            timer.cancel()
            self._news = None

    async def ended(self) -> None:
        """Wait for the very end."""
        if self._task is not None:
            await self._task

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(True)

    def _late(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(False)


@dataclass
class Played:
    """What came of a plan."""

    steps: list[Step] = field(default_factory=list)
    cut: list[int | None] = field(default_factory=list)
    """Per turn: after how many points the actor could not go on; ``None`` when it could have gone further."""
    deadlock: bool = False


class Stage:
    """Plays the turns of a plan."""

    def __init__(self, actors: Sequence[Actor], blockers: Callable[[int], Awaitable[Sequence[int]]]) -> None:
        self._actors = {actor.letter: actor for actor in actors}
        self._pids = {actor.pid for actor in actors}
        self._blockers = blockers
        self.played = Played()

    async def play(self, turns: Sequence[Turn]) -> Played:
        """Everybody to the first point, then the turns, then everybody to the end."""
        for actor in self._actors.values():
            await self._settle(actor)
        for turn in turns:
            await self._take(turn)
        order = list(dict.fromkeys([turn.letter for turn in turns] + list(self._actors)))
        while any(not actor.done for actor in self._actors.values()):
            movable = next((self._actors[letter] for letter in order if self._actors[letter].may_move), None)
            if movable is None:
                await self._untie()
                continue
            while movable.may_move:
                await self._move(movable, None)
        for actor in self._actors.values():
            await actor.ended()
        return self.played

    async def _take(self, turn: Turn) -> None:
        actor = self._actors[turn.letter]
        passed = 0
        while passed < turn.points and actor.may_move:
            await self._move(actor, None)
            passed += 1
        if not actor.may_move:
            self.played.cut.append(passed)
            return
        if turn.fate is not None:
            await self._move(actor, turn.fate)
        self.played.cut.append(None)

    async def _move(self, actor: Actor, fate: Fate | None) -> None:
        step = Step(actor.letter, actor.at or "", _NOTES[fate] if fate else "")
        self.played.steps.append(step)
        actor.go(fate)
        await self._settle(actor)
        if actor.blocked:
            step.note = "waits for a row"
        await self._stir()

    async def _settle(self, actor: Actor) -> None:
        """Wait until the actor rests or waits for another one's rows."""
        actor.blocked = False
        deadline = asyncio.get_running_loop().time() + _STUCK
        others = [other for other in self._actors.values() if other is not actor]
        while not await actor.rested(_GLANCE if any(other.holds() for other in others) else _STUCK):
            if self._pids & set(await self._blockers(actor.pid)) - {actor.pid} and not actor.resting:
                actor.blocked = True
                return
            if asyncio.get_running_loop().time() > deadline:
                raise StuckError(f"{actor.name} passed {actor.at} and was not heard of again")

    async def _stir(self) -> None:
        """After a transaction has ended, see who can go on by it."""
        while any(actor.let_go for actor in self._actors.values()):
            for actor in self._actors.values():
                actor.let_go = False
            for actor in self._actors.values():
                if actor.blocked:
                    await self._settle(actor)
                    if not actor.blocked:
                        self.played.steps.append(Step(actor.letter, f"({actor.at or 'end'})", "goes on"))

    async def _untie(self) -> None:
        """Nobody may move. Who waits for Redis gives up in time; a ring of rows is Postgres's to cut."""
        for actor in self._actors.values():
            if actor.resting and not actor.done:
                await self._move(actor, Fate.TIRED)
                return
        self.played.deadlock = True
        waiting = [actor for actor in self._actors.values() if actor.blocked]
        self.played.steps.append(Step("".join(actor.letter for actor in waiting), "deadlock"))
        while not any([await actor.rested(_GLANCE) for actor in waiting]):
            pass
        for actor in waiting:
            if actor.resting:
                actor.blocked, actor.let_go = False, True
        await self._stir()


_NOTES: Final = {
    Fate.DIES: "dies here",
    Fate.DROPPED: "the line drops",
    Fate.UNANSWERED: "done, but the line drops",
    Fate.TIRED: "gives up waiting",
}


def _always() -> bool:
    return True
