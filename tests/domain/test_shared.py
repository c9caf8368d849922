"""Sums of orders that share a payment, and whose part is whose."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.domain.order import Order, OrderState, Payment, PaymentSession
from app.domain.shared import left_alone, own_owed, parts_of_capture, parts_of_refund, shared_sums, unpaid_orders
from app.domain.void import NotVoided, VoidHold, decide_void, is_left_to_others
from tests.domain import builders as a

CANCELED = OrderState.CANCELED
TEN = a.TEN


def sharing(*payments: Payment, **facts: Any) -> Order:
    """An order of 30.00 EUR that shares with one of 60.00 EUR."""
    defaults: dict[str, Any] = {"own_total": Decimal(30), "linked": (a.linked(total=Decimal(60)),)}
    order = a.order(*payments, **{**defaults, **facts})
    total, paid = shared_sums(order)
    return a.order(*payments, **{**defaults, **facts, "total": total, "paid": paid})


def sums(*payments: Payment, **facts: Any) -> tuple[float | None, float]:
    """What the orders come to, and what was paid."""
    total, paid = shared_sums(sharing(*payments, **facts))
    return None if total is None else float(total), float(paid)


def test_the_sums_are_those_of_all_live_orders() -> None:
    hold = a.held(amount=Decimal(90))
    assert sums(hold) == (90, 0)
    assert sums(hold, state=CANCELED) == (60, 0)
    assert sums(hold, linked=(a.linked(state=CANCELED),)) == (30, 0)
    assert sums(hold, own_total=None) == (None, 0)
    assert sums(hold, linked=(a.linked(total=None),)) == (None, 0)


def test_paid_is_what_is_booked_or_taken() -> None:
    taken = a.captured(amount=Decimal(90), captured=Decimal(90), refunded=Decimal(5))
    other = a.linked(total=Decimal(60), booked=Decimal(60), taken_elsewhere=Decimal(7))
    assert sums(taken, linked=(other,)) == (90, 92)
    assert sums(taken, linked=(other,), booked=Decimal(40)) == (90, 100)
    unbooked = a.captured(amount=Decimal(90), captured=Decimal(90), unbooked=Decimal(90))
    assert sums(unbooked, linked=(a.linked(booked=Decimal(4)),)) == (40, 94)


def test_what_is_booked_on_one_does_not_pay_for_another_once_one_is_canceled() -> None:
    """Medusa's cancel of the one refunds all, and books it there."""
    refunded = a.captured(amount=Decimal(90), captured=Decimal(90), refunded=Decimal(90))
    canceled = a.linked(state=CANCELED, booked=Decimal(-60))
    assert sums(refunded, linked=(canceled,), booked=Decimal(30)) == (30, 0)


def test_a_canceled_orders_own_payments_pay_for_no_other() -> None:
    own = a.captured(collection_id="pay_col_2")
    assert sums(own, a.held(), state=CANCELED) == (60, 0)


@pytest.mark.parametrize(
    ("facts", "amount", "parts"),
    [
        ({}, 90, {"order_1": 30, "order_2": 60}),
        ({}, 50, {"order_1": 30, "order_2": 20}),
        ({}, 95, {"order_1": 30, "order_2": 65}),
        ({"booked": Decimal(30)}, 60, {"order_2": 60}),
        ({"state": CANCELED}, 60, {"order_2": 60}),
        ({"state": CANCELED}, 90, {"order_1": 30, "order_2": 60}),
        ({"linked": (a.linked(state=CANCELED),)}, 30, {"order_1": 30}),
        ({"linked": (a.linked(state=CANCELED),)}, 40, {"order_1": 30, "order_2": 10}),
        (
            {"state": CANCELED, "linked": (a.linked(state=CANCELED, total=Decimal(60)),)},
            90,
            {"order_1": 30, "order_2": 60},
        ),
        ({"own_total": None}, 90, {"order_1": 90}),
        ({"linked": (a.linked(collection_ids=frozenset({"pay_col_9"})),)}, 90, {"order_1": 90}),
    ],
)
def test_a_capture_is_divided_by_what_each_owes(facts: dict[str, Any], amount: int, parts: dict[str, int]) -> None:
    hold = a.held(amount=Decimal(90))
    divided = parts_of_capture(sharing(hold, **facts), hold, Decimal(amount))
    assert {part.order_id: part.amount for part in divided} == parts


