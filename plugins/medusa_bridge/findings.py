"""Broken promises in Medusa's rows: read, never written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import asyncpg
from msgspec import structs

from app.domain.examination import ExaminedPayment, ExaminedSession
from app.domain.findings import Defect, Finding, as_findings, missing_schema
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind, JobState
from app.domain.money import covers, to_minor_units
from app.domain.order import Order, Provider
from app.domain.owed import uncovered
from app.domain.shared import left_alone
from app.domain.void import is_left_to_others
from app.ports import Connection, Examination
from app.schema_checks import ask, gaps
from plugins.medusa_bridge.grants import as_arguments, schema_of_shop
from plugins.medusa_bridge.order_rows import payment_of, provider_of, read, session_of
from plugins.medusa_bridge.providers import ServedProviders
from plugins.medusa_bridge.schema import function_gaps
from plugins.medusa_bridge.sqlfile import FOLDER, statement

_PAYMENTS: Final = statement("find_payments_in_question")
_SESSIONS: Final = statement("find_sessions_in_question")
_HOLDS: Final = statement("find_holds_without_order")
_KNOWN: Final = statement("find_known_intents")
_UNLIKE_CAPTURES: Final = statement("find_payments_unlike_captures")
_UNFINISHED: Final = statement("find_unfinished_jobs")
_TO_ASK: Final = statement("find_intents_to_ask")
_INDEXES: Final = statement("find_missing_indexes")
_GRANTS: Final = statement("find_wide_grants")

_AS_THEY_STAND: Final = (
    (statement("find_numbers_unlike_raw"), Defect.TWIN_DRIFT),
    (statement("find_drifted_levels"), Defect.STOCK_DRIFT),
)
"""What one commit of Medusa's writes together, so that no snapshot may show it otherwise."""

_WITH_PATIENCE: Final = (
    (statement("find_collections_unlike_rows"), Defect.COLLECTION_DRIFT),
    (statement("find_unbooked_money"), Defect.TRANSACTION_DRIFT),
    (statement("find_summaries_unlike_transactions"), Defect.SUMMARY_DRIFT),
    (statement("find_stock_of_canceled_orders"), Defect.STOCK_KEPT),
    (statement("find_orphan_reservations"), Defect.ORPHAN_RESERVATION),
    (statement("find_parcels_of_canceled_orders"), Defect.PARCEL),
    (statement("find_orders_without_payment"), Defect.ORDER_WITHOUT_PAYMENT),
)
"""What Medusa writes in several commits: on a live shop, rows have a minute to come to agree."""


