"""Requests to Medusa's HTTP API, whose failures say that Medusa is away."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from app.ports import Unavailable

SESSION_COOKIE: Final = "connect.sid"
SENDABLE: Final = re.compile(r"[\x20-\x7e]{1,8192}")
"""A header's value in printable ASCII: Medusa's tokens and cookies are nothing else."""
REFUSED: Final = frozenset({400, 401, 403, 404})
"""Statuses that mean: no, by these credentials."""


async def send(http: httpx.AsyncClient, method: str, path: str, **request: Any) -> httpx.Response:
    """Send a request. Raises ``Unavailable`` where Medusa does not answer it."""
    try:
        answer = await http.request(method, path, **request)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"Medusa does not answer: {type(error).__name__}"
        raise Unavailable(message) from error
    if answer.status_code == 429 or answer.status_code >= 500 or answer.is_redirect:
        message = f"Medusa answered {answer.status_code} to {path}"
        raise Unavailable(message)
    return answer


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises ``Unavailable`` for what is no JSON."""
    try:
        body = answer.json()
    except ValueError as error:
        message = "Medusa's answer is no JSON: is MEDUSA_BACKEND_URL its address?"
        raise Unavailable(message) from error
    return body if isinstance(body, dict) else {}
