"""Who is asking: publishable keys and customer tokens, checked as Medusa checks them."""

from __future__ import annotations

import warnings
from typing import Any, Final

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from app.ports import Connection, TokenRejected
from plugins.medusa_bridge.sqlfile import statement

_PUBLISHABLE_KEY: Final = statement("publishable_key")

KEY_MISSING: Final = (
    "Publishable API key required in the request header: x-publishable-api-key. "
    "You can manage your keys in settings in the dashboard."
)
KEY_INVALID: Final = "A valid publishable key is required to proceed with the request"
KEY_PROBLEMS: Final = {"missing": KEY_MISSING, "not valid": KEY_INVALID}


class MedusaStorefront:
    """``app.ports.Storefront`` for Medusa v2."""

    def __init__(self, jwt_secret: str | None) -> None:
        self._jwt_secret = jwt_secret

    async def key_problem(self, conn: Connection, key: str | None) -> str | None:
        """Medusa's own sentence about a missing or wrong publishable key; ``None`` when it is valid."""
        if not key:
            return KEY_MISSING
        if "\x00" in key or await conn.fetchval(_PUBLISHABLE_KEY, key) is None:
            return KEY_INVALID
        return None

    def customer_id(self, bearer: str) -> str:
        """The customer of a Medusa token. Raises ``TokenRejected`` where Medusa would answer 401."""
        if self._jwt_secret is None:
            raise TokenRejected(expired=False)
        claims = _verified(bearer, self._jwt_secret)
        actor_id = claims.get("actor_id")
        if claims.get("actor_type") != "customer" or not isinstance(actor_id, str) or not actor_id:
            raise TokenRejected(expired=False)
        if claims.get("mfa_enabled") and not claims.get("mfa_challenge_completed_at"):
            raise TokenRejected(expired=False)
        return actor_id


def _verified(bearer: str, secret: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        # Medusa's secret is what it is; a short one is its operator's choice.
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        try:
            return jwt.decode(
                bearer,
                secret,
                algorithms=["HS256"],
                options={"require": ["exp"], "verify_aud": False, "verify_iat": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenRejected(expired=True) from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise TokenRejected(expired=False) from error
