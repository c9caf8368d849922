"""Keep what a job asked Stripe, in the transaction that records what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from app.domain.jobs import JobRef
from app.ports import Call, Connection, Database, Services
from app.store import events


def noting_calls(services: Services, ref: JobRef) -> Services:
    """Services for one run of a job: its calls to Stripe are written by the first transaction that follows them.

    When the worker dies in between they are lost, and the claim stands in the timeline without an outcome.
    """
    calls: list[Call] = []
    return msgspec.structs.replace(
        services, gateway=services.gateway.noting(calls), calls=calls, db=_NotingDatabase(services.db, ref, calls)
    )


class _NotingDatabase:
    """Adds one statement to a transaction, where calls were made before it."""

    def __init__(self, inner: Database, ref: JobRef, calls: list[Call]) -> None:
        self._inner = inner
        self._ref = ref
        self._calls = calls

    def single(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """As it is: what is run there writes the calls itself, where it has any."""
        return self._inner.single(name)

    def transaction(self, name: str) -> AbstractAsyncContextManager[Connection]:
        return self._transaction(name)

    @asynccontextmanager
    async def _transaction(self, name: str) -> AsyncIterator[Connection]:
        async with self._inner.transaction(name) as conn:
            yield conn
            if self._calls:
                await events.add_calls(conn, self._ref.order_id, self._ref.id, self._calls)
        self._calls.clear()
