"""``decide_cancel``: every answer it can give, and which cause wins when there are several."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.domain.cancellation import (
    AlreadyCanceled,
    Cancel,
    Decision,
    Refusal,
    Refused,
    cancelable_until,
    decide_cancel,
)
from app.domain.order import Order, OrderState, Payment
from tests.domain import builders as a

IN_TIME = a.PLACED_AT + timedelta(minutes=1)
TOO_LATE = a.PLACED_AT + a.GRACE_PERIOD


def decide(order: Order, *, received_at: datetime = IN_TIME) -> Decision:
    return decide_cancel(order, received_at=received_at, grace_period=a.GRACE_PERIOD)


def refused(reason: Refusal) -> Refused:
    return Refused(reason)


CANCELABLE = {
    "one hold": a.order(a.held()),
    "two holds": a.order(a.held(), a.held()),
    "no payment": a.order(),
    "a released payment": a.order(a.canceled()),
    "a hold and a released payment": a.order(a.held(), a.canceled()),
    "a session that is being paid": a.order(sessions=(a.session(),), total=a.TEN),
    "a session that was never paid": a.order(sessions=(a.session("requires_payment_method"),), total=a.TEN),
    "a session that was canceled": a.order(sessions=(a.session("canceled"),), total=a.TEN),
    "nothing owed and nothing linked": a.order(payment_known=False),
    "owed less than the smallest unit": a.order(payment_known=False, total=Decimal("0.004")),
    "owed less than a yen": a.order(payment_known=False, total=Decimal("0.4"), currency="jpy"),
    "a hold that lapsed, and nothing in the cart": a.order(a.canceled(), total=a.TEN),
    "a hold, and more in the cart": a.order(a.held(), total=a.TEN, money_in_cart=True),
    "a session, and more in the cart": a.order(sessions=(a.session(),), total=a.TEN, money_in_cart=True),
    "a shared hold that lapsed": a.order(a.canceled(), linked=(a.linked(),), own_total=a.TEN),
    "nothing owed of a shared hold": a.order(a.held(), linked=(a.linked(),), own_total=Decimal(0)),
    "nothing owed of a shared hold that was captured": a.order(
        a.captured(), linked=(a.linked(),), own_total=Decimal(0)
    ),
    "a hold that a canceled order shares": a.order(
        a.held(), linked=(a.linked(state=OrderState.CANCELED),), own_total=a.TEN
    ),
    "nothing owed, and money in the cart": a.order(a.canceled(), money_in_cart=True),
    "a shared session that was canceled": a.order(
        sessions=(a.session("canceled"),), linked=(a.linked(),), own_total=a.TEN
    ),
    "a hold of its own, and what it owes is less than the orders together": a.order(
        a.held(),
        total=Decimal(60),
        own_total=a.TEN,
        linked=(a.linked(state=OrderState.CANCELED, total=Decimal(50)),),
        money_in_cart=True,
    ),
    "rounded, the hold is enough": a.order(a.held(), total=Decimal("10.004"), money_in_cart=True),
}


@pytest.mark.parametrize("order", CANCELABLE.values(), ids=CANCELABLE.keys())
def test_cancelable(order: Order) -> None:
    assert decide(order) == Cancel()


REFUSED = {
    "completed": (a.order(a.held(), state=OrderState.COMPLETED), Refusal.COMPLETED),
    "captured": (a.order(a.captured()), Refusal.CAPTURED),
    "captured, then refunded": (a.order(a.captured(refunded=a.TEN)), Refusal.CAPTURED),
    "all of two captured": (a.order(a.captured(), a.captured()), Refusal.CAPTURED),
    "captured beside a released one": (a.order(a.captured(), a.canceled()), Refusal.CAPTURED),
    "captured although canceled_at": (a.order(a.captured(canceled_at=a.PLACED_AT)), Refusal.CAPTURED),
    "captured beside one in flight": (a.order(a.captured(), a.in_flight()), Refusal.CAPTURED),
    "being packed": (a.order(a.held(), live_fulfillments=1), Refusal.FULFILLED),
    "packed without a payment": (a.order(live_fulfillments=2), Refusal.FULFILLED),
    "partly captured": (a.order(a.partly_captured()), Refusal.PARTIAL_CAPTURE),
    "partly captured by a cent": (a.order(a.partly_captured(captured=Decimal("0.01"))), Refusal.PARTIAL_CAPTURE),
    "all but a cent": (a.order(a.partly_captured(captured=Decimal("9.99"))), Refusal.PARTIAL_CAPTURE),
    "one of two captured": (a.order(a.captured(), a.held()), Refusal.PARTIAL_CAPTURE),
    "one of two partly captured": (a.order(a.held(), a.partly_captured()), Refusal.PARTIAL_CAPTURE),
    "one captured, one partly": (a.order(a.captured(), a.partly_captured()), Refusal.PARTIAL_CAPTURE),
    "Medusa is capturing": (a.order(a.in_flight()), Refusal.CAPTURE_IN_FLIGHT),
    "Medusa is capturing one of two": (a.order(a.held(), a.in_flight()), Refusal.CAPTURE_IN_FLIGHT),
    "rounded, it is all": (a.order(a.in_flight(captured=Decimal("9.996"))), Refusal.CAPTURE_IN_FLIGHT),
    "a session that was paid": (a.order(sessions=(a.session("succeeded"),)), Refusal.CAPTURED),
    "a paid session beside a hold": (a.order(a.held(), sessions=(a.session("succeeded"),)), Refusal.PARTIAL_CAPTURE),
    "a session of which a part was taken, and more is held": (
        a.order(sessions=(a.session("requires_capture", received=Decimal(4)),)),
        Refusal.PARTIAL_CAPTURE,
    ),
    "partly captured, beside a released hold": (
        a.order(a.partly_captured(), a.canceled()),
        Refusal.PARTIAL_CAPTURE,
    ),
    "captured beside an open session": (a.order(a.captured(), sessions=(a.session(),)), Refusal.CAPTURED),
    "owed, and nothing linked": (a.order(payment_known=False, total=a.TEN), Refusal.PAYMENT_UNKNOWN),
    "a cent owed": (a.order(payment_known=False, total=Decimal("0.01")), Refusal.PAYMENT_UNKNOWN),
    "a yen owed": (a.order(payment_known=False, total=Decimal("0.5"), currency="jpy"), Refusal.PAYMENT_UNKNOWN),
    "a hold that another order shares": (
        a.order(a.held(), linked=(a.linked(),), own_total=a.TEN),
        Refusal.PAYMENT_UNKNOWN,
    ),
    "a shared hold, and no total known": (a.order(a.held(), linked=(a.linked(),)), Refusal.PAYMENT_UNKNOWN),
    "a shared hold that was captured": (
        a.order(a.captured(), linked=(a.linked(),), own_total=a.TEN, booked=a.TEN),
        Refusal.CAPTURED,
    ),
    "a session that another order shares": (
        a.order(sessions=(a.session(),), linked=(a.linked(),), own_total=a.TEN),
        Refusal.PAYMENT_UNKNOWN,
    ),
    "a hold of too little, and more in the cart": (
        a.order(a.held(), total=Decimal("10.01"), money_in_cart=True),
        Refusal.PAYMENT_UNKNOWN,
    ),
    "a lapsed hold, and money in the cart": (
        a.order(a.canceled(), sessions=(a.session("canceled"),), total=a.TEN, money_in_cart=True),
        Refusal.PAYMENT_UNKNOWN,
    ),
    "a shared hold that lapsed, no total known, and money in the cart": (
        a.order(a.canceled(), total=a.TEN, linked=(a.linked(state=OrderState.CANCELED),), money_in_cart=True),
        Refusal.PAYMENT_UNKNOWN,
    ),
    "an open change": (a.order(a.held(), open_changes=1), Refusal.ORDER_CHANGE_PENDING),
}


@pytest.mark.parametrize(("order", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(order: Order, reason: Refusal) -> None:
    assert decide(order) == refused(reason)


def test_every_refusal_is_met() -> None:
    met = {reason for _, reason in REFUSED.values()}
    assert met | {Refusal.GRACE_PERIOD_OVER} == set(Refusal)


def test_already_canceled_whatever_else_is_the_matter() -> None:
    order = a.order(a.captured(), a.partly_captured(), state=OrderState.CANCELED, live_fulfillments=1, open_changes=1)
    order = msgspec.structs.replace(order, captures_in_flight=frozenset({"pay_1"}))
    assert decide(order, received_at=TOO_LATE + timedelta(days=900)) == AlreadyCanceled()


class TestGracePeriod:
    """It ends to the microsecond, by the time of receipt."""

    def test_the_last_moment(self) -> None:
        assert decide(a.order(a.held()), received_at=TOO_LATE - a.MICROSECOND) == Cancel()

    @pytest.mark.parametrize("late", [timedelta(0), a.MICROSECOND, timedelta(days=400)])
    def test_too_late(self, late: timedelta) -> None:
        assert decide(a.order(a.held()), received_at=TOO_LATE + late) == refused(Refusal.GRACE_PERIOD_OVER)

    def test_received_before_the_order_was_placed(self) -> None:
        """The database's clock may be a little ahead of what ``created_at`` was taken from."""
        assert decide(a.order(a.held()), received_at=a.PLACED_AT - timedelta(seconds=2)) == Cancel()

    def test_when_it_was_read_does_not_count(self) -> None:
        order = a.order(a.held(), read_at=TOO_LATE + timedelta(seconds=2))
        assert decide(order, received_at=TOO_LATE - a.MICROSECOND) == Cancel()

    def test_cancelable_until(self) -> None:
        assert cancelable_until(a.order(), timedelta(minutes=5)) == a.PLACED_AT + timedelta(minutes=5)


