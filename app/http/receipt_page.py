"""A receipt for people: to be read, printed and saved, with its attestation."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Final

from app.domain.cancellation import PaymentAction
from app.domain.receipt import CanceledBy, OrderLine, SignedReceipt
from app.domain.unseen_characters import visible

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_BY: Final = {
    CanceledBy.TOKEN: "with the link of the order confirmation",
    CanceledBy.CUSTOMER: "by the customer, signed in",
    CanceledBy.SHOP: "by the shop",
}
_MONEY: Final = {
    PaymentAction.VOIDED: "The hold on the payment was let go.",
    PaymentAction.VOID_PENDING: "The hold on the payment is being let go.",
    PaymentAction.VOID_FAILED: "The hold on the payment could not be let go yet. The shop sees to it.",
    PaymentAction.NONE: "There is no hold on a payment to let go of.",
}
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}"
    "dt{font-weight:600;margin-top:.6rem}dd{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.75rem;border:1px solid;padding:.5rem}"
)


def as_html(signed: SignedReceipt) -> str:
    """A page without scripts or links, so that it is the same wherever it was saved."""
    rows = "".join(f"<dt>{escape(name)}</dt>\n<dd>{escape(value)}</dd>\n" for name, value in _rows(signed))
    number = escape(visible(signed.display_id or signed.order_id))
    proof = ""
    if signed.receipt is not None:
        proof = f"<h2>Attestation</h2>\n<p>{_PROOF}</p>\n<pre>{escape(signed.receipt)}</pre>\n"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Cancellation of order {number}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Your order is canceled</h1>\n<dl>\n{rows}</dl>\n{proof}</body>\n</html>\n"
    )


def as_text(signed: SignedReceipt) -> str:
    """The same as plain text."""
    rows = "".join(f"{name}: {_indented(value)}\n" for name, value in _rows(signed))
    proof = "" if signed.receipt is None else f"\n{_PROOF}\n\n{signed.receipt}\n"
    return f"Your order is canceled\n\n{rows}{proof}"


_PROOF: Final = (
    "The shop has signed the facts above. Anybody can check the following line with the shop's public key "
    "(/store/cancellation-keys) and the program medusa-grace verify-receipt."
)


def _rows(signed: SignedReceipt) -> list[tuple[str, str]]:
    rows = [("Order", signed.display_id or signed.order_id)]
    if signed.display_id is not None:
        rows.append(("Order id", signed.order_id))
    rows.append(("Canceled", f"{_time(signed.canceled_at)}, {_BY[signed.canceled_by]}"))
    if signed.reason is not None:
        rows.append(("Reason given", signed.reason))
    rows += [("Item", _line(line)) for line in signed.items]
    if signed.total is not None:
        rows.append(("Total of the order", f"{signed.total} {signed.currency.upper()}"))
    rows.append(("Payment", _MONEY[signed.payment_action]))
    rows.append(("Issued", _time(signed.issued_at)))
    return [(name, visible(value)) for name, value in rows]


def _indented(value: str) -> str:
    """So that no line of a reason can pass for one of ours."""
    return "\n    ".join(value.split("\n"))


def _line(line: OrderLine) -> str:
    return f"{line.quantity} x {line.title}" + (f" ({line.subtitle})" if line.subtitle else "")


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
