"""Cancel an order within its grace period."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import msgspec
import structlog

from app.domain.cancellation import (
    AlreadyCanceled,
    Cancel,
    Decision,
    NewCancellation,
    PaymentAction,
    Refused,
    decide_cancel,
)
from app.domain.jobs import Job, JobKind
from app.domain.order import Order, PaymentState
from app.domain.ownership import Ownership, ownership
from app.domain.reasons import label_of
from app.ports import CommitUnknown, Event, Policy, Services, Unavailable
from app.store import cancellations, jobs
from app.usecases.await_void import await_void
from app.usecases.crowds import Crowds
from app.usecases.settle_shared import hand_over_captures

log = structlog.get_logger()

_crowds = Crowds()

SURE_WITHIN: Final = 3.0
"""Seconds in which a lost commit is looked for: the shopper has waited ten for it already."""

Aftermath: TypeAlias = list[tuple[JobKind, str]]
"""Kind and subject of the jobs that a cancellation leaves to be done."""


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose right to the order has been checked, save that ``customer_id`` must be its owner."""

    order_id: str
    request_id: str
    canceled_by: str
    received_at: float
    """``time.monotonic()`` of the request's receipt: how long ago it was is all that is taken from it."""
    reason: str | None = None
    customer_id: str | None = None
    """Set when the right to the order rests on being its customer, and not on a modification token."""
    token_issued_at: datetime | None = None
    """When the modification token was issued, where it says so."""


class Canceled(msgspec.Struct, frozen=True, kw_only=True):
    """The order is canceled, durably. ``already`` when it was so before this request."""

    order_id: str
    payment_action: PaymentAction
    already: bool


class NotFound(msgspec.Struct, frozen=True):
    """No such order, or none that this shopper may know of."""


class FormerOwner(msgspec.Struct, frozen=True):
    """The modification token was issued before the order changed hands."""


async def cancel_order(
    services: Services, request: CancelRequest, seen: Order | None = None
) -> Canceled | Refused | NotFound | FormerOwner:
    """Cancel the order, or say why not. A refusal changed nothing.

    ``seen`` is the order as the caller has read it for this request; without it, it is read here.
    Raises ``Unavailable`` when the database does not answer or the order stays locked; then, too, nothing was changed.
    Raises ``CommitUnknown`` when it went away during the commit, which may have been made or may yet be.
    """
    order = _owned(seen or await _read(services, request), request)
    if not isinstance(order, Order):  # ahead of the concurrency limit, which is the owner's
        return order
    left: Aftermath = []
    try:
        async with _crowds.one_of_few(request.order_id):
            decision, left = await _write_as_seen(services, request, order) or await _decide_and_write(
                services, request
            )
    except CommitUnknown as lost:
        await _make_sure(services, request, lost)
        decision = Cancel()
    if isinstance(decision, Refused | NotFound | FormerOwner):
        return decision
    if isinstance(decision, Cancel):
        log.info("order.canceled", order_id=request.order_id, canceled_by=request.canceled_by)
        await services.wakeup.wake()
    voiding = any(kind is JobKind.VOID for kind, _ in left)
    action = await await_void(services, request.order_id, services.policy.void_wait, just_begun=voiding)
    already = isinstance(decision, AlreadyCanceled)
    return Canceled(order_id=request.order_id, payment_action=action, already=already)


async def _read(services: Services, request: CancelRequest) -> Order | None:
    async with services.db.read("cancel.look") as conn:
        return await services.commerce.read_order(conn, request.order_id)


async def _write_as_seen(services: Services, request: CancelRequest, order: Order) -> tuple[Cancel, Aftermath] | None:
    """The usual cancel: decided from a look without a lock, and written if the order still is as it was seen.

    ``None``, and nothing is written, when it takes more than that: captures that other orders need are left to them.
    """
    if order.live_linked or not isinstance(_decide(services, request, order, ()), Cancel):
        return None
    left = _aftermath(services.policy, order)
    async with services.db.single("cancel") as conn:
        written = await services.commerce.cancel_as_seen(conn, order, _cancellation(services, request, left))
    return (Cancel(), left) if written else None


async def _decide_and_write(
    services: Services, request: CancelRequest
) -> tuple[Cancel | AlreadyCanceled | Refused | NotFound | FormerOwner, Aftermath]:
    """Under the locks, step by step: whatever the order is like, this has the answer."""
    async with services.db.transaction("cancel") as conn:
        order = _owned(await services.commerce.lock_order(conn, request.order_id), request)
        if not isinstance(order, Order):
            return order, []
        decision = _decide(services, request, order, await jobs.of_order(conn, order.id, JobKind.CAPTURE))
        if not isinstance(decision, Cancel):
            return decision, []
        left = _aftermath(services.policy, order)
        await services.commerce.cancel_order(conn, order)
        await cancellations.write(conn, order.id, _cancellation(services, request, left))
        await hand_over_captures(services, conn, order)
        return decision, left


def _owned(order: Order | None, request: CancelRequest) -> Order | NotFound | FormerOwner:
    """Return the order when the request has the right to it, else what is to be answered."""
    if order is None:
        return NotFound()
    match ownership(order, customer_id=request.customer_id, token_issued_at=request.token_issued_at):
        case Ownership.OWNER:
            return order
        case Ownership.FORMER_OWNER:
            return FormerOwner()
        case Ownership.NONE:
            return NotFound()


def _decide(services: Services, request: CancelRequest, order: Order, captures: Sequence[Job]) -> Decision:
    received_at = order.read_at - timedelta(seconds=time.monotonic() - request.received_at)
    return decide_cancel(order, captures, received_at=received_at, grace_period=services.policy.grace_period)


def _cancellation(services: Services, request: CancelRequest, left: Aftermath) -> NewCancellation:
    return NewCancellation(
        canceled_by=request.canceled_by,
        reason=request.reason,
        reason_label=label_of(services.policy.cancel_reasons, request.reason),
        request_id=request.request_id,
        jobs=tuple(left),
    )


def _aftermath(policy: Policy, order: Order) -> Aftermath:
    left = [(JobKind.VOID, payment.id) for payment in order.own_payments if payment.state is PaymentState.HELD]
    left += [(JobKind.VOID, session.id) for session in order.own_sessions if session.is_open]
    left.append((JobKind.RELEASE, order.id))
    if policy.publishes_events:
        occurrence = f"{order.read_at.timestamp():.6f}"
        left.append((JobKind.PUBLISH, Event("order.canceled", order.id, occurrence).subject))
    return left


async def _make_sure(services: Services, request: CancelRequest, lost: CommitUnknown) -> None:
    """Return when the commit whose answer was lost was made; else raise that it is unknown: the order's row lock keeps
    out one that is under way, but a statement that has not come that far may still be run after us.
    """
    try:
        async with asyncio.timeout(SURE_WITHIN), services.db.transaction("cancel.confirm") as conn:
            await services.commerce.lock_order(conn, request.order_id)
            made = await cancellations.made_by_request(conn, request.order_id, request.request_id)
    except (Unavailable, TimeoutError) as error:
        raise lost from error
    if not made:
        raise lost
