"""The receipt of a cancellation: what a shopper may keep as proof."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.domain.cancellation import PaymentAction
from app.domain.money import from_minor_units, to_minor_units


class CanceledBy(StrEnum):
    """Who canceled an order. Never which customer: whoever holds a link may be somebody else."""

    TOKEN = "token"  # noqa: S105 (a kind, not a secret)
    """Somebody with the link of the order confirmation."""
    CUSTOMER = "customer"
    """The customer, signed in."""
    SHOP = "shop"
    """Not through this sidecar: Medusa's admin, or a program of the shop's."""


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an order, as the shop words it."""

    title: str
    subtitle: str | None
    quantity: int | float


class OrderSheet(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt says of an order, by the shop's tables."""

    display_id: str | None
    currency: str
    total: Decimal | None
    """Major units, as the shop keeps it: unrounded."""
    canceled_at: datetime | None
    lines: tuple[OrderLine, ...]


class CancellationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What this sidecar wrote down when it canceled an order."""

    canceled_by: str
    reason: str | None
    reason_label: str | None
    canceled_at: datetime


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What is attested: the order is canceled, since when, by whom and why. Times are UTC."""

    order_id: str
    display_id: Annotated[str | None, Meta(description="The number that the shopper knows the order by.")]
    status: Literal["canceled"] = "canceled"
    canceled_at: Annotated[datetime, Meta(tz=True)]
    canceled_by: Annotated[
        CanceledBy,
        Meta(description="token: with the link of the confirmation; customer: signed in; shop: not through this API."),
    ]
    reason_code: Annotated[str | None, Meta(description="A code of the shop's list, when one was given.")]
    reason: Annotated[
        str | None, Meta(description="Its label at the time of the cancellation, or what the shopper wrote.")
    ]
    items: tuple[OrderLine, ...]
    total: Annotated[str | None, Meta(description="Major units with the currency's decimals.")]
    currency: Annotated[str, Meta(description="ISO 4217, lower case.")]
    payment_action: PaymentAction
    issued_at: Annotated[datetime, Meta(tz=True, description="The time of this answer; payment_action is of then.")]


class SignedReceipt(Receipt, frozen=True, kw_only=True):
    """A receipt as it is handed out: all that is attested, and the attestation."""

    receipt: Annotated[
        str | None,
        Meta(
            description="A compact JWS (EdDSA) whose payload is the JSON of all the other fields; null without a key."
        ),
    ]


def make_receipt(
    order_id: str,
    sheet: OrderSheet,
    record: CancellationRecord | None,
    *,
    payment_action: PaymentAction,
    issued_at: datetime,
) -> Receipt | None:
    """The receipt of a canceled order; ``None`` when nothing says since when it is canceled.

    A record that is older than the order's own ``canceled_at`` is about an earlier cancellation, of an order that
    the shop took up again: then the shop canceled it.
    """
    if record is not None and sheet.canceled_at is not None and record.canceled_at < sheet.canceled_at:
        record = None
    canceled_at = sheet.canceled_at
    if canceled_at is None:
        if record is None:
            return None
        canceled_at = record.canceled_at
    return Receipt(
        order_id=order_id,
        display_id=sheet.display_id,
        canceled_at=canceled_at,
        canceled_by=_kind(record),
        reason_code=record.reason if record is not None and record.reason_label is not None else None,
        reason=None if record is None else record.reason_label or record.reason,
        items=sheet.lines,
        total=None if sheet.total is None else str(_as_charged(sheet.total, sheet.currency)),
        currency=sheet.currency,
        payment_action=payment_action,
        issued_at=issued_at,
    )


def _kind(record: CancellationRecord | None) -> CanceledBy:
    if record is None:
        return CanceledBy.SHOP
    return CanceledBy.TOKEN if record.canceled_by == "token" else CanceledBy.CUSTOMER


def _as_charged(total: Decimal, currency: str) -> Decimal:
    """Rounded as the hold was, which is what the shopper's bank has shown."""
    return from_minor_units(to_minor_units(total, currency), currency)
