"""The curl line of each answer of the contract: what is sent to get it."""

from __future__ import annotations

from typing import Any, Final

from app.http.edge import MAX_HEADER_BYTES, MAX_TARGET_BYTES

VARIABLES: Final = {
    "SHOP": "address of the shop's API, as the storefront knows it",
    "KEY": "the storefront's publishable API key",
    "ORDER": "id of an order",
    "TOKEN": 'a modification token for it: medusa-grace token "$ORDER" prints one',
    "EXPIRED_TOKEN": "one whose time is over",
    "TOKEN_OF_ANOTHER_ORDER": "one that is valid, for another order",
    "EVENT": "body of a webhook of Stripe's",
    "SIGNATURE": "its stripe-signature header",
}
"""What stands in the lines for a shop's own values."""

_KEY: Final = '-H "x-publishable-api-key: $KEY"'
_TOKEN: Final = '-H "x-modification-token: $TOKEN"'  # noqa: S105 (a variable of the shell)
_JSON: Final = "-H 'content-type: application/json'"
_ACCEPT: Final = {"text/html": "-H 'accept: text/html'", "text/plain": "-H 'accept: text/plain'"}
_CREDENTIALS: Final = {
    "publishable_key_missing": (_TOKEN,),
    "publishable_key_not_valid": ("-H 'x-publishable-api-key: pk_not_valid'", _TOKEN),
    "token_required": (_KEY,),
    "token_invalid": (_KEY, "-H 'x-modification-token: not-a-token'"),
    "token_expired": (_KEY, '-H "x-modification-token: $EXPIRED_TOKEN"'),
    "token_mismatch": (_KEY, '-H "x-modification-token: $TOKEN_OF_ANOTHER_ORDER"'),
}
"""Headers of the requests that lack a right, by the answer's name."""


def curl(path: str, method: str, operation: dict[str, Any], name: str, media: str) -> str:
    """Return the line that gets the answer ``name``, once the order or the service is in the state it describes."""
    target = f"$SHOP{path.replace('{order_id}', '$ORDER')}"
    if name == "uri_too_long":
        target += f"?$(printf %{MAX_TARGET_BYTES}s | tr ' ' x)"
    parts = ["curl"] if method == "get" else ["curl -X POST"]
    parts.append(f'"{target}"')
    if "security" in operation:
        parts += _CREDENTIALS.get(name, (_KEY, _TOKEN))
    elif method == "post" and name not in {"invalid_data", "request_timeout"}:
        parts.append('-H "stripe-signature: $SIGNATURE"')
    if name == "headers_too_large":
        parts.append(f"-H \"x-padding: $(printf %{MAX_HEADER_BYTES}s | tr ' ' x)\"")
    if media in _ACCEPT:
        parts.append(_ACCEPT[media])
    if name == "request_timeout":
        return "sleep 11 | " + _joined([*parts, "-T -"])
    if method == "post" and "security" not in operation:
        parts += [_JSON, "-d '{}'" if name == "invalid_data" else '-d "$EVENT"']
    elif method == "post":
        reason = "1" if name == "invalid_data" else '"changed_mind"'
        parts += [_JSON, f"-d '{{\"reason\": {reason}}}'"]
    line = _joined(parts)
    return f"for _ in $(seq 1000); do {line}; done" if name == "rate_limited" else line


def _joined(parts: list[str]) -> str:
    return " \\\n  ".join([" ".join(parts[:2]), *parts[2:]])
