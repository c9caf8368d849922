"""Medusa's CORS rules for the paths that this sidecar answers.

Medusa answers a preflight only for routes that it has, so a sidecar answers for the routes that it adds. Source: the
headers that Medusa 2.21.2 was seen to send.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.origins import AllowedOrigins

__all__ = ["AllowedOrigins", "MedusaCors"]

_METHODS: Final = "GET,HEAD,PUT,PATCH,POST,DELETE"


class MedusaCors:
    """Around the whole application: answers preflights of paths under ``prefix`` and adds the headers to every other
    answer, to those for wrong methods and paths too, which no middleware of Litestar's sees."""

    def __init__(self, app: ASGIApp, prefix: str, origins: AllowedOrigins) -> None:
        self._app = app
        self._prefix = prefix
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin")
        allowed = origin if self._origins.allow(origin) else None
        if scope.get("method") == "OPTIONS" and "access-control-request-method" in headers:
            await _answer_preflight(send, allowed, headers.get("access-control-request-headers"))
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableScopeHeaders.from_message(message)
                if allowed is not None:
                    answer["access-control-allow-origin"] = allowed
                answer["access-control-allow-credentials"] = "true"
                answer.extend_header_value("vary", "Origin")
            await send(message)

        await self._app(scope, receive, with_headers)


async def _answer_preflight(send: Send, allowed: str | None, asked: str | None) -> None:
    headers: list[tuple[str, str]] = [
        ("vary", "Origin, Access-Control-Request-Headers"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", _METHODS),
        ("content-length", "0"),
    ]
    if allowed is not None:
        headers.append(("access-control-allow-origin", allowed))
    if asked is not None:
        headers.append(("access-control-allow-headers", asked))
    start: Any = {"type": "http.response.start", "status": 204, "headers": _encoded(headers)}
    await send(start)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
