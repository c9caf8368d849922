"""``medusa-grace verify-receipt`` and ``receipt-key``: what they print, and how they end."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import cli
from app.domain.cancellation import PaymentAction
from app.domain.receipt import CanceledBy, OrderLine, Receipt, SignedReceipt
from app.gateways.receipt_keys import Ed25519Receipts, new_key
from app.http.receipt_page import as_html, as_text

PRIVATE, PUBLIC = new_key()
OTHER_PUBLIC = new_key()[1]
KEYS = Ed25519Receipts([PRIVATE])

Verify = Callable[..., tuple[int, str, str]]


def receipt(order_id: str = "order_1", reason: str | None = None) -> SignedReceipt:
    """A signed receipt, as the API makes it."""
    moment = datetime(2026, 11, 23, 10, tzinfo=UTC)
    fields: dict[str, Any] = {
        "order_id": order_id,
        "display_id": "7",
        "canceled_at": moment,
        "canceled_by": CanceledBy.TOKEN,
        "reason_code": None,
        "reason": reason,
        "items": (),
        "total": "29.74",
        "currency": "eur",
        "payment_action": PaymentAction.VOIDED,
        "issued_at": moment,
    }
    return SignedReceipt(**fields, receipt=KEYS.sign(msgspec.json.encode(Receipt(**fields))))


def as_json(signed: SignedReceipt) -> str:
    return msgspec.json.encode(signed).decode()


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run the command on files of this text: code, standard output, standard error."""

    def verify(text: str, key: str = PUBLIC) -> tuple[int, str, str]:
        (tmp_path / "receipt").write_text(text, encoding="utf-8")
        (tmp_path / "key").write_text(key, encoding="utf-8")
        return run(capsys, "verify-receipt", str(tmp_path / "receipt"), "--key", str(tmp_path / "key"))

    return verify


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return int(ended.value.code or 0), *capsys.readouterr()


