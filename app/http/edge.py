"""The outermost layer: bounds on a request's head before anything parses it, and ``no-store`` on every answer."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.plugins import InitPlugin
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.http import errors

MAX_TARGET_BYTES: Final = 8 * 1024
"""Path and query string, as nginx bounds them by default."""
MAX_HEADER_BYTES: Final = 16 * 1024
"""One header, its name included. Medusa's own server takes no more for all of them."""
MAX_HEAD_BYTES: Final = 32 * 1024
"""All headers together."""
MAX_HEADERS: Final = 100
"""hyper's own limit, which a server other than granian need not have."""


class EdgePlugin(InitPlugin):
    """Puts ``Edge`` around everything that other plugins put around the application: name it last."""

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Wrap when the application starts, after the plugins before."""
        app_config.on_startup.append(self._wrap)
        return app_config

    def _wrap(self, app: Litestar) -> None:
        app.asgi_handler = Edge(app.asgi_handler)


class Edge:
    """ASGI middleware. Refuses an oversized head with 414 or 431, and adds ``cache-control: no-store`` to an answer
    that does not say how long it may be kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        async def send_uncached(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        problem = _oversized(scope)
        if problem is None:
            await self._app(scope, receive, send_uncached)
        else:
            await _refuse(problem, send_uncached)


def _oversized(scope: Scope) -> errors.Problem | None:
    target = len(scope.get("raw_path") or scope["path"].encode(errors="replace")) + len(scope["query_string"])
    if target > MAX_TARGET_BYTES:
        return errors.target_too_long(MAX_TARGET_BYTES)
    headers = scope["headers"]
    sizes = [len(name) + len(value) for name, value in headers]
    if len(sizes) > MAX_HEADERS or max(sizes, default=0) > MAX_HEADER_BYTES or sum(sizes) > MAX_HEAD_BYTES:
        return errors.headers_too_large(MAX_HEADER_BYTES, MAX_HEAD_BYTES)
    return None


async def _refuse(problem: errors.Problem, send: Send) -> None:
    body = msgspec.json.encode(problem.body)
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    start: Any = {"type": "http.response.start", "status": problem.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
