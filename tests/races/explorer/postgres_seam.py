"""Postgres as an actor meets it: the real connection, with a point ahead of every statement and every commit."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from app.domain.jobs import JobRef
from app.ports import Connection
from app.store import jobs
from app.store.database import PostgresDatabase
from plugins.medusa_bridge import order_rows, orders
from tests.races.explorer.labels import label, writes
from tests.races.explorer.pauses import SAID
from tests.races.explorer.plans import Fate
from tests.races.explorer.stage import Actor, Died

CALLS: Final = {order_rows._LOCK, orders._CLAIM, orders._CANCEL, jobs._TAKE, jobs._HAND_OVER}
"""Statements that call a function which locks or writes."""

CANCELS: Final = "cancel_order: write order payment order_change payment_collection"
"""The place in a function that cancels the order."""

_UNSEEN: Final = {"cancel.outcome", "announce", "job.foreign", "job.calls"}
"""Transactions that read what others may change at any time, and decide nothing."""

_TIMEOUTS: Final = re.compile(r"timeout = \d+")
"""Who waits for a row waits for its turn, however slow the machine."""

_FEW: Final = {
    "medusa.credit": (
        "select 1 from order_change",
        'SELECT to_jsonb(t)::text FROM "order_summary"',
        "UPDATE",
        "commit",
    ),
}
"""Long transactions of Medusa's of which only these statements are points: the others touch what is theirs alone."""


@dataclass
class Transaction:
    """What one transaction did."""

    letter: str
    name: str
    statements: set[str] = field(default_factory=set)
    writes: list[str] = field(default_factory=list)
    taken: list[tuple[JobRef, JobRef]] = field(default_factory=list)
    """Jobs it claimed, as the row is and as the message says."""


