"""Every answer that the routes give, with an example of each. Refusals are made by the very code that refuses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from app.domain.cancellation import PaymentAction, Refusal
from app.domain.reasons import CancelReason
from app.domain.receipt import CanceledBy, OrderLine, SignedReceipt
from app.http import errors
from app.http.edge import MAX_HEAD_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from app.http.receipt_page import as_html, as_text
from app.http.store_orders import CanceledOrder
from app.usecases.preview_cancel import Preview
from app.usecases.read_receipt import Lack

JSON: Final = "application/json"
JWK_SET: Final = "application/jwk-set+json"

_ORDER: Final = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
_PLACED: Final = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the contract: a status, when it is given, and an example of its body."""

    status: int
    name: str
    when: str
    example: Any
    schema: str
    media: str = JSON
    retry_after: bool = False


def admission(key_problems: Mapping[str, str]) -> tuple[Answer, ...]:
    """What every route of an order may answer. ``key_problems`` are the shop's own sentences, by a name for each."""
    keys = [
        _refused(
            "publishable_key_" + name.replace(" ", "_"), f"the publishable key is {name}", errors.key_refused(message)
        )
        for name, message in key_problems.items()
    ]
    return (
        *keys,
        _refused("token_required", "nobody in particular is asking", errors.token_required()),
        _refused("token_invalid", "the token proves nothing", errors.token_rejected(expired=False)),
        _refused("token_expired", "the token is too old", errors.token_rejected(expired=True)),
        _refused(
            "token_mismatch",
            "a valid token, for another order or from before it changed hands",
            errors.token_mismatch(),
        ),
        _refused(
            "not_found",
            "no such order, or another customer's: which of them is not told",
            errors.order_not_found(_ORDER),
        ),
        _refused("rate_limited", "too many requests of an address or for an order", errors.rate_limited(50)),
        FAILED,
    )


def _refused(name: str, when: str, problem: errors.Problem) -> Answer:
    return Answer(
        status=problem.status,
        name=name,
        when=when,
        example=msgspec.to_builtins(problem.body),
        schema="ErrorBody",
        retry_after=problem.retry_after is not None,
    )


def _done(name: str, when: str, body: Any, *, media: str = JSON) -> Answer:
    return Answer(
        status=200, name=name, when=when, example=msgspec.to_builtins(body), schema=type(body).__name__, media=media
    )


FAILED: Final = _refused("unknown_error", "a defect of the sidecar; its log has the request id", errors.unexpected())

OVERSIZED: Final = (
    _refused("uri_too_long", "path and query string are too long", errors.target_too_long(MAX_TARGET_BYTES)),
    _refused(
        "headers_too_large",
        f"a header or all together are too large, or more than {MAX_HEADERS}",
        errors.headers_too_large(MAX_HEADER_BYTES, MAX_HEAD_BYTES),
    ),
)
"""Of any route, before anything else is looked at."""

_UNAVAILABLE: Final = _refused(
    "service_unavailable", "the database does not answer, or the order stays locked", errors.service_unavailable()
)

_TIMEOUT: Final = _refused("request_timeout", "the body did not arrive in time", errors.request_timeout())

_REFUSALS: Final = {
    Refusal.CAPTURED: "the money is captured",
    Refusal.COMPLETED: "the order is completed",
    Refusal.FULFILLED: "the order is being fulfilled",
    Refusal.CAPTURE_IN_FLIGHT: "a capture is in flight",
    Refusal.GRACE_PERIOD_OVER: "the grace period is over",
    Refusal.ORDER_CHANGE_PENDING: "an edit, a return, a claim or an exchange is open",
    Refusal.PAYMENT_UNKNOWN: "the order owes money, and its links do not lead to who pays it",
    Refusal.PARTIAL_CAPTURE: "a part of the money is captured",
}


def _canceled(action: PaymentAction, message: Literal["Already canceled"] | None = None) -> CanceledOrder:
    return CanceledOrder(order_id=_ORDER, status="canceled", payment_action=action, message=message)


CANCEL: Final = (
    _done("voided", "canceled; the hold is let go", _canceled(PaymentAction.VOIDED)),
    _done("void_pending", "canceled; Stripe has not answered yet", _canceled(PaymentAction.VOID_PENDING)),
    _done("void_failed", "canceled; the void is tried on, and a person is told", _canceled(PaymentAction.VOID_FAILED)),
    _done("none", "canceled; there was no hold", _canceled(PaymentAction.NONE)),
    _done("already_canceled", "canceled before", _canceled(PaymentAction.VOIDED, "Already canceled")),
    _refused(
        "invalid_data", "a wrong body", errors.invalid_data("Invalid request: reason must not contain NUL characters")
    ),
    _TIMEOUT,
    *(_refused(reason.value, when, errors.cancel_refused(reason)) for reason, when in _REFUSALS.items()),
    _UNAVAILABLE,
    _refused(
        "service_unavailable_unconfirmed",
        "the database went away during the commit: ask again",
        errors.service_unavailable(unconfirmed=True),
    ),
)

