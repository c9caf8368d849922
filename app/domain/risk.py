"""What an incident is about in money, how long its hold lasts, and which incident comes first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from app.domain.examination import HOLD_LASTS
from app.domain.incidents import IncidentKind
from app.domain.intents import Standing
from app.domain.order import Payment, PaymentSession, PaymentState, Provider
from app.domain.owed import kept_of


class SeenPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment with what Stripe's last recorded answer says of its hold."""

    payment: Payment
    authorized_at: datetime
    capture_before: datetime | None = None
    live: bool | None = None
    """Whether it is real money; ``None`` where nothing recorded says so."""
    let_go: bool | None = None
    """Whether Stripe's last recorded answer says that the hold is gone."""


class SeenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as an operator sees it."""

    id: str
    display_id: int | None
    currency: str
    placed_at: datetime
    canceled: bool
    canceled_at: datetime | None
    payments: tuple[SeenPayment, ...] = ()
    sessions: tuple[PaymentSession, ...] = ()
    """Sessions at Stripe that no payment was made of."""


class Sort(StrEnum):
    """By what the list of incidents is sorted."""

    MONEY = "money"
    LAPSE = "lapse"


_NO_MONEY: Final = frozenset({IncidentKind.RELEASE_FAILED, IncidentKind.PUBLISH_FAILED})


def at_risk(kind: IncidentKind, order: SeenOrder) -> Decimal:
    """The money that an incident is about, in major units of the order's currency: held or kept for nothing of a
    canceled order, not yet taken of an open one, the worth of the goods where a parcel must be stopped."""
    if kind in _NO_MONEY:
        return Decimal(0)
    if kind is IncidentKind.FULFILLED:
        sums = [seen.payment.amount for seen in order.payments] + [one.amount for one in _sessions(order)]
    else:
        sums = [_open_sum(kind, order, seen) for seen in order.payments]
        sums += [one.kept + one.coming for one in _sessions(order) if order.canceled]
    return sum(sums, Decimal(0))


def _sessions(order: SeenOrder) -> list[PaymentSession]:
    """Return the sessions of the order's currency that hold money, or held some: sums of others are not added to it."""
    return [
        one
        for one in order.sessions
        if one.currency.lower() == order.currency.lower() and one.standing is not Standing.RELEASED
    ]


def lapses_at(order: SeenOrder) -> datetime | None:
    """When the first of the order's holds is let go by Stripe; ``None`` where nothing is held any more."""
    return min((_lapse(seen) for seen in order.payments if _is_held(order, seen)), default=None)


def _open_sum(kind: IncidentKind, order: SeenOrder, seen: SeenPayment) -> Decimal:
    payment = seen.payment
    if payment.taken > 0 and (order.canceled or kind is IncidentKind.REFUND_FAILED):
        return kept_of(payment)
    if order.canceled:
        return payment.amount if _is_held(order, seen) else Decimal(0)
    lost = kind is IncidentKind.AUTHORIZATION_LOST
    return max(payment.amount - payment.taken, Decimal(0)) if lost or _is_held(order, seen) else Decimal(0)


def _is_held(order: SeenOrder, seen: SeenPayment) -> bool:
    """A cancel closes the payment at once; that its hold is gone is only known once Stripe has said so."""
    match seen.payment.state:
        case PaymentState.HELD | PaymentState.CAPTURE_IN_FLIGHT | PaymentState.PARTIALLY_CAPTURED:
            return True
        case PaymentState.CANCELED:
            return order.canceled and seen.let_go is False and seen.payment.provider is Provider.STRIPE
        case PaymentState.CAPTURED:
            return False


def _lapse(seen: SeenPayment) -> datetime:
    return seen.capture_before or seen.authorized_at + HOLD_LASTS


def currency_order(currencies: Iterable[str]) -> Mapping[str, int]:
    """Sums of different currencies are not compared: the currency with the most incidents comes first."""
    counts: dict[str, int] = {}
    for currency in currencies:
        counts[currency] = counts.get(currency, 0) + 1
    ranked = sorted(counts, key=lambda currency: (-counts[currency], currency))
    return {currency: rank for rank, currency in enumerate(ranked)}
