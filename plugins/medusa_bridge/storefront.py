"""Who is asking: publishable keys, customer tokens and sessions, checked as Medusa checks them."""

from __future__ import annotations

import re
from typing import Final

from app.ports import TokenRejected
from plugins.medusa_bridge.customers import CustomerSessions, CustomerTokens
from plugins.medusa_bridge.medusa_api import SESSION_COOKIE

_CUSTOMER_ID: Final = re.compile(r"[\x21-\x7e]{1,255}")
"""Medusa's are ``cus_`` and a ULID. What cannot be one is not asked for, counted or logged."""

KEY_MISSING: Final = (
    "Publishable API key required in the request header: x-publishable-api-key. "
    "You can manage your keys in settings in the dashboard."
)
KEY_INVALID: Final = "A valid publishable key is required to proceed with the request"
KEY_PROBLEMS: Final = {"missing": KEY_MISSING, "not valid": KEY_INVALID}


class MedusaStorefront:
    """``app.ports.Storefront`` for Medusa v2."""

    def __init__(self, tokens: CustomerTokens | None, sessions: CustomerSessions | None = None) -> None:
        """Without ``tokens`` no customer token is accepted, without ``sessions`` no session cookie."""
        self._tokens = tokens
        self._sessions = sessions

    def customer_id(self, bearer: str) -> str:
        """The customer of a Medusa token. Raises ``TokenRejected`` where Medusa would answer 401."""
        if self._tokens is None:
            raise TokenRejected(expired=False)
        claims = self._tokens.claims(bearer)
        actor_id = claims.get("actor_id")
        if claims.get("actor_type") != "customer" or not isinstance(actor_id, str):
            raise TokenRejected(expired=False)
        if _CUSTOMER_ID.fullmatch(actor_id) is None:
            raise TokenRejected(expired=False)
        if claims.get("mfa_enabled") and not claims.get("mfa_challenge_completed_at"):
            raise TokenRejected(expired=False)
        return actor_id

    @property
    def session_cookie(self) -> str | None:
        """See ``app.ports.Storefront``."""
        return None if self._sessions is None else SESSION_COOKIE

    async def customer_of_session(self, cookie: str, publishable_key: str) -> str | None:
        """See ``app.ports.Storefront``."""
        return None if self._sessions is None else await self._sessions.customer_id(cookie, publishable_key)
