"""What the use cases need from the world, and the one frozen struct that carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from app.domain.cancellation import NewCancellation
from app.domain.examination import ExaminedPayment, ExaminedSession
from app.domain.findings import Finding
from app.domain.intents import Intent as Intent
from app.domain.intents import IntentState as IntentState
from app.domain.jobs import Job, JobRef
from app.domain.order import Order, Payment, PaymentSession
from app.domain.reasons import CancelReason
from app.domain.receipt import OrderSheet
from app.domain.risk import SeenOrder
from app.telling import AlertChannel, NoVoidNews, VoidNews
from app.tracing import Tracing

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"


class Unavailable(Exception):
    """Something that is needed did not answer in time. Nothing was changed; try again."""


class TurnedAway(Unavailable):
    """Too many are being served. Nothing was begun."""


class StockBusy(Unavailable):
    """The shop is at work on the stock that is to be released. Nothing was locked."""


class CommitUnknown(Unavailable):
    """The connection was lost during the commit: it may have been made, or not."""


class Origin(msgspec.Struct, frozen=True):
    """The request that work goes back to, and the trace parent of what it is a part of. Jobs carry both on."""

    request_id: str | None = None
    traceparent: str | None = None


NO_ORIGIN: Final = Origin()


class Database(Protocol):
    """Postgres, the one authority."""

    @property
    def crowded(self) -> bool:
        """Whether more wait for a connection than will get one in time: who has not begun had better come back later,
        or all would wait in vain, those who are half done with them."""
        ...

    def transaction(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """A READ COMMITTED transaction with a lock timeout below Medusa's 3 s.

        ``name`` says which step of which use case it is (``"capture.claim"``), for logs and for tests that
        step in. Raises ``Unavailable`` when no connection or no lock is to be had in time.
        """
        ...

    def read(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """A connection for looks that lock nothing: each statement sees what is committed when it begins.

        As a transaction without its round trips, for two seconds at most. Raises ``Unavailable`` as that does.
        """
        ...

    def single(self, name: str) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement that is a transaction by itself, without the round trips of one.

        Raises ``Unavailable`` when it was not done, for want of a connection or of a lock; ``CommitUnknown`` when the
        connection was lost, or ten seconds went by, meanwhile.
        """
        ...


class Answered(msgspec.Struct, frozen=True):
    """Stripe did it, or had done it before: ``intent`` says how things stand."""

    intent: Intent


class Declined(msgspec.Struct, frozen=True):
    """A definite no: Stripe did nothing. The next attempt needs a new idempotency key."""

    error: str
    intent: Intent | None = None


class Unknown(msgspec.Struct, frozen=True):
    """No answer, or one that does not say whether it was done: only a look at the intent can tell.

    ``saved`` when Stripe answered an error that it would replay for the same idempotency key.
    """

    error: str
    saved: bool = False


class Unseen(msgspec.Struct, frozen=True):
    """A look that failed: nothing was tried, and how things stand is as unknown as before."""

    error: str


Outcome = Answered | Declined | Unknown | Unseen


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call to Stripe, for the timeline of its order."""

    verb: str
    intent_id: str
    began_at: datetime
    seconds: float
    outcome: str
    """``answered``, ``declined`` or ``unknown``."""
    error: str | None = None
    state: str | None = None
    """Of the intent, as answered."""
    request_id: str | None = None
    """Stripe's own, as its dashboard's log shows it."""


class PaymentGateway(Protocol):
    """Stripe. Every call ends within seconds; answers that are to be expected are values.

    Each call is added to ``calls`` when it ends, however it ends.
    """

    async def look(self, intent_id: str, *, calls: list[Call] | None = None) -> Answered | Unseen:
        """The intent as it stands."""
        ...

    async def capture(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        """Capture ``amount`` (smallest unit) of a hold."""
        ...

    async def void(self, intent_id: str, *, key: str, calls: list[Call] | None = None) -> Outcome:
        """Let go of a hold."""
        ...

    async def refund(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        """Give ``amount`` (smallest unit) of a captured intent back; the answer holds the intent afterwards."""
        ...


class Event(msgspec.Struct, frozen=True):
    """Something Medusa's subscribers are told: ``order.canceled`` of an order, ``payment.captured`` of a payment."""

    name: str
    id: str
    occurrence: str | None = None
    """Which time it is, where the same can happen to the same thing more than once: published once for each."""

    @property
    def subject(self) -> str:
        """The event as one word, as a job keeps it."""
        return ":".join(filter(None, (self.name, self.id, self.occurrence)))

    @classmethod
    def parse(cls, subject: str) -> Event:
        """The event of a job's subject."""
        name, _, rest = subject.partition(":")
        id_, _, occurrence = rest.partition(":")
        return cls(name, id_, occurrence or None)


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """An event of Stripe's: something happened to an intent. What, is to be looked at."""

    id: str
    type: str
    intent_id: str
    session: str
    """What the shop wrote into the intent to find it by; empty when it wrote nothing."""


