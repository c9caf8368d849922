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
from app.usecases import adopt_canceled, heal_incidents, job_failures, settle_canceled, stripe_job, void_payment
from app.usecases.job_run import Recording
from plugins.medusa_bridge import payments
from plugins.medusa_bridge.reconciliation import MedusaReconciliation
from plugins.medusa_bridge.stock import MedusaInventory
from tests.races.explorer.explore import DOWN, WAIT, Setup
from tests.races.explorer.labels import learn
from tests.races.explorer.pauses import Mutation, mutations, replaced


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


def _text(function: str, mutation: Mutation) -> Callable[[], AbstractContextManager[None]]:
    """Another text of a function of production's, in every database that is prepared meanwhile."""

    @contextmanager
    def applied() -> Iterator[None]:
        mutations()[function] = mutation
        try:
            yield
        finally:
            del mutations()[function]

    return applied


def _without(function: str, *guards: str, instead: str = "") -> Callable[[], AbstractContextManager[None]]:
    """A function without these parts of its text."""

    def mutate(text: str) -> str:
        for guard in guards:
            text = replaced(guard, instead)(text)
        return text

    return _text(function, mutate)


def _facts_before_locks(text: str) -> str:
    """As if captures and the like were read by the very statement that waits for the lock."""
    locks = "    perform grace.lock_order_rows_v1(the_order);\n"
    read = "    return query select * from grace.read_order_v1(the_order);\n"
    return replaced(locks + read, read + locks)(text)


def _with_a_tag_that_lacks(*facts: str) -> AbstractContextManager[None]:
    """A version tag without facts that a decision depends on."""
    less = "to_jsonb(f)" + "".join(f" - '{fact}'" for fact in facts)
    return _text("read_order", replaced("string_agg(f::text, ' ')", f"string_agg(({less})::text, ' ')"))()


def _without_booked_sum() -> AbstractContextManager[None]:
    """The order's summary does not learn of a capture."""
    loose = replaced("where s.order_id = $1", "where false and s.order_id = $1")(payments._ADD_TO_SUMMARY)
    learn(loose, "add_to_summary")
    return _instead(payments, "_ADD_TO_SUMMARY", loose)


def _without_inventory_lock() -> AbstractContextManager[None]:
    @asynccontextmanager
    async def guard(_inventory: MedusaInventory, _reservations: Sequence[Reservation]) -> AsyncIterator[None]:
        yield

    return _instead(MedusaInventory, "stock_guard", guard)


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

    async def untouched(
        _reconciliation: MedusaReconciliation, _conn: Connection, _order_ids: Sequence[str]
    ) -> Sequence[str]:
        return []

    with (
        _instead(MedusaReconciliation, "touched_after_cancel", untouched),
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


@contextmanager
def _without_a_word_of_the_vanished() -> Iterator[None]:
    async def end(recording: Recording, _detail: str) -> None:
        await recording.complete()

    with _instead(void_payment, "record_trouble", end), _instead(stripe_job, "record_trouble", end):
        yield


ORDER_LOCK: Final = "for update of o"
PAYMENT_LOCK: Final = "for update of p"
CLAIM: Final = "claim_job"

MUTANTS: Final[Mapping[str, Mutant]] = {
    "order-lock": Mutant(_without("lock_order_rows", ORDER_LOCK), _setup("free", "cancel", "cancel"), 90),
    "payment-lock": Mutant(_without("lock_order_rows", PAYMENT_LOCK), _setup("open", "cancel", "admin-capture"), 60),
    "fresh-read": Mutant(_text("lock_order", _facts_before_locks), _setup("open", "cancel", "admin-capture"), 60),
    "comparison": Mutant(
        _without("cancel_order", "o.mark = the_mark", instead="o.mark is not null"),
        _setup("open", "cancel", "admin-capture"),
        40,
    ),
    "other-comparison": Mutant(
        _without("cancel_order", "o.mark = the_mark", instead="o.mark is not null"),
        _setup("open", "cancel", "cancel"),
        40,
    ),
    "stale-tag": Mutant(
        lambda: _with_a_tag_that_lacks("is_capturing", "captures_in_flight"), _setup("open", "cancel", "capture"), 60
    ),
    "stale-tag-of-medusas": Mutant(
        lambda: _with_a_tag_that_lacks("captured", "unbooked", "last_captured_at"),
        _setup("open", "cancel", "admin-capture"),
        60,
    ),
    "claim-locks": Mutant(
        _without(CLAIM, "if the_locks then", instead="if false then"), _setup("open", "cancel", "capture"), 90
    ),
    "booked-sum": Mutant(_without_booked_sum, _setup("open", "capture", "sweep"), 20),
    "generation": Mutant(
        _without(CLAIM, "generation = the_generation", instead="the_generation is not null"),
        _setup("open", "cancel", "stale-capture"),
        40,
    ),
    "kind": Mutant(
        _without(CLAIM, "kind = the_kind", instead="the_kind is not null"),
        _setup("canceled", "void", "foreign-kind"),
        40,
    ),
    "order": Mutant(
        _without(CLAIM, "order_id = the_order", instead="the_order is not null"),
        _setup("canceled", "void", "foreign-order"),
        40,
    ),
    "installation": Mutant(
        _without(CLAIM, "where i.id = the_installation", instead="where the_installation is not null"),
        _setup("canceled", "void", "foreign-shop"),
        40,
    ),
    "removal": Mutant(
        _without("cancel_order", "state in ('scheduled', 'queued')", instead="false"),
        _setup("open", "cancel", "capture"),
        40,
    ),
    "inventory-lock": Mutant(_without_inventory_lock, _setup("canceled", "release", "checkout", redis=WAIT), 60),
    "doubt": Mutant(_without_doubt, _setup("doubt-done", "capture", "cancel"), 160),
    "recheck": Mutant(_without_recheck, _setup("canceled", "void", "book-held"), 40),
    "late-money": Mutant(_without_late_money, _setup("canceled", "void", "book-captured"), 40),
    "late-money-healed": Mutant(_healed(IncidentKind.LATE_MONEY), _setup("canceled", "void", "book-captured"), 40),
    "other-provider-healed": Mutant(_healed(IncidentKind.UNSUPPORTED_PROVIDER), _setup("other", "void", "heal"), 40),
    "vanished": Mutant(_without_a_word_of_the_vanished, _setup("canceled", "void", "vanish"), 40),
    "stable-key": Mutant(_without_stable_key, _setup("doubt-not", "capture", "sweep"), 60),
}