@pytest.mark.parametrize("subject", ["its own payment", "a payment that is gone"])
def test_a_capture_in_flight_is_the_point_of_no_return(subject: str) -> None:
    payment = a.held()
    in_flight = frozenset({payment.id if subject == "its own payment" else "pay_gone"})
    assert decide(a.order(payment, a.held(), captures_in_flight=in_flight)) == refused(Refusal.CAPTURE_IN_FLIGHT)


def test_a_capture_in_flight_that_only_others_need_is_none() -> None:
    payment = a.held()
    facts = {"linked": (a.linked(),), "own_total": Decimal(0), "captures_in_flight": frozenset({payment.id})}
    assert decide(a.order(payment, **facts)) == Cancel()


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that alone would lead to ``reason``."""

    reason: Refusal
    payments: tuple[Payment, ...] = ()
    received_at: datetime = IN_TIME
    facts: dict[str, Any] = {}


# Each wins against all that stand below it.
CAUSES = [
    Cause(reason=Refusal.COMPLETED, facts={"state": OrderState.COMPLETED}),
    Cause(reason=Refusal.PARTIAL_CAPTURE, payments=(a.partly_captured(),)),
    Cause(reason=Refusal.CAPTURED, payments=(a.captured(),)),
    Cause(reason=Refusal.FULFILLED, facts={"live_fulfillments": 1}),
    Cause(reason=Refusal.CAPTURE_IN_FLIGHT, facts={"captures_in_flight": frozenset({"pay_1"})}),
    Cause(reason=Refusal.CAPTURE_IN_FLIGHT, payments=(a.in_flight(),)),
    Cause(reason=Refusal.GRACE_PERIOD_OVER, received_at=TOO_LATE),
    Cause(reason=Refusal.ORDER_CHANGE_PENDING, facts={"open_changes": 1}),
]
PAIRS = list(itertools.combinations(CAUSES, 2))


@pytest.mark.parametrize(("winner", "loser"), PAIRS, ids=[f"{one.reason}-{two.reason}" for one, two in PAIRS])
def test_precedence(winner: Cause, loser: Cause) -> None:
    """What tells the shopper most comes first."""
    order = a.order(*winner.payments, *loser.payments, **winner.facts, **loser.facts)
    received_at = max(winner.received_at, loser.received_at)
    assert decide(order, received_at=received_at) == refused(winner.reason)


@pytest.mark.parametrize(("shared", "refused_"), [(True, False), (False, True)])
def test_a_capture_of_what_only_another_order_needs_is_no_hindrance(*, shared: bool, refused_: bool) -> None:
    """An order that has no part of the shared hold is canceled beside its capture."""
    hold = a.held()
    facts = {"linked": (a.linked(),) if shared else (), "own_total": Decimal(0)}
    order = a.order(hold, captures_in_flight=frozenset({hold.id}), **facts)
    assert decide(order) == (refused(Refusal.CAPTURE_IN_FLIGHT) if refused_ else Cancel())
    own = a.order(hold, captures_in_flight=frozenset({hold.id, "pay_own"}), **facts)
    assert decide(own) == refused(Refusal.CAPTURE_IN_FLIGHT)
