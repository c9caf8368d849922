"""What a receipt attests, and what it must not tell."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.domain.cancellation import PaymentAction
from app.domain.receipt import CanceledBy, CancellationRecord, OrderLine, OrderSheet, Receipt, make_receipt

CANCELED = datetime(2026, 11, 23, 10, 12, 31, 482_000, tzinfo=UTC)
ISSUED = CANCELED + timedelta(days=1)
SHEET = OrderSheet(
    display_id="7",
    currency="eur",
    total=Decimal("29.7381"),
    canceled_at=CANCELED,
    lines=(OrderLine(title="Shirt", subtitle="M", quantity=2),),
)
RECORD = CancellationRecord(
    canceled_by="customer:cus_01SECRET",
    reason=None,
    reason_label=None,
    canceled_at=CANCELED + timedelta(microseconds=9),
)


def receipt(record: CancellationRecord | None = RECORD, **changes: Any) -> Receipt:
    sheet = msgspec.structs.replace(SHEET, **changes)
    made = make_receipt("order_1", sheet, record, payment_action=PaymentAction.VOIDED, issued_at=ISSUED)
    assert made is not None
    return made


def recorded(**changes: Any) -> CancellationRecord:
    return msgspec.structs.replace(RECORD, **changes)


def test_all_of_it() -> None:
    assert json.loads(msgspec.json.encode(receipt())) == {
        "order_id": "order_1",
        "display_id": "7",
        "status": "canceled",
        "canceled_at": "2026-11-23T10:12:31.482000Z",
        "canceled_by": "customer",
        "reason_code": None,
        "reason": None,
        "items": [{"title": "Shirt", "subtitle": "M", "quantity": 2}],
        "total": "29.74",
        "currency": "eur",
        "payment_action": "voided",
        "issued_at": "2026-11-24T10:12:31.482000Z",
    }


@pytest.mark.parametrize(
    ("record", "by"),
    [(recorded(canceled_by="token"), CanceledBy.TOKEN), (RECORD, CanceledBy.CUSTOMER), (None, CanceledBy.SHOP)],
)
def test_who(record: CancellationRecord | None, by: CanceledBy) -> None:
    assert receipt(record).canceled_by is by


def test_no_customers_id_is_told() -> None:
    assert b"cus_01SECRET" not in msgspec.json.encode(receipt())


@pytest.mark.parametrize(
    ("reason", "label", "expected"),
    [(None, None, (None, None)), ("Zu spät", None, (None, "Zu spät")), ("slow", "Too slow", ("slow", "Too slow"))],
)
def test_why(reason: str | None, label: str | None, expected: tuple[str | None, str | None]) -> None:
    made = receipt(recorded(reason=reason, reason_label=label))
    assert (made.reason_code, made.reason) == expected


def test_a_record_of_an_earlier_cancellation_is_not_this_ones() -> None:
    """The shop took the order up again, and canceled it later."""
    made = receipt(recorded(canceled_at=CANCELED - timedelta(microseconds=1), reason="once"))
    assert (made.canceled_by, made.reason, made.canceled_at) == (CanceledBy.SHOP, None, CANCELED)


def test_a_record_of_the_same_moment_is_this_ones() -> None:
    assert receipt(recorded(canceled_at=CANCELED)).canceled_by is CanceledBy.CUSTOMER


def test_without_the_shops_word_ours_is_taken() -> None:
    assert receipt(canceled_at=None).canceled_at == RECORD.canceled_at


def test_nothing_says_since_when() -> None:
    sheet = msgspec.structs.replace(SHEET, canceled_at=None)
    assert make_receipt("order_1", sheet, None, payment_action=PaymentAction.NONE, issued_at=ISSUED) is None


@pytest.mark.parametrize(
    ("total", "currency", "shown"),
    [("29.7381", "eur", "29.74"), ("30", "eur", "30.00"), ("1980.4", "jpy", "1980"), ("2.971", "kwd", "2.980")],
)
def test_the_total_is_what_was_held(total: str, currency: str, shown: str) -> None:
    assert receipt(total=Decimal(total), currency=currency).total == shown


def test_no_total() -> None:
    assert receipt(total=None).total is None
