"""Tokens that prove who asks, good ones and those that nobody should make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from app.embedded.shop import PlacedOrder
from tests.world import JWT_SECRET, SECRET


def in_seconds(seconds: float) -> int:
    """A moment as tokens spell it."""
    return int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp())


def modification_token(for_order: str, *, key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A token with these claims beside a good ``order_id`` and ``exp``; a claim of ``None`` is left out."""
    given = {"order_id": for_order, "exp": in_seconds(3600), **claims}
    return jwt.encode({name: value for name, value in given.items() if value is not None}, key, algorithm=algorithm)


def customer_token(order: PlacedOrder, *, secret: str = JWT_SECRET, **claims: Any) -> str:
    """A token as Medusa makes it for the order's customer at log-in; a claim of ``None`` is left out."""
    given = {
        "actor_id": order.customer_id,
        "actor_type": "customer",
        "auth_identity_id": "authid_01M82MGPYYHGSM41XBR1GMBMVJ",
        "auth_provider": "emailpass",
        "mfa_enabled": False,
        "app_metadata": {"customer_id": order.customer_id},
        "user_metadata": {},
        "iat": in_seconds(0),
        "exp": in_seconds(86_400),
        **claims,
    }
    return jwt.encode({name: value for name, value in given.items() if value is not None}, secret, algorithm="HS256")


def bearer(token: str) -> dict[str, str]:
    """The header of a signed-in customer."""
    return {"authorization": f"Bearer {token}"}


def hmac_signed(header: dict[str, Any], claims: dict[str, Any] | bytes, secret: bytes) -> str:
    """A token that jwt libraries refuse to make."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{_base64(json.dumps(header).encode())}.{_base64(payload)}"
    return f"{signed}.{_base64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
