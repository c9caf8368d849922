"""Write what became of payments and payment sessions."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from app.domain.intents import Intent
from app.domain.order import Order, Payment, PaymentSession
from app.ports.database import Connection


class Payments(Protocol):
    """Payments and payment sessions, written as the shop itself writes them. The caller holds the order's locks."""

    async def read_payment(self, conn: Connection, payment_id: str) -> Payment | None:
        """A payment by itself, whatever became of its order."""
        ...

    async def cancel_payment(self, conn: Connection, payment: Payment) -> None:
        """Close a payment of an order that somebody else canceled, so that nobody captures it any more."""
        ...

    async def record_void(self, conn: Connection, payment: Payment, intent: Intent) -> None:
        """Keep Stripe's last word on a voided payment."""
        ...

    async def record_release(self, conn: Connection, payment: Payment, intent: Intent | None) -> None:
        """Make the rows say that the hold of an open order which owes nothing was released; ``None`` where no gateway
        held it. Safe to repeat."""
        ...

    async def record_session(self, conn: Connection, session: PaymentSession, intent: Intent) -> None:
        """Keep Stripe's last word on a session that no payment was made of, and what was refunded of it."""
        ...

    async def record_capture(
        self, conn: Connection, order: Order, payment: Payment, intent: Intent | None
    ) -> str | None:
        """Make the rows say what of ``payment`` is captured, and that no more will be where no more is owed of it; safe
        to repeat. The id of the capture; ``None`` when the rows said so before."""
        ...

    async def record_refund(self, conn: Connection, order: Order, payment: Payment, refunded: Decimal) -> str | None:
        """Make the rows say that ``refunded`` (major units, in all) was given back; safe to repeat.

        The id of the refund that this wrote down; ``None`` when the rows said so before.
        """
        ...

    async def mend_capture(self, conn: Connection, order: Order, payment: Payment, *, abandoned: bool) -> None:
        """Put right what the shop's own capture wrote around ``payment``, which is captured; safe to repeat.

        ``abandoned``: that capture is over for certain, and what it has not written it never will.
        """
        ...
