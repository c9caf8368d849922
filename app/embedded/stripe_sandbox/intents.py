"""What can be done to a PaymentIntent, state by state (docs.stripe.com/payments/paymentintents/lifecycle)."""

from app.embedded.stripe_sandbox.errors import StripeError, invalid, unexpected_state
from app.embedded.stripe_sandbox.form import Params, merge_metadata, one_of, only, positive, required, truthy
from app.embedded.stripe_sandbox.ledger import Ledger
from app.embedded.stripe_sandbox.objects import Card, Object, charge, new_id, payment_intent

CAPTURE_METHODS = ("automatic", "automatic_async", "manual")
CANCELLATION_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action", "processing")

PLAIN = (
    "automatic_payment_methods",
    "description",
    "payment_method_types",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
CAPTURE_PARAMS = frozenset(
    {"amount_to_capture", "final_capture", "metadata", "statement_descriptor", "statement_descriptor_suffix"}
)
CANCEL_PARAMS = frozenset({"cancellation_reason"})


def create(ledger: Ledger, _id: str, params: Params) -> Object:
    """docs.stripe.com/api/payment_intents/create"""
    required(params, "amount")
    currency = str(required(params, "currency")).lower()
    if len(currency) != 3 or not currency.isalpha():
        raise invalid(f"Invalid currency: {currency}", "currency")
    intent = payment_intent(
        amount=positive(params, "amount") or 0,
        currency=currency,
        capture_method=one_of(params, "capture_method", CAPTURE_METHODS) or "automatic_async",
        created=ledger.now(),
    )
    _apply(ledger, intent, params)
    if isinstance(methods := intent["automatic_payment_methods"], dict):
        intent["automatic_payment_methods"] = {
            "allow_redirects": "always",
            **methods,
            "enabled": truthy(methods, "enabled"),
        }
    ledger.intents[intent["id"]] = intent
    ledger.emit("payment_intent.created", intent)
    return confirm(ledger, intent["id"], params) if truthy(params, "confirm") else intent


def update(ledger: Ledger, intent_id: str, params: Params) -> Object:
    """docs.stripe.com/api/payment_intents/update: the amount only while nothing is authorized."""
    intent = ledger.intent(intent_id)
    amount = positive(params, "amount")
    if amount is not None and intent["status"] not in OPEN:
        raise unexpected_state(intent, "given another amount", OPEN)
    if params.get("payment_method") and intent["status"] not in OPEN:
        raise unexpected_state(intent, "given another payment method", OPEN)
    _apply(ledger, intent, params)
    intent["amount"] = amount or intent["amount"]
    return intent


def _apply(ledger: Ledger, intent: Object, params: Params) -> None:
    if customer := params.get("customer"):
        ledger.customer(customer, referred=True)
    metadata = merge_metadata(intent["metadata"], params.get("metadata"))
    _attach(ledger, intent, params)
    intent["metadata"] = metadata
    intent.update((name, params[name] or None) for name in (*PLAIN, "customer") if name in params)


def _attach(ledger: Ledger, intent: Object, params: Params) -> None:
    if given := params.get("payment_method"):
        intent["payment_method"] = ledger.own_payment_method(given, params.get("customer") or intent["customer"])
        if intent["status"] == "requires_payment_method":
            intent["status"] = "requires_confirmation"


def confirm(ledger: Ledger, intent_id: str, params: Params) -> Object:
    """Charges the card, or asks its holder first (docs.stripe.com/api/payment_intents/confirm).

    A declined card sends the intent back for another one (docs.stripe.com/declines/codes).
    """
    intent = ledger.intent(intent_id)
    if intent["status"] not in OPEN:
        raise unexpected_state(intent, "confirmed", OPEN)
    _attach(ledger, intent, params)
    if not intent["payment_method"]:
        raise unexpected_state(intent, "confirmed without a payment method", OPEN)
    card = ledger.cards[intent["payment_method"]]
    if card.decline_code:
        raise _decline(ledger, intent, card, "card_declined", card.decline_code)
    if card.asks_for_authentication:
        if truthy(params, "off_session"):
            raise _decline(ledger, intent, card, "authentication_required", "authentication_required")
        intent["status"] = "requires_action"
        intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
        ledger.emit("payment_intent.requires_action", intent)
        return intent
    return authorize(ledger, intent)


def _decline(ledger: Ledger, intent: Object, card: Card, code: str, decline_code: str) -> StripeError:
    failed = charge(intent, card, ledger.now())
    failed.update(
        status="failed",
        paid=False,
        failure_code=code,
        failure_message="Your card was declined.",
        outcome={"network_status": "declined_by_network", "reason": decline_code, "type": "issuer_declined"},
    )
    ledger.charges[failed["id"]] = failed
    problem = {"charge": failed["id"], "code": code, "decline_code": decline_code}
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        latest_charge=failed["id"],
        last_payment_error={**problem, "message": "Your card was declined.", "type": "card_error"},
    )
    ledger.emit("charge.failed", failed)
    ledger.emit("payment_intent.payment_failed", intent)
    return StripeError(402, "Your card was declined.", kind="card_error", payment_intent=dict(intent), **problem)


