"""Stripe's webhooks: verified, then taken as nothing but a hint to look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import stripe

from app.ports import Hint, HintRejected

TOLERANCE: Final = 300
"""Seconds between Stripe's signature and our clock. Source: docs.stripe.com/webhooks/signature."""

_ABOUT_INTENTS: Final = frozenset({"payment_intent.canceled", "payment_intent.succeeded"})
_ABOUT_CHARGES: Final = frozenset({"charge.refunded"})


class StripeHints:
    """``app.ports.Hints``. Without a secret nothing is taken: an empty key can be forged by anybody."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)

    @property
    def expected(self) -> bool:
        """See ``app.ports.Hints``."""
        return bool(self._secrets)

    def read(self, body: bytes, signature: str) -> Hint | None:
        """See ``app.ports.Hints``."""
        self._verify(body, signature)
        try:
            event: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
            return _hint(event)
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = "the body is not an event of Stripe's"
            raise HintRejected(message) from error

    def _verify(self, body: bytes, signature: str) -> None:
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise HintRejected("the body is not UTF-8") from error
        for secret in self._secrets:
            try:
                if stripe.WebhookSignature.verify_header(text, signature, secret, TOLERANCE):
                    return
            except (stripe.SignatureVerificationError, ValueError, TypeError):
                continue
        raise HintRejected("the signature does not fit the body")


def _hint(event: dict[str, Any]) -> Hint | None:
    """``None`` for events that cannot concern a hold of ours."""
    type_, object_ = event["type"], event["data"]["object"]
    if type_ in _ABOUT_INTENTS:
        intent_id = object_["id"]
    elif type_ in _ABOUT_CHARGES:
        intent_id = object_.get("payment_intent")
    else:
        return None
    session = (object_.get("metadata") or {}).get("session_id", "")
    values = (event["id"], type_, intent_id, session)
    if not all(isinstance(value, str) and "\x00" not in value for value in values):
        return None
    return Hint(id=event["id"], type=type_, intent_id=intent_id, session=session)
