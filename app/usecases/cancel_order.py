"""Cancel an order within its grace period: read, decide, compare-and-set."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import msgspec
import structlog

from app.domain.cancellation import (
    AlreadyCanceled,
    Cancel,
    Decision,
    HandOver,
    NewCancellation,
    PaymentAction,
    Refused,
    decide_cancel,
)
from app.domain.jobs import JobKind
from app.domain.order import Order
from app.domain.ownership import Ownership, ownership
from app.domain.reasons import label_of
from app.domain.void import needs_void
from app.ports import CommitUnknown, Event, Policy, Services, Unavailable
from app.store import cancellations
from app.usecases.await_void import await_void
from app.usecases.crowds import Crowds
from app.usecases.settle_shared import hand_overs

log = structlog.get_logger()

_crowds = Crowds()

SURE_WITHIN: Final = 3.0
"""Seconds in which a lost commit is looked for: the shopper has waited ten for it already."""

ROUNDS: Final = 3
"""Attempts at an order that others change meanwhile, before the shopper is asked to try again."""

FollowUpJobs: TypeAlias = list[tuple[JobKind, str]]
"""Kind and subject of the jobs that a cancellation leaves to be done."""


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose right to the order has been checked, save that ``customer_id`` must be its owner."""

    order_id: str
    request_id: str
    traceparent: str | None = None
    canceled_by: str
    received_at: float
    """``time.monotonic()`` of the request's receipt: only how long before a read of the order it was counts."""
    reason: str | None = None
    customer_id: str | None = None
    """Set when the right to the order rests on being its customer, and not on a modification token."""
    token_issued_at: datetime | None = None
    """When the modification token was issued, where it says so."""


class SeenOrder(msgspec.Struct, frozen=True):
    """The order as it was read without a lock."""

    order: Order | None
    at: float
    """``time.monotonic()`` when it had been read."""


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
    services: Services, request: CancelRequest, seen: SeenOrder | None = None
) -> Canceled | Refused | NotFound | FormerOwner:
    """Cancel the order, or say why not. A refusal changed nothing and took no lock.

    ``seen`` is the order as the caller has read it for this request; without it, it is read here.
    Raises ``Unavailable`` when the database does not answer, or the order stays locked or changes in each of
    ``ROUNDS`` attempts; then, too, nothing was changed.
    Raises ``CommitUnknown`` when it went away during the commit, which may have been made or may yet be.
    """
    seen = seen or await _read(services, request)
    decision = _decide(services, request, seen)
    jobs: FollowUpJobs = []
    if isinstance(decision, Cancel):  # the owner's: others do not count against the concurrency limit
        try:
            async with _crowds.one_of_few(request.order_id):
                decision, jobs = await _compare_and_set(services, request, seen)
        except CommitUnknown as lost:
            await _resolve_ambiguous_commit(services, request, lost)
            decision = Cancel()
    if isinstance(decision, Refused | NotFound | FormerOwner):
        return decision
    if isinstance(decision, Cancel):
        log.info("order.canceled", order_id=request.order_id, canceled_by=request.canceled_by)
        await services.wakeup.wake()
    voiding = any(kind is JobKind.VOID for kind, _ in jobs)
    action = await await_void(services, request.order_id, services.policy.void_wait, just_begun=voiding)
    already = isinstance(decision, AlreadyCanceled)
    return Canceled(order_id=request.order_id, payment_action=action, already=already)


async def _read(services: Services, request: CancelRequest) -> SeenOrder:
    async with services.db.read("cancel.look") as conn:
        order = await services.orders.read_order(conn, request.order_id)
    return SeenOrder(order, time.monotonic())


async def _compare_and_set(
    services: Services, request: CancelRequest, seen: SeenOrder
) -> tuple[Decision | NotFound | FormerOwner, FollowUpJobs]:
    """Decide from a read without a lock, and write a yes if the order still is as it was read; else start over."""
    for attempt in range(ROUNDS):
        seen = await _read(services, request) if attempt else seen
        decision = _decide(services, request, seen)
        if seen.order is None or not isinstance(decision, Cancel):
            return decision, []
        new = await _cancellation(services, request, seen.order)
        async with services.db.single("cancel") as conn:
            if await services.orders.cancel_if_unchanged(conn, seen.order, new):
                return decision, list(new.jobs)
    message = f"{request.order_id} changed during each of {ROUNDS} attempts to cancel it"
    raise Unavailable(message)


def _decide(services: Services, request: CancelRequest, seen: SeenOrder) -> Decision | NotFound | FormerOwner:
    """Decide for the one who asks: only the owner learns anything about the order."""
    order = seen.order
    owned = ownership(order, customer_id=request.customer_id, token_issued_at=request.token_issued_at)
    if order is None or owned is Ownership.NONE:
        return NotFound()
    if owned is Ownership.FORMER_OWNER:
        return FormerOwner()
    received_at = order.read_at - timedelta(seconds=seen.at - request.received_at)
    return decide_cancel(order, received_at=received_at, grace_period=services.policy.grace_period)


async def _cancellation(services: Services, request: CancelRequest, order: Order) -> NewCancellation:
    """Return what is written of the cancel, captures of holds that other orders need among it."""
    handed_over: tuple[HandOver, ...] = ()
    if order.live_linked:
        async with services.db.read("cancel.heirs") as conn:
            handed_over = await hand_overs(services, conn, order)
    return NewCancellation(
        canceled_by=request.canceled_by,
        reason=request.reason,
        reason_label=label_of(services.policy.cancel_reasons, request.reason),
        request_id=request.request_id,
        traceparent=request.traceparent,
        jobs=tuple(_follow_up_jobs(services.policy, order)),
        hand_overs=handed_over,
    )


def _follow_up_jobs(policy: Policy, order: Order) -> FollowUpJobs:
    jobs = [(JobKind.VOID, money.id) for money in order.money if needs_void(order, money)]
    jobs.append((JobKind.RELEASE, order.id))
    if policy.publishes_events:
        occurrence = f"{order.read_at.timestamp():.6f}"
        jobs.append((JobKind.PUBLISH, Event("order.canceled", order.id, occurrence).subject))
    return jobs


async def _resolve_ambiguous_commit(services: Services, request: CancelRequest, lost: CommitUnknown) -> None:
    """Return when the commit whose answer was lost is visible; else raise that it is unknown.

    The order's row lock keeps out a commit that is under way, but a statement that the server has not begun may still
    be run afterwards.
    """
    try:
        async with asyncio.timeout(SURE_WITHIN), services.db.transaction("cancel.confirm") as conn:
            await services.orders.lock_order(conn, request.order_id)
            made = await cancellations.made_by_request(conn, request.order_id, request.request_id)
    except (Unavailable, TimeoutError) as error:
        raise lost from error
    if not made:
        raise lost
