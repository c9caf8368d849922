"""The guards that keep the promises, each taken away: the explorer must see what comes of it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from app.domain.jobs import Job
from app.domain.order import Order
from app.ports import Connection, Reservation
from app.store import jobs
from plugins.medusa_bridge import orders
from plugins.medusa_bridge.stock import Stock
from tests.races.explorer.explore import DOWN, WAIT, Setup
from tests.races.explorer.labels import learn


@dataclass(frozen=True)
class Mutant:
    """A guard that is missing, and where to look for the damage."""

    applied: Callable[[], AbstractContextManager[None]]
    setup: Setup
    within: int
    """So many schedules find it."""


def _setup(scenario: str, *actors: str, redis: Any = DOWN) -> Setup:
    return Setup(scenario, actors, redis)


@contextmanager
def _instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def _without_order_lock() -> AbstractContextManager[None]:
    return _instead(orders, "_LOCK_ORDER", orders._ORDER)


def _without_payment_lock() -> AbstractContextManager[None]:
    return _instead(orders, "_LOCK_PAYMENTS", orders._PAYMENTS)


class _Remembering:
    """A connection that answers the last question from before the locks."""

    def __init__(self, conn: Any, facts: Sequence[Any]) -> None:
        self._conn = conn
        self._facts = facts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    async def fetch(self, statement: str, *args: Any) -> Any:
        return self._facts if statement == orders._FRESH_FACTS else await self._conn.fetch(statement, *args)


def _without_fresh_read() -> AbstractContextManager[None]:
    """As if captures and the like were read by the very statement that waits for the lock."""
    read = orders.read

    async def stale(conn: Connection, order_id: str, *, lock: bool) -> Order | None:
        payments = await conn.fetch(orders._PAYMENTS, order_id)
        facts = await conn.fetch(orders._FRESH_FACTS, order_id, [payment["id"] for payment in payments])
        remembering: Any = _Remembering(conn, facts)
        return await read(remembering, order_id, lock=lock)

    return _instead(orders, "read", stale)


def _without_generation() -> AbstractContextManager[None]:
    loose = jobs._TAKE.replace("generation = $2", "$2::integer is not null")
    assert loose != jobs._TAKE
    learn(loose, "take_job")
    return _instead(jobs, "_TAKE", loose)


def _without_removal() -> AbstractContextManager[None]:
    return _instead(jobs, "_REMOVE_CAPTURES", "select id from grace.jobs where order_id = $1 and false")


def _without_inventory_lock() -> AbstractContextManager[None]:
    @asynccontextmanager
    async def guard(_stock: Stock, _live: Sequence[Reservation]) -> AsyncIterator[None]:
        yield

    return _instead(Stock, "guard", guard)


def _without_stable_key() -> AbstractContextManager[None]:
    def key(job: Job) -> str:
        return f"grace-{job.kind}-{job.subject}-{uuid.uuid4()}"

    return _instead(Job, "idempotency_key", property(key))


MUTANTS: Final[Mapping[str, Mutant]] = {
    "order-lock": Mutant(_without_order_lock, _setup("open", "cancel", "cancel"), 40),
    "payment-lock": Mutant(_without_payment_lock, _setup("open", "cancel", "admin-capture"), 40),
    "fresh-read": Mutant(_without_fresh_read, _setup("open", "cancel", "admin-capture"), 40),
    "generation": Mutant(_without_generation, _setup("open", "cancel", "stale-capture"), 40),
    "removal": Mutant(_without_removal, _setup("open", "cancel", "capture"), 40),
    "inventory-lock": Mutant(_without_inventory_lock, _setup("canceled", "release", "checkout", redis=WAIT), 60),
    "stable-key": Mutant(_without_stable_key, _setup("doubt-not", "capture", "sweep"), 60),
}
