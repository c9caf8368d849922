"""Who shops: customers signed in at Medusa, by its tokens or by its session cookie."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import httpx
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app.ports import TokenRejected
from app.secret_strength import hmac_key
from plugins.medusa_bridge.medusa_api import REFUSED, SENDABLE, SESSION_COOKIE, body_of, send

SESSION_TIMEOUT: Final = 3.0
_MAX_CONNECTIONS: Final = 20
_SESSION_ID: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,1024}")
"""A cookie's value as RFC 6265 allows it. Medusa's have some hundred characters."""


class CustomerTokens:
    """Verifies customer tokens as Medusa does: by ``http.jwtSecret``, or by ``http.jwtPublicKey``.

    The algorithms are fixed beside the key, so that no token chooses how it is verified.
    """

    def __init__(
        self,
        *,
        algorithms: Sequence[str],
        secret: str | None = None,
        public_key: str | None = None,
        issuers: Sequence[str] = (),
        audiences: Sequence[str] = (),
        claims: Mapping[str, str] | None = None,
        max_age: timedelta | None = None,
        clock_tolerance: timedelta = timedelta(0),
    ) -> None:
        """``claims``: what a token must say word for word. ``max_age``: how long after ``iat`` it is accepted."""
        self._key: Any = hmac_key(secret or "") if public_key is None else load_pem_public_key(public_key.encode())
        self._algorithms = list(algorithms)
        self._issuers = list(issuers)
        self._audiences = list(audiences)
        self._claims = dict(claims or {})
        self._max_age = max_age
        self._clock_tolerance = clock_tolerance

    def claims(self, bearer: str) -> dict[str, Any]:
        """Return what a token says. Raises ``TokenRejected``."""
        try:
            found = jwt.decode(
                bearer,
                self._key,
                algorithms=self._algorithms,
                issuer=self._issuers or None,
                audience=self._audiences or None,
                leeway=self._clock_tolerance,
                options={"require": ["exp"], "verify_aud": bool(self._audiences), "verify_iat": False},
            )
            self._check_claims(found)
            self._check_age(found)
        except jwt.ExpiredSignatureError as error:
            raise TokenRejected(expired=True) from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise TokenRejected(expired=False) from error
        return found

    def _check_claims(self, found: Mapping[str, Any]) -> None:
        for name, value in self._claims.items():
            if found.get(name) != value:
                raise jwt.InvalidTokenError(f"{name} is another than the one that is set")

    def _check_age(self, found: Mapping[str, Any]) -> None:
        """As jsonwebtoken's ``maxAge``, which counts whole seconds."""
        if self._max_age is None:
            return
        iat = found.get("iat")
        if isinstance(iat, bool) or not isinstance(iat, int | float) or not math.isfinite(iat):
            raise jwt.InvalidIssuedAtError("iat is not a number")
        end = math.floor(iat + self._max_age.total_seconds()) + self._clock_tolerance.total_seconds()
        if math.floor(time.time()) >= end:
            raise jwt.ExpiredSignatureError("older than the age that is set")


class CustomerSessions:
    """Asks Medusa whose a session cookie is: ``GET /store/customers/me``."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    def open(cls, backend_url: str) -> CustomerSessions:
        """For the Medusa at ``backend_url``. Close it at the end."""
        limits = httpx.Limits(max_connections=_MAX_CONNECTIONS)
        return cls(
            httpx.AsyncClient(base_url=backend_url, timeout=SESSION_TIMEOUT, limits=limits, follow_redirects=False)
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def customer_id(self, cookie: str, publishable_key: str) -> str | None:
        """Return the customer of a session, asked each time, so that none outlives its end at Medusa.

        ``None`` where it is no customer's. Raises ``Unavailable`` where Medusa does not answer in time.
        """
        if _SESSION_ID.fullmatch(cookie) is None or SENDABLE.fullmatch(publishable_key) is None:
            return None
        headers = {"cookie": f"{SESSION_COOKIE}={cookie}", "x-publishable-api-key": publishable_key}
        answer = await send(self._http, "GET", "/store/customers/me", params={"fields": "id"}, headers=headers)
        if answer.status_code in REFUSED:
            return None
        customer = body_of(answer).get("customer")
        customer_id = customer.get("id") if isinstance(customer, dict) else None
        return customer_id if isinstance(customer_id, str) and customer_id else None
