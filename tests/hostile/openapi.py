"""The contract as an OpenAPI document, made by hand: the app serves none."""

from __future__ import annotations

from typing import Any

_ERROR = {
    "type": "object",
    "required": ["type", "message"],
    "properties": {name: {"type": "string"} for name in ("code", "type", "message", "reason")},
    "additionalProperties": False,
}
_CANCELED = {
    "type": "object",
    "required": ["order_id", "status", "payment_action"],
    "properties": {
        "order_id": {"type": "string"},
        "status": {"const": "canceled"},
        "payment_action": {"enum": ["voided", "void_pending", "void_failed", "none"]},
        "message": {"const": "Already canceled"},
    },
    "additionalProperties": False,
}
_PREVIEW = {"type": "object", "required": ["cancelable", "server_time"]}
_REASON = {"type": "object", "properties": {"reason": {"type": ["string", "null"], "maxLength": 500}}}
_PARAMETERS: list[dict[str, Any]] = [
    {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
    *(
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
        for name in ("x-publishable-api-key", "x-modification-token", "x-forwarded-for")
    ),
]


def _answers(good: dict[str, Any], *refusals: int) -> dict[str, Any]:
    described = {str(status): {"description": "refused", "content": _json(_ERROR)} for status in refusals}
    return {"200": {"description": "done", "content": _json(good)}, **described}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "medusa-grace", "version": "1"},
    "paths": {
        "/store/orders/{order_id}/cancel": {
            "parameters": _PARAMETERS,
            "post": {
                "requestBody": {"required": False, "content": _json({**_REASON, "additionalProperties": False})},
                "responses": _answers(_CANCELED, 400, 401, 403, 404, 409, 413, 422, 429, 503),
            },
            "get": {"responses": _answers(_PREVIEW, 400, 401, 403, 404, 429, 503)},
        },
        "/hooks/stripe": {
            "post": {
                "parameters": [{"name": "stripe-signature", "in": "header", "schema": {"type": "string"}}],
                "requestBody": {"required": False, "content": _json({})},
                "responses": _answers({"type": "object"}, 400, 404, 413, 503),
            }
        },
    },
}
