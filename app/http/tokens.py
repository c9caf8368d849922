"""Modification tokens: a signed right to change one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app.ports import TokenRejected
from app.secret_strength import hmac_key

LEEWAY: Final = timedelta(seconds=10)
"""How far the clocks of the token's maker and of this process may be apart."""

AUDIENCE: Final = "medusa-grace/cancel"
"""What a modification token is for, so that no token with another purpose passes for one."""

_LONGEST: Final = 4096


def mint(order_id: str, secret: str, *, valid_for: timedelta) -> str:
    """A token for one order, HS256."""
    now = datetime.now(UTC)
    claims = {"order_id": order_id, "aud": AUDIENCE, "iat": now, "exp": now + valid_for}
    return jwt.encode(claims, hmac_key(secret), algorithm="HS256")


class ModificationToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token says."""

    order_id: str
    issued_at: datetime | None
    """``None`` of tokens from before they said so."""


class TokenVerifier:
    """Checks modification tokens against every secret in rotation, or a public key."""

    def __init__(
        self, secrets: Sequence[str], public_key: str | None = None, *, audience_required: bool = False
    ) -> None:
        """``audience_required``: tokens without ``aud``, as they were minted once, are not accepted any more."""
        self._audience_required = audience_required
        self._keys: list[tuple[Any, str]] = [(hmac_key(secret), "HS256") for secret in secrets]
        if public_key is not None:
            key = load_pem_public_key(public_key.encode())
            self._keys.append((key, _algorithm(key)))

    def verify(self, token: str) -> ModificationToken:
        """Return what the token says. Raises ``TokenRejected``."""
        if len(token) > _LONGEST:
            raise TokenRejected(expired=False)
        expired = False
        for key, algorithm in self._keys:
            try:
                return self._decode(token, key, algorithm)
            except jwt.ExpiredSignatureError:
                expired = True
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError, RecursionError):
                continue  # OSError: an iat beyond what the platform's calendar has
        raise TokenRejected(expired=expired)

    def _decode(self, token: str, key: Any, algorithm: str) -> ModificationToken:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            leeway=LEEWAY,
            options={"require": ["exp", "order_id"], "verify_aud": False, "verify_iss": False, "verify_iat": False},
        )
        self._check_audience(claims)
        order_id = claims["order_id"]
        if not isinstance(order_id, str):
            raise jwt.InvalidTokenError("order_id is not a string")
        return ModificationToken(order_id=order_id, issued_at=_issued_at(claims))

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        if "aud" not in claims and not self._audience_required:
            return
        audience = claims.get("aud")
        if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
            raise jwt.InvalidAudienceError("aud is not ours")


def _issued_at(claims: Mapping[str, Any]) -> datetime | None:
    """Raises for what is no moment, and for one of the future: such a token would outlive each change of owner."""
    iat = claims.get("iat")
    if iat is None:
        return None
    if isinstance(iat, bool) or not isinstance(iat, int | float):
        raise jwt.InvalidIssuedAtError("iat is not a number")
    issued_at = datetime.fromtimestamp(iat, UTC)
    if issued_at > datetime.now(UTC) + LEEWAY:
        raise jwt.ImmatureSignatureError("iat is in the future")
    return issued_at


def _algorithm(key: object) -> str:
    """One algorithm per kind of key, so that a token cannot choose."""
    match key:
        case RSAPublicKey():
            return "RS256"
        case EllipticCurvePublicKey():
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
        case _:
            message = "MODIFICATION_TOKEN_PUBLIC_KEY is not an RSA, P-256 or Ed25519 public key"
            raise ValueError(message)
