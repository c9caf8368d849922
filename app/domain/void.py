"""Whether a hold is to be voided: of a canceled order, or of an open one that owes nothing any more."""

from __future__ import annotations

from app.domain.money import to_minor_units
from app.domain.order import Order, OrderState, Payment, PaymentState
from app.domain.owed import share_of


def is_to_be_voided(order: Order, payment: Payment) -> bool:
    """Decide from facts read under the row locks. A partial capture of a canceled order may have been given back:
    only Stripe knows. What a live order shares is not voided with a canceled one."""
    if order.state is OrderState.CANCELED:
        return not order.sharing(payment) and payment.state is not PaymentState.CAPTURED
    return is_not_owed(order, payment)


def is_left_to_others(order: Order, subject: str) -> bool:
    """Whether live orders need the canceled order's payment or session: then no job voids or refunds it."""
    money = order.payment(subject) or order.session(subject)
    return order.state is OrderState.CANCELED and money is not None and bool(order.sharing(money))


def is_not_owed(order: Order, payment: Payment) -> bool:
    """Whether an open order owes nothing of a hold, and no capture of it is under way."""
    unused = payment.state is PaymentState.HELD and not payment.is_capturing
    return unused and to_minor_units(share_of(order, payment), payment.currency) == 0
