"""Whether a hold is to be voided."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.order import OrderState, Payment, PaymentSession, Provider
from app.domain.void import NotVoided, VoidHold, VoidSession, decide_void, is_not_owed, needs_void
from tests.domain import builders as a

OF_A_CANCELED_ORDER = {
    "held": (a.held(), True),
    "closed by the cancel": (a.canceled(), True),
    "being captured": (a.in_flight(), True),
    "captured in part": (a.partly_captured(), True),
    "captured": (a.captured(), False),
    "captured and closed": (a.captured(canceled_at=a.PLACED_AT), False),
}
OF_AN_OPEN_ORDER = {
    "held": (a.held(), True),
    "while a capture of ours runs": (a.held(is_capturing=True), False),
    "closed": (a.canceled(), False),
    "being captured": (a.in_flight(), False),
    "captured in part": (a.partly_captured(), False),
    "captured": (a.captured(), False),
}


@pytest.mark.parametrize(("payment", "voided"), OF_A_CANCELED_ORDER.values(), ids=OF_A_CANCELED_ORDER.keys())
@pytest.mark.parametrize("total", ["0", "10", None])
def test_all_that_may_be_held_of_a_canceled_order(payment: Payment, total: str | None, *, voided: bool) -> None:
    order = a.order(payment, state=OrderState.CANCELED, total=None if total is None else Decimal(total))
    assert decide_void(order, payment.id) == (VoidHold(payment) if voided else NotVoided.CAPTURED)


@pytest.mark.parametrize(("payment", "voided"), OF_AN_OPEN_ORDER.values(), ids=OF_AN_OPEN_ORDER.keys())
@pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.COMPLETED])
def test_of_an_open_order_only_an_unused_hold_that_it_does_not_owe(
    payment: Payment, state: OrderState, *, voided: bool
) -> None:
    nothing = a.order(payment, state=state, total=payment.captured, paid=payment.captured)
    assert is_not_owed(nothing, payment) is voided
    assert (decide_void(nothing, payment.id) == VoidHold(payment)) is voided


@pytest.mark.parametrize(("total", "voided"), [("0", True), ("0.004", True), ("0.005", False), ("10", False)])
def test_what_is_owed_is_not_voided(total: str, *, voided: bool) -> None:
    hold = a.held()
    assert decide_void(a.order(hold, total=Decimal(total)), hold.id) == (VoidHold(hold) if voided else NotVoided.OWED)


def test_without_a_total_all_of_it_is_owed() -> None:
    hold = a.held()
    assert decide_void(a.order(hold), hold.id) is NotVoided.OWED


@pytest.mark.parametrize(
    ("provider", "decided"),
    [(Provider.SYSTEM, NotVoided.NO_GATEWAY), (Provider.OTHER, NotVoided.UNSUPPORTED_PROVIDER)],
)
@pytest.mark.parametrize("state", OrderState)
def test_a_hold_that_stripe_does_not_hold_is_left_to_its_provider(
    provider: Provider, decided: NotVoided, state: OrderState
) -> None:
    hold = a.held(provider=provider)
    assert decide_void(a.order(hold, state=state, total=Decimal(0)), hold.id) is decided


def test_a_part_that_another_provider_captured_is_nothing_to_void() -> None:
    part = a.partly_captured(provider=Provider.OTHER)
    assert decide_void(a.order(part, state=OrderState.CANCELED), part.id) is NotVoided.CAPTURED


@pytest.mark.parametrize(("state", "is_voided"), [(OrderState.CANCELED, True), (OrderState.OPEN, False)])
def test_a_session_is_voided_with_its_order(state: OrderState, *, is_voided: bool) -> None:
    session = a.session()
    decided = decide_void(a.order(state=state, sessions=(session,)), session.id)
    assert decided == (VoidSession(session) if is_voided else NotVoided.REOPENED)


def test_of_a_hold_that_an_open_order_calls_canceled_only_the_intent_is_retrieved() -> None:
    closed = a.canceled()
    assert decide_void(a.order(closed, total=Decimal(0)), closed.id) == VoidHold(closed, compare=True)


def test_what_the_shop_has_forgotten_is_not_voided() -> None:
    assert decide_void(None, "pay_1") is decide_void(a.order(), "pay_1") is NotVoided.GONE


LEFT_BY_A_CANCEL: dict[str, tuple[Payment | PaymentSession, bool]] = {
    **{
        name: (payment, voided and payment.canceled_at is None)
        for name, (payment, voided) in OF_A_CANCELED_ORDER.items()
    },
    "a session that may be paid": (a.session(), True),
    "a session that holds money": (a.session("requires_capture"), True),
    "a session that is paid": (a.session("succeeded"), False),
    "a session that is canceled": (a.session("canceled"), False),
}


@pytest.mark.parametrize(("money", "left"), LEFT_BY_A_CANCEL.values(), ids=LEFT_BY_A_CANCEL.keys())
@pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.CANCELED])
def test_what_a_cancel_leaves_is_what_its_void_voids(
    money: Payment | PaymentSession, state: OrderState, *, left: bool
) -> None:
    """Whether the order is about to be canceled or was: the void that is scheduled finds something to void."""
    facts = {"sessions": (money,)} if isinstance(money, PaymentSession) else {}
    order = a.order(*([money] if isinstance(money, Payment) else []), state=state, **facts)
    assert needs_void(order, money) is left
    if left and state is OrderState.CANCELED:
        voided = VoidSession(money) if isinstance(money, PaymentSession) else VoidHold(money)
        assert decide_void(order, money.id) == voided


@pytest.mark.parametrize("money", [a.held(), a.partly_captured(), a.session()])
def test_what_a_live_order_shares_is_left_to_it(money: Payment | PaymentSession) -> None:
    facts = {"sessions": (money,)} if isinstance(money, PaymentSession) else {}
    payments = [money] if isinstance(money, Payment) else []
    order = a.order(*payments, state=OrderState.CANCELED, linked=(a.linked(),), **facts)
    assert order.sharing(money)
    assert not needs_void(order, money)
    assert decide_void(order, money.id) is NotVoided.SHARED
