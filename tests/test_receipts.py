"""``medusa-grace verify-receipt`` and ``receipt-key``: what they print, and how they end."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import cli
from app.domain.cancellation import PaymentAction
from app.domain.receipt import CanceledBy, Receipt, SignedReceipt
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
    assert verify(as_json(receipt()), "no key")[0] == 2
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
