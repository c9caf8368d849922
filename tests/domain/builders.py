"""Orders, payments and jobs with nothing said but what a test is about."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.domain.jobs import Job, JobKind, JobState
from app.domain.order import LinkedOrder, Order, OrderState, Payment, PaymentSession, Provider

PLACED_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GRACE_PERIOD = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
TEN = Decimal(10)

_numbers = itertools.count(1)


def order(*payments: Payment, **facts: Any) -> Order:
    """An open order of EUR, placed at ``PLACED_AT`` and read a minute later."""
    defaults: dict[str, Any] = {
        "id": "order_1",
        "state": OrderState.OPEN,
        "currency": "eur",
        "version": 1,
        "placed_at": PLACED_AT,
        "read_at": PLACED_AT + timedelta(minutes=1),
    }
    return Order(**{**defaults, **facts}, payments=payments)


def linked(**facts: Any) -> LinkedOrder:
    """An open order of 10.00 EUR that shares the payment collection of ``payment``."""
    defaults: dict[str, Any] = {
        "id": "order_2",
        "collection_ids": frozenset({"pay_col_1"}),
        "state": OrderState.OPEN,
        "version": 1,
        "total": TEN,
    }
    return LinkedOrder(**{**defaults, **facts})


def payment(**facts: Any) -> Payment:
    """A hold of 10.00 EUR at Stripe."""
    defaults: dict[str, Any] = {
        "id": f"pay_{next(_numbers)}",
        "collection_id": "pay_col_1",
        "provider": Provider.STRIPE,
        "provider_id": "pp_stripe_stripe",
        "currency": "eur",
        "amount": TEN,
    }
    return Payment(**{**defaults, **facts})


def held(**facts: Any) -> Payment:
    """Authorized, and nothing more."""
    return payment(**facts)


def captured(**facts: Any) -> Payment:
    """Taken in full, as Medusa's rows say when all is written."""
    return payment(**{"captured": TEN, "captured_at": PLACED_AT, "last_captured_at": PLACED_AT, **facts})


def partly_captured(**facts: Any) -> Payment:
    """A capture row of less than the amount."""
    return payment(**{"captured": Decimal(4), "last_captured_at": PLACED_AT, **facts})


def in_flight(**facts: Any) -> Payment:
    """A capture row of the whole amount, and no ``captured_at`` yet."""
    return payment(**{"captured": TEN, "last_captured_at": PLACED_AT, **facts})


def canceled(**facts: Any) -> Payment:
    """Let go of."""
    return payment(canceled_at=PLACED_AT, **facts)


def session(status: str | None = "processing", **facts: Any) -> PaymentSession:
    """A session of 10.00 EUR at Stripe without a payment."""
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "id": f"payses_{number}",
        "collection_id": "pay_col_1",
        "provider": Provider.STRIPE,
        "provider_id": "pp_stripe_stripe",
        "currency": "eur",
        "amount": TEN,
        "intent_id": f"pi_{number}",
        "intent_status": status,
    }
    return PaymentSession(**{**defaults, **facts})


def job(kind: JobKind, state: JobState, subject: str = "pay_1", **facts: Any) -> Job:
    """A job of ``order_1``."""
    about: dict[str, Any] = {"installation": f"{0:026d}", "id": f"{next(_numbers):026d}", "order_id": "order_1"}
    return Job(kind=kind, subject=subject, state=state, **about, **facts)


def capture_job(state: JobState, **facts: Any) -> Job:
    """A capture job of ``order_1``."""
    return job(JobKind.CAPTURE, state, **facts)


def void_job(state: JobState, of: Payment, **facts: Any) -> Job:
    """The void job of a payment."""
    return job(JobKind.VOID, state, of.id, **facts)
