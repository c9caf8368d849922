"""What needs a person."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum


class IncidentKind(StrEnum):
    """One open incident per order and kind."""

    VOID_FAILED = "void_failed"
    CAPTURE_FAILED = "capture_failed"
    AUTHORIZATION_LOST = "authorization_lost"
    LATE_MONEY = "late_money"
    PARTIAL_CAPTURE = "partial_capture"
    FULFILLED = "fulfilled"
    UNSUPPORTED_PROVIDER = "unsupported_provider"
    REFUND_FAILED = "refund_failed"
    RELEASE_FAILED = "release_failed"
    PUBLISH_FAILED = "publish_failed"
    LOOK_FAILED = "look_failed"


def alert_delay(attempts: int) -> timedelta:
    """How long to wait after an alert was not taken ``attempts`` times: 2 s, doubled up to 5 min."""
    return timedelta(seconds=min(2 ** min(attempts, 9), 300))


def alert(kind: IncidentKind, order_id: str) -> str:
    """The CRITICAL line of an incident, in the words that the people on call look for."""
    match kind:
        case IncidentKind.VOID_FAILED:
            return f"Order {order_id} Canceled but Payment Void Failed. Manual Void Required."
        case IncidentKind.UNSUPPORTED_PROVIDER:
            return f"Order {order_id} has a Payment of an Unsupported Provider. Manual Void or Capture Required."
        case IncidentKind.LATE_MONEY:
            return f"Order {order_id} Canceled but Payment Captured. Refund Required."
        case IncidentKind.CAPTURE_FAILED:
            return f"Order {order_id} Payment Capture Failed. Manual Capture Required."
        case IncidentKind.AUTHORIZATION_LOST:
            return f"Order {order_id} Authorization Lost before Capture. Do Not Ship Unpaid."
        case IncidentKind.PARTIAL_CAPTURE:
            return f"Order {order_id} Partially Captured. Decide About the Rest by Hand."
        case IncidentKind.FULFILLED:
            return f"Order {order_id} Canceled but Being Fulfilled. Do Not Ship."
        case IncidentKind.REFUND_FAILED:
            return f"Order {order_id} Refund of a Late Capture Failed. Manual Refund Required."
        case IncidentKind.RELEASE_FAILED:
            return f"Order {order_id} Canceled but Stock Not Released. Manual Release Required."
        case IncidentKind.LOOK_FAILED:
            return f"Order {order_id} Changed at Stripe but Could Not Be Looked At. Compare by Hand."
        case IncidentKind.PUBLISH_FAILED:
            return f"Order {order_id} Event Not Published to Medusa. Subscribers Were Not Told."
