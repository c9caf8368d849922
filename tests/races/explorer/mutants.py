"""The guards that keep the promises, each taken away: the explorer must see what comes of it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from app.domain.incidents import IncidentKind
from app.domain.jobs import Job
from app.domain.order import Order
from app.ports import Connection, Reservation, Services
from app.store import jobs
from app.usecases import adopt_canceled, heal_incidents, job_failures, settle_canceled, void_payment
from plugins.medusa_bridge import MedusaBridge, orders
from plugins.medusa_bridge.stock import Stock
from tests.races.explorer import postgres_seam
from tests.races.explorer.explore import DOWN, WAIT, Setup
from tests.races.explorer.labels import label, learn
from tests.races.explorer.postgres_seam import WiredConnection


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
    return _instead(orders, "_LOCKS", (_unlocked(orders._LOCKS[0]), orders._LOCKS[1]))


def _without_payment_lock() -> AbstractContextManager[None]:
    return _instead(orders, "_LOCKS", (orders._LOCKS[0], _unlocked(orders._LOCKS[1])))


def _unlocked(lock: str) -> str:
    read, locking, _ = lock.partition("\nfor update")
    assert locking
    learn(read, f"no {label(lock)}")
    return read


def _without_fresh_read() -> AbstractContextManager[None]:
    """As if captures and the like were read by the very statement that waits for the lock."""

    async def stale(conn: WiredConnection, order_id: str) -> Any:
        facts = await conn.fetch(orders._FACTS, order_id)
        for lock in orders._LOCKS:
            await conn.fetch(lock, order_id)
        return facts

    return _instead(WiredConnection, "_lock_order", stale)


def _without(guard: str, instead: str) -> Callable[[], AbstractContextManager[None]]:
    """A claim that does not compare one part of its message."""

    def applied() -> AbstractContextManager[None]:
        loose = jobs._TAKE.replace(guard, instead)
        assert loose != jobs._TAKE
        learn(loose, "take_job")
        return _instead(jobs, "_TAKE", loose)

    return applied


def _without_removal() -> AbstractContextManager[None]:
    loose = postgres_seam.WRITE_CANCELLATION.replace("state in ('scheduled', 'queued')", "false")
    assert loose != postgres_seam.WRITE_CANCELLATION
    learn(loose, "write_cancellation")
    return _instead(postgres_seam, "WRITE_CANCELLATION", loose)


def _without_inventory_lock() -> AbstractContextManager[None]:
    @asynccontextmanager
    async def guard(_stock: Stock, _live: Sequence[Reservation]) -> AsyncIterator[None]:
        yield

    return _instead(Stock, "guard", guard)


def _without_stable_key() -> AbstractContextManager[None]:
    def key(job: Job) -> str:
        return f"grace-{job.kind}-{job.subject}-{uuid.uuid4()}"

    return _instead(Job, "idempotency_key", property(key))


def _without_doubt() -> AbstractContextManager[None]:
    """A retrieve that fails settles an earlier doubt."""
    return _instead(job_failures, "_settles", lambda outcome: True)


@contextmanager
def _without_recheck() -> Iterator[None]:
    """Nothing looks again at canceled orders that were touched, or that new money arrives for."""

    async def nothing(_services: Services) -> Sequence[str]:
        return []

    async def untouched(_bridge: MedusaBridge, _conn: Connection, _order_ids: Sequence[str]) -> Sequence[str]:
        return []

    with (
        _instead(MedusaBridge, "touched_after_cancel", untouched),
        _instead(adopt_canceled, "find_arrived_money", nothing),
        _instead(adopt_canceled, "find_kept_money", nothing),
    ):
        yield


def _without_late_money() -> AbstractContextManager[None]:
    async def nothing(*_: Any) -> None:
        return None

    return _instead(settle_canceled, "raise_late_money", nothing)


def _healed(kind: IncidentKind) -> Callable[[], AbstractContextManager[None]]:
    """An incident that closes by itself while its trouble goes on."""

    def settled(_order: Order) -> bool:
        return True

    return lambda: _instead(heal_incidents, "_SETTLED", {**heal_incidents._SETTLED, kind: settled})


def _without_a_word_of_the_vanished() -> AbstractContextManager[None]:
    async def end(conn: Connection, job: Job, _detail: str, *, kind: IncidentKind) -> None:
        await jobs.end_well(conn, job, kind)

    return _instead(void_payment, "record_trouble", end)


MUTANTS: Final[Mapping[str, Mutant]] = {
    "order-lock": Mutant(_without_order_lock, _setup("free", "cancel", "cancel"), 90),
    "payment-lock": Mutant(_without_payment_lock, _setup("open", "cancel", "admin-capture"), 40),
    "fresh-read": Mutant(_without_fresh_read, _setup("open", "cancel", "admin-capture"), 40),
    "generation": Mutant(
        _without("generation = $5", "$5::integer is not null"), _setup("open", "cancel", "stale-capture"), 40
    ),
    "kind": Mutant(_without("kind = $3", "$3::text is not null"), _setup("canceled", "void", "foreign-kind"), 40),
    "order": Mutant(_without("order_id = $4", "$4::text is not null"), _setup("canceled", "void", "foreign-order"), 40),
    "installation": Mutant(
        _without("where i.id = $1", "where $1::text is not null"), _setup("canceled", "void", "foreign-shop"), 40
    ),
    "removal": Mutant(_without_removal, _setup("open", "cancel", "capture"), 40),
    "inventory-lock": Mutant(_without_inventory_lock, _setup("canceled", "release", "checkout", redis=WAIT), 60),
    "doubt": Mutant(_without_doubt, _setup("doubt-done", "capture", "cancel"), 160),
    "recheck": Mutant(_without_recheck, _setup("canceled", "void", "book-held"), 40),
    "late-money": Mutant(_without_late_money, _setup("canceled", "void", "book-captured"), 40),
    "late-money-healed": Mutant(_healed(IncidentKind.LATE_MONEY), _setup("canceled", "void", "book-captured"), 40),
    "other-provider-healed": Mutant(_healed(IncidentKind.UNSUPPORTED_PROVIDER), _setup("other", "void", "heal"), 40),
    "vanished": Mutant(_without_a_word_of_the_vanished, _setup("canceled", "void", "vanish"), 40),
    "stable-key": Mutant(_without_stable_key, _setup("doubt-not", "capture", "sweep"), 60),
}
