"""The OpenAPI 3.1 document: shapes from the structs that are answered, examples from ``answers``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from app.domain.receipt import SignedReceipt
from app.http.contract.answers import CANCEL, HOOK, KEYS, LIVE, OVERSIZED, PREVIEW, READY, RECEIPT, Answer, admission
from app.http.errors import ErrorBody
from app.http.store_orders import CancelBody, CanceledOrder
from app.usecases.preview_cancel import Preview

VERSION: Final = "1"
"""Of the contract. Fields and codes may be added to it; what is there stays."""

_STRUCTS: Final = (CancelBody, CanceledOrder, Preview, SignedReceipt, ErrorBody)

_BY_HAND: Final[dict[str, Any]] = {
    "Text": {"type": "string"},
    "JwkSet": {
        "description": "RFC 7517. Each key has its RFC 7638 thumbprint as kid.",
        "type": "object",
        "required": ["keys"],
        "properties": {
            "keys": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["kty", "crv", "x", "kid", "use", "alg"],
                    "properties": {
                        "kty": {"const": "OKP"},
                        "crv": {"const": "Ed25519"},
                        "x": {"type": "string"},
                        "kid": {"type": "string"},
                        "use": {"const": "sig"},
                        "alg": {"const": "EdDSA"},
                    },
                },
            }
        },
    },
    "Received": {"type": "object", "required": ["received"], "properties": {"received": {"const": True}}},
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"enum": ["ok", "degraded", "unavailable"]},
            "checks": {
                "description": "By name. Redis and workers are not needed to cancel: degraded, when they are away.",
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {
                        "status": {"enum": ["ok", "warning", "failed"]},
                        "detail": {"type": ["string", "null"]},
                    },
                },
            },
        },
    },
}

_MEANINGS: Final = {
    "CancelBody": {"reason": "A code of the list that GET answers as reasons, or free text."},
    "CanceledOrder": {"message": "Only where the order was canceled before."},
    "Preview": {
        "reason": "Why not; canceled when it is done already.",
        "cancelable_until": "The end of the grace period. A request received at this very moment is too late.",
        "server_time": "The clock that the grace period is measured by.",
        "reasons": "What a shopper may choose from; empty when the shop offers nothing.",
    },
    "SignedReceipt": {
        "display_id": "The number that the shopper knows the order by.",
        "canceled_by": "token: with the link of the confirmation; customer: signed in; shop: not through this API.",
        "reason_code": "A code of the shop's list, when one was given.",
        "reason": "Its label at the time of the cancellation, or what the shopper wrote.",
        "total": "Major units with the currency's decimals.",
        "currency": "ISO 4217, lower case.",
        "issued_at": "The time of this answer; payment_action is of then.",
        "receipt": "A compact JWS (EdDSA) whose payload is the JSON of all the other fields; null without a key.",
    },
    "ErrorBody": {
        "code": "Missing where Medusa's own body has none.",
        "message": "For shoppers: Medusa's js-sdk passes on nothing else.",
        "reason": "Where a code has several causes.",
    },
}

_SECURITY: Final = {
    "publishableKey": {"type": "apiKey", "in": "header", "name": "x-publishable-api-key"},
    "modificationToken": {
        "type": "apiKey",
        "in": "header",
        "name": "x-modification-token",
        "description": "A JWT for one order, with order_id and exp. It goes before a customer token.",
    },
    "customer": {"type": "http", "scheme": "bearer", "description": "A customer token of Medusa."},
}

_ORDER_ID: Final = {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def build_document(key_problems: Mapping[str, str]) -> dict[str, Any]:
    """The document. ``key_problems`` are the shop's own sentences about publishable keys, by a name for each."""
    at_the_desk = admission(key_problems)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "medusa-grace",
            "version": VERSION,
            "description": "Lets a shopper cancel a whole order of a Medusa v2 shop within a grace period. "
            "Messages are written for shoppers; codes are for programs.",
        },
        "paths": {
            "/store/orders/{order_id}/cancel": {
                "parameters": [_ORDER_ID],
                "post": _of_an_order(
                    "cancelOrder",
                    "Cancel an order",
                    "Within its grace period. Safe to repeat. A reason is a code of those GET answers, or text.",
                    (*CANCEL, *at_the_desk),
                    body="CancelBody",
                ),
                "get": _of_an_order(
                    "previewCancel",
                    "Tell what a cancel would do",
                    "For a button and a countdown: count down by server_time, not by the shopper's clock. No promise.",
                    (*PREVIEW, *at_the_desk),
                ),
            },
            "/store/orders/{order_id}/cancellation": {
                "parameters": [_ORDER_ID],
                "get": _of_an_order(
                    "readReceipt",
                    "Confirm a cancellation",
                    "To be kept: JSON, or a page (Accept: text/html) or a text (text/plain) to save and print. receipt "
                    "is a compact JWS over all the other fields. Refusals are JSON whatever is accepted.",
                    (*RECEIPT, *at_the_desk),
                ),
            },
            "/store/cancellation-keys": {
                "get": _operation(
                    "readKeys",
                    "The public keys of receipts",
                    "For anybody, without a publishable key. Cacheable.",
                    KEYS,
                )
            },
            "/hooks/stripe": {
                "post": {
                    **_operation("takeHint", "Stripe's webhooks", "Only hints to look; see the README.", HOOK),
                    "parameters": [{"name": "stripe-signature", "in": "header", "schema": {"type": "string"}}],
                    "requestBody": {"required": False, "content": {"application/json": {"schema": {}}}},
                }
            },
            "/health/live": {"get": _operation("live", "Is the process alive?", "", LIVE)},
            "/health/ready": {"get": _operation("ready", "Can orders be canceled?", "Redis is not needed to.", READY)},
        },
        "components": {"schemas": _schemas(), "securitySchemes": _SECURITY},
    }


def _of_an_order(
    id_: str, summary: str, description: str, answers: Iterable[Answer], *, body: str | None = None
) -> dict[str, Any]:
    operation = _operation(id_, summary, description, answers)
    operation["security"] = [
        {"publishableKey": [], "modificationToken": []},
        {"publishableKey": [], "customer": []},
    ]
    if body is not None:
        examples = {
            "code": {"value": {"reason": "changed_mind"}},
            "free_text": {"value": {"reason": "Ordered twice."}},
            "none": {"value": {}},
        }
        operation["requestBody"] = {
            "required": False,
            "content": {"application/json": {"schema": _ref(body), "examples": examples}},
        }
    return operation


def _operation(id_: str, summary: str, description: str, answers: Iterable[Answer]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in sorted((*answers, *OVERSIZED), key=lambda answer: answer.status):
        response = responses.setdefault(str(answer.status), {"description": "", "content": {}})
        response["description"] += f"{'; ' if response['description'] else ''}{answer.when}"
        content = response["content"].setdefault(answer.media, {"schema": _ref(answer.schema), "examples": {}})
        content["examples"][answer.name] = {"summary": answer.when, "value": answer.example}
        if answer.retry_after:
            seconds = {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}
            response["headers"] = {"retry-after": seconds}
    return {"operationId": id_, "summary": summary, "description": description, "responses": responses}


def _schemas() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    for shape, fields in _MEANINGS.items():
        for field, meaning in fields.items():
            components[shape]["properties"][field]["description"] = meaning
    return {**components, **_BY_HAND}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