@pytest.mark.parametrize(
    ("facts", "amount", "parts"),
    [
        ({}, 20, {"order_1": 20}),
        ({}, 90, {"order_1": 30, "order_2": 60}),
        ({"state": CANCELED}, 40, {"order_1": 30, "order_2": 10}),
        ({"linked": (a.linked(state=CANCELED, booked=Decimal(60)),)}, 70, {"order_1": 10, "order_2": 60}),
        ({}, 95, {"order_1": 35, "order_2": 60}),
    ],
)
def test_a_refund_is_divided_by_what_is_booked(facts: dict[str, Any], amount: int, parts: dict[str, int]) -> None:
    taken = a.captured(amount=Decimal(90), captured=Decimal(90))
    booked: dict[str, Any] = {"booked": Decimal(30), "linked": (a.linked(booked=Decimal(60)),)}
    divided = parts_of_refund(sharing(taken, **{**booked, **facts}), taken, Decimal(amount))
    assert {part.order_id: part.amount for part in divided} == parts


def test_a_canceled_order_leaves_alone_what_a_live_one_shares() -> None:
    hold = a.held(amount=Decimal(90))
    order = sharing(hold, state=CANCELED)
    assert is_left_to_others(order, hold.id)
    assert decide_void(order, hold.id) is NotVoided.SHARED
    assert "order_2" in (left_alone(order) or "")
    assert left_alone(sharing(hold)) is None
    assert left_alone(sharing(hold, state=CANCELED, own_total=Decimal(0))) is None
    alone = sharing(hold, state=CANCELED, linked=(a.linked(state=CANCELED),))
    assert left_alone(alone) is None
    assert decide_void(alone, hold.id) == VoidHold(hold)
    assert not is_left_to_others(alone, hold.id)


def test_what_was_taken_beyond_what_live_orders_owe_is_named() -> None:
    taken = a.captured(amount=Decimal(90), captured=Decimal(90))
    assert "refund 30.00 EUR" in (left_alone(sharing(taken, state=CANCELED)) or "")
    enough = a.captured(amount=Decimal(90), captured=Decimal(60))
    assert left_alone(sharing(enough, state=CANCELED)) is None


def test_who_is_unpaid_when_the_hold_is_gone() -> None:
    gone = a.canceled(amount=Decimal(90))
    third = a.linked(id="order_3", total=Decimal(0))
    assert unpaid_orders(sharing(gone, linked=(a.linked(), third)), gone) == ["order_1", "order_2"]
    assert unpaid_orders(sharing(gone, booked=Decimal(30)), gone) == ["order_2"]
    assert unpaid_orders(sharing(gone, state=CANCELED), gone) == ["order_2"]
    assert unpaid_orders(sharing(gone, linked=(a.linked(total=None),)), gone) == ["order_1", "order_2"]
    booked_elsewhere = a.linked(state=CANCELED)
    assert unpaid_orders(sharing(gone, booked=Decimal(30), linked=(booked_elsewhere,)), gone) == ["order_1"]
    beside_a_live_one = (booked_elsewhere, a.linked(id="order_3"))
    assert unpaid_orders(sharing(gone, booked=Decimal(30), linked=beside_a_live_one), gone) == ["order_1", "order_3"]


def test_only_what_a_canceled_order_shares_is_left_to_the_others() -> None:
    hold = a.held(amount=Decimal(90))
    assert not is_left_to_others(sharing(hold), hold.id)
    assert not is_left_to_others(sharing(hold, state=CANCELED), "pay_of_another_order")
    own = a.held(collection_id="pay_col_2")
    assert not is_left_to_others(sharing(hold, own, state=CANCELED), own.id)
    session = a.session()
    assert is_left_to_others(sharing(state=CANCELED, sessions=(session,)), session.id)


@pytest.mark.parametrize(
    ("status", "facts", "is_named"),
    [
        ("processing", {}, True),
        ("requires_action", {}, True),
        ("succeeded", {}, True),
        ("succeeded", {"received": TEN, "refunded": TEN}, False),
        ("canceled", {}, False),
        ("canceled", {"received": Decimal(4)}, True),
    ],
)
def test_a_shared_session_is_named_while_it_can_bring_money_or_has_brought_some(
    status: str, facts: dict[str, Any], *, is_named: bool
) -> None:
    session = a.session(status, **facts)
    said = left_alone(sharing(state=CANCELED, sessions=(session,)))
    assert (session.id in (said or "")) is is_named


def test_of_a_canceled_order_the_shared_sessions_alone_count_as_received() -> None:
    shared, own = a.session("succeeded"), a.session("succeeded", collection_id="pay_col_2", amount=Decimal(3))
    assert sharing(state=CANCELED, sessions=(shared, own)).received == TEN
    assert sharing(sessions=(shared, own)).received == Decimal(13)
    assert a.order(state=CANCELED, sessions=(shared, own)).received == Decimal(13)


