"""What a preview says of an order: whether it can be canceled, until when, and what becomes of its money."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.cancellation import PaymentAction
from app.domain.order import Order, Payment, PaymentSession, Provider
from app.domain.reasons import CancelReason
from app.usecases.preview_cancel import Preview, preview_cancel
from tests.domain import builders as a

REASONS = (CancelReason("mind", "I changed my mind"),)
SERVICES: Any = SimpleNamespace(policy=SimpleNamespace(grace_period=a.GRACE_PERIOD, cancel_reasons=REASONS))

OTHER, SYSTEM = {"provider": Provider.OTHER}, {"provider": Provider.SYSTEM}
FAILED, PENDING, VOIDED, NONE = (
    PaymentAction.VOID_FAILED,
    PaymentAction.VOID_PENDING,
    PaymentAction.VOIDED,
    PaymentAction.NONE,
)


@pytest.mark.parametrize(
    ("payments", "sessions", "action"),
    [
        ((), (), NONE),
        ((a.held(),), (), VOIDED),
        ((a.held(**SYSTEM),), (), VOIDED),
        ((a.held(), a.held()), (), VOIDED),
        ((a.held(), a.held(**OTHER)), (), FAILED),
        ((a.canceled(**OTHER),), (), NONE),
        ((a.canceled(),), (), NONE),
        ((), (a.session("requires_action"),), PENDING),
        ((a.held(),), (a.session("requires_action"),), PENDING),
        ((), (a.session("requires_action", **OTHER),), FAILED),
        ((a.held(**OTHER),), (a.session("requires_action"),), FAILED),
        ((), (a.session("canceled", **OTHER),), NONE),
        ((a.held(),), (a.session("canceled"),), VOIDED),
    ],
)
async def test_what_becomes_of_the_money(
    payments: tuple[Payment, ...], sessions: tuple[PaymentSession, ...], action: PaymentAction
) -> None:
    order = a.order(*payments, sessions=sessions)
    assert await preview_cancel(SERVICES, order) == Preview(
        order_id="order_1",
        cancelable=True,
        reason=None,
        cancelable_until=a.PLACED_AT + a.GRACE_PERIOD,
        server_time=order.read_at,
        payment_action=action,
        reasons=REASONS,
    )


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (a.order(a.held(), read_at=a.PLACED_AT + a.GRACE_PERIOD), "grace_period_over"),
        (a.order(a.held(), read_at=a.PLACED_AT + timedelta(days=9)), "grace_period_over"),
        (a.order(a.captured()), "captured"),
        (a.order(a.held(), open_changes=1), "order_change_pending"),
    ],
)
async def test_what_would_be_refused_tells_nothing_of_the_money(order: Order, reason: str) -> None:
    preview = await preview_cancel(SERVICES, order)
    assert (preview.cancelable, preview.reason, preview.payment_action) == (False, reason, NONE)
    assert (preview.server_time, preview.cancelable_until) == (order.read_at, a.PLACED_AT + a.GRACE_PERIOD)
