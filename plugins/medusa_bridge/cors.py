"""Medusa's CORS rules for the paths that this sidecar answers.

Medusa answers a preflight only for routes that it has, so whoever adds a route answers for it. Sources: Medusa
2.21.2's parseCorsOrigins and buildRegexpIfValid, and the headers it was seen to send.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_AS_REGEX: Final = re.compile(r"^([/~@;%#'])(.*?)\1([gimsuy]*)$")
_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
LONGEST_ORIGIN: Final = 300
"""Scheme, a host name of 253 characters and a port. A shop's pattern that backtracks is not tried on more."""
_METHODS: Final = "GET,HEAD,PUT,PATCH,POST,DELETE"


class AllowedOrigins:
    """``STORE_CORS`` or ``ADMIN_CORS``: origins, or regular expressions between delimiters, parted by commas, never
    trimmed."""

    def __init__(self, setting: str) -> None:
        parts = setting.split(",") if setting else []
        self._exact = set()
        self._patterns = []
        for part in parts:
            pattern = _regex(part)
            if pattern is None:
                self._exact.add(part)
            else:
                self._patterns.append(pattern)

    def allow(self, origin: str | None) -> bool:
        """Whether a page of ``origin`` may read the answer."""
        if origin is None or len(origin) > LONGEST_ORIGIN:
            return False
        return origin in self._exact or any(pattern.search(origin) for pattern in self._patterns)


def _regex(part: str) -> re.Pattern[str] | None:
    match = _AS_REGEX.match(part)
    if match is None or len(set(match[3])) != len(match[3]):
        return None
    flags = 0
    for flag in match[3]:
        flags |= _FLAGS.get(flag, 0)
    try:
        return re.compile(match[2], flags)
    except re.error:
        return None


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
