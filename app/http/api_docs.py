"""``/openapi.json`` and ``/docs``: the contract as the handlers tell it, served offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from app.http import errors
from app.http.answers import JSON, described
from app.http.contract_page import POLICY, as_page
from app.http.store_orders import CancelBody

VERSION: Final = "1"
"""Of the contract. Fields and codes may be added to it; what is there stays."""
_ERROR: Final = {"$ref": f"#/components/schemas/{errors.ErrorBody.__name__}"}
_CACHED: Final = "public, max-age=300"
"""Does not depend on the request, and changes with an upgrade only."""
_WAIT: Final = {"retry-after": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
_SECURITY: Final = {
    "publishableKey": SecurityScheme(type="apiKey", security_scheme_in="header", name="x-publishable-api-key"),
    "modificationToken": SecurityScheme(
        type="apiKey",
        security_scheme_in="header",
        name="x-modification-token",
        description="A JWT for one order, with order_id and exp. It goes before a customer token.",
    ),
    "customer": SecurityScheme(type="http", scheme="bearer", description="A customer token of Medusa."),
}


def describe(handlers: list[HTTPRouteHandler], key_problems: Mapping[str, str]) -> bytes:
    """The OpenAPI 3.1 document of the handlers. ``key_problems`` are the shop's own sentences about publishable keys,
    by a name for each."""
    config = OpenAPIConfig(
        title="medusa-grace",
        version=VERSION,
        description="Lets a shopper cancel a whole order of a Medusa v2 shop within a grace period. "
        "Messages are written for shoppers; codes are for programs.",
        components=Components(security_schemes=dict(_SECURITY)),
    )
    desk = Provide(lambda: None, sync_to_thread=False)
    app = Litestar(handlers, dependencies={"desk": desk}, openapi_config=config, logging_config=None)
    document = app.openapi_schema.to_schema()
    document["components"]["schemas"] = _shapes(handlers)
    for operation in (operation for item in document["paths"].values() for operation in item.values()):
        if "security" in operation:
            _add_key_problems(operation, key_problems)
        for status, response in operation["responses"].items():
            for content in response["content"].values():
                for example in content["examples"].values():
                    example.pop("id", None)  # Litestar's name for it, which OpenAPI has as the key alone
            if status in {"429", "503"} and response["content"][JSON]["schema"] == _ERROR:
                response["headers"] = _WAIT
    return msgspec.json.encode(document)


def _shapes(handlers: Iterable[HTTPRouteHandler]) -> dict[str, Any]:
    """Schemas as msgspec knows the structs that are sent and taken."""
    sent = [spec.data_container for handler in handlers for spec in (handler.responses or {}).values()]
    _, shapes = msgspec.json.schema_components([*sent, CancelBody], ref_template="#/components/schemas/{name}")
    return shapes


def _add_key_problems(operation: dict[str, Any], key_problems: Mapping[str, str]) -> None:
    """The 400 that every route with a publishable key may answer, in the place of Litestar's own."""
    examples = operation["responses"]["400"]["content"][JSON].get("examples", {})
    for name, message in key_problems.items():
        when = f"the publishable key is {name}"
        body = errors.key_refused(message).body
        examples[f"publishable_key_{name.replace(' ', '_')}"] = {"summary": when, "value": body}
    operation["responses"]["400"] = {
        "description": described(example["summary"] for example in examples.values()),
        "content": {JSON: {"schema": _ERROR, "examples": examples}},
    }


def api_docs(handlers: list[HTTPRouteHandler], key_problems: Mapping[str, str]) -> list[HTTPRouteHandler]:
    """The routes that tell the contract of ``handlers``."""
    raw = describe(handlers, key_problems)
    page = as_page(msgspec.json.decode(raw)).encode()

    @get("/openapi.json")
    async def openapi() -> Response[bytes]:
        """The OpenAPI document."""
        return Response(raw, headers={"content-type": "application/json; charset=utf-8", "cache-control": _CACHED})

    @get("/docs")
    async def docs() -> Response[bytes]:
        """The same for people."""
        headers = {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": POLICY,
            "cache-control": _CACHED,
        }
        return Response(page, headers=headers)

    return [openapi, docs]
