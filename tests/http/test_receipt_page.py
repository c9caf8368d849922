"""What a receipt shows to a person: every fact that is attested, as a page and as text."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app.domain.cancellation import PaymentAction
from app.domain.receipt import CanceledBy, OrderLine, SignedReceipt
from app.http.receipt_page import as_html, as_text

SIGNED = SignedReceipt(
    order_id="order_1",
    display_id="7",
    canceled_at=datetime(2026, 11, 23, 10, 12, 31, 482_000, tzinfo=UTC),
    canceled_by=CanceledBy.TOKEN,
    reason_code=None,
    reason="Too <small>",
    items=(
        OrderLine(title="Shirt", subtitle="M", quantity=2),
        OrderLine(title="Cap", subtitle=None, quantity=1.5),
    ),
    total="29.74",
    currency="eur",
    payment_action=PaymentAction.VOIDED,
    issued_at=datetime(2026, 11, 24, 9, 0, tzinfo=UTC),
    receipt="eyJ.a.b",
)
LINK = "with the link of the order confirmation"
ROWS = [
    ("Order", "7"),
    ("Order id", "order_1"),
    ("Canceled", f"2026-11-23 10:12:31 UTC, {LINK}"),
    ("Reason given", "Too <small>"),
    ("Item", "2 x Shirt (M)"),
    ("Item", "1.5 x Cap"),
    ("Total of the order", "29.74 EUR"),
    ("Payment", "The hold on the payment was let go."),
    ("Issued", "2026-11-24 09:00:00 UTC"),
]
PROOF = (
    "The shop has signed the facts above. Anybody can check the following line with the shop's public key "
    "(/store/cancellation-keys) and the program medusa-grace verify-receipt."
)


def signed(**changes: Any) -> SignedReceipt:
    return msgspec.structs.replace(SIGNED, **changes)


def rows(receipt: SignedReceipt) -> list[tuple[str, str]]:
    """The facts of the page, which are those of the text."""
    found = re.findall(r"<dt>(.*?)</dt>\n<dd>(.*?)</dd>", as_html(receipt), re.DOTALL)
    facts = [(html.unescape(name), html.unescape(value)) for name, value in found]
    text = "".join(f"{name}: {value.replace(chr(10), chr(10) + '    ')}\n" for name, value in facts)
    assert as_text(receipt).startswith(f"Your order is canceled\n\n{text}")
    return facts


def test_every_fact() -> None:
    assert rows(SIGNED) == ROWS


def without(*names: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in ROWS if name not in names]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"display_id": None}, [("Order", "order_1"), *without("Order", "Order id")]),
        ({"reason": None}, without("Reason given")),
        ({"items": ()}, without("Item")),
        ({"total": None}, without("Total of the order")),
    ],
)
def test_what_is_not_known_is_left_out(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert rows(signed(**changes)) == expected


@pytest.mark.parametrize(
    ("by", "said"),
    [(CanceledBy.TOKEN, LINK), (CanceledBy.CUSTOMER, "by the customer, signed in"), (CanceledBy.SHOP, "by the shop")],
)
def test_who(by: CanceledBy, said: str) -> None:
    assert dict(rows(signed(canceled_by=by)))["Canceled"] == f"2026-11-23 10:12:31 UTC, {said}"


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (PaymentAction.VOIDED, "The hold on the payment was let go."),
        (PaymentAction.VOID_PENDING, "The hold on the payment is being let go."),
        (
            PaymentAction.VOID_FAILED,
            "The hold on the payment could not be let go yet. The shop sees to it.",
        ),
        (PaymentAction.NONE, "There is no hold on a payment to let go of."),
    ],
)
def test_the_money(action: PaymentAction, said: str) -> None:
    assert dict(rows(signed(payment_action=action)))["Payment"] == said


def test_nothing_that_is_written_is_markup() -> None:
    page = as_html(signed(display_id="<7>", receipt="<b>"))
    assert "<title>Cancellation of order &lt;7&gt;</title>" in page
    assert "<dd>Too &lt;small&gt;</dd>" in page
    assert "<pre>&lt;b&gt;</pre>" in page
    assert "<title>Cancellation of order order_1</title>" in as_html(signed(display_id=None))


def test_no_line_of_a_reason_passes_for_one_of_ours() -> None:
    text = as_text(signed(reason="one\nTotal of the order: 0.00 EUR"))
    assert "Reason given: one\n    Total of the order: 0.00 EUR\n" in text


def test_unseen_characters_are_named() -> None:
    facts = dict(rows(signed(reason="a\u202eb", display_id="7\u200b")))
    assert (facts["Reason given"], facts["Order"]) == ("a[U+202E]b", "7[U+200B]")
    assert "<title>Cancellation of order 7[U+200B]</title>" in as_html(signed(display_id="7\u200b"))


def test_the_attestation() -> None:
    page, text = as_html(SIGNED), as_text(SIGNED)
    assert f"<h2>Attestation</h2>\n<p>{html.escape(PROOF, quote=False)}</p>\n<pre>eyJ.a.b</pre>\n</body>" in page
    assert text.endswith(f"UTC\n\n{PROOF}\n\neyJ.a.b\n")
    unsigned = signed(receipt=None)
    assert "Attestation" not in as_html(unsigned)
    assert "<pre>" not in as_html(unsigned)
    assert as_text(unsigned).endswith("Issued: 2026-11-24 09:00:00 UTC\n")


def test_a_page_without_anything_that_acts() -> None:
    page = as_html(SIGNED)
    assert page.startswith('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n')
    assert "<h1>Your order is canceled</h1>\n<dl>\n<dt>" in page
    assert not re.search(r"<script|<a |<img|<link| on[a-z]+=|javascript:", page)
