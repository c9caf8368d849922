"""What a check of the promises may find, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal

import msgspec

from app.domain.rows import Row


class Defect(StrEnum):
    """One per kind of broken promise."""

    LIVE_PAYMENT = "live_payment_on_canceled_order"
    """The order is canceled, and by the rows its hold was never let go."""
    CAPTURED_PAYMENT = "captured_payment_on_canceled_order"
    """The order is canceled, its payment is captured, and not all of it was given back."""
    CAPTURE = "capture_on_canceled_order"
    """The order is canceled and has capture rows that were not given back, of a payment that is not fully captured."""
    HELD_AT_STRIPE = "held_at_stripe_after_cancel"
    """Stripe still holds the money of an order, or of a payment, that is canceled."""
    CAPTURED_AT_STRIPE = "captured_at_stripe_on_canceled_order"
    """Stripe took the money of a canceled order and has not given all of it back."""
    CAPTURED_WITHOUT_ROWS = "captured_at_stripe_without_rows"
    """Stripe took money that no capture row knows of."""
    LOST_HOLD = "hold_lost_on_open_order"
    """Stripe let go of the hold of an open order, and the rows still count on it."""
    LIVE_SESSION = "live_session_on_canceled_order"
    """The order is canceled, a payment session of it can still be paid, and nothing cancels it."""
    SHARED_PAYMENT = "payment_of_canceled_order_shared"
    """The order is canceled, and orders that are not canceled share its payment, so that nothing of it is voided."""
    ORDER_WITHOUT_PAYMENT = "order_without_payment"
    """An open order owes money, and no payment and no payment session is linked to it."""
    HOLD_WITHOUT_ORDER = "hold_without_order"
    """Stripe holds money that no order reaches by its link."""
    DONE_TWICE = "done_twice_at_stripe"
    """Stripe captured, voided or refunded an intent more often than it should have."""
    SUMS_DIFFER = "sums_differ_from_stripe"
    """What Stripe took or gave back is not what the rows say."""
    UNCAPTURED = "uncaptured_after_grace_period"
    """An order was not canceled, its money was not captured, and nothing will capture it."""
    HOLD_LAPSES = "hold_lapses_soon"
    """A hold of an open order is older than six of the seven days that Stripe keeps it."""
    PARCEL = "parcel_of_canceled_order"
    """Goods of a canceled order are being sent."""
    CAPTURED_TWICE = "captured_twice_in_rows"
    """The capture rows of a payment come to more than its amount."""
    PAYMENT_DRIFT = "payment_differs_from_captures"
    """``captured_at`` of a payment does not say what its capture rows say."""
    COLLECTION_DRIFT = "collection_differs_from_rows"
    """A payment collection's captured or refunded amount is not the sum of the rows."""
    TRANSACTION_DRIFT = "transactions_differ_from_rows"
    """There is not exactly one order transaction for each capture and each refund."""
    SUMMARY_DRIFT = "summary_differs_from_transactions"
    """The order's summary does not add up its transactions."""
    TWIN_DRIFT = "number_differs_from_raw"
    """A number and its raw form differ."""
    STOCK_DRIFT = "reserved_quantity_drift"
    """``reserved_quantity`` is not the sum of the live reservations, or below zero."""
    STOCK_KEPT = "stock_of_canceled_order"
    """A canceled order still reserves stock."""
    ORPHAN_RESERVATION = "orphan_reservation"
    """A live reservation belongs to a line item that no order has."""
    JOB_UNFINISHED = "job_unfinished"
    """A job still waits although everything should be at rest."""
    JOB_STUCK = "job_stuck"
    """A job is overdue, nobody took its message, its worker is gone, or it fails for an hour unnoticed."""
    JOB_DEAD = "job_dead"
    """A job was given up and nobody was told."""
    STALE_INCIDENT = "incident_without_trouble"
    """An incident is still open although its trouble is over."""
    PENDING_MIGRATION = "pending_migration"
    """Schema ``grace`` lacks a migration of this version."""
    MISSING_SCHEMA = "missing_table_or_column"
    """A statement names a table or column that is not there."""
    MISSING_INDEX = "missing_index"
    """An index is missing without which a statement reads a table from end to end."""
    SETTING = "setting_unlike_medusa"
    """A setting names something that Medusa calls otherwise, or leaves open what the shop's payments ask for."""
    WIDE_GRANT = "grant_too_wide"
    """The role of ``DATABASE_URL`` may do more than this sidecar needs."""


TRAPPED: Final = frozenset(
    {
        Defect.LIVE_PAYMENT,
        Defect.CAPTURED_PAYMENT,
        Defect.CAPTURE,
        Defect.HELD_AT_STRIPE,
        Defect.CAPTURED_AT_STRIPE,
        Defect.CAPTURED_WITHOUT_ROWS,
        Defect.CAPTURED_TWICE,
        Defect.HOLD_WITHOUT_ORDER,
    }
)
"""Defects whose amount is shoppers' money: held or taken for nothing, or without anybody's knowledge."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One broken promise. ``amount`` is in major units of ``currency``, where money is concerned."""

    defect: Defect
    order_id: str | None
    detail: str
    amount: Decimal | None = None
    currency: str | None = None


class IntentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one intent, sums in the smallest unit. The counts are only known of a sandbox."""

    state: Literal["held", "captured", "canceled", "other"]
    received: int
    refunded: int
    currency: str | None = None
    captures: int | None = None
    voids: int | None = None
    refunds: int | None = None


def trapped_money(findings: Iterable[Finding]) -> dict[str, Decimal]:
    """Shoppers' money that is held or taken for nothing, by currency. Each payment's counts once."""
    sums: dict[str, Decimal] = {}
    for finding in findings:
        if finding.defect in TRAPPED and finding.amount is not None and finding.currency is not None:
            sums[finding.currency] = sums.get(finding.currency, Decimal(0)) + finding.amount
    return dict(sorted(sums.items()))


def as_findings(defect: Defect, rows: Iterable[Row]) -> list[Finding]:
    """One finding a row of ``order_id`` and ``detail``."""
    return [Finding(defect=defect, order_id=row["order_id"], detail=row["detail"]) for row in rows]


def missing_schema(problems: Mapping[str, list[str]]) -> list[Finding]:
    """One finding per thing that is missing."""
    return [
        Finding(defect=Defect.MISSING_SCHEMA, order_id=None, detail=f"{error} (for {', '.join(names)})")
        for error, names in problems.items()
    ]
