"""Who works in the shop: Medusa's admin users, by Medusa's own sign-in."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from app.ports import Admin, Credential, SignInRefused, Unavailable

SESSION_COOKIE: Final = "connect.sid"
_PATIENCE: Final = 5.0
_SENDABLE: Final = re.compile(r"[\x20-\x7e]{1,8192}")
"""A header's value in printable ASCII: Medusa's tokens and cookies are nothing else."""


class MedusaAdmins:
    """``app.ports.Admins`` for Medusa v2: ``POST /auth/user/emailpass`` and ``GET /admin/users/me``."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    def open(cls, backend_url: str) -> MedusaAdmins:
        """For the Medusa at ``backend_url``. Close it at the end."""
        return cls(httpx.AsyncClient(base_url=backend_url, timeout=_PATIENCE, follow_redirects=False))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sign_in(self, email: str, password: str) -> tuple[Admin, Credential]:
        """See ``app.ports.Admins``."""
        answer = await self._send("POST", "/auth/user/emailpass", json={"email": email, "password": password})
        if answer.status_code in {400, 401, 403, 404}:
            raise SignInRefused
        body = _json(answer)
        token = body.get("token")
        if not isinstance(token, str):  # a second factor, or a provider of its own, is asked for
            raise SignInRefused(elsewhere=True)
        credential = Credential(authorization=f"Bearer {token}")
        admin = await self.whoami(cookie=None, authorization=credential.authorization)
        if admin is None:
            raise SignInRefused(elsewhere=True)
        return admin, credential

    async def whoami(self, *, cookie: str | None, authorization: str | None) -> Admin | None:
        """See ``app.ports.Admins``. What no header may carry is nobody's credential, and Medusa is not asked."""
        headers = {}
        if authorization is not None:
            headers["authorization"] = authorization.strip()
        if cookie is not None:
            headers["cookie"] = f"{SESSION_COOKIE}={cookie}"
        if not headers or not all(_SENDABLE.fullmatch(value) for value in headers.values()):
            return None
        answer = await self._send("GET", "/admin/users/me", headers=headers)
        if answer.status_code in {400, 401, 403, 404}:
            return None
        user = _json(answer).get("user")
        if not isinstance(user, dict) or not isinstance(user.get("email"), str):
            return None
        name = " ".join(part for part in (user.get("first_name"), user.get("last_name")) if isinstance(part, str))
        return Admin(id=str(user.get("id")), email=user["email"], name=name.strip())

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = f"Medusa does not answer: {type(error).__name__}"
            raise Unavailable(message) from error
        if answer.status_code == 429 or answer.status_code >= 500 or answer.is_redirect:
            message = f"Medusa answered {answer.status_code} to {path}"
            raise Unavailable(message)
        return answer


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError as error:
        message = "Medusa's answer is no JSON: is MEDUSA_BACKEND_URL its address?"
        raise Unavailable(message) from error
    return body if isinstance(body, dict) else {}
