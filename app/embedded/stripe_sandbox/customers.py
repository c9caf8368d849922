"""Customers and their saved cards, as far as Medusa's provider uses them (docs.stripe.com/api/customers)."""

from app.embedded.stripe_sandbox.errors import missing
from app.embedded.stripe_sandbox.form import Params, merge_metadata
from app.embedded.stripe_sandbox.ledger import Ledger
from app.embedded.stripe_sandbox.objects import TEST_CARDS, Object, customer, payment_method

PLAIN = ("address", "description", "email", "name", "phone", "shipping")


def create(ledger: Ledger, _id: str, params: Params) -> Object:
    """docs.stripe.com/api/customers/create"""
    made = customer(ledger.now())
    ledger.customers[made["id"]] = made
    return update(ledger, made["id"], params)


def update(ledger: Ledger, customer_id: str, params: Params) -> Object:
    """docs.stripe.com/api/customers/update"""
    found = ledger.customer(customer_id)
    found.update((name, params[name] or None) for name in PLAIN if name in params)
    found["metadata"] = merge_metadata(found["metadata"], params.get("metadata"))
    return found


def retrieve(ledger: Ledger, customer_id: str, _params: Params) -> Object:
    """docs.stripe.com/api/customers/retrieve"""
    return ledger.customer(customer_id)


def delete(ledger: Ledger, customer_id: str, _params: Params) -> Object:
    """docs.stripe.com/api/customers/delete"""
    ledger.customer(customer_id)
    del ledger.customers[customer_id]
    return {"id": customer_id, "object": "customer", "deleted": True}


def list_all(ledger: Ledger, _id: str, params: Params) -> Object:
    """docs.stripe.com/api/customers/list"""
    return ledger.page(ledger.customers.values(), params, "/v1/customers")


def list_cards(ledger: Ledger, customer_id: str, params: Params) -> Object:
    """docs.stripe.com/api/payment_methods/customer_list"""
    ledger.customer(customer_id)
    held = [held for held in ledger.payment_methods.values() if held["customer"] == customer_id]
    return ledger.page(held, params, f"/v1/customers/{customer_id}/payment_methods")


def create_card(ledger: Ledger, _id: str, _params: Params) -> Object:
    """A Visa that works, whatever number is given (docs.stripe.com/api/payment_methods/create)."""
    card = TEST_CARDS["pm_card_visa"]
    made = payment_method(card, ledger.now())
    ledger.payment_methods[made["id"]] = made
    ledger.cards[made["id"]] = card
    return made


def retrieve_card(ledger: Ledger, method_id: str, _params: Params) -> Object:
    """docs.stripe.com/api/payment_methods/retrieve"""
    if method_id not in ledger.payment_methods:
        raise missing("PaymentMethod", method_id, "payment_method")
    return ledger.payment_methods[method_id]


def attach_card(ledger: Ledger, method_id: str, params: Params) -> Object:
    """docs.stripe.com/api/payment_methods/attach"""
    owner = ledger.customer(params.get("customer", ""), referred=True)
    attached = ledger.payment_methods[ledger.own_payment_method(method_id)]
    attached["customer"] = owner["id"]
    return attached
