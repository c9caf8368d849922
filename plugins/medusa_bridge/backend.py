"""Whether MEDUSA_BACKEND_URL and MEDUSA_SECRET_API_KEY are what they are taken for, asked once at the start."""

from __future__ import annotations

from typing import Final

import httpx

_TIMEOUT: Final = 3.0
_NOT_MEDUSA: Final = frozenset({301, 302, 303, 307, 308, 404, 405})
_GATEWAY: Final = frozenset({502, 503, 504})
"""What a proxy answers in place of a Medusa that is away."""


async def try_backend(backend_url: str, secret_api_key: str | None) -> tuple[str | None, str | None]:
    """Ask Medusa: why its answer refuses these settings, as a line that begins with one, and why it is away.

    Both are ``None`` when it answers as Medusa does. With a key it must be allowed to read reservations, which it is
    to delete later; without, nobody is signed in.
    """
    path = "/admin/users/me" if secret_api_key is None else "/admin/reservations?limit=1"
    auth = None if secret_api_key is None else httpx.BasicAuth(secret_api_key, "")
    try:
        async with httpx.AsyncClient(base_url=backend_url, auth=auth, timeout=_TIMEOUT) as http:
            answer = await http.get(path)
    except httpx.HTTPError as error:
        return None, type(error).__name__
    if answer.status_code in _GATEWAY:
        return None, f"{answer.status_code} is answered"
    if answer.status_code in _NOT_MEDUSA:
        refused = f"{answer.status_code} is answered to {path}: expected the address of Medusa itself"
        return f"MEDUSA_BACKEND_URL: {refused}", None
    if secret_api_key is not None and answer.status_code in {401, 403}:
        refused = f"Medusa answers {answer.status_code}: expected a secret API key that is not revoked"
        return f"MEDUSA_SECRET_API_KEY: {refused}", None
    return None, None
