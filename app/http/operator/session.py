"""Who is signed in: a signed cookie of our own, and form tokens that belong to it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt
import msgspec

from app.ports import Admin

COOKIE: Final = "grace_operator"
PATH: Final = "/grace"
LASTS: Final = timedelta(hours=8)
_AUDIENCE: Final = "grace-operator"
_LONGEST: Final = 4096


class Session(msgspec.Struct, frozen=True):
    """An admin of the shop at one browser."""

    id: str
    admin_id: str
    email: str
    name: str


class Sessions:
    """Signs and reads sessions. Nothing is kept here: a new secret ends them all."""

    def __init__(self, session_secrets: Sequence[str]) -> None:
        """The first secret signs, every one is good for reading."""
        self._secrets = tuple(session_secrets)

    def begin(self, admin: Admin) -> tuple[Session, str]:
        """A new session and the value of its cookie."""
        session = Session(secrets.token_urlsafe(16), admin.id, admin.email, admin.name)
        now = datetime.now(UTC)
        claims = {
            "jti": session.id,
            "sub": session.admin_id,
            "email": session.email,
            "name": session.name,
            "aud": _AUDIENCE,
            "iat": now,
            "exp": now + LASTS,
        }
        return session, jwt.encode(claims, self._secrets[0], algorithm="HS256")

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; ``None`` when it is none of ours, or has ended."""
        if not cookie or len(cookie) > _LONGEST:
            return None
        for secret in self._secrets:
            try:
                claims = jwt.decode(
                    cookie,
                    secret,
                    algorithms=["HS256"],
                    audience=_AUDIENCE,
                    options={"require": ["exp", "jti", "sub", "aud"]},
                )
                return msgspec.convert({"id": claims["jti"], "admin_id": claims["sub"], **claims}, Session, strict=True)
            except (jwt.PyJWTError, msgspec.ValidationError, ValueError, TypeError, OverflowError, RecursionError):
                continue
        return None

    def form_token(self, session: Session) -> str:
        """What a form of this session must bring along."""
        return _hash(self._secrets[0], session)

    def is_form_token(self, session: Session, token: str) -> bool:
        """Whether the form was made for this very session."""
        given = token.encode(errors="replace")  # compare_digest takes text of ASCII alone
        return any(hmac.compare_digest(_hash(secret, session).encode(), given) for secret in self._secrets)


def _hash(secret: str, session: Session) -> str:
    return hmac.new(secret.encode(), b"form:" + session.id.encode(), hashlib.sha256).hexdigest()
