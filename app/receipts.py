"""``medusa-grace verify-receipt`` and ``receipt-key``: offline, without settings."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.domain.unseen_characters import escaped, visible
from app.gateways.receipt_keys import NotAttested, attested, new_key, read_public_keys
from app.receipt_check import compare_json, compare_page, unique_keys

_JWS: Final = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_LARGEST: Final = 1_000_000


def print_new_key() -> int:
    """Print a private key for ``RECEIPT_SIGNING_KEY`` and its public key, PEM. Always 0."""
    print("".join(new_key()), end="")  # noqa: T201
    return 0


def verify_receipt(path: str, key_path: str) -> int:
    """Print what the receipt in ``path`` (``-``: standard input) attests. 0 valid, 1 not valid, 2 could not look."""
    try:
        text = _read(path)
    except (OSError, ValueError) as error:
        return _say(f"cannot look: {error if isinstance(error, OSError) else f'{path} {error}'}", 2)
    try:
        keys = read_public_keys(_read(key_path))
    except (OSError, ValueError) as error:
        reason = error if isinstance(error, OSError) else f"{key_path} {error}"
        return _say(f"cannot look: --key: {reason}", 2)
    try:
        content = _verified(text, keys)
    except NotAttested as why:
        return _say(f"NOT VALID: {why}", 1)
    print(escaped(json.dumps(content, indent=2, ensure_ascii=False)))  # noqa: T201
    return _say("valid: the above is what was attested", 0)


def _verified(text: str, keys: Mapping[str, Ed25519PublicKey]) -> dict[str, Any]:
    """The attested content of a receipt as it was saved: the JWS alone, the JSON answer, or the page."""
    answer = _json(text)
    if answer is not None:
        token = answer.get("receipt")
        if not isinstance(token, str):
            message = "not a signed receipt: the answer has no receipt"
            raise NotAttested(message)
    else:
        token = _find(text, keys)
    payload = attested(token.strip(), keys)
    content = _json(payload.decode(errors="replace"))
    if content is None or content.get("status") != "canceled":
        message = "not a receipt: what was signed is something else"
        raise NotAttested(message)
    if answer is not None:
        compare_json({name: value for name, value in answer.items() if name != "receipt"}, content)
    elif text.strip() != token:
        compare_page(text, token, payload)
    return content


def _find(text: str, keys: Mapping[str, Ed25519PublicKey]) -> str:
    """The receipt in a page. What a shopper wrote as a reason may look like one, too."""
    found: list[str] = list(dict.fromkeys(_JWS.findall(text)))
    if not found:
        message = "not a receipt: there is no JWS in it"
        raise NotAttested(message)
    valid = []
    for token in found:
        with contextlib.suppress(NotAttested):
            attested(token, keys)
            valid.append(token)
    if len(valid) > 1:
        message = "more than one receipt is in it: save them one by one"
        raise NotAttested(message)
    return valid[0] if valid else found[-1]


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _read(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read(_LARGEST)
        with Path(path).open(encoding="utf-8") as file:
            return file.read(_LARGEST)
    except UnicodeDecodeError as error:
        raise ValueError("is not text in UTF-8") from error


def _say(message: str, code: int) -> int:
    print(f"medusa-grace: {visible(message)}", file=sys.stderr)  # noqa: T201
    return code
