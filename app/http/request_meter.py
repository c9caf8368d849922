"""Count and time the answers to requests."""

from __future__ import annotations

import time
from typing import Any, Final

from litestar import Request
from litestar.types import Message, Scope

from app.http import errors
from app.meters import record_request

_BEGAN: Final = "grace_began"


def request_meter() -> tuple[Any, Any]:
    """Two hooks for Litestar, ``before_request`` and ``before_send``, that measure every answer of a known route."""

    async def begin(request: Request[Any, Any, Any]) -> None:
        request.scope["state"][_BEGAN] = time.monotonic()

    async def end(message: Message, scope: Scope) -> None:
        began = scope.get("state", {}).get(_BEGAN)
        if message["type"] != "http.response.start" or began is None:
            return
        record_request(
            method=str(scope.get("method", "")),
            route=str(scope.get("path_template", "")),
            status=message["status"],
            outcome=scope["state"].get(errors.OUTCOME, f"status_{message['status']}"),
            seconds=time.monotonic() - began,
        )

    return begin, end
