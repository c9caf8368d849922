"""Who may take part in a schedule, by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec

from app.domain.jobs import JobKind
from app.ports import Hint, Unavailable
from app.usecases.cancel_order import CancelRequest, cancel_order
from app.usecases.dispatch_jobs import dispatch_jobs, sweep_jobs
from app.usecases.run_job import run_job
from app.usecases.take_hint import take_hint
from tests.races.explorer import bystanders
from tests.races.explorer.cases import Case
from tests.races.explorer.seats import Seat

Act = Callable[[Seat, Case, str], Coroutine[Any, Any, Any]]


async def _cancel(seat: Seat, case: Case, letter: str) -> Any:
    """The shopper's request."""
    request = CancelRequest(
        order_id=case.order_id, request_id=letter, canceled_by="token", received_at=time.monotonic()
    )
    try:
        return await cancel_order(seat.services, request)
    except Unavailable as error:
        return error


def _message(kind: JobKind, number: int = 0, *, older: int = 0) -> Act:
    """A worker that got a message: the newest one, or one of an earlier dispatch."""

    async def act(seat: Seat, case: Case, letter: str) -> None:
        ref = case.ref(kind, number)
        await run_job(seat.services, kind, msgspec.structs.replace(ref, generation=ref.generation - older))

    return act


def _foreign(of: JobKind, **change: Any) -> Act:
    """A worker that got a message which differs from that of a queued job in one field, in the queue that it names."""

    async def act(seat: Seat, case: Case, letter: str) -> None:
        message = msgspec.structs.replace(case.ref(of), **change)
        await run_job(seat.services, message.kind, message)

    return act


async def _webhook(seat: Seat, case: Case, letter: str) -> None:
    """Stripe says that something happened; the relay hands out what became due."""
    hint = Hint(
        id=f"evt_{case.order_id}_{letter}",
        type="payment_intent.succeeded",
        intent_id=case.intent_ids[0],
        session=case.session_ids[0],
    )
    try:
        await take_hint(seat.services, hint)
        await _relay(seat)
    except Unavailable:
        return


async def _sweep(seat: Seat, case: Case, letter: str) -> None:
    """Time passes: leases lapse and messages count as lost. The relay puts the jobs back and hands them out."""
    await seat.wire.step("time passes")
    await seat.wire.raw.execute(
        "update grace.jobs set updated_at = now() - interval '1 minute', "
        "lease_until = case when state = 'running' then now() - interval '1 second' end "
        "where order_id = $1 and state in ('queued', 'running')",
        case.order_id,
    )
    try:
        await sweep_jobs(seat.services)
        await _relay(seat)
    except Unavailable:
        return


async def _relay(seat: Seat) -> None:
    for kind, ref in await dispatch_jobs(seat.services):
        await run_job(seat.services, kind, ref)


async def _admin_capture(seat: Seat, case: Case, letter: str) -> str:
    return await seat.medusa.capture(case)


async def _admin_cancel(seat: Seat, case: Case, letter: str) -> str:
    return await seat.medusa.cancel(case)


async def _credit(seat: Seat, case: Case, letter: str) -> str:
    return await seat.medusa.credit(case)


async def _checkout(seat: Seat, case: Case, letter: str) -> str:
    return await seat.medusa.check_out(case)


async def _payment_held(seat: Seat, case: Case, letter: str) -> str:
    return await seat.medusa.book_session(case, captured=False)


async def _payment_captured(seat: Seat, case: Case, letter: str) -> str:
    return await seat.medusa.book_session(case, captured=True)


CAST: Final[Mapping[str, Act]] = {
    "cancel": _cancel,
    "capture": _message(JobKind.CAPTURE),
    "stale-capture": _message(JobKind.CAPTURE, older=1),
    "capture-2": _message(JobKind.CAPTURE, 1),
    "void": _message(JobKind.VOID),
    "stale-void": _message(JobKind.VOID, older=1),
    "release": _message(JobKind.RELEASE),
    "stale-release": _message(JobKind.RELEASE, older=1),
    "foreign-kind": _foreign(JobKind.VOID, kind=JobKind.RELEASE),
    "foreign-order": _foreign(JobKind.VOID, order_id="order_of_another_shop"),
    "foreign-shop": _foreign(JobKind.VOID, installation=f"{0:026d}"),
    "foreign-id": _foreign(JobKind.VOID, id=f"{0:026d}"),
    "admin-capture": _admin_capture,
    "admin-cancel": _admin_cancel,
    "checkout": _checkout,
    "credit": _credit,
    "recheck": bystanders.recheck,
    "adopt": bystanders.adopt,
    "heal": bystanders.heal,
    "book-held": bystanders.book_held,
    "book-captured": bystanders.book_captured,
    "vanish": bystanders.vanish,
    "payment-held": _payment_held,
    "payment-captured": _payment_captured,
    "webhook": _webhook,
    "sweep": _sweep,
}
MEDUSAS: Final = {
    *("admin-capture", "admin-cancel", "checkout", "book-held", "book-captured", "vanish"),
    *("payment-held", "payment-captured", "credit"),
}
