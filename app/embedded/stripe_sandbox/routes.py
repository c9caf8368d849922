"""Which request is which operation (docs.stripe.com/api)."""

from collections.abc import Callable
from typing import NamedTuple

from app.embedded.stripe_sandbox import customers, intents, refunds
from app.embedded.stripe_sandbox.form import Params
from app.embedded.stripe_sandbox.ledger import Ledger
from app.embedded.stripe_sandbox.objects import Object


class Operation(NamedTuple):
    """An operation by the name that faults and the request log use."""

    name: str
    run: Callable[[Ledger, str, Params], Object]


_ROUTES: dict[tuple[str, str, bool, str], Operation] = {
    ("POST", "payment_intents", False, ""): Operation("payment_intents.create", intents.create),
    ("GET", "payment_intents", False, ""): Operation("payment_intents.list", intents.list_all),
    ("GET", "payment_intents", True, ""): Operation("payment_intents.retrieve", intents.retrieve),
    ("POST", "payment_intents", True, ""): Operation("payment_intents.update", intents.update),
    ("POST", "payment_intents", True, "confirm"): Operation("payment_intents.confirm", intents.confirm),
    ("POST", "payment_intents", True, "capture"): Operation("payment_intents.capture", intents.capture),
    ("POST", "payment_intents", True, "cancel"): Operation("payment_intents.cancel", intents.cancel),
    ("POST", "refunds", False, ""): Operation("refunds.create", refunds.create),
    ("GET", "refunds", False, ""): Operation("refunds.list", refunds.list_all),
    ("GET", "refunds", True, ""): Operation("refunds.retrieve", refunds.retrieve),
    ("GET", "charges", False, ""): Operation("charges.list", refunds.list_charges),
    ("GET", "charges", True, ""): Operation("charges.retrieve", refunds.charge),
    ("GET", "events", False, ""): Operation("events.list", refunds.list_events),
    ("GET", "events", True, ""): Operation("events.retrieve", refunds.event),
    ("POST", "customers", False, ""): Operation("customers.create", customers.create),
    ("GET", "customers", False, ""): Operation("customers.list", customers.list_all),
    ("GET", "customers", True, ""): Operation("customers.retrieve", customers.retrieve),
    ("POST", "customers", True, ""): Operation("customers.update", customers.update),
    ("DELETE", "customers", True, ""): Operation("customers.delete", customers.delete),
    ("GET", "customers", True, "payment_methods"): Operation("customers.payment_methods", customers.list_cards),
    ("POST", "payment_methods", False, ""): Operation("payment_methods.create", customers.create_card),
    ("GET", "payment_methods", True, ""): Operation("payment_methods.retrieve", customers.retrieve_card),
    ("POST", "payment_methods", True, "attach"): Operation("payment_methods.attach", customers.attach_card),
}


def route(method: str, path: str) -> tuple[Operation, str] | None:
    """The operation and the id in the path (or an empty one); ``None`` where Stripe has no such address."""
    steps = path.strip("/").split("/")
    if not 2 <= len(steps) <= 4 or steps[0] != "v1":
        return None
    _, resource, object_id, action = (*steps, "", "")[:4]
    operation = _ROUTES.get((method, resource, bool(object_id), action))
    return (operation, object_id) if operation else None