class NewAuthorization(msgspec.Struct, frozen=True):
    """A hold that nobody watches over yet."""

    order_id: str
    payment_id: str
    placed_at: datetime
    unsupported: str | None = None
    """The provider, where this sidecar can neither capture nor void for it."""
    is_canceled: bool = False
    """The order is canceled; another that shares the hold may not be."""


class Conversions(msgspec.Struct, frozen=True):
    """Orders made from drafts among those that were read."""

    placed_at: Mapping[str, datetime]
    """By order id, of those whose conversion is not recorded yet."""
    authorizations: Sequence[NewAuthorization]
    """Their holds without a capture job."""
    reached: str
    """The last order read (empty: begin again)."""


class MoneyCursor(msgspec.Struct, frozen=True):
    """How far new payments and payment sessions were read, by their ids."""

    payments: str
    sessions: str


class Arrived(msgspec.Struct, frozen=True):
    """Canceled orders that something was made for, and where to read on; ``None`` when all was read."""

    order_ids: Sequence[str]
    after: MoneyCursor | None


class Reservation(msgspec.Struct, frozen=True):
    """Stock that is kept for a line of an order."""

    id: str
    item_id: str


class Commerce(Protocol):
    """The shop's own tables and doors. Implemented by the Medusa bridge; no word of Medusa's passes it."""

    async def lock_order(self, conn: Connection, order_id: str) -> Order | None:
        """Lock the order row, then its payment rows, then read what only now is stable."""
        ...

    async def read_order(self, conn: Connection, order_id: str) -> Order | None:
        """Read the order without any lock: what is decided from it is written by a compare-and-set, as
        ``cancel_if_unchanged`` is."""
        ...

    async def read_sheet(self, conn: Connection, order_id: str) -> OrderSheet | None:
        """What a receipt says of the order: its number, its lines and their sum. No lock."""
        ...

    async def read_payment(self, conn: Connection, payment_id: str) -> Payment | None:
        """A payment by itself, whatever became of its order."""
        ...

    async def cancel_if_unchanged(self, conn: Connection, order: Order, new: NewCancellation) -> bool:
        """Lock the order as ``lock_order`` does and write its cancellation and what is ours of it, if the order still
        is as it was read: in one statement that wants no transaction around it. ``False``, and nothing is written,
        when it is not."""
        ...

    async def take_with_order(self, conn: Connection, ref: JobRef) -> tuple[Job, Order | None] | None:
        """Lock the order as ``lock_order`` does, make the job this worker's, and read the order: in one statement that
        wants no transaction around it. ``None`` when the message is stale."""
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

    async def reservations(self, conn: Connection, order_id: str) -> Sequence[Reservation]:
        """The live reservations of the order's lines."""
        ...

    def stock_guard(self, reservations: Sequence[Reservation]) -> AbstractAsyncContextManager[None]:
        """What a release needs outside its transaction: the shop's own inventory locks, or its API.

        Raises ``Unavailable`` when the shop holds them too long or does not answer.
        """
        ...

    async def lock_stock(self, conn: Connection, reservations: Sequence[Reservation]) -> None:
        """The shop's inventory locks, where a transaction takes them. Raises ``StockBusy``, and waits for none."""
        ...

    async def release_stock(
        self, conn: Connection, order_id: str, reservations: Sequence[Reservation]
    ) -> Sequence[Reservation]:
        """Release those of ``reservations`` that still live, once each. What of the order lives afterwards."""
        ...

    async def find_new_authorizations(
        self, conn: Connection, *, after: str, overlap: timedelta, limit: int
    ) -> tuple[Sequence[NewAuthorization], str]:
        """Holds made after the cursor ``after`` (less ``overlap``) without a capture job, and the new cursor. One that
        orders share is found once for each of them."""
        ...

    async def find_conversions(self, conn: Connection, *, after: str, window: int) -> Conversions:
        """Open orders without a cart among the next ``window`` orders after the id ``after``."""
        ...

    async def order_exists(self, conn: Connection, order_id: str) -> bool:
        """Whether there is such an order, be it a draft, which ``read_order`` does not give."""
        ...

    def cursor_at(self, moment: datetime) -> str:
        """The cursor that ``find_new_authorizations`` starts from at ``moment``."""
        ...

    async def orders_canceled_elsewhere(
        self, conn: Connection, *, after_job: int, window: int
    ) -> tuple[Sequence[str], int]:
        """Canceled orders among the next ``window`` captures that wait or that took money still kept, and the last
        job looked at (0: begin anew)."""
        ...

    def money_after(self, moment: datetime) -> MoneyCursor:
        """Where ``new_money_of_canceled`` starts from at ``moment``."""
        ...

    def moment_of(self, cursor: MoneyCursor) -> datetime | None:
        """The earlier of the two moments at which the cursor stands; ``None`` where its ids tell none."""
        ...

    def moment_at(self, cursor: str) -> datetime | None:
        """The moment of a cursor of ``find_new_authorizations``."""
        ...

    async def new_money_of_canceled(self, conn: Connection, *, after: MoneyCursor, limit: int) -> Arrived:
        """Canceled orders of the next ``limit`` payments and sessions, whatever their state."""
        ...

    async def canceled_with_money(
        self, conn: Connection, *, after: str, window: int, since: datetime
    ) -> tuple[Sequence[str], str]:
        """Canceled orders among the next ``window`` orders that something is held or kept for, by rows younger than
        ``since``; and the last order read (empty: begin again)."""
        ...

    async def overpaid_orders(
        self, conn: Connection, *, after: str, window: int, since: datetime
    ) -> tuple[Sequence[str], str]:
        """Open orders among the next ``window`` ones that more was received for than they came to when it arrived, by
        money younger than ``since``; and the last order read (empty: begin again)."""
        ...

    async def touched_after_cancel(self, conn: Connection, order_ids: Sequence[str]) -> Sequence[str]:
        """Of canceled orders, those with a captured payment, a live fulfillment or a live reservation."""
        ...

    async def find_payment(self, conn: Connection, hint: Hint) -> tuple[str, str] | None:
        """Order id and payment id, or session id where there is no payment yet, of the intent that a hint names."""
        ...

    async def money_at_risk(self, conn: Connection, *, overdue_after: timedelta) -> Mapping[tuple[str, str], Decimal]:
        """Money by currency and reason (``held_on_canceled``, ``kept_on_canceled``, ``capture_overdue``), in major
        units. The cost is that of unfinished work, not of the shop's age."""
        ...

    async def publish(self, event: Event) -> None:
        """Tell the shop's subscribers. May be told twice; raises ``Unavailable`` when it cannot be told."""
        ...