FORMS = {
    "JSON": as_json,
    "JSON, laid out anew": lambda signed: json.dumps(json.loads(as_json(signed)), indent=4, sort_keys=True),
    "JWS": lambda signed: f" {signed.receipt}\n",
    "page": as_html,
    "text": as_text,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("key", [PUBLIC, KEYS.public().decode()], ids=["PEM", "JWK set"])
def test_valid_in_every_form(verify: Verify, form: Callable[[SignedReceipt], str], key: str) -> None:
    code, out, err = verify(form(receipt()), key)
    assert (code, err) == (0, "medusa-grace: valid: the above is what was attested\n")
    attested = json.loads(out)
    assert attested == {name: value for name, value in json.loads(as_json(receipt())).items() if name != "receipt"}


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(PUBLIC)
    monkeypatch.setattr("sys.stdin", io.StringIO(as_json(receipt())))
    assert run(capsys, "verify-receipt", "-", "--key", str(tmp_path / "key"))[0] == 0


def test_a_reason_that_looks_like_a_receipt(verify: Verify) -> None:
    assert verify(as_html(receipt(reason=receipt("order_2").receipt and "eyJhbGciOiJub25lIn0.e30.")))[0] == 0


@pytest.mark.parametrize("name", ["order_id", "canceled_at", "total", "payment_action", "reason", "items"])
def test_altered_around_the_signature(verify: Verify, name: str) -> None:
    code, out, err = verify(json.dumps({**json.loads(as_json(receipt())), name: "another"}))
    assert (code, out) == (1, "")
    assert err == f"medusa-grace: NOT VALID: altered: {name} is not what was signed\n"


def test_something_added_or_left_out(verify: Verify) -> None:
    whole = json.loads(as_json(receipt()))
    assert "altered: refunded" in verify(json.dumps({**whole, "refunded": "29.74"}))[2]
    assert "altered: currency" in verify(json.dumps({key: whole[key] for key in whole if key != "currency"}))[2]


NOT_VALID = {
    "another key": (as_json(receipt()), OTHER_PUBLIC, "wrong key"),
    "unsigned": (as_json(msgspec.structs.replace(receipt(), receipt=None)), PUBLIC, "the answer has no receipt"),
    "another JSON": ('{"order": 1}', PUBLIC, "the answer has no receipt"),
    "a page without one": ("<p>canceled</p>", PUBLIC, "there is no JWS in it"),
    "altered": (str(receipt().receipt).replace(".ey", ".eY"), PUBLIC, "the signature does not fit"),
    "two at once": (as_html(receipt()) + as_html(receipt("order_2")), PUBLIC, "more than one receipt"),
    "signed, but no receipt": (str(KEYS.sign(b'{"order_id": "order_1"}')), PUBLIC, "what was signed is something else"),
    "signed, but no JSON": (str(KEYS.sign(b"canceled")), PUBLIC, "what was signed is something else"),
    "empty": ("", PUBLIC, "there is no JWS in it"),
}


@pytest.mark.parametrize(("text", "key", "why"), NOT_VALID.values(), ids=NOT_VALID.keys())
def test_not_valid(verify: Verify, text: str, key: str, why: str) -> None:
    code, out, err = verify(text, key)
    assert (code, out) == (1, "")
    assert err.startswith("medusa-grace: NOT VALID: ")
    assert why in err


def test_could_not_look(verify: Verify, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = verify(as_json(receipt()), "no key")
    assert code == 2
    assert "cannot look: --key: " in err
    assert "key is neither PEM nor JSON" in err
    assert "key has no keys: a shop without RECEIPT_SIGNING_KEY publishes none" in verify("{}", '{"keys": []}')[2]
    (tmp_path / "key").write_text(PUBLIC)
    (tmp_path / "image").write_bytes(b"\xff\xd8\xff")
    for file, key in (("nowhere", "key"), ("key", "nowhere"), (".", "key"), ("image", "key")):
        code, out, err = run(capsys, "verify-receipt", str(tmp_path / file), "--key", str(tmp_path / key))
        assert (code, out) == (2, ""), (file, key)
        assert err.startswith("medusa-grace: cannot look: ")


def test_a_new_key_signs_and_verifies(verify: Verify, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "receipt-key")
    assert (code, err) == (0, "")
    end = "-----END PRIVATE KEY-----\n"
    private, public = out.partition(end)[0] + end, out.partition(end)[2]
    token = Ed25519Receipts([private]).sign(msgspec.json.encode(receipt()))
    assert verify(str(token), public)[0] == 0
    assert run(capsys, "receipt-key")[1] != out


def facts(**changes: Any) -> SignedReceipt:
    """A receipt with every kind of row, signed."""
    whole = receipt(reason="Too small,\nand late")
    fields = {name: getattr(whole, name) for name in Receipt.__struct_fields__}
    fields["items"] = (
        OrderLine(title="Shirt", subtitle="M", quantity=2),
        OrderLine(title="Cap", subtitle=None, quantity=1),
    )
    fields |= changes
    return SignedReceipt(**fields, receipt=KEYS.sign(msgspec.json.encode(Receipt(**fields))))


CHANGES: dict[str, tuple[str, str]] = {
    "another total": ("29.74 EUR", "129.74 EUR"),
    "a digit of another script": ("29.74 EUR", "2\u0669.74 EUR"),
    "another order": ("order_1", "order_2"),
    "another time": ("10:00:00", "11:00:00"),
    "another line": ("2 x Shirt", "3 x Shirt"),
    "another reason": ("Too small", "Too large"),
    "what became of the money": ("was let go", "was refunded"),
    "who canceled": ("with the link of the order confirmation", "by the shop"),
}


@pytest.mark.parametrize(("shown", "instead"), CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("form", [as_html, as_text])
def test_a_page_that_shows_something_else_than_was_signed(
    verify: Verify, form: Callable[[SignedReceipt], str], shown: str, instead: str
) -> None:
    page = form(facts())
    assert verify(page)[0] == 0
    assert shown in page
    code, out, err = verify(page.replace(shown, instead, 1))
    assert (code, out) == (1, "")
    assert "NOT VALID: altered: it shows " in err
    assert "was signed" in err


ADDED = {
    "a paragraph": ("</dl>", "</dl><p>Your money was refunded.</p>"),
    "an element that hides": ("<dl>", '<dl style="display:none">'),
    "an attribute that hides": ("<dd>", "<dd hidden>"),
    "a style": ("</style>", "dd{display:none}</style>"),
    "a script": ("<dl>", "<script>document.title='x'</script><dl>"),
    "an element that lays over": ("</body>", "<div>Refunded</div></body>"),
    "a row twice": ("<dt>Payment</dt>", "<dt>Payment</dt>\n<dd>Refunded.</dd>\n<dt>Payment</dt>"),
    "words behind": ("</html>", "</html>\nRefunded: 29.74 EUR"),
    "words before": ("<h1>", "Refunded. <h1>"),
    "a declaration": ("<dl>", "<![CDATA[x]]><dl>"),
    "the title": ("<title>Cancellation", "<title>Refund"),
}


@pytest.mark.parametrize(("place", "instead"), ADDED.values(), ids=ADDED.keys())
def test_a_page_with_something_added(verify: Verify, place: str, instead: str) -> None:
    page = as_html(facts())
    assert place in page
    code, out, err = verify(page.replace(place, instead, 1))
    assert (code, out) == (1, ""), err
    assert "NOT VALID: altered: " in err


def test_a_row_left_out(verify: Verify) -> None:
    page = as_html(facts())
    without = re.sub(r"<dt>Payment</dt>\n<dd>.*?</dd>\n", "", page)
    assert without != page
    assert verify(without)[0] == 1
    text = as_text(facts())
    assert verify("\n".join(line for line in text.splitlines() if not line.startswith("Payment")))[0] == 1
    assert verify(text + "\nRefunded: 29.74 EUR\n")[0] == 1
    assert verify(f"Refunded: 29.74 EUR\n{facts().receipt}")[0] == 1


def test_a_page_as_browsers_save_it(verify: Verify) -> None:
    page = as_html(facts())
    saved = page.replace("<!doctype html>\n", "<!DOCTYPE html>\n<!-- saved from url=(0035)https://shop.test/ -->\n")
    saved = saved.replace("<head>\n", '<head><meta http-equiv="Content-Type" content="text/html; charset=UTF-8">\n')
    saved = saved.replace("\n", "\r\n").replace("</body>\r\n</html>", "\r\n\r\n</body></html>")
    assert verify(saved)[0] == 0, verify(saved)[2]
    assert verify(as_text(facts()).replace("\n", "\r\n"))[0] == 0


def test_json_is_the_payload_field_by_field(verify: Verify) -> None:
    text = as_json(facts())
    assert verify(text)[0] == 0
    assert verify(text.replace('"total":"29.74"', '"total":"0.00","total":"29.74"'))[0] == 1, "a name twice"
    assert verify(text.replace('"quantity":1', '"quantity":true'))[0] == 1
    assert verify(text.replace("{", '{"refunded":null,', 1))[0] == 1, "a field that is null"
    assert verify(text + "{}")[0] == 1
    assert verify(text + " Refunded.")[0] == 1


UNSEEN = "a\u202eb\u2066c\u200bd\x07e\x1b[2Jf\u2028g\ufeffh\u00adi"


def test_characters_that_are_not_seen_are_named(verify: Verify) -> None:
    signed = facts(
        reason=UNSEEN, display_id=f"7{UNSEEN}", items=(OrderLine(title=UNSEEN, subtitle=UNSEEN, quantity=1),)
    )
    named = "a[U+202E]b[U+2066]c[U+200B]d[U+0007]e[U+001B][2Jf[U+2028]g[U+FEFF]h[U+00AD]i"
    for page in (as_html(signed), as_text(signed)):
        assert page.count(named) >= 4
        assert not [char for char in page if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"}]
        assert verify(page)[0] == 0, verify(page)[2]
    attested = json.loads(verify(as_json(signed))[1])
    assert attested["reason"] == UNSEEN, "signed as it is"
    assert "\u202e" not in as_html(facts(reason="x")), "nothing to name"


def test_line_ends_of_a_reason_and_emoji_stay(verify: Verify) -> None:
    signed = facts(reason="one\r\ntwo\n\U0001f469\u200d\U0001f52c")
    assert "one\ntwo\n\U0001f469\u200d\U0001f52c" in as_html(signed)
    assert "Reason given: one\n    two\n    " in as_text(signed)
    assert verify(as_html(signed))[0] == verify(as_text(signed))[0] == 0


def test_a_terminal_shows_what_was_attested_and_obeys_none_of_it(verify: Verify) -> None:
    """``\\x9b`` begins a command of a terminal, and U+202E turns the line round."""
    reason = "\x9b31m\u202eevil \U000e0041 \u200b good"
    code, out, err = verify(as_json(receipt(reason=reason)))
    assert code == 0
    assert json.loads(out)["reason"] == reason
    assert [char for char in out + err if not char.isprintable() and char != "\n"] == []


def test_a_refusal_obeys_none_of_it_either(verify: Verify) -> None:
    code, _, err = verify(as_json(receipt()).replace('"display_id"', '"\u202e\x9b31m"'))
    assert code == 1
    assert [char for char in err if not char.isprintable() and char != "\n"] == []
