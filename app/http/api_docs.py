"""``/openapi.json`` and ``/docs``: the contract, served offline."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from app.http.contract import as_page, build_document
from app.http.contract.page import POLICY

_CACHED: Final = "public, max-age=300"
"""Does not depend on the request, and changes with an upgrade only."""


def api_docs(key_problems: dict[str, str]) -> list[HTTPRouteHandler]:
    """The routes. ``key_problems`` are the shop's own sentences about publishable keys."""
    document: dict[str, Any] = build_document(key_problems)
    raw, page = msgspec.json.encode(document), as_page(document).encode()

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