@pytest.mark.parametrize(
    ("money", "said"),
    [
        (a.held(), True),
        (a.in_flight(), True),
        (a.partly_captured(), True),
        (a.canceled(), False),
        (a.captured(), False),
        (a.session("requires_action"), True),
        (a.session("requires_capture"), True),
        (a.session("succeeded"), True),
        (a.session("succeeded", refunded=Decimal("9.5")), True),
        (a.session("succeeded", refunded=a.TEN), False),
        (a.session("canceled"), False),
    ],
)
def test_what_is_left_is_named_while_it_can_bring_money(money: Payment | PaymentSession, *, said: bool) -> None:
    payments, sessions = ((money,), ()) if isinstance(money, Payment) else ((), (money,))
    order = sharing(*payments, state=CANCELED, sessions=sessions)
    assert left_alone(order) == (
        f"{money.id}: of order_2 too, not canceled. Nothing is voided or refunded" if said else None
    )
    assert is_left_to_others(order, money.id)
    assert left_alone(sharing(*payments, sessions=sessions)) is None


def test_what_is_left_is_named_with_all_who_need_it() -> None:
    hold, own = a.held(), a.held(collection_id="pay_col_2")
    third = a.linked(id="order_3", collection_ids=frozenset({"pay_col_1", "pay_col_2"}))
    said = left_alone(sharing(hold, own, state=CANCELED, linked=(a.linked(), third)))
    assert said == f"{hold.id}, {own.id}: of order_2, order_3 too, not canceled. Nothing is voided or refunded"
    taken = a.captured(amount=Decimal(90), captured=Decimal(90))
    assert left_alone(sharing(taken, state=CANCELED)) == (
        f"{taken.id}: of order_2 too, not canceled. Nothing is voided or refunded. 90.00 EUR captured, the other "
        "orders come to 60.00 EUR: refund 30.00 EUR"
    )


def test_only_a_canceled_order_leaves_its_own_money_to_others() -> None:
    hold = a.held()
    assert not is_left_to_others(sharing(hold), hold.id)
    assert not is_left_to_others(sharing(hold, state=CANCELED), "pay_unknown")


def test_what_is_booked_counts_while_all_are_live() -> None:
    other, third = a.linked(booked=Decimal(5)), a.linked(id="order_3", state=CANCELED, booked=Decimal(-3))
    assert sums(a.held(), linked=(other,), booked=Decimal(4))[1] == 9
    assert sums(a.held(), linked=(other, third), booked=Decimal(4))[1] == 0
    assert sums(a.held(), linked=(other,), booked=Decimal(4), state=CANCELED)[1] == 0


def test_a_live_orders_other_payments_pay_for_it_too() -> None:
    own, shared = a.captured(collection_id="pay_col_2"), a.captured(refunded=Decimal(1))
    assert sums(own, shared)[1] == 19
    assert sums(own, shared, state=CANCELED)[1] == 9


@pytest.mark.parametrize(
    ("own_total", "booked", "owed"), [(30, 0, 30), (30, 4, 26), (30, 31, 0), (30, -2, 32), (None, 4, None)]
)
def test_what_an_order_owes_by_its_own_rows(own_total: int | None, booked: int, owed: int | None) -> None:
    total = None if own_total is None else Decimal(own_total)
    assert own_owed(sharing(own_total=total, booked=Decimal(booked))) == owed


def test_a_cent_is_unpaid() -> None:
    gone = a.canceled()
    assert unpaid_orders(sharing(gone, own_total=Decimal("0.01"), linked=(a.linked(total=Decimal(0)),)), gone) == [
        "order_1"
    ]
    assert unpaid_orders(sharing(gone, own_total=Decimal("0.004"), linked=(a.linked(total=Decimal(0)),)), gone) == []


def test_a_canceled_member_makes_what_each_comes_to_count() -> None:
    """A refund can be booked on another order than its capture."""
    gone = a.canceled()
    third = a.linked(id="order_3", state=CANCELED)
    live = a.linked(booked=a.TEN)
    assert unpaid_orders(sharing(gone, booked=Decimal(30), linked=(live, third)), gone) == ["order_1", "order_2"]
    assert unpaid_orders(sharing(gone, linked=(live,), state=CANCELED), gone) == ["order_2"]
    assert unpaid_orders(sharing(gone, booked=Decimal(30), linked=(live,)), gone) == []


def test_a_refund_goes_to_this_order_before_the_others_and_to_those_by_their_ids() -> None:
    taken = a.captured(amount=Decimal(90), captured=Decimal(90))
    linked = tuple(a.linked(id=name, booked=a.TEN) for name in ("order_3", "order_0", "order_2"))
    divided = parts_of_refund(sharing(taken, booked=a.TEN, linked=linked), taken, Decimal(25))
    assert {part.order_id: int(part.amount) for part in divided} == {"order_1": 10, "order_0": 10, "order_2": 5}


def test_a_part_of_less_than_one_is_a_part() -> None:
    hold = a.held()
    divided = parts_of_capture(sharing(hold, own_total=Decimal("0.5"), version=3), hold, Decimal("0.5"))
    assert [(part.order_id, part.version, part.amount) for part in divided] == [("order_1", 3, Decimal("0.5"))]
