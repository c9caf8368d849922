"""Release reservations under Medusa's own inventory locks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import httpx
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_exponential_jitter

from app.ports import Connection, Inventory, Reservation, StockBusy, Unavailable
from plugins.medusa_bridge.config import BridgeConfig, Locking
from plugins.medusa_bridge.sqlfile import statement

_LIVE: Final = statement("live_reservations")
_LOCK_LEVELS: Final = statement("lock_levels")
_RELEASE: Final = statement("release_reservations")
_TRY_ADVISORY_LOCK: Final = statement("try_advisory_lock")

_LOCK_WAIT: Final = 2.0
"""Seconds to wait for Medusa here; after that the job waits, not the worker."""
_LOCK_PAUSE: Final = 0.02
"""Seconds until the first new try; doubled each time, with as much of jitter."""
_LONGEST_LOCK_PAUSE: Final = 0.5
_LOCK_LEASE: Final = 12
"""Seconds. Longer than what is done under the lock may last; what a killed worker leaves locked, every checkout of
the item waits for."""
_UNDER_LOCK: Final = 8.0
_NO_EXPIRY: Final = -1
"""What Redis answers to ``PTTL`` of a key that stays until it is deleted."""


class MedusaInventory(Inventory):
    """Releases in the way that Medusa's locking module allows.

    Medusa reads a level, adds in JavaScript and writes it back, guarded by its own lock alone; a release
    beside that lock loses updates. Where the locks live in Medusa's memory, Medusa must do it itself.
    """

    def __init__(self, config: BridgeConfig, redis: Redis | None, http: httpx.AsyncClient | None) -> None:
        self._config = config
        self._redis = redis
        self._http = http

    async def reservations(self, conn: Connection, order_id: str) -> Sequence[Reservation]:
        return [Reservation(row["id"], row["inventory_item_id"]) for row in await conn.fetch(_LIVE, order_id)]

    @asynccontextmanager
    async def stock_guard(self, reservations: Sequence[Reservation]) -> AsyncIterator[None]:
        match self._config.locking:
            case Locking.REDIS:
                async with self._medusa_locks(sorted({reservation.item_id for reservation in reservations})):
                    yield
            case Locking.MEMORY:
                for reservation in reservations:
                    await self._delete_through_medusa(reservation)
                yield
            case _:
                yield

    async def lock_stock(self, conn: Connection, reservations: Sequence[Reservation]) -> None:
        # The rollback gives back what was got before the busy one.
        for item_id in self._locked_in_postgres(reservations):
            if not await conn.fetchval(_TRY_ADVISORY_LOCK, advisory_key(item_id)):
                message = f"Medusa holds the lock of {item_id}"
                raise StockBusy(message)

    async def release_stock(
        self, conn: Connection, order_id: str, reservations: Sequence[Reservation]
    ) -> Sequence[Reservation]:
        if ids := self._ids(reservations):
            await conn.execute(_LOCK_LEVELS, ids)
            await conn.execute(_RELEASE, ids)
        return await self.reservations(conn, order_id)

    def _locked_in_postgres(self, guarded: Sequence[Reservation]) -> list[str]:
        """Items whose locks a transaction takes, in the order in which it takes them."""
        if self._config.locking is not Locking.POSTGRES:
            return []
        return sorted({reservation.item_id for reservation in guarded})

    def _ids(self, guarded: Sequence[Reservation]) -> list[str]:
        """What Medusa has not released itself by now."""
        return [] if self._config.locking is Locking.MEMORY else [reservation.id for reservation in guarded]

    @asynccontextmanager
    async def _medusa_locks(self, item_ids: Sequence[str]) -> AsyncIterator[None]:
        """All of them or none: one item's lock is never held while waiting for another's, since every checkout
        of that item would wait too."""
        held: list[tuple[Lock, str]] = []
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda busy: busy is not None),
            wait=wait_exponential_jitter(multiplier=_LOCK_PAUSE, max=_LONGEST_LOCK_PAUSE, jitter=_LOCK_PAUSE),
            stop=stop_after_delay(_LOCK_WAIT),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        try:
            busy: str | None = await retrying(self._try_locks, item_ids, held)
            if busy is not None:
                message = f"Medusa holds the lock of {busy} for more than {_LOCK_WAIT:.0f} s"
                raise Unavailable(message + await self._unless_deleted(busy))
            async with asyncio.timeout(_UNDER_LOCK):
                yield
        except TimeoutError as error:
            message = f"the release was not done within {_UNDER_LOCK:.0f} s"
            raise Unavailable(message) from error
        finally:
            await _give_back(held)

    async def _try_locks(self, item_ids: Sequence[str], held: list[tuple[Lock, str]]) -> str | None:
        """Take all locks into ``held`` without waiting for any, or none; return the one that is busy, or ``None``."""
        assert self._redis is not None
        try:
            for item_id in item_ids:
                lock = Lock(self._redis, self._lock_of(item_id), timeout=_LOCK_LEASE, thread_local=False)
                token = f"execute:{uuid.uuid4()}"
                held.append((lock, token))  # before it is taken: its answer may be lost
                if not await lock.acquire(blocking=False, token=token):
                    await _give_back(held)
                    return item_id
        except (RedisError, OSError) as error:
            message = f"Medusa's Redis does not answer: {type(error).__name__}"
            raise Unavailable(message) from error
        return None

    async def _unless_deleted(self, item_id: str) -> str:
        """Explain a lock that does not lapse: Medusa's own lock is law, and a person may delete what it left behind."""
        assert self._redis is not None
        with suppress(RedisError, OSError):
            if await self._redis.pttl(name := self._lock_of(item_id)) == _NO_EXPIRY:
                return f". It has no expiry: unless Medusa is at work on the item, delete the key {name}"
        return ""

    def _lock_of(self, item_id: str) -> str:
        return f"{self._config.lock_namespace}{item_id}"

    async def _delete_through_medusa(self, reservation: Reservation) -> None:
        assert self._http is not None
        try:
            answer = await self._http.delete(f"/admin/reservations/{reservation.id}")
        except httpx.HTTPError as error:
            message = f"Medusa does not answer: {type(error).__name__}"
            raise Unavailable(message) from error
        if answer.status_code != httpx.codes.OK:
            message = f"Medusa answered {answer.status_code} to the release of {reservation.id}"
            raise Unavailable(message)


async def _give_back(held: list[tuple[Lock, str]]) -> None:
    """A lock that cannot be given back lapses by itself: Medusa's next writer waits for its lease at most."""
    for lock, token in held:
        with suppress(LockError, RedisError, OSError):
            await lock.do_release(token.encode())
    held.clear()


def advisory_key(key: str) -> int:
    """The key under which Medusa's locking-postgres takes ``pg_advisory_xact_lock`` for ``key``."""
    hashed = 5381
    for char in reversed(key):
        hashed = ((hashed * 33) ^ ord(char)) & 0xFFFFFFFF
    return hashed
