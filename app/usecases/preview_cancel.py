"""Tell what a cancel would do, without doing it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from app.domain.cancellation import AlreadyCanceled, Cancel, PaymentAction, Refused, cancelable_until, decide_cancel
from app.domain.order import Order, PaymentState, Provider
from app.domain.reasons import CancelReason
from app.ports import Services
from app.usecases.await_void import read_payment_action


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a cancel received at ``server_time`` would do."""

    order_id: str
    cancelable: bool
    reason: Annotated[str | None, msgspec.Meta(description="Why not; canceled when it is done already.")]
    cancelable_until: Annotated[
        datetime,
        msgspec.Meta(
            tz=True, description="The end of the grace period. A request received at this very moment is too late."
        ),
    ]
    server_time: Annotated[
        datetime, msgspec.Meta(tz=True, description="The clock that the grace period is measured by.")
    ]
    payment_action: PaymentAction
    """What would become of the holds, or what became of them."""
    reasons: Annotated[
        tuple[CancelReason, ...],
        msgspec.Meta(description="What a shopper may choose from; empty when the shop offers nothing."),
    ]


async def preview_cancel(services: Services, order: Order) -> Preview:
    """Judge an order that was read without any lock: good for a countdown, not a promise."""
    grace_period = services.policy.grace_period
    match decide_cancel(order, received_at=order.read_at, grace_period=grace_period):
        case Cancel():
            reason, action = None, _expected(order)
        case AlreadyCanceled():
            async with services.db.read("preview") as conn:
                reason, action = "canceled", await read_payment_action(services, conn, order.id)
        case Refused(reason=refusal):
            reason, action = refusal.value, PaymentAction.NONE
    return Preview(
        order_id=order.id,
        cancelable=reason is None,
        reason=reason,
        cancelable_until=cancelable_until(order, grace_period),
        server_time=order.read_at,
        payment_action=action,
        reasons=services.policy.cancel_reasons,
    )


def _expected(order: Order) -> PaymentAction:
    """What a cancel would answer once its voids have ended; a session that is being paid may outlast the request."""
    held = {payment.provider for payment in order.own_payments if payment.state is PaymentState.HELD}
    coming = {session.provider for session in order.own_sessions if session.is_open}
    if Provider.OTHER in held | coming:  # an incident asks a person to
        return PaymentAction.VOID_FAILED
    if coming:
        return PaymentAction.VOID_PENDING
    return PaymentAction.VOIDED if held else PaymentAction.NONE
