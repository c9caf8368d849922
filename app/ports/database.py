"""Postgres, and how it says that it cannot be had."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"


class Unavailable(Exception):
    """Something that is needed did not answer in time. Nothing was changed; try again."""


class TurnedAway(Unavailable):
    """Too many are being served. Nothing was begun."""


class CommitUnknown(Unavailable):
    """The connection was lost during the commit: it may have been made, or not."""


class Database(Protocol):
    """Postgres, the one authority."""

    @property
    def crowded(self) -> bool:
        """Whether the pool's wait queue exceeds its limit, so that new work is to be rejected."""
        ...

    def transaction(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """A READ COMMITTED transaction with a lock timeout below Medusa's 3 s.

        ``name`` says which step of which use case it is (``"capture.claim"``), for logs and for tests that
        step in. Raises ``Unavailable`` when no connection or no lock is to be had in time.
        """
        ...

    def read(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """A connection for looks that lock nothing: each statement sees what is committed when it begins.

        As a transaction without its round trips, for two seconds at most. Raises ``Unavailable`` as that does.
        """
        ...

    def single(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement that is a transaction by itself, without the round trips of one.

        Raises ``Unavailable`` when it was not done, for want of a connection or of a lock; ``CommitUnknown`` when the
        connection was lost, or ten seconds went by, meanwhile.
        """
        ...
