"""The operator's API of the sidecar, with answers that a test sets."""

from __future__ import annotations

import json
from typing import Any

import httpx

_API = "/grace/api/orders/"
_ERRORS = {401: ("unauthorized", "Sign in to Medusa's admin"), 404: ("not_found", "Order id not found")}


class StandIn:
    """An ASGI application that answers those whom Medusa knows as its users, as the sidecar does."""

    def __init__(self, medusa: str):
        self._medusa = medusa
        self.answers: dict[str, Any] = {}
        """By order: the JSON, or a number for that status, or text for a page that is not JSON."""

    def cancellation(self, order_id: str, **more: Any) -> None:
        """A shopper's cancel ten seconds after two on a winter's afternoon, its hold let go; ``more`` overrides."""
        canceled = {
            "order_id": order_id,
            "canceled": True,
            "canceled_at": "2026-11-23T13:00:10.123456+00:00",
            "canceled_by": "token",
            "reason": "Ordered the wrong size",
            "payment_action": "voided",
            "incidents": [],
            "url": f"/grace/orders/{order_id}",
        }
        self.answers[order_id] = canceled | more

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, body = await self._answer(scope["path"], headers)
        kind = b"text/html" if isinstance(body, str) else b"application/json"
        content = body if isinstance(body, str) else json.dumps(body)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": content.encode()})

    async def _answer(self, path: str, headers: dict[str, str]) -> tuple[int, Any]:
        shown = {name: headers[name] for name in ("cookie", "authorization") if name in headers}
        async with httpx.AsyncClient(base_url=self._medusa, headers=shown, timeout=60) as medusa:
            signed_in = (await medusa.get("/admin/users/me")).is_success
        answer = self.answers.get(path.removeprefix(_API), 404) if signed_in else 401
        if isinstance(answer, int):
            kind, message = _ERRORS[answer]
            return answer, {"type": kind, "code": kind, "message": message}
        return 200, answer
