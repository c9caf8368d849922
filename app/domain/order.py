"""What an order looks like to the rules: only the facts a cancel, a capture or a void depends on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from app.domain.intents import IntentState, Standing, judge, state_of
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
    session_id: str | None = None
    """The payment session that it came from."""
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
    collection_canceled: bool = False
    """Its payment collection is canceled: on an open order, by Medusa when an edit was confirmed, or by our void."""

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


class PaymentSession(msgspec.Struct, frozen=True, kw_only=True):
    """A PaymentIntent that the shop has no payment for (yet), in major units of ``currency``.

    Deferred methods (SEPA, bank transfer) leave an order with a session alone: the payment is inserted days later.
    """

    id: str
    collection_id: str
    provider: Provider
    provider_id: str
    currency: str
    """Of the intent's sums, as recorded."""
    amount: Decimal
    intent_id: str
    intent_status: str | None = None
    """Stripe's own word for it, as recorded."""
    received: Decimal | None = None
    """What Stripe received for it, as recorded; ``None`` where the record has a status alone."""
    refunded: Decimal = Decimal(0)
    """What was refunded of it, as recorded."""

    @property
    def taken(self) -> Decimal:
        """What was paid, refunds not subtracted; a recorded sum is believed more than a status."""
        if self.received is not None:
            return self.received
        return self.amount if state_of(self.intent_status) is IntentState.CAPTURED else Decimal(0)

    @property
    def kept(self) -> Decimal:
        """What was paid and not refunded."""
        return max(self.taken - self.refunded, Decimal(0))

    @property
    def coming(self) -> Decimal:
        """What its intent holds, or may still be paid with it."""
        return max(self.amount - self.taken, Decimal(0)) if self.is_open else Decimal(0)

    @property
    def standing(self) -> Standing:
        """Where its money is, by the last recorded answer of Stripe."""
        return judge(state_of(self.intent_status), received=self.taken, capturable=True)

    @property
    def is_open(self) -> bool:
        """Whether its intent holds money, or may still be paid."""
        return self.standing in {Standing.HELD, Standing.PARTLY_TAKEN, Standing.UNSETTLED}

    @property
    def is_paid(self) -> bool:
        """Whether it is paid, or Stripe's status alone says so."""
        return self.standing is Standing.TAKEN or state_of(self.intent_status) is IntentState.CAPTURED

    @property
    def is_processing(self) -> bool:
        """Whether a bank decides now whether it is paid."""
        return self.is_open and state_of(self.intent_status) is IntentState.PROCESSING


class LinkedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Another order that is linked to a payment collection of this one. Drafts and deleted orders are none."""

    id: str
    collection_ids: frozenset[str]
    """The payment collections that both orders are linked to."""
    state: OrderState
    version: int
    total: Decimal | None = None
    booked: Decimal = Decimal(0)
    """The sum of its order transactions."""
    taken_elsewhere: Decimal = Decimal(0)
    """What its other payments brought, less what was refunded of them."""
    held_elsewhere: Decimal = Decimal(0)
    """What its other payments hold."""

    @property
    def is_live(self) -> bool:
        """Whether it is not canceled: then it needs what it shares."""
        return self.state is not OrderState.CANCELED

    @property
    def owed(self) -> Decimal | None:
        """What it still owes by its own rows; ``None`` where its total is not known."""
        return None if self.total is None else max(self.total - self.booked, Decimal(0))


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order and its payments. Drafts and deleted orders are nobody's: they are never read as an order.

    A payment collection can be linked to several orders (``linked``). ``total`` and ``paid`` are then those of all
    orders among them that are not canceled, since one hold is for all of them.
    """

    id: str
    state: OrderState
    currency: str
    version: int
    placed_at: datetime
    canceled_at: datetime | None = None
    read_at: datetime
    """The database's clock at the time of reading: the one clock that every deadline is measured by."""
    customer_id: str | None = None
    total: Decimal | None = None
    """What the orders' current versions come to, credit lines subtracted, in major units and not rounded; ``None``
    where no row of the shop's says."""
    paid: Decimal = Decimal(0)
    """What was captured of payments for them less what was refunded, captures in flight included."""
    payments: tuple[Payment, ...] = ()
    sessions: tuple[PaymentSession, ...] = ()
    """Sessions at Stripe that no payment was made of."""
    payment_known: bool = True
    """A payment or a payment session of any provider, in any state, is linked to the order."""
    own_total: Decimal | None = None
    """What this order alone comes to."""
    booked: Decimal = Decimal(0)
    """The sum of this order's own order transactions."""
    linked: tuple[LinkedOrder, ...] = ()
    """Other orders that payment collections of this order are linked to, canceled ones included."""
    money_in_cart: bool = False
    """Money that is held or taken, or a session that may be paid, is reached through the order's cart alone."""
    captures_in_flight: frozenset[str] = frozenset()
    """Subjects of its capture jobs that run, or whose call to Stripe ended without a recorded answer: the point of no
    return of a cancel."""
    live_fulfillments: int = 0
    open_changes: int = 0
    """Edits, returns and the like that are pending or requested; requests to transfer the order are none of them."""
    handed_over_at: datetime | None = None
    """When the order last came to another customer or another e-mail address."""
    mark: str = ""
    """The same for the same facts, save ``read_at``: whether they still are what a decision was made from."""

    @property
    def money(self) -> list[Payment | PaymentSession]:
        """Its payments, and the sessions that no payment was made of."""
        return [*self.payments, *self.sessions]

    @property
    def received(self) -> Decimal:
        """What payments and sessions brought, refunds subtracted. Money of another currency is not counted."""
        alone = self.state is OrderState.CANCELED and self.live_linked
        counted = [session for session in self.sessions if not alone or self.sharing(session)]
        sessions = (session.kept for session in counted if session.currency.lower() == self.currency.lower())
        return self.paid + sum(sessions, Decimal(0))

    @property
    def owed(self) -> Decimal:
        """What is still to be paid for the current version, never below zero; all that is held without a total."""
        if self.total is None:
            return sum((payment.amount - payment.taken for payment in self.payments if payment.is_open), Decimal(0))
        return max(self.total - self.received, Decimal(0))

    def payment(self, subject: str) -> Payment | None:
        """The payment of that id, or the one made of the session of that id; ``None`` when the order has neither."""
        return next((payment for payment in self.payments if subject in (payment.id, payment.session_id)), None)

    def session(self, session_id: str) -> PaymentSession | None:
        """The session of that id, while no payment was made of it."""
        return next((session for session in self.sessions if session.id == session_id), None)

    def sharing(self, money: Payment | PaymentSession) -> tuple[LinkedOrder, ...]:
        """Live orders beside this one that need the payment or session too."""
        return tuple(other for other in self.linked if other.is_live and money.collection_id in other.collection_ids)

    def is_linked_elsewhere(self, money: Payment | PaymentSession) -> bool:
        """Whether another order, live or canceled, is linked to the payment's or session's collection."""
        return any(money.collection_id in other.collection_ids for other in self.linked)

    @property
    def own_payments(self) -> tuple[Payment, ...]:
        """The payments that no live order beside this one needs."""
        return tuple(payment for payment in self.payments if not self.sharing(payment))

    @property
    def own_sessions(self) -> tuple[PaymentSession, ...]:
        """The sessions that no live order beside this one needs."""
        return tuple(session for session in self.sessions if not self.sharing(session))

    @property
    def live_linked(self) -> tuple[LinkedOrder, ...]:
        """Live orders that share any payment collection with this one."""
        return tuple(other for other in self.linked if other.is_live)

    @property
    def has_part(self) -> bool:
        """Whether something of a shared hold is, or was, for this order."""
        return self.own_total is None or self.own_total > 0 or self.booked > 0

    @property
    def live(self) -> Decimal:
        """What is held and not captured, and what open sessions may still bring."""
        holds = (payment.amount for payment in self.payments if payment.state is PaymentState.HELD)
        return sum(holds, Decimal(0)) + sum((session.coming for session in self.sessions), Decimal(0))
