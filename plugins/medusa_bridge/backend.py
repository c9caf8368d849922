"""Whether MEDUSA_BACKEND_URL and MEDUSA_SECRET_API_KEY are what they are taken for, asked once at the start."""

from __future__ import annotations

from typing import Final

import httpx

_TIMEOUT: Final = 3.0
_NOT_MEDUSA: Final = frozenset({301, 302, 303, 307, 308, 404, 405})


async def backend_problem(backend_url: str, secret_api_key: str | None) -> str | None:
    """What Medusa's answer says is wrong, as a line that begins with the setting. No answer is no problem.

    With a key it must be allowed to read reservations, which it is to delete later; without, nobody is signed in.
    """
    path = "/admin/users/me" if secret_api_key is None else "/admin/reservations?limit=1"
    auth = None if secret_api_key is None else httpx.BasicAuth(secret_api_key, "")
    try:
        async with httpx.AsyncClient(base_url=backend_url, auth=auth, timeout=_TIMEOUT) as http:
            answer = await http.get(path)
    except httpx.HTTPError:
        return None
    if answer.status_code in _NOT_MEDUSA:
        return f"MEDUSA_BACKEND_URL: {answer.status_code} is answered to {path}: expected the address of Medusa itself"
    if secret_api_key is not None and answer.status_code in {401, 403}:
        return (
            f"MEDUSA_SECRET_API_KEY: Medusa answers {answer.status_code}: expected a secret API key that is not revoked"
        )
    return None