class Examination(Protocol):
    """Questions about the shop's own tables that a check of the promises asks. Nothing is written."""

    async def payments_in_question(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[ExaminedPayment]:
        """Payments that are not plainly as they should be, and those of ``intent_ids``."""
        ...

    async def sessions_in_question(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[ExaminedSession]:
        """Sessions without a payment of canceled orders that are not plainly canceled, and those of ``intent_ids``."""
        ...

    async def unknown_intents(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[str]:
        """Those of ``intent_ids`` that no payment names, not even a draft's."""
        ...

    async def find_defects(self, conn: Connection, *, at_rest: bool) -> list[Finding]:
        """Rows that contradict one another, and stock that is kept for nobody."""
        ...

    async def find_gaps(self, conn: Connection) -> list[Finding]:
        """Missing tables, columns and indexes, and what the role may do beyond its needs."""
        ...

    async def intents_to_ask(self, conn: Connection, *, look_back: timedelta) -> Mapping[str, str]:
        """Order ids by Stripe's intents: of canceled orders, and of all orders placed within ``look_back``."""
        ...


class Backoffice(Protocol):
    """What an operator sees of the shop's orders. Nothing is written."""

    async def see_orders(self, conn: Connection, order_ids: Sequence[str]) -> Mapping[str, SeenOrder]:
        """Those of the orders that are there, with their payments, without any lock."""
        ...

    async def search_orders(self, conn: Connection, words: str) -> Sequence[str]:
        """Up to 20 orders by their id or number, or by the id of a payment or PaymentIntent; newest first."""
        ...


class Admin(msgspec.Struct, frozen=True):
    """Somebody who may work in the shop's admin."""

    id: str
    email: str
    name: str = ""


class Credential(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the shop knows an admin by: its session cookie, or an ``Authorization`` header."""

    cookie: str | None = None
    authorization: str | None = None


class SignInRefused(Exception):
    """Wrong address or password; ``elsewhere`` when the shop asks for more than these two."""

    def __init__(self, *, elsewhere: bool = False) -> None:
        super().__init__("elsewhere" if elsewhere else "wrong")
        self.elsewhere = elsewhere


class Admins(Protocol):
    """Who works in the shop, by the shop's own sign-in. Raises ``Unavailable`` when the shop does not answer."""

    async def sign_in(self, email: str, password: str) -> tuple[Admin, Credential]:
        """The admin of this address and password, and what the shop knows them by now. Raises ``SignInRefused``."""
        ...

    async def whoami(self, *, cookie: str | None, authorization: str | None) -> Admin | None:
        """The admin whom the shop's session cookie, or a bearer token, speaks for; ``None`` when it is no admin."""
        ...


class TokenRejected(Exception):
    """A token that proves nothing; ``expired`` when it once did."""

    def __init__(self, *, expired: bool) -> None:
        super().__init__("expired" if expired else "invalid")
        self.expired = expired


class Storefront(Protocol):
    """Who is asking, by the shop's own rules."""

    async def key_problem(self, conn: Connection, key: str | None) -> str | None:
        """The shop's own sentence about a missing or wrong publishable key; ``None`` when it is valid."""
        ...

    def customer_id(self, bearer: str) -> str:
        """The customer that a bearer token speaks for. Raises ``TokenRejected``."""
        ...

    @property
    def session_cookie(self) -> str | None:
        """The name of the shop's session cookie; ``None`` where sessions are not accepted."""
        ...

    async def customer_of_session(self, cookie: str, publishable_key: str) -> str | None:
        """The customer who is signed in by a session cookie, as the shop says now; ``None`` where it is nobody.

        Raises ``Unavailable`` when the shop does not answer in time.
        """
        ...


class OrderLocks(Protocol):
    """An advisory lock per order: it saves calls to Stripe. Correctness comes from the row locks."""

    def hold(self, order_id: str) -> AbstractAsyncContextManager[bool]:
        """Hold the order's lock. ``False`` when another worker has it. ``True`` immediately with Redis down, and where
        the key is no worker's lock: one that never expires, or later than a lease."""
        ...


class HintRejected(Exception):
    """A webhook that does not prove where it comes from, or that cannot be read."""


class Hints(Protocol):
    """Webhooks of the payment gateway."""

    @property
    def expected(self) -> bool:
        """Whether webhooks are taken at all."""
        ...

    def check_signature(self, headers: Sequence[str]) -> str:
        """Return the one signature header if its form and time are right, before the body is received. Raises
        ``HintRejected``."""
        ...

    def read(self, body: bytes, signature: str) -> Hint | None:
        """The hint of a webhook, ``None`` when it is about nothing of ours. Raises ``HintRejected``."""
        ...


class ReceiptKeys(Protocol):
    """The keys that receipts are signed with, and known by."""

    def sign(self, content: bytes) -> str | None:
        """A compact JWS over exactly ``content``; ``None`` when there is no key to sign with."""
        ...

    def public(self) -> bytes:
        """A JWK set (RFC 7517) of the public keys, as JSON; an empty one when there is none."""
        ...


class RateLimits(Protocol):
    """Requests a minute, counted for all processes together."""

    async def reachable(self) -> bool:
        """Whether they can be counted at all now; never raises."""
        ...

    async def exceeded(self, *budgets: tuple[str, int]) -> int | None:
        """Count a request against every ``(key, limit)``. Seconds to wait when one is exceeded; never raises."""
        ...


class WorkerWakeup(Protocol):
    """Wakes the workers after a commit. A lost message costs a poll interval."""

    async def wake(self) -> None:
        """Tell the workers that jobs are due. Never raises, never waits long."""
        ...


class LateMoney(StrEnum):
    """What to do about a payment that turns out captured on a canceled order."""

    ALERT = "alert"
    REFUND = "refund"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The shop's choices that the use cases depend on."""

    grace_period: timedelta
    capture_delay: timedelta
    void_wait: timedelta
    late_money: LateMoney
    publishes_events: bool
    cancel_reasons: tuple[CancelReason, ...]


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """All that a use case may reach for. Made once a process by ``app.runtime``; ``origin`` is a run's own."""

    db: Database
    commerce: Commerce
    gateway: PaymentGateway
    locks: OrderLocks
    wakeup: WorkerWakeup
    void_news: VoidNews = NoVoidNews()
    policy: Policy
    tracing: Tracing = Tracing()
    alert_channels: Mapping[str, AlertChannel] = {}
    origin: Origin = NO_ORIGIN
