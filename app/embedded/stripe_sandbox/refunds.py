"""Giving money back, and reading charges and refunds (docs.stripe.com/refunds)."""

from app.embedded.stripe_sandbox.errors import StripeError, invalid, missing
from app.embedded.stripe_sandbox.form import Params, merge_metadata, one_of, only, positive
from app.embedded.stripe_sandbox.ledger import Ledger
from app.embedded.stripe_sandbox.objects import Object, refund

REASONS = ("duplicate", "fraudulent", "requested_by_customer")
PARAMS = frozenset(
    {"amount", "charge", "metadata", "payment_intent", "reason", "refund_application_fee", "reverse_transfer"}
)


def create(ledger: Ledger, _id: str, params: Params) -> Object:
    """Refunds a captured charge, in whole or in parts, never more than is left of it.

    docs.stripe.com/api/refunds/create; a charge with nothing left is
    docs.stripe.com/error-codes#charge-already-refunded.
    """
    only(params, PARAMS)
    reason = one_of(params, "reason", REASONS)
    wanted = positive(params, "amount")
    charge = _charge_to_refund(ledger, params)
    left = charge["amount"] - charge["amount_refunded"]
    if not left:
        raise StripeError(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if wanted and wanted > left:
        raise StripeError(
            400, f"Refund amount ({wanted}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    amount = wanted or left
    metadata = merge_metadata({}, params.get("metadata"))
    made = refund(charge, amount=amount, reason=reason, metadata=metadata, created=ledger.now())
    ledger.refunds[made["id"]] = made
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    ledger.count(charge["payment_intent"], refunds=1)
    ledger.emit("refund.created", made)
    ledger.emit("charge.refunded", charge)
    return made


def _charge_to_refund(ledger: Ledger, params: Params) -> Object:
    """A hold is not refunded but canceled (docs.stripe.com/refunds#cancel-payment)."""
    if intent_id := params.get("payment_intent"):
        intent = ledger.intent(intent_id, "payment_intent")
    elif charge_id := params.get("charge"):
        intent = ledger.intent(charge(ledger, charge_id, params)["payment_intent"])
    else:
        raise invalid("One of the following params should be provided: payment_intent or charge.")
    if intent["status"] != "succeeded":
        raise StripeError(
            400, f"PaymentIntent {intent['id']} has no successful charge to refund.", param="payment_intent"
        )
    return ledger.charges[intent["latest_charge"]]


def retrieve(ledger: Ledger, refund_id: str, _params: Params) -> Object:
    """docs.stripe.com/api/refunds/retrieve"""
    if refund_id not in ledger.refunds:
        raise missing("refund", refund_id)
    return ledger.refunds[refund_id]


def list_all(ledger: Ledger, _id: str, params: Params) -> Object:
    """docs.stripe.com/api/refunds/list"""
    return ledger.page(ledger.refunds.values(), params, "/v1/refunds")


def charge(ledger: Ledger, charge_id: str, _params: Params) -> Object:
    """docs.stripe.com/api/charges/retrieve"""
    if charge_id not in ledger.charges:
        raise missing("charge", charge_id)
    ledger.intent(ledger.charges[charge_id]["payment_intent"])
    return ledger.charges[charge_id]


def list_charges(ledger: Ledger, _id: str, params: Params) -> Object:
    """docs.stripe.com/api/charges/list"""
    return ledger.page(ledger.charges.values(), params, "/v1/charges")


def event(ledger: Ledger, event_id: str, _params: Params) -> Object:
    """docs.stripe.com/api/events/retrieve"""
    if event_id not in ledger.events:
        raise missing("event", event_id)
    return ledger.events[event_id]


def list_events(ledger: Ledger, _id: str, params: Params) -> Object:
    """docs.stripe.com/api/events/list"""
    return ledger.page(ledger.events.values(), params, "/v1/events")
