"""Postgres through asyncpg: a pool, short transactions, and one error for "not now"."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from app.ports import CommitUnknown, Connection, Unavailable
from app.store import session
from app.store.session import LOCK_TIMEOUT, STATEMENT_TIMEOUT

_CROWD: Final = 8
"""Who may wait for each connection of the pool before newcomers are turned away."""

_BEGIN: Final = (
    "begin isolation level read committed; "
    f"set local lock_timeout = {int(LOCK_TIMEOUT.total_seconds() * 1000)}; "
    f"set local statement_timeout = {int(STATEMENT_TIMEOUT.total_seconds() * 1000)}; "
    f"set local idle_in_transaction_session_timeout = {int(STATEMENT_TIMEOUT.total_seconds() * 1000)}"
)

_BEGIN_POOLED: Final = f"{_BEGIN}; {session.LOCAL}"

_NOT_NOW: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidCachedStatementError,  # a table was altered beneath us: the next try prepares anew
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.DuplicatePreparedStatementError,  # a pooler in transaction mode that we were not told of:
    asyncpg.InvalidSQLStatementNameError,  # see DATABASE_POOLER
    asyncpg.ReadOnlySQLTransactionError,  # the old primary, after a failover
)

_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
"""Of these, which leave open whether a statement that commits by itself was done."""

log = structlog.get_logger()


class _Plain(asyncpg.Connection):
    """A connection without a reset query. Its settings are the session's from the start or one transaction's own, and
    it neither listens nor takes session locks: a reset would be one more round trip each time."""

    def get_reset_query(self) -> str:
        """Asked when the pool takes it back, which still rolls back whatever is open."""
        return ""


class PostgresDatabase:
    """A pool of connections and the transactions on them."""

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], *, acquire_timeout: float, in_transactions: bool = False
    ) -> None:
        """``in_transactions``: a statement by itself, too, needs a transaction around it."""
        self._pool = pool
        self._acquire_timeout = acquire_timeout
        self._in_transactions = in_transactions
        self._waiting = 0

    @classmethod
    async def open(cls, dsn: str, *, max_size: int, pooled: bool = False, acquire_timeout: float = 2.0) -> Self:
        """Connect to ``dsn``. The pool begins with one connection, so that a wrong address fails here.

        ``pooled`` is for a pooler in transaction mode, whose next transaction may be on another server connection:
        nothing is prepared to outlast its transaction. It costs a round trip a statement.
        """
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=max_size,
            timeout=5,
            command_timeout=STATEMENT_TIMEOUT.total_seconds() + 2,
            max_inactive_connection_lifetime=60,
            statement_cache_size=0 if pooled else 100,
            init=_read_json if pooled else _prepare,
            connection_class=_Plain,
            server_settings={"application_name": "medusa-grace"},
        )
        return cls(pool, acquire_timeout=acquire_timeout, in_transactions=pooled)

    async def close(self) -> None:
        """Let running transactions end, then close every connection; after 5 s, without waiting."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout=5)
        except TimeoutError:
            self._pool.terminate()

    @property
    def crowded(self) -> bool:
        """See ``app.ports.Database``."""
        return self._waiting >= _CROWD * self._pool.get_max_size()

    @asynccontextmanager
    async def transaction(self, name: str) -> AsyncIterator[Connection]:
        """See ``app.ports.Database``."""
        async with self._connection(name) as conn:
            await conn.execute(_BEGIN_POOLED if self._in_transactions else _BEGIN)
            try:
                yield conn
            except BaseException:
                await _rollback(conn)
                raise
            await _commit(conn, name)

    @asynccontextmanager
    async def read(self, name: str) -> AsyncIterator[Connection]:
        """See ``app.ports.Database``."""
        if self._in_transactions:
            async with self.transaction(name) as conn:
                yield conn
            return
        async with self._connection(name) as conn, asyncio.timeout(LOCK_TIMEOUT.total_seconds()):
            yield conn

    @asynccontextmanager
    async def single(self, name: str) -> AsyncIterator[Connection]:
        """See ``app.ports.Database``."""
        if self._in_transactions:
            async with self.transaction(name) as conn:
                yield conn
            return
        async with self._connection(name) as conn:
            try:
                async with asyncio.timeout(STATEMENT_TIMEOUT.total_seconds()):
                    yield conn
            except _LOST as error:
                if isinstance(error, asyncpg.QueryCanceledError):
                    raise
                message = f"{name}: {type(error).__name__}: {error}"
                raise CommitUnknown(message) from error

    @asynccontextmanager
    async def _connection(self, name: str) -> AsyncIterator[PoolConnectionProxy[asyncpg.Record]]:
        try:
            conn = await self._acquire()
            try:
                yield conn
            finally:
                await self._give_back(conn)
        except CommitUnknown:
            raise
        except _NOT_NOW as error:
            log.warning("database.unavailable", transaction=name, error=f"{type(error).__name__}: {error}")
            message = f"{name}: {type(error).__name__}: {error}"
            raise Unavailable(message) from error

    async def _acquire(self) -> PoolConnectionProxy[asyncpg.Record]:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._acquire_timeout):  # asyncpg's own timeout makes a task each time
                return await self._pool.acquire()
        finally:
            self._waiting -= 1

    async def _give_back(self, conn: PoolConnectionProxy[asyncpg.Record]) -> None:
        """Whatever happens to the connection now, the outcome of its transaction stands."""
        try:
            await self._pool.release(conn, timeout=2)
        except (*_NOT_NOW, asyncpg.PostgresError) as error:
            log.info("database.connection_lost", error=f"{type(error).__name__}: {error}")


async def _commit(conn: Connection, name: str) -> None:
    try:
        await conn.execute("commit")
    except _NOT_NOW as error:
        _terminate(conn)  # nothing more is asked of it
        message = f"{name}: commit: {type(error).__name__}: {error}"
        raise CommitUnknown(message) from error


async def _rollback(conn: Connection) -> None:
    """Roll back, even while this task is being cancelled; a connection that cannot is thrown away."""
    try:
        await asyncio.shield(asyncio.wait_for(conn.execute("rollback"), timeout=2))
    except (*_NOT_NOW, asyncpg.PostgresError, asyncio.CancelledError):
        _terminate(conn)


def _terminate(conn: Connection) -> None:
    """Drop the connection, unless asyncpg has done so itself."""
    with contextlib.suppress(asyncpg.InterfaceError):
        conn.terminate()


async def _prepare(conn: asyncpg.Connection[Any]) -> None:
    await session.state(conn)
    await _read_json(conn)


async def _read_json(conn: asyncpg.Connection[Any]) -> None:
    """jsonb in and out as Python values."""
    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
