"""The objects as Stripe shapes them, freshly made (docs.stripe.com/api)."""

import secrets
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

API_VERSION = "2026-10-28.endive"
HOLD_SECONDS = 7 * 24 * 60 * 60
"""How long a card authorization made online lasts (docs.stripe.com/payments/place-a-hold-on-a-payment-method)."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a test card does when it is charged (docs.stripe.com/testing)."""

    brand: str
    last4: str
    decline_code: str | None = None
    asks_for_authentication: bool = False


TEST_CARDS = {
    "pm_card_visa": Card("visa", "4242"),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_authenticationRequired": Card("visa", "3184", asks_for_authentication=True),
    "pm_card_chargeDeclined": Card("visa", "0002", decline_code="generic_decline"),
    "pm_card_visa_chargeDeclined": Card("visa", "0002", decline_code="generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": Card("visa", "9995", decline_code="insufficient_funds"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Card("visa", "9995", decline_code="insufficient_funds"),
}


def new_id(prefix: str) -> str:
    """An id nobody has had before."""
    return prefix + secrets.token_hex(12)


def payment_intent(*, amount: int, currency: str, capture_method: str, created: int) -> Object:
    """docs.stripe.com/api/payment_intents/object"""
    intent_id = new_id("pi_3")
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": capture_method,
        "client_secret": f"{intent_id}_secret_{secrets.token_hex(12)}",
        "confirmation_method": "automatic",
        "created": created,
        "currency": currency,
        "customer": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def charge(intent: Object, card: Card, created: int) -> Object:
    """docs.stripe.com/api/charges/object

    ``capture_before`` is the end of the authorization; an automatic capture has none.
    """
    capture_before = created + HOLD_SECONDS if intent["capture_method"] == "manual" else None
    return {
        "id": new_id("ch_3"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "captured": False,
        "created": created,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "outcome": {"network_status": "approved_by_network", "type": "authorized"},
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {
            "card": {
                "amount_authorized": intent["amount"],
                "brand": card.brand,
                "capture_before": capture_before,
                "last4": card.last4,
            },
            "type": "card",
        },
        "receipt_email": intent["receipt_email"],
        "refunded": False,
        "shipping": intent["shipping"],
        "status": "succeeded",
    }


def refund(charged: Object, *, amount: int, reason: str | None, metadata: dict[str, str], created: int) -> Object:
    """docs.stripe.com/api/refunds/object"""
    return {
        "id": new_id("re_3"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": new_id("txn_3"),
        "charge": charged["id"],
        "created": created,
        "currency": charged["currency"],
        "destination_details": {"card": {"type": "refund" if charged["captured"] else "reversal"}, "type": "card"},
        "metadata": metadata,
        "payment_intent": charged["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def payment_method(card: Card, created: int, customer: str | None = None) -> Object:
    """docs.stripe.com/api/payment_methods/object"""
    return {
        "id": new_id("pm_1"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "card": {"brand": card.brand, "country": "US", "exp_month": 12, "exp_year": 2034, "last4": card.last4},
        "created": created,
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def customer(created: int) -> Object:
    """docs.stripe.com/api/customers/object"""
    return {
        "id": new_id("cus_"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": created,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "email": None,
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": False,
        "metadata": {},
        "name": None,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
    }
