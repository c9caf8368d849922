"""Who works in the shop: Medusa's admin users, by Medusa's own sign-in."""

from __future__ import annotations

from typing import Final

import httpx

from app.ports import Admin, Credential, SignInRefused
from plugins.medusa_bridge.medusa_api import REFUSED, SENDABLE, SESSION_COOKIE, body_of, send

_PATIENCE: Final = 5.0


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
        answer = await send(self._http, "POST", "/auth/user/emailpass", json={"email": email, "password": password})
        if answer.status_code in REFUSED:
            raise SignInRefused
        body = body_of(answer)
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
        if not headers or not all(SENDABLE.fullmatch(value) for value in headers.values()):
            return None
        answer = await send(self._http, "GET", "/admin/users/me", headers=headers)
        if answer.status_code in REFUSED:
            return None
        user = body_of(answer).get("user")
        if not isinstance(user, dict) or not isinstance(user.get("email"), str):
            return None
        name = " ".join(part for part in (user.get("first_name"), user.get("last_name")) if isinstance(part, str))
        return Admin(id=str(user.get("id")), email=user["email"], name=name.strip())
