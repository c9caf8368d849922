"""Read an order: its row, its payments, and what hangs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import structs

from app.domain.intents import IntentState, state_of
from app.domain.money import unrounded
from app.domain.order import LinkedOrder, Order, OrderState, Payment, PaymentSession, Provider
from app.domain.receipt import OrderLine, OrderSheet
from app.domain.shared import shared_sums
from app.ports import Connection
from plugins.medusa_bridge.sqlfile import statement

_READ: Final = statement("read_order")
_LOCK: Final = statement("lock_order")
_SHEET: Final = statement("order_sheet")
_LINES: Final = statement("order_lines")


async def read(conn: Connection, order_id: str, *, lock: bool) -> Order | None:
    """The order, with its row and then its payment rows locked where ``lock`` asks for it.

    With the locks, all of it is read after they were had.
    """
    return order_of(await conn.fetch(_LOCK if lock else _READ, order_id))


def order_of(rows: Sequence[asyncpg.Record]) -> Order | None:
    """Return the order of these rows of ``grace.read_order_v1``; ``None`` where there is none."""
    if not rows:
        return None
    row = rows[0]
    payments = tuple(_payment_of_order(row) for row in rows if row["id"] is not None)
    order = Order(
        id=row["order_id"],
        state=_state(row["status"], row["order_canceled_at"]),
        currency=row["order_currency"],
        version=row["version"],
        placed_at=row["placed_at"],
        canceled_at=row["order_canceled_at"],
        read_at=row["read_at"],
        customer_id=row["customer_id"],
        total=row["total"],
        paid=_paid(row["booked"], payments),
        payments=payments,
        sessions=_unbooked_sessions(msgspec.json.decode(row["sessions"]), payments),
        payment_known=row["payment_known"],
        own_total=row["total"],
        booked=row["booked"],
        linked=_linked(msgspec.json.decode(row["linked"])),
        money_in_cart=row["money_in_cart"],
        captures_in_flight=frozenset(msgspec.json.decode(row["captures_in_flight"])),
        live_fulfillments=row["live_fulfillments"],
        open_changes=row["open_changes"],
        handed_over_at=row["handed_over_at"],
        mark=row["mark"],
    )
    if not order.linked or (order.state is OrderState.CANCELED and not order.live_linked):
        return order
    total, paid = shared_sums(order)
    return structs.replace(order, total=total, paid=paid)


def _linked(pairs: Sequence[Mapping[str, Any]]) -> tuple[LinkedOrder, ...]:
    """The orders of these pairs of an order and a collection; sums come as text, so that none becomes a float."""
    collections: dict[str, set[str]] = {}
    for pair in pairs:
        collections.setdefault(pair["id"], set()).add(pair["collection_id"])
    return tuple(
        LinkedOrder(
            id=pair["id"],
            collection_ids=frozenset(collections[pair["id"]]),
            state=_state(pair["status"], None),
            version=pair["version"],
            total=None if pair["total"] is None else Decimal(pair["total"]),
            booked=Decimal(pair["booked"]),
            taken_elsewhere=Decimal(pair["taken_elsewhere"]),
            held_elsewhere=Decimal(pair["held_elsewhere"]),
        )
        for pair in {pair["id"]: pair for pair in pairs}.values()
    )


async def read_sheet(conn: Connection, order_id: str) -> OrderSheet | None:
    """What a receipt says of the order."""
    row = await conn.fetchrow(_SHEET, order_id)
    if row is None:
        return None
    lines = [
        OrderLine(title=line["title"], subtitle=line["subtitle"] or None, quantity=_number(line["quantity"]))
        for line in await conn.fetch(_LINES, order_id)
    ]
    return OrderSheet(
        display_id=row["display_id"],
        currency=row["currency_code"],
        total=row["total"],
        canceled_at=row["canceled_at"],
        lines=tuple(lines),
    )


def _number(quantity: Decimal) -> int | float:
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)


def _state(status: str, canceled_at: datetime | None) -> OrderState:
    """Archiving overwrites the status, so that a canceled order which was archived is told by ``canceled_at`` alone."""
    if status == "canceled" or canceled_at is not None:
        return OrderState.CANCELED
    return OrderState.COMPLETED if status == "completed" else OrderState.OPEN


def _paid(booked: Decimal, payments: Sequence[Payment]) -> Decimal:
    """By the order's transactions, which know of money beside its payments, or by its payments, whichever is more."""
    zero = Decimal(0)
    unbooked = sum((payment.unbooked for payment in payments), zero)
    return max(booked + unbooked, sum((payment.taken - payment.refunded for payment in payments), zero))


def _payment_of_order(row: asyncpg.Record) -> Payment:
    return structs.replace(
        payment_of(row),
        unbooked=row["unbooked"],
        is_capturing=row["is_capturing"],
        collection_canceled=row["collection_canceled"],
    )


def payment_of(row: asyncpg.Record) -> Payment:
    """A payment with what hangs on it."""
    return Payment(
        id=row["id"],
        collection_id=row["payment_collection_id"],
        provider=provider_of(row["provider_id"]),
        provider_id=row["provider_id"],
        currency=row["currency_code"],
        amount=row["amount"],
        captured=row["captured"],
        refunded=row["refunded"],
        intent_id=row["intent_id"],
        session_id=row["payment_session_id"],
        captured_at=row["captured_at"],
        canceled_at=row["canceled_at"],
        last_captured_at=row["last_captured_at"],
        last_refunded_at=row["last_refunded_at"],
    )


def _unbooked_sessions(facts: Sequence[Mapping[str, Any]], payments: Sequence[Payment]) -> tuple[PaymentSession, ...]:
    """Sessions whose intent is no payment's, by whatever session the payment names."""
    booked = {payment.intent_id for payment in payments}
    return tuple(session for session in map(session_of, facts) if session.intent_id not in booked)


def session_of(facts: Mapping[str, Any]) -> PaymentSession:
    """A payment session; sums come as text, so that none becomes a float."""
    currency = (facts["intent_currency"] or facts["currency_code"]).lower()
    amount = Decimal(facts["amount"])
    return PaymentSession(
        id=facts["id"],
        collection_id=facts["payment_collection_id"],
        provider=provider_of(facts["provider_id"]),
        provider_id=facts["provider_id"],
        currency=currency,
        amount=amount,
        intent_id=facts["intent_id"],
        intent_status=facts["intent_status"],
        received=_received(facts, amount, currency),
        refunded=Decimal(facts["refunded"] or 0),
    )


def _received(facts: Mapping[str, Any], amount: Decimal, currency: str) -> Decimal | None:
    """What Stripe received, by the row, which has it in the smallest unit; ``None`` where the row has no sum, or one
    that is behind its status. Where it is the rounded amount, the unrounded one is meant."""
    received: str | None = facts["received"]
    if received is None or not received.isdecimal():
        return None
    if int(received) == 0 and state_of(facts["intent_status"]) is IntentState.CAPTURED:
        return None
    return unrounded(int(received), amount, currency)


def provider_of(provider_id: str) -> Provider:
    """Medusa spells ``pp_{identifier}_{id}``; its Stripe package has stripe and stripe-bancontact and the like."""
    identifier = provider_id.removeprefix("pp_").partition("_")[0]
    if identifier == "system":
        return Provider.SYSTEM
    if identifier == "stripe" or identifier.startswith("stripe-"):
        return Provider.STRIPE
    return Provider.OTHER
