"""A span around every request but the probes', a child of the one that its ``traceparent`` header names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from litestar import Request
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.ports import Origin
from app.tracing import Tracing

TRACEPARENT: Final = "traceparent"
"""Where a request's state has the span's own traceparent."""


def origin_of(request: Request[Any, Any, Any], request_id: str | None = None) -> Origin:
    """What the jobs that the request makes go back to."""
    return Origin(request_id, request.state.get(TRACEPARENT))


class TracingMiddleware(ASGIMiddleware):
    """For an application whose ``tracing`` is known once it has started."""

    def __init__(self, tracing: Callable[[], Tracing]) -> None:
        self._tracing = tracing

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """See Litestar."""
        template = scope.get("path_template", "")
        if template.startswith("/health/"):  # every few seconds, and about no order
            await next_app(scope, receive, send)
            return
        headers = dict(scope.get("headers", []))
        parent = headers.get(b"traceparent", b"").decode("latin-1") or None
        name = f"{scope.get('method', '')} {template}"
        with self._tracing().span(name, parent=parent) as traceparent:
            scope.setdefault("state", {})[TRACEPARENT] = traceparent
            await next_app(scope, receive, send)