_REASONS: Final = (CancelReason("changed_mind", "I changed my mind"), CancelReason("too_slow", "Delivery is too slow"))


def _previewed(reason: str | None, action: PaymentAction) -> Preview:
    return Preview(
        order_id=_ORDER,
        cancelable=reason is None,
        reason=reason,
        cancelable_until=_PLACED.replace(hour=11),
        server_time=_PLACED.replace(minute=12, second=30),
        payment_action=action,
        reasons=_REASONS,
    )


PREVIEW: Final = (
    _done("cancelable", "a cancel would be accepted now", _previewed(None, PaymentAction.VOIDED)),
    _done("canceled", "it is done already", _previewed("canceled", PaymentAction.VOIDED)),
    *(_done(reason.value, when, _previewed(reason.value, PaymentAction.NONE)) for reason, when in _REFUSALS.items()),
    _UNAVAILABLE,
)


def _receipt(by: CanceledBy, *, signed: bool) -> SignedReceipt:
    chosen = by is not CanceledBy.SHOP
    return SignedReceipt(
        order_id=_ORDER,
        display_id="1042",
        canceled_at=_PLACED.replace(minute=12, second=31, microsecond=482_000),
        canceled_by=by,
        reason_code="changed_mind" if chosen else None,
        reason="I changed my mind" if chosen else None,
        items=(OrderLine(title="Shirt", subtitle="M", quantity=2),),
        total="29.74",
        currency="eur",
        payment_action=PaymentAction.VOIDED,
        issued_at=_PLACED.replace(minute=13),
        receipt="eyJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiIsInR5cCI6Ii4uLiJ9.eyIuLi4iOiIuLi4ifQ.c2lnbmF0dXJl"
        if signed
        else None,
    )


_SIGNED: Final = _receipt(CanceledBy.TOKEN, signed=True)

RECEIPT: Final = (
    _done("signed", "canceled, and attested", _SIGNED),
    _done("unsigned", "canceled, by a shop without RECEIPT_SIGNING_KEY", _receipt(CanceledBy.CUSTOMER, signed=False)),
    _done("by_the_shop", "canceled in Medusa's admin", _receipt(CanceledBy.SHOP, signed=True)),
    Answer(
        status=200,
        name="page",
        when="for Accept: text/html",
        example=as_html(_SIGNED),
        schema="Text",
        media="text/html",
    ),
    Answer(
        status=200,
        name="text",
        when="for Accept: text/plain",
        example=as_text(_SIGNED),
        schema="Text",
        media="text/plain",
    ),
    _refused("no_receipt", "the order is not canceled", errors.no_receipt(Lack.NOT_CANCELED)),
    _refused("no_receipt_time", "canceled, and no row says when", errors.no_receipt(Lack.TIME_UNKNOWN)),
    _refused("service_unavailable", "the database does not answer", errors.receipt_unavailable()),
)

# The key of RFC 8037's appendix, so that nobody takes it for a shop's.
_JWK: Final = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "use": "sig",
    "alg": "EdDSA",
}

KEYS: Final = (
    Answer(status=200, name="one", when="always", example={"keys": [_JWK]}, schema="JwkSet", media=JWK_SET),
    Answer(
        status=200,
        name="none",
        when="without RECEIPT_SIGNING_KEY",
        example={"keys": []},
        schema="JwkSet",
        media=JWK_SET,
    ),
)

HOOK: Final = (
    Answer(status=200, name="received", when="taken in", example={"received": True}, schema="Received"),
    _refused(
        "invalid_data",
        "not signed by Stripe, too old or of the future, or unreadable",
        errors.invalid_data("Invalid webhook: the signature does not fit the body"),
    ),
    _TIMEOUT,
    _refused("rate_limited", "too many webhooks of an address", errors.rate_limited(50)),
    _refused("not_found", "STRIPE_WEBHOOK_SECRET is not set", errors.no_such_route()),
    _refused(
        "service_unavailable", "the database does not answer: Stripe sends it again", errors.service_unavailable()
    ),
    FAILED,
)

LIVE: Final = (
    Answer(status=200, name="ok", when="as long as the process answers", example={"status": "ok"}, schema="Health"),
)

_WELL: Final = {"status": "ok", "detail": None}

READY: Final = (
    Answer(
        status=200,
        name="ok",
        when="the database answers",
        example={"status": "ok", "checks": dict.fromkeys(("database", "migrations", "worker", "redis"), _WELL)},
        schema="Health",
    ),
    Answer(
        status=503,
        name="unavailable",
        when="it does not",
        example={
            "status": "unavailable",
            "checks": {
                "database": {"status": "failed", "detail": "health: ConnectionRefusedError"},
                "redis": _WELL,
            },
        },
        schema="Health",
    ),
)
