"""Read an order: its row, its payments, and what hangs on them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

import asyncpg

from app.domain.order import Order, OrderState, Payment, Provider
from app.domain.receipt import OrderLine, OrderSheet
from app.ports import Connection
from plugins.medusa_bridge.sqlfile import statement

_ORDER: Final = statement("order_row")
_PAYMENT: Final = statement("payment_row")
_PAYMENTS: Final = statement("payment_rows")
_LOCK_ORDER: Final = f"{_ORDER}for update of o\n"
_LOCK_PAYMENTS: Final = f"{_PAYMENTS}for update of p\n"
_FRESH_FACTS: Final = statement("fresh_facts")
_SHEET: Final = statement("order_sheet")
_LINES: Final = statement("order_lines")


async def read(conn: Connection, order_id: str, *, lock: bool) -> Order | None:
    """The order, with its row and then its payment rows locked where ``lock`` asks for it.

    What hangs on them (captures, refunds, fulfillments, changes) is read last, in a statement of its own.
    """
    row = await conn.fetchrow(_LOCK_ORDER if lock else _ORDER, order_id)
    if row is None:
        return None
    payments = await conn.fetch(_LOCK_PAYMENTS if lock else _PAYMENTS, order_id)
    facts = await conn.fetch(_FRESH_FACTS, order_id, [payment["id"] for payment in payments])
    by_payment = {fact["payment_id"]: fact for fact in facts}
    return Order(
        id=row["id"],
        state=_state(row["status"], row["canceled_at"]),
        currency=row["currency_code"],
        version=row["version"],
        placed_at=row["created_at"],
        read_at=facts[0]["read_at"],
        customer_id=row["customer_id"],
        payments=tuple(payment_of(payment, by_payment[payment["id"]]) for payment in payments),
        live_fulfillments=facts[0]["live_fulfillments"],
        open_changes=facts[0]["open_changes"],
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


async def read_payment(conn: Connection, payment_id: str) -> Payment | None:
    """A payment by itself, whatever became of its order."""
    row = await conn.fetchrow(_PAYMENT, payment_id)
    if row is None:
        return None
    facts = await conn.fetch(_FRESH_FACTS, "", [payment_id])
    return payment_of(row, facts[0])


def _state(status: str, canceled_at: datetime | None) -> OrderState:
    """Archiving overwrites the status, so that a canceled order which was archived is told by ``canceled_at`` alone."""
    if status == "canceled" or canceled_at is not None:
        return OrderState.CANCELED
    return OrderState.COMPLETED if status == "completed" else OrderState.OPEN


def payment_of(row: asyncpg.Record, fact: asyncpg.Record) -> Payment:
    """A payment from its row and from what hangs on it."""
    captured: Decimal = fact["captured"]
    refunded: Decimal = fact["refunded"]
    last_captured_at: datetime | None = fact["last_captured_at"]
    return Payment(
        id=row["id"],
        collection_id=row["payment_collection_id"],
        provider=provider_of(row["provider_id"]),
        provider_id=row["provider_id"],
        currency=row["currency_code"],
        amount=row["amount"],
        captured=captured,
        refunded=refunded,
        intent_id=row["intent_id"],
        captured_at=row["captured_at"],
        canceled_at=row["canceled_at"],
        last_captured_at=last_captured_at,
        last_refunded_at=fact["last_refunded_at"],
    )


def provider_of(provider_id: str) -> Provider:
    """Medusa spells ``pp_{identifier}_{id}``; its Stripe package has stripe and stripe-bancontact and the like."""
    identifier = provider_id.removeprefix("pp_").partition("_")[0]
    if identifier == "system":
        return Provider.SYSTEM
    if identifier == "stripe" or identifier.startswith("stripe-"):
        return Provider.STRIPE
    return Provider.OTHER
