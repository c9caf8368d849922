"""Whether a saved receipt shows what was signed: field by field, line by line, element by element."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app.domain.cancellation import PaymentAction
from app.domain.receipt import CanceledBy, OrderLine, Receipt, SignedReceipt
from app.gateways.receipt_keys import NotAttested
from app.http.receipt_page import as_html, as_text
from app.receipt_check import compare_json, compare_page, unique_keys

TOKEN = "eyJ.a.b"
FACTS = Receipt(
    order_id="order_1",
    display_id="7",
    canceled_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
    canceled_by=CanceledBy.TOKEN,
    reason_code=None,
    reason="Too small,\nand late",
    items=(OrderLine(title="Shirt", subtitle="M", quantity=2),),
    total="29.74",
    currency="eur",
    payment_action=PaymentAction.VOIDED,
    issued_at=datetime(2026, 11, 23, 11, tzinfo=UTC),
)
PAYLOAD = msgspec.json.encode(FACTS)
SIGNED = SignedReceipt(**msgspec.structs.asdict(FACTS), receipt=TOKEN)


def problem(text: str, payload: bytes = PAYLOAD) -> str | None:
    """Why the page or text is not what was signed; ``None`` when it is."""
    try:
        compare_page(text, TOKEN, payload)
    except NotAttested as why:
        return str(why)
    return None


def page(*changes: tuple[str, str]) -> str:
    """The page, with one thing after another replaced."""
    text = as_html(SIGNED)
    for what, instead in changes:
        assert what in text
        text = text.replace(what, instead, 1)
    return text


SAME = {
    "as it is": page(),
    "with other blanks": page(("</dd>\n<dt>", "</dd>  \n\t <dt>"), ("<h1>Your order", "<h1>\fYour\r\n  order")),
    "with an upper-case doctype": page(("<!doctype html>", "<!DOCTYPE HTML>")),
    "with a comment": page(("<body>", "<body><!-- saved from shop.test -->")),
    "with another meta": page(("<head>", '<head><meta name="x" content="y">')),
    "with an attribute of html": page(('<html lang="en">', '<html lang="en" class="x">')),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME.keys())
def test_a_page_that_shows_the_same(text: str) -> None:
    assert problem(text) is None


ALTERED = {
    "a value": (page(("29.74 EUR", "0.00 EUR")), 'it shows "dd: 0.00 EUR" where "dd: 29.74 EUR" was signed'),
    "a name": (page(("<dt>Total of the order", "<dt>Refunded")), 'it shows "dt: Refunded" where'),
    "a line break that is none": (page(("small,\nand", "small, and also")), "it shows"),
    "the heading": (page(("<h1>Your order is canceled", "<h1>Your order is refunded")), "it shows"),
    "more at the end": (page(("</html>", "</html>Refunded.")), 'it shows ": Refunded." where'),
    "more at the beginning": ("Refunded. " + page(), "it shows"),
    "less": (page(("<pre>eyJ.a.b</pre>", "")), "it shows"),
    "an attribute in the body": (page(("<dd>", "<dd hidden>")), "an element or attribute that no receipt has: dd"),
    "an attribute of body": (page(("<body>", "<body hidden>")), "that no receipt has: body"),
    "an attribute of title": (page(("<title>", "<title x>")), "that no receipt has: title"),
    "an attribute of style": (page(("<style>", '<style media="print">')), "that no receipt has: style"),
    "an element": (page(("<dl>", "<div>x</div><dl>")), "that no receipt has: div"),
    "an empty element": (page(("<dl>", "<img/><dl>")), "that no receipt has: img"),
    "another doctype": (page(("<!doctype html>", "<!doctype svg>")), "a declaration that no receipt has: doctype svg"),
    "an instruction": (page(("<dl>", "<?php x?><dl>")), "a declaration that no receipt has: php x?"),
    "a section": (page(("<dl>", "<![CDATA[x]]><dl>")), "a declaration that no receipt has: CDATA[x"),
    "a style": (page(("dt{", "dd{display:none}dt{")), "it shows"),
}


@pytest.mark.parametrize(("text", "why"), ALTERED.values(), ids=ALTERED.keys())
def test_a_page_that_shows_something_else(text: str, why: str) -> None:
    said = problem(text)
    assert said is not None
    assert said.startswith("altered: ")
    assert why in said


@pytest.mark.parametrize("tag", ["<html", "<BODY", "<dl", "<pre"])
def test_whatever_has_an_element_of_a_page_is_read_as_one(tag: str) -> None:
    said = problem(f"{as_text(SIGNED)}{tag}>")
    assert said is not None
    assert said.startswith('altered: it shows ": Your order is canceled Order: 7')


@pytest.mark.parametrize(
    "text",
    [
        as_text(SIGNED),
        f"\n {as_text(SIGNED)}\n\n",
        as_text(SIGNED).replace("\n", "\r\n"),
        as_text(SIGNED).replace("\n", " \t\n"),
    ],
)
def test_a_text_that_shows_the_same(text: str) -> None:
    assert problem(text) is None


@pytest.mark.parametrize(
    ("what", "instead"),
    [("29.74", "0.00"), ("Payment: ", "Payment:"), ("\n    and late", "\nand late"), (TOKEN, f"{TOKEN}\nRefunded.")],
)
def test_a_text_that_shows_something_else(what: str, instead: str) -> None:
    said = problem(as_text(SIGNED).replace(what, instead, 1))
    assert said is not None
    assert said.startswith("altered: it shows ")


def test_what_is_shown_is_quoted_in_part() -> None:
    said = problem(page(("29.74 EUR", "x" * 1000)))
    assert said is not None
    assert "x" * 190 in said
    assert "x" * 201 not in said


@pytest.mark.parametrize("payload", [b"{}", b"canceled", PAYLOAD.replace(b"voided", b"gone")])
def test_what_another_version_signed(payload: bytes) -> None:
    said = problem(page(), payload)
    assert said is not None
    assert said.startswith("not a receipt of this version: ")


SHOWN: dict[str, Any] = {"total": "29.74", "reason": None, "items": [{"title": "Shirt", "quantity": 1}], "n": 1}


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({}, ""),
        ({"items": [{"quantity": 1, "title": "Shirt"}]}, ""),
        ({"total": "0.00"}, "total"),
        ({"reason": ""}, "reason"),
        ({"more": None}, "more"),
        ({"items": [{"title": "Shirt", "quantity": True}]}, "items"),
        ({"items": []}, "items"),
        ({"items": {}}, "items"),
        ({"items": None}, "items"),
        ({"n": True}, "n"),
        ({"n": 1.0}, "n"),
        ({"total": "0.00", "n": 2, "items": []}, "items, n, total"),
    ],
)
def test_json_is_compared_by_value_and_kind(changes: dict[str, Any], differing: str) -> None:
    for shown, content in (({**SHOWN, **changes}, SHOWN), (SHOWN, {**SHOWN, **changes})):
        if not differing:
            compare_json(shown, content)
            continue
        with pytest.raises(NotAttested, match=f"altered: {differing} is not what was signed"):
            compare_json(shown, content)


def test_a_name_that_stands_twice() -> None:
    assert json.loads('{"a": 1, "b": {"a": 2}}', object_pairs_hook=unique_keys) == {"a": 1, "b": {"a": 2}}
    with pytest.raises(ValueError, match="a name stands twice"):
        json.loads('{"b": {"a": 1, "a": 1}}', object_pairs_hook=unique_keys)
