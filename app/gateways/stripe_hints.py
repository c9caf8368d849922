"""Stripe's webhooks: verified, then taken as nothing but a hint to look."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import stripe

from app.ports import Hint, HintRejected

TOLERANCE: Final = 300
"""Seconds between Stripe's signature and our clock, either way. Source: docs.stripe.com/webhooks/signature."""

_SIGNATURE: Final = re.compile(r"t=([0-9]{1,12})(?:,v[0-9]+=[0-9a-f]{64}){1,16}")
"""Stripe sends one ``v1`` for each secret of a rotation, and a ``v0`` in test mode."""
_EVENT_ID: Final = re.compile(r"evt_[A-Za-z0-9_]{1,251}")
_EVENT_TYPE: Final = re.compile(r"[a-z0-9_.]{1,128}")
_INTENT_ID: Final = re.compile(r"pi_[A-Za-z0-9_]{1,252}")
_SESSION_ID: Final = re.compile(r"[\x21-\x7e]{0,255}")

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

    def check_signature(self, headers: Sequence[str]) -> str:
        """See ``app.ports.Hints``."""
        if len(headers) != 1:
            raise HintRejected(f"expected one Stripe-Signature header, got {len(headers)}")
        form = _SIGNATURE.fullmatch(headers[0])
        if form is None:
            raise HintRejected("the Stripe-Signature header is not of the form t=TIME,v1=SIGNATURE")
        if abs(time.time() - int(form[1])) > TOLERANCE:
            raise HintRejected(f"the signature's time is more than {TOLERANCE} s from ours")
        return headers[0]

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
    id_, type_, object_ = event["id"], event["type"], event["data"]["object"]
    if not _matches(_EVENT_ID, id_) or not _matches(_EVENT_TYPE, type_):
        raise HintRejected("the event's id or type is not of Stripe's form")
    if type_ in _ABOUT_INTENTS:
        intent_id = object_["id"]
    elif type_ in _ABOUT_CHARGES:
        intent_id = object_.get("payment_intent")
    else:
        return None
    session = (object_.get("metadata") or {}).get("session_id", "")
    if not _matches(_INTENT_ID, intent_id) or not _matches(_SESSION_ID, session):
        return None
    return Hint(id=id_, type=type_, intent_id=intent_id, session=session)


def _matches(form: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None
