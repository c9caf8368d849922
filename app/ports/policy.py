"""The shop's choices that the use cases depend on."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

import msgspec

from app.domain.reasons import CancelReason


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
