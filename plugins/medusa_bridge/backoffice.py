"""What an operator sees of the shop's orders: read, never written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import asyncpg
from msgspec import structs

from app.domain.order import PaymentSession
from app.domain.risk import SeenOrder, SeenPayment
from app.ports import BackOffice, Connection
from plugins.medusa_bridge.order_rows import payment_of, session_of
from plugins.medusa_bridge.providers import ServedProviders
from plugins.medusa_bridge.sqlfile import statement

_MONEY: Final = statement("order_money")
_SESSIONS: Final = statement("sessions_of_orders")
_MONEY_AT_RISK: Final = statement("money_at_risk")
_SESSIONS_AT_RISK: Final = statement("sessions_at_risk")
_SEARCH: Final = statement("search_orders")
_LARGEST_NUMBER: Final = 2**31 - 1

ADDRESSES_AMONG: Final = 100_000
"""Of the newest orders: Medusa has no index of e-mail addresses."""

_HAS_OWN_NUMBERS: Final = (
    "select exists (select from pg_attribute where attrelid = to_regclass('\"order\"')"
    " and attname = 'custom_display_id' and not attisdropped)"
)
"""Medusa before 2.12 has no such column."""
_BY_OWN_NUMBER: Final = (
    'select id from "order" where custom_display_id = any($1::text[]) and deleted_at is null'
    " and not is_draft_order and status <> 'draft' order by id desc limit 20"
)


class MedusaBackOffice(BackOffice):
    """Reads orders with their payments and sessions, a few statements for any number of orders."""

    def __init__(self, served: ServedProviders) -> None:
        self._served = served

    async def see_orders(self, conn: Connection, order_ids: Sequence[str]) -> Mapping[str, SeenOrder]:
        rows: dict[str, list[asyncpg.Record]] = {}
        for row in await conn.fetch(_MONEY, list(order_ids)):
            rows.setdefault(row["order_id"], []).append(row)
        sessions: dict[str, list[PaymentSession]] = {}
        for row in await conn.fetch(_SESSIONS, list(order_ids)):
            sessions.setdefault(row["order_id"], []).append(self._served.session(session_of(dict(row))))
        return {
            order_id: self._as_served_seen(_order(of_order, sessions.get(order_id, ())))
            for order_id, of_order in rows.items()
        }

    async def money_at_risk(self, conn: Connection, *, overdue_after: timedelta) -> Mapping[tuple[str, str], Decimal]:
        rows = await conn.fetch(_MONEY_AT_RISK, overdue_after)
        sums = {(row["currency"].lower(), row["reason"]): row["amount"] for row in rows}
        for row in await conn.fetch(_SESSIONS_AT_RISK):
            session = session_of(dict(row))
            for reason, amount in (("kept_on_canceled", session.kept), ("held_on_canceled", session.coming)):
                if amount > 0:
                    key = session.currency, reason
                    sums[key] = sums.get(key, Decimal(0)) + amount
        return sums

    def _as_served_seen(self, order: SeenOrder) -> SeenOrder:
        payments = [structs.replace(one, payment=self._served.payment(one.payment)) for one in order.payments]
        return structs.replace(order, payments=tuple(payments))

    async def search_orders(self, conn: Connection, words: str) -> Sequence[str]:
        number = words.removeprefix("#")
        is_number = number.isascii() and number.isdecimal() and int(number[:12]) <= _LARGEST_NUMBER
        rows = await conn.fetch(_SEARCH, words, int(number) if is_number else None, ADDRESSES_AMONG)
        if await conn.fetchval(_HAS_OWN_NUMBERS):
            rows = [*await conn.fetch(_BY_OWN_NUMBER, [words, number]), *rows]
        return list(dict.fromkeys(row["id"] for row in rows))


def _order(rows: Sequence[asyncpg.Record], sessions: Sequence[PaymentSession]) -> SeenOrder:
    first = rows[0]
    booked = {row["intent_id"] for row in rows}
    return SeenOrder(
        id=first["order_id"],
        display_id=first["display_id"],
        currency=first["order_currency"],
        placed_at=first["placed_at"],
        canceled=bool(first["order_canceled"]),
        canceled_at=first["order_canceled_at"],
        payments=tuple(_payment(row) for row in rows if row["id"] is not None),
        sessions=tuple(session for session in sessions if session.intent_id not in booked),
    )


def _payment(row: asyncpg.Record) -> SeenPayment:
    return SeenPayment(
        payment=payment_of(row),
        authorized_at=row["authorized_at"],
        capture_before=_moment(row["capture_before"]),
        live={"true": True, "false": False}.get(row["livemode"] or ""),
        let_go=None if row["intent_status"] is None else row["intent_status"] == "canceled",
    )


def _moment(text: str | None) -> datetime | None:
    """Stripe's seconds since 1970."""
    if text is None or not text.isdecimal() or len(text) > 11:
        return None
    return datetime.fromtimestamp(int(text), UTC)
