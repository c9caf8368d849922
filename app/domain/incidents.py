"""What needs a person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

import msgspec

from app.domain.jobs import JobKind


class IncidentKind(StrEnum):
    """One open incident per order and kind."""

    VOID_FAILED = "void_failed"
    CAPTURE_FAILED = "capture_failed"
    AUTHORIZATION_LOST = "authorization_lost"
    LATE_MONEY = "late_money"
    PARTIAL_CAPTURE = "partial_capture"
    OVER_CAPTURED = "over_captured"
    PAYMENT_SHARED = "payment_shared"
    FULFILLED = "fulfilled"
    UNSUPPORTED_PROVIDER = "unsupported_provider"
    REFUND_FAILED = "refund_failed"
    RELEASE_FAILED = "release_failed"
    PUBLISH_FAILED = "publish_failed"
    LOOK_FAILED = "look_failed"


INCIDENT_OF: Final[Mapping[JobKind, IncidentKind]] = {
    JobKind.CAPTURE: IncidentKind.CAPTURE_FAILED,
    JobKind.VOID: IncidentKind.VOID_FAILED,
    JobKind.REFUND: IncidentKind.REFUND_FAILED,
    JobKind.RELEASE: IncidentKind.RELEASE_FAILED,
    JobKind.PUBLISH: IncidentKind.PUBLISH_FAILED,
    JobKind.LOOK: IncidentKind.LOOK_FAILED,
}
"""What failures of a job open; over once a job of the order and kind is done."""


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
        case IncidentKind.OVER_CAPTURED:
            return f"Order {order_id} Captured beyond Its Total. Refund the Difference."
        case IncidentKind.PAYMENT_SHARED:
            return f"Order {order_id} Canceled but Its Payment Is Shared with Open Orders. Nothing Voided or Refunded."
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


class Words(msgspec.Struct, frozen=True):
    """An incident explained: what it means and what a person can do. docs/runbook.md says the same."""

    meaning: str
    what_to_do: str


TITLES: Final[Mapping[IncidentKind, str]] = {
    IncidentKind.VOID_FAILED: "Hold not let go",
    IncidentKind.LATE_MONEY: "Captured although canceled",
    IncidentKind.REFUND_FAILED: "Refund failed",
    IncidentKind.CAPTURE_FAILED: "Money not captured",
    IncidentKind.AUTHORIZATION_LOST: "Hold lost before capture",
    IncidentKind.PARTIAL_CAPTURE: "Captured in part",
    IncidentKind.OVER_CAPTURED: "Captured too much",
    IncidentKind.PAYMENT_SHARED: "Payment shared with an open order",
    IncidentKind.FULFILLED: "Canceled but being sent",
    IncidentKind.UNSUPPORTED_PROVIDER: "Unsupported payment provider",
    IncidentKind.RELEASE_FAILED: "Stock not released",
    IncidentKind.LOOK_FAILED: "Stripe could not be asked",
    IncidentKind.PUBLISH_FAILED: "Subscribers not told",
}

WORDS: Final[Mapping[IncidentKind, Words]] = {
    IncidentKind.VOID_FAILED: Words(
        "the order is canceled, its hold is not let go yet",
        "cancel the PaymentIntent in Stripe's dashboard, or wait: the next try sees it",
    ),
    IncidentKind.LATE_MONEY: Words(
        "money was captured on a canceled order",
        "press Refund on the operator's page, or refund it in Medusa's admin",
    ),
    IncidentKind.REFUND_FAILED: Words(
        "that refund did not go through",
        "refund it in Stripe's dashboard; the next try sees it",
    ),
    IncidentKind.CAPTURE_FAILED: Words(
        "the grace period is over, the money is not captured",
        "read the last error: it is retried, and a card that stays declined needs another payment of the shopper",
    ),
    IncidentKind.AUTHORIZATION_LOST: Words(
        "the hold lapsed or was canceled, the order is open",
        "do not ship; ask the shopper for another payment, or cancel the order",
    ),
    IncidentKind.PARTIAL_CAPTURE: Words(
        "somebody captured a part before the end of the grace period",
        "capture or refund the rest by hand. Look at Stripe's `amount_received`: Medusa's Stripe provider captures in "
        "full whatever was asked for",
    ),
    IncidentKind.OVER_CAPTURED: Words(
        "more was captured than the order comes to: its total was lowered while the capture was under way, the whole "
        "hold was captured by hand, or the shopper paid a second time",
        "refund the difference in Medusa's admin; the detail names it",
    ),
    IncidentKind.PAYMENT_SHARED: Words(
        "the order is canceled, and orders that are not canceled need its payment: none of it is voided or refunded",
        "while the payment is held, nothing: the capture takes what the other orders owe, Stripe releases the rest. "
        "Once it is captured, refund the sum that the detail names in Medusa's admin. When the last of the orders is "
        "canceled, the payment is voided as usual",
    ),
    IncidentKind.FULFILLED: Words(
        "the order was canceled while somebody packed it: Medusa's fulfillment takes no lock",
        "stop the parcel; cancel the fulfillment with `POST /admin/fulfillments/:id/cancel` (the order page refuses it "
        "on a canceled order) and put the stock right",
    ),
    IncidentKind.UNSUPPORTED_PROVIDER: Words(
        "the payment's provider is neither Stripe nor Medusa's own, or an account of Stripe's that `STRIPE_PROVIDERS` "
        "does not name",
        "void or capture it with that provider",
    ),
    IncidentKind.RELEASE_FAILED: Words(
        "the canceled order still reserves stock",
        "look at Medusa's Redis or API; it is retried",
    ),
    IncidentKind.LOOK_FAILED: Words(
        "Stripe said that something happened to the payment, and could not be asked what",
        "compare the payment with Stripe's dashboard; it is retried",
    ),
    IncidentKind.PUBLISH_FAILED: Words(
        "Medusa's subscribers were not told",
        "look at Medusa's Redis; it is retried",
    ),
}
