"""Whether a hold waits for the order's payment sessions: both may be paid, and only one of them may be owed."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

import msgspec

from app.domain.intents import Standing, spell
from app.domain.money import to_minor_units
from app.domain.order import Order, Payment, PaymentSession, Provider


class RetrieveSessions(msgspec.Struct, frozen=True):
    """Retrieve these sessions' intents first: their rows may be older than their money."""

    sessions: tuple[PaymentSession, ...]


class WaitForSession(msgspec.Struct, frozen=True):
    """A bank decides now whether ``session`` is paid, and together they could take more than is owed."""

    session: PaymentSession


class CannotCompare(msgspec.Struct, frozen=True):
    """What ``session`` brought cannot be subtracted from what the order owes: a person decides."""

    session: PaymentSession

    @property
    def detail(self) -> str:
        """What is known, as an incident names it."""
        kept = spell(to_minor_units(self.session.kept, self.session.currency), self.session.currency)
        return (
            f"{self.session.id} brought {kept}, which cannot be compared with what the order owes. The hold is not "
            "captured: refund the session's intent, or void the hold"
        )


SessionDecision = RetrieveSessions | WaitForSession | CannotCompare


def judge_sessions(order: Order, payment: Payment, *, retrieved: Collection[str]) -> SessionDecision | None:
    """Decide whether the capture of ``payment`` waits for sessions; ``None`` where their sums say all.

    ``retrieved``: ids of sessions whose rows are what Stripe answered a moment ago. A session that waits for the
    shopper does not delay a capture: what is paid with it afterwards is raised as captured beyond the total.
    """
    rivals = [session for session in order.sessions if session.standing is not Standing.RELEASED]
    if not rivals or _owes_all(order, payment, rivals):
        return None
    older = [one for one in rivals if one.id not in retrieved and one.provider is Provider.STRIPE]
    if older:
        return RetrieveSessions(tuple(older))
    for session in rivals:
        if session.kept > 0 and not _is_comparable(order, session):
            return CannotCompare(session)
        if session.is_processing:
            return WaitForSession(session)
    return None


def _owes_all(order: Order, payment: Payment, rivals: list[PaymentSession]) -> bool:
    """Whether the order owes the whole hold even if each of the sessions is paid."""
    if order.total is None or not all(_is_comparable(order, session) for session in rivals):
        return False
    coming = sum((max(session.amount, session.taken) for session in rivals), Decimal(0))
    owed = order.total - order.paid + payment.taken - coming
    return to_minor_units(owed, payment.currency) >= to_minor_units(payment.amount, payment.currency)


def _is_comparable(order: Order, session: PaymentSession) -> bool:
    return order.total is not None and session.currency.lower() == order.currency.lower()
