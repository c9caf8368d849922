"""Reads the form encoding that Stripe's clients send (docs.stripe.com/api, "form-encoded request bodies")."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from app.embedded.stripe_sandbox.errors import invalid

Params = dict[str, Any]

_STEP = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")
_METADATA_KEYS = 50


def parse_form(raw: str) -> Params:
    """``a[b][0]=c`` as ``{"a": {"b": ["c"]}}``."""
    tree: Params = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        if "[" not in name:
            tree[name] = value
            continue
        *path, last = _STEP.findall(name)
        node = tree
        for step in path:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                raise invalid(f"Invalid parameter: {name}", name)
        node[last or str(len(node))] = value
    return {name: _with_lists(value) for name, value in tree.items()}


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(step.isdigit() for step in node):
        return [_with_lists(node[step]) for step in sorted(node, key=int)]
    return {step: _with_lists(value) for step, value in node.items()}


def positive(params: Params, name: str) -> int | None:
    """A whole amount in the smallest unit of the currency (docs.stripe.com/currencies#minor-units)."""
    given = params.get(name)
    if given is None:
        return None
    try:
        number = int(given)
    except (TypeError, ValueError):
        raise invalid(f"Invalid integer: {given}", name, "parameter_invalid_integer") from None
    if number < 1:
        raise invalid("This value must be greater than or equal to 1.", name, "parameter_invalid_integer")
    return number


def required(params: Params, name: str) -> Any:
    """A parameter that must be there (docs.stripe.com/error-codes#parameter-missing)."""
    if params.get(name) in (None, ""):
        raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    return params[name]


def one_of(params: Params, name: str, allowed: Iterable[str]) -> str | None:
    """A parameter with a fixed set of values."""
    given = params.get(name)
    if given and given not in allowed:
        raise invalid(f"Invalid {name}: must be one of {', '.join(allowed)}", name)
    return given or None


def truthy(params: Params, name: str) -> bool:
    """A boolean as forms spell it."""
    return params.get(name) == "true"


def only(params: Params, known: frozenset[str]) -> None:
    """Refuses a parameter the endpoint does not have (docs.stripe.com/error-codes#parameter-unknown)."""
    for name in params:
        if name not in known:
            raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")


def merge_metadata(old: dict[str, str], given: Any) -> dict[str, str]:
    """New values replace, empty ones unset, an empty ``metadata`` clears (docs.stripe.com/api/metadata)."""
    if given is None:
        return old
    if given == "":
        return {}
    if not isinstance(given, dict):
        raise invalid("Invalid object", "metadata")
    merged = {name: value for name, value in {**old, **given}.items() if value != ""}
    if len(merged) > _METADATA_KEYS:
        raise invalid(f"Metadata can have at most {_METADATA_KEYS} keys.", "metadata")
    return merged