class Wire:
    """One connection of a lane. Without an actor everything passes at once."""

    def __init__(self, raw: asyncpg.Connection, gate: Gate) -> None:
        self.raw = raw
        self._gate = gate
        self.actor: Actor | None = None
        self.open: Transaction | None = None
        self.committed: list[Transaction] = []
        self._name = ""
        self._base = PostgresDatabase(_Pool(self), acquire_timeout=2.0)  # type: ignore[arg-type]

    @classmethod
    async def connect(cls, dsn: str) -> Wire:
        """A connection that cuts rings of rows quickly."""
        raw = await asyncpg.connect(dsn, statement_cache_size=400, server_settings={"deadlock_timeout": "60ms"})
        await raw.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        return cls(raw, await Gate.of(raw, dsn))

    async def close(self) -> None:
        """Close its connections."""
        await self.raw.close(timeout=5)
        await self._gate.close()

    @property
    def pid(self) -> int:
        """The backend's process id."""
        return int(self.raw.get_server_pid())

    def holds(self) -> bool:
        """Whether a transaction is open that others may have to wait for."""
        return self.open is not None

    crowded = False

    def transaction(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """``app.ports.Database``."""
        self._name = name
        return self._base.transaction(name)

    def read(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """``app.ports.Database``."""
        self._name = name
        return self._base.read(name)

    def single(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """``app.ports.Database``."""
        self._name = name
        return self._base.single(name)

    def name_next(self, name: str) -> None:
        """What to call what comes next, where no ``transaction`` names it."""
        self._name = name

    async def bury(self) -> None:
        """What Postgres does when the process at the other end is gone."""
        if self.open is not None:
            self.open = None
            await self.raw.execute("rollback")

    async def step(self, what: str, ready: Callable[[], bool] | None = None) -> Fate | None:
        """A point of the actor, if somebody plays."""
        return None if self.actor is None else await self.actor.reach(what, ready)

    async def run(self, statement: str, act: Callable[[], Awaitable[Any]]) -> Any:
        """One statement of the actor."""
        match statement.partition(" ")[0].lower():
            case "begin":
                if self.actor is not None and self.actor.dead:
                    raise Died
                self.open = Transaction(self.actor.letter if self.actor else "-", self._name)
                return await self.raw.execute(_TIMEOUTS.sub("timeout = 60000", statement))
            case "rollback":
                await self._roll_back()
                return None
        fate = None
        if self._is_point(statement):
            fate = await self.step(f"{self._name}: {label(statement)}")
        if fate is Fate.DROPPED:
            await self._drop()
        result = await act()
        if writes(statement):
            if self.open is None:  # a transaction of its own
                self.committed.append(Transaction(self.actor.letter if self.actor else "-", self._name))
            (self.open or self.committed[-1]).writes.append(label(statement))
        if statement == "commit":
            self._committed()
        if fate is Fate.UNANSWERED:
            await self._drop()
        return result

    async def call(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """One call of a function: each of its statements is a point. What fails at one ends the call."""
        await self._gate.shut()
        answer = asyncio.ensure_future(ask())
        try:
            while (place := await self._gate.next_pause(answer)) is not None:
                if self._is_point(place) and await self.step(f"{self._name}: {place}") is Fate.DROPPED:
                    await self._gate.abort(answer)
                    await self._drop()
                if " write " in place and self.open is not None:
                    self.open.writes.append(place)
                await self._gate.pass_on()
            return await answer
        except BaseException:
            await self._gate.abort(answer)
            raise
        finally:
            await self._gate.open()

    def _is_point(self, statement: str) -> bool:
        """A statement that a transaction repeats, once for each kind of job, is one point."""
        if self._name in _UNSEEN or not statement.startswith(_FEW.get(self._name, "")):
            return False
        if self.open is None:
            return True
        again = statement in self.open.statements
        self.open.statements.add(statement)
        return not again

    async def _roll_back(self) -> None:
        if self.open is None:
            if self.actor is not None and not self.actor.dead:
                raise _gone()
            return
        self.open = None
        await self.raw.execute("rollback")
        if self.actor is not None:
            self.actor.let_go = True

    async def _drop(self) -> None:
        await self.bury()
        if self.actor is not None:
            self.actor.let_go = True
        raise _gone()

    def _committed(self) -> None:
        if self.open is not None:
            self.committed.append(self.open)
        self.open = None
        if self.actor is not None:
            self.actor.let_go = True


def _gone() -> Exception:
    return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class Gate:
    """Where a backend waits that is paused inside a function: at an advisory lock that the gate's own session holds.

    Each pause of a call has a lock of its own, and the next one's is held before the last one's is released.
    """

    def __init__(self, conn: asyncpg.Connection, raw: asyncpg.Connection) -> None:
        self._conn, self._raw, self._pid = conn, raw, raw.get_server_pid()
        self._turn = 0
        self._pause: asyncio.Future[str] | None = None

    @classmethod
    async def of(cls, raw: asyncpg.Connection, dsn: str) -> Gate:
        """The gate of this connection."""
        gate = cls(await asyncpg.connect(dsn), raw)
        raw.add_log_listener(gate._listen)
        return gate

    async def close(self) -> None:
        """Close its connection."""
        await self._conn.close(timeout=5)

    async def shut(self) -> None:
        """Stop the backend at its next pause."""
        self._pause, self._turn = asyncio.get_running_loop().create_future(), 0
        await self._raw.execute("select set_config('explorer.turn', '0', false)")
        await self._conn.execute("select pg_advisory_lock($1, 0)", self._pid)

    async def open(self) -> None:
        """Let the backend pass every pause."""
        self._pause = None
        await self._conn.execute("select pg_advisory_unlock_all()")

    async def next_pause(self, answer: asyncio.Future[Any]) -> str | None:
        """Wait until the backend is paused, and return where; ``None`` once it has answered."""
        assert self._pause is not None
        await asyncio.wait({answer, self._pause}, return_when=asyncio.FIRST_COMPLETED)
        return self._pause.result() if self._pause.done() else None

    async def pass_on(self) -> None:
        """Let the backend go on to its next pause."""
        self._pause = asyncio.get_running_loop().create_future()
        await self._conn.execute(
            "select pg_advisory_lock($1, $2 + 1), pg_advisory_unlock($1, $2)", self._pid, self._turn
        )
        self._turn += 1

    async def abort(self, answer: asyncio.Future[Any]) -> None:
        """End the call that waits for an answer, as when its backend is terminated."""
        if not answer.done():
            await self._conn.execute("select pg_cancel_backend($1)", self._pid)
        with suppress(asyncpg.PostgresError):
            await answer

    def _listen(self, _conn: object, message: asyncpg.PostgresLogMessage) -> None:
        said = message.message or ""
        if said.startswith(SAID) and self._pause is not None and not self._pause.done():
            self._pause.set_result(said.removeprefix(SAID))


class _Pool:
    """A pool of one."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def acquire(self) -> WiredConnection:
        return WiredConnection(self._wire)

    async def release(self, conn: WiredConnection, *, timeout: float) -> None:  # noqa: ASYNC109
        """There is nobody else to give it to."""


class WiredConnection:
    """What the code takes for a connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def execute(self, statement: str, *args: Any) -> Any:
        if self._wire.actor is not None and statement in CALLS:
            return await self._call(statement, args, lambda: self._wire.raw.execute(statement, *args))
        return await self._wire.run(statement, lambda: self._wire.raw.execute(statement, *args))

    async def fetch(self, statement: str, *args: Any) -> Any:
        if self._wire.actor is not None and statement in CALLS:
            return await self._call(statement, args, lambda: self._wire.raw.fetch(statement, *args))
        return await self._wire.run(statement, lambda: self._wire.raw.fetch(statement, *args))

    async def fetchval(self, statement: str, *args: Any) -> Any:
        if self._wire.actor is not None and statement in CALLS:
            return await self._call(statement, args, lambda: self._wire.raw.fetchval(statement, *args))
        return await self._wire.run(statement, lambda: self._wire.raw.fetchval(statement, *args))

    async def fetchrow(self, statement: str, *args: Any) -> Any:
        if self._wire.actor is not None and statement in CALLS:
            return await self._call(statement, args, lambda: self._wire.raw.fetchrow(statement, *args))
        return await self._wire.run(statement, lambda: self._wire.raw.fetchrow(statement, *args))

    def _claimed(self, row: Mapping[str, Any], args: Sequence[Any]) -> None:
        claimed = JobRef(*(row[name] for name in JobRef.__struct_fields__)), JobRef(*args[:5])
        (self._wire.open or self._wire.committed[-1]).taken.append(claimed)

    async def _call(self, statement: str, args: Sequence[Any], ask: Callable[[], Awaitable[Any]]) -> Any:
        """Call a function of production's: by itself in a transaction of its own, so that its commit is a point too."""
        if self._wire.open is None:
            async with self.transaction():
                return await self._call(statement, args, ask)
        result = await self._wire.call(ask)
        if result and statement == jobs._TAKE:
            self._claimed(result, args)
        if result and statement == orders._CLAIM:
            row = dict(result[0])
            self._claimed({**row, "id": row["job_id"], "order_id": row["job_order_id"]}, args)
        return result

    def terminate(self) -> None:
        """The line has dropped already."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """As Medusa's own transactions, which are not named by ``Wire.transaction``."""
        await self.execute("begin")
        try:
            yield
        except BaseException:
            await self._wire.run("rollback", self._nothing)
            raise
        await self.execute("commit")

    async def _nothing(self) -> None:
        return None
