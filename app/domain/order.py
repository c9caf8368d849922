"""What an order looks like to the rules: only the facts a cancel, a capture or a void depends on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from app.domain.money import covers


class OrderState(StrEnum):
    """OPEN covers pending, archived and requires_action: Medusa's own cancel accepts all three."""

    OPEN = "open"
    COMPLETED = "completed"
    CANCELED = "canceled"


class Provider(StrEnum):
    """Who holds the money of a payment."""

    STRIPE = "stripe"
    SYSTEM = "system"
    """Medusa's manual provider: nothing to call, the rows are all there is."""
    OTHER = "other"


class PaymentState(StrEnum):
    """Where a payment stands by Medusa's rows. The rows can lag behind Stripe."""

    HELD = "held"
    CAPTURE_IN_FLIGHT = "capture_in_flight"
    """A capture row reaches the amount while captured_at is empty: Medusa asked the provider and waits."""
    PARTIALLY_CAPTURED = "partially_captured"
    CAPTURED = "captured"
    CANCELED = "canceled"


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One authorization of an order, in major units of ``currency``."""

    id: str
    collection_id: str
    provider: Provider
    provider_id: str
    currency: str
    amount: Decimal
    captured: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    intent_id: str | None = None
    captured_at: datetime | None = None
    canceled_at: datetime | None = None
    last_refunded_at: datetime | None = None
    """When the newest refund row was written. Medusa writes it before it asks, and deletes it when it is refused."""
    last_captured_at: datetime | None = None
    """When the newest capture row was written; tells a capture in flight from one that was left behind."""
    unbooked: Decimal = Decimal(0)
    """Of ``captured``, what no order transaction names yet: Medusa books a capture last, once it is over."""
    is_capturing: bool = False
    """A capture job of ours runs, or may have reached Stripe without its answer being recorded."""

    @property
    def taken(self) -> Decimal:
        """What was captured; all of it where ``captured_at`` says so and no row says how much.

        A final capture below the authorization has ``captured_at`` too: the rest was released with it.
        """
        return self.amount if self.captured_at is not None and self.captured == 0 else self.captured

    @property
    def is_open(self) -> bool:
        """Whether money can still be captured with it, by Medusa's rows."""
        return self.captured_at is None and self.canceled_at is None

    @property
    def state(self) -> PaymentState:
        """Where the payment stands; any capture row outranks ``canceled_at``."""
        if self.captured_at is not None:
            return PaymentState.CAPTURED
        if self.captured > 0:
            full = covers(self.captured, self.amount, self.currency)
            return PaymentState.CAPTURE_IN_FLIGHT if full else PaymentState.PARTIALLY_CAPTURED
        return PaymentState.HELD if self.canceled_at is None else PaymentState.CANCELED


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order and its payments. Drafts and deleted orders are nobody's: they are never read as an order."""

    id: str
    state: OrderState
    currency: str
    version: int
    placed_at: datetime
    read_at: datetime
    """The database's clock at the time of reading: the one clock that every deadline is measured by."""
    customer_id: str | None = None
    total: Decimal | None = None
    """What the order's current version comes to, credit lines subtracted, in major units and not rounded; ``None``
    where no row of the shop's says."""
    paid: Decimal = Decimal(0)
    """What was captured for the order less what was refunded, captures in flight included."""
    payments: tuple[Payment, ...] = ()
    live_fulfillments: int = 0
    open_changes: int = 0
    """Edits, transfers and the like that are pending or requested."""
    mark: str = ""
    """The same for the same facts, save ``read_at``: whether they still are what a decision was made from."""

    @property
    def owed(self) -> Decimal:
        """What is still to be paid for the current version, never below zero; all that is held without a total."""
        if self.total is None:
            return sum((payment.amount - payment.taken for payment in self.payments if payment.is_open), Decimal(0))
        return max(self.total - self.paid, Decimal(0))

    def payment(self, payment_id: str) -> Payment | None:
        """The payment of that id, or ``None`` when it no longer belongs to the order."""
        return next((payment for payment in self.payments if payment.id == payment_id), None)