class MedusaExamination(Examination):
    """Asks Medusa's rows and the database's catalog."""

    def __init__(self, served: ServedProviders) -> None:
        self._served = served

    async def payments_in_question(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[ExaminedPayment]:
        rows = await conn.fetch(_PAYMENTS, intent_ids)
        shared = {row["order_id"] for row in rows if row["is_shared"]}
        orders = {order_id: await read(conn, order_id, lock=False) for order_id in sorted(shared)}
        return [self._examined(row, orders.get(row["order_id"])) for row in rows]

    async def sessions_in_question(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[ExaminedSession]:
        rows = await conn.fetch(_SESSIONS, intent_ids)
        shared = {row["order_id"] for row in rows if row["is_shared"] and row["order_canceled"]}
        orders = {order_id: await read(conn, order_id, lock=False) for order_id in sorted(shared)}
        found = [_examined_session(row, orders.get(row["order_id"])) for row in rows]
        return [structs.replace(one, session=self._served.session(one.session)) for one in found]

    async def unknown_intents(self, conn: Connection, intent_ids: Sequence[str]) -> Sequence[str]:
        known = {row["intent_id"] for row in await conn.fetch(_KNOWN, intent_ids)}
        return [intent_id for intent_id in intent_ids if intent_id not in known]

    async def find_defects(self, conn: Connection, *, at_rest: bool) -> list[Finding]:
        lenient = not at_rest
        found = []
        for row in await ask(conn, _UNLIKE_CAPTURES, at_rest, lenient=lenient):
            found += _unlike_captures(row)
        for text, defect in _WITH_PATIENCE:
            found += as_findings(defect, await ask(conn, text, at_rest, lenient=lenient))
        found += [_unreached(row) for row in await ask(conn, _HOLDS, at_rest, lenient=lenient)]
        for text, defect in _AS_THEY_STAND:
            found += as_findings(defect, await ask(conn, text, lenient=lenient))
        if at_rest:
            found += as_findings(Defect.JOB_UNFINISHED, await conn.fetch(_UNFINISHED))
        return found

    async def find_gaps(self, conn: Connection) -> list[Finding]:
        problems = await gaps(conn, FOLDER)
        for error, names in (await function_gaps(conn, writes=False)).items():
            problems.setdefault(error, []).extend(names)
        missing = missing_schema(problems)
        indexes = as_findings(Defect.MISSING_INDEX, await conn.fetch(_INDEXES))
        wide = as_findings(Defect.WIDE_GRANT, await conn.fetch(_GRANTS, *as_arguments()))
        return missing + indexes + wide

    async def schema_of_shop(self, conn: Connection) -> str | None:
        return await schema_of_shop(conn)

    async def intents_to_ask(self, conn: Connection, *, look_back: timedelta) -> Mapping[str, str]:
        rows = await conn.fetch(_TO_ASK, look_back)
        ours = (row for row in rows if self._served.of(row["provider_id"]) is Provider.STRIPE)
        return {row["intent_id"]: row["order_id"] for row in ours}

    def _examined(self, row: asyncpg.Record, shared: Order | None) -> ExaminedPayment:
        examined = _examined(row, shared)
        return structs.replace(examined, payment=self._served.payment(examined.payment))


def _examined(row: asyncpg.Record, shared: Order | None) -> ExaminedPayment:
    """``shared`` is the order, where it shares the payment with another."""
    status: str | None = row["intent_status"]
    payment = payment_of(row)
    return ExaminedPayment(
        order_id=row["order_id"],
        order_canceled=row["order_canceled"],
        payment=payment,
        authorized_at=row["created_at"],
        touched_at=row["touched_at"],
        let_go=None if status is None else status != "requires_capture",
        refunds=row["refunds"],
        paid_otherwise=row["paid_otherwise"],
        uncovered=row["uncovered"] if shared is None else uncovered(shared),
        is_left_to_others=shared is not None and is_left_to_others(shared, payment.id),
        has_part_of_shared=shared is not None and left_alone(shared) is not None,
        watched=row["watched"],
        capture_job=None if row["capture_job"] is None else JobState(row["capture_job"]),
        at_work=frozenset(JobKind(kind) for kind in row["at_work"]),
        incidents=frozenset(IncidentKind(kind) for kind in row["incidents"]),
        read_at=row["read_at"],
    )


def _examined_session(row: asyncpg.Record, shared: Order | None) -> ExaminedSession:
    return ExaminedSession(
        order_id=row["order_id"],
        order_canceled=row["order_canceled"],
        session=session_of(dict(row)),
        is_left_to_others=shared is not None and is_left_to_others(shared, row["id"]),
        has_part_of_shared=shared is not None and left_alone(shared) is not None,
        touched_at=row["touched_at"],
        at_work=frozenset(JobKind(kind) for kind in row["at_work"]),
        incidents=frozenset(IncidentKind(kind) for kind in row["incidents"]),
        read_at=row["read_at"],
    )


def _unreached(row: asyncpg.Record) -> Finding:
    return Finding(
        defect=Defect.HOLD_WITHOUT_ORDER,
        order_id=None,
        detail=row["detail"],
        amount=row["amount"],
        currency=row["currency_code"],
    )


def _unlike_captures(row: asyncpg.Record) -> list[Finding]:
    """Rounding tells: Medusa's webhook captures 29.74 of a payment of 29.7381.

    A last capture below the hold is no drift: Stripe's recorded answer says so, or our job did.
    """
    captured, amount, currency = row["captured"], row["amount"], row["currency_code"]
    detail = f"{row['id']}: {captured} captured of {amount}, captured_at {row['captured_at'] or 'is empty'}"
    if to_minor_units(captured, currency) > to_minor_units(amount, currency):
        defect, too_much = Defect.CAPTURED_TWICE, captured - amount
    elif row["captured_at"] is not None and _is_final(row):
        return []
    elif covers(captured, amount, currency) != (row["captured_at"] is not None):
        defect, too_much = Defect.PAYMENT_DRIFT, None
    else:
        return []
    return [Finding(defect=defect, order_id=row["order_id"], detail=detail, amount=too_much, currency=currency)]


def _is_final(row: asyncpg.Record) -> bool:
    if provider_of(row["provider_id"]) is Provider.SYSTEM:
        return bool(row["captured_by_us"]) and row["captured"] > 0
    received: str | None = row["received"]
    return received is not None and received == str(to_minor_units(row["captured"], row["currency_code"]))