def authenticate(ledger: Ledger, intent_id: str, *, passed: bool) -> Object:
    """The card holder answers the bank (docs.stripe.com/payments/3d-secure/authentication-flow)."""
    intent = ledger.intent(intent_id)
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "authenticated", ("requires_action",))
    if passed:
        return authorize(ledger, intent)
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error={"code": "payment_intent_authentication_failure", "type": "invalid_request_error"},
    )
    ledger.emit("payment_intent.payment_failed", intent)
    return intent


def authorize(ledger: Ledger, intent: Object) -> Object:
    """The bank says yes: a hold for a manual capture, the money at once otherwise.

    docs.stripe.com/payments/place-a-hold-on-a-payment-method
    """
    charged = charge(intent, ledger.cards[intent["payment_method"]], ledger.now())
    ledger.charges[charged["id"]] = charged
    intent.update(latest_charge=charged["id"], next_action=None, last_payment_error=None)
    if intent["capture_method"] == "manual":
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        ledger.emit("charge.succeeded", charged)
        ledger.emit("payment_intent.amount_capturable_updated", intent)
        return intent
    return _take(ledger, intent, intent["amount"], "charge.succeeded")


def capture(ledger: Ledger, intent_id: str, params: Params) -> Object:
    """Takes the held money, or a part of it, once (docs.stripe.com/api/payment_intents/capture).

    What is not taken is let go at once, as a refund of the charge
    (docs.stripe.com/payments/place-a-hold-on-a-payment-method#capture-funds).
    """
    only(params, CAPTURE_PARAMS)
    wanted = positive(params, "amount_to_capture")
    intent = ledger.intent(intent_id)
    if intent["status"] != "requires_capture":
        raise unexpected_state(intent, "captured", ("requires_capture",))
    held = intent["amount_capturable"]
    if wanted and wanted > held:
        raise StripeError(
            400,
            f"The amount to capture ({wanted}) is more than what can be captured ({held}).",
            code="amount_too_large",
            param="amount_to_capture",
            payment_intent=dict(intent),
        )
    intent["metadata"] = merge_metadata(intent["metadata"], params.get("metadata"))
    return _take(ledger, intent, wanted or held, "charge.captured")


def _take(ledger: Ledger, intent: Object, amount: int, announced_as: str) -> Object:
    charged = ledger.charges[intent["latest_charge"]]
    charged.update(captured=True, amount_captured=amount, balance_transaction=new_id("txn_3"))
    if amount < charged["amount"]:
        ledger.release(charged, charged["amount"] - amount)
    intent.update(status="succeeded", amount_received=amount, amount_capturable=0)
    ledger.count(intent["id"], captures=1)
    ledger.emit(announced_as, charged)
    ledger.emit("payment_intent.succeeded", intent)
    return intent


def cancel(ledger: Ledger, intent_id: str, params: Params) -> Object:
    """Ends an intent that has not taken money, once (docs.stripe.com/api/payment_intents/cancel)."""
    only(params, CANCEL_PARAMS)
    reason = one_of(params, "cancellation_reason", CANCELLATION_REASONS)
    intent = ledger.intent(intent_id)
    if intent["status"] not in CANCELABLE or intent["status"] == "processing":  # the rare cases are not ours
        raise unexpected_state(intent, "canceled", CANCELABLE)
    ledger.let_go(intent, reason=reason, at=ledger.now())
    return intent


def retrieve(ledger: Ledger, intent_id: str, _params: Params) -> Object:
    """docs.stripe.com/api/payment_intents/retrieve"""
    return ledger.intent(intent_id)


def list_all(ledger: Ledger, _id: str, params: Params) -> Object:
    """docs.stripe.com/api/payment_intents/list"""
    return ledger.page(ledger.intents.values(), params, "/v1/payment_intents")


def lapse(ledger: Ledger, intent_id: str) -> Object:
    """Ends one authorization now, whatever the clock says: for tests that want no other hold to lapse."""
    intent = ledger.intent(intent_id)
    if intent["status"] != "requires_capture":
        raise unexpected_state(intent, "left to lapse", ("requires_capture",))
    ledger.let_go(intent, reason="automatic", at=ledger.now())
    return intent


def process(ledger: Ledger, intent_id: str) -> Object:
    """The shopper has agreed to a debit or a transfer, and the bank is at it.

    docs.stripe.com/payments/paymentintents/lifecycle
    """
    intent = ledger.intent(intent_id)
    if intent["status"] not in OPEN:
        raise unexpected_state(intent, "processed", OPEN)
    intent.update(status="processing", next_action=None)
    ledger.emit("payment_intent.processing", intent)
    return intent


def settle(ledger: Ledger, intent_id: str, *, paid: bool) -> Object:
    """The bank has paid, or refused to."""
    intent = ledger.intent(intent_id)
    if intent["status"] != "processing":
        raise unexpected_state(intent, "settled", ("processing",))
    if paid:
        return authorize(ledger, intent)
    intent.update(status="requires_payment_method", last_payment_error={"code": "debit_not_authorized"})
    ledger.emit("payment_intent.payment_failed", intent)
    return intent
