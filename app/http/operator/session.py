"""Who is signed in: a signed cookie that names a row, form tokens that belong to it, and what the row keeps sealed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import jwt
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.ports import Admin, Credential
from app.usecases.operator_sessions import LIFETIME

COOKIE: Final = "grace_operator"
PATH: Final = "/grace"
_AUDIENCE: Final = "grace-operator"
_LONGEST: Final = 4096
_NONCE_BYTES: Final = 12


class Session(msgspec.Struct, frozen=True):
    """An admin of the shop at one browser."""

    id: str
    admin_id: str
    email: str
    name: str

    @property
    def id_hash(self) -> bytes:
        """The key of its row."""
        return hashlib.sha256(self.id.encode()).digest()


class Sessions:
    """Signs and reads cookies of sessions, whose rows say whether they are live. A new secret ends them all."""

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
            "exp": now + LIFETIME,
        }
        return session, jwt.encode(claims, self._secrets[0], algorithm="HS256")

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; ``None`` when it is none of ours, or too old. Whether it is live, its row says."""
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

    def seal(self, session: Session, credential: Credential) -> bytes:
        """The credential, encrypted so that only this session's cookie and our secret together read it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = msgspec.json.encode(credential)
        return nonce + AESGCM(_key(self._secrets[0], session)).encrypt(nonce, plain, None)

    def unseal(self, session: Session, sealed: bytes | None) -> Credential | None:
        """What ``seal`` was given; ``None`` where no secret opens it."""
        for secret in self._secrets if sealed else ():
            assert sealed is not None
            try:
                plain = AESGCM(_key(secret, session)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
                return msgspec.json.decode(plain, type=Credential)
            except (InvalidTag, ValueError):
                continue
        return None

    def account_hash(self, email: str) -> str:
        """A keyed hash of an account, for logs and counts, that does not tell the e-mail address."""
        return self._keyed("account", email).hex()[:24]

    def origin_hash(self, email: str, address: str | None) -> bytes:
        """A keyed hash of an account and the address that it signs in from."""
        return self._keyed("origin", f"{address} {email}")

    def _keyed(self, purpose: str, words: str) -> bytes:
        message = f"{purpose}:{words.strip().lower()}".encode(errors="replace")
        return hmac.new(self._secrets[0].encode(), message, hashlib.sha256).digest()

    def form_token(self, session: Session) -> str:
        """What a form of this session must bring along."""
        return _hash(self._secrets[0], session)

    def is_form_token(self, session: Session, token: str) -> bool:
        """Whether the form was made for this very session."""
        given = token.encode(errors="replace")  # compare_digest takes text of ASCII alone
        return any(hmac.compare_digest(_hash(secret, session).encode(), given) for secret in self._secrets)


def _key(secret: str, session: Session) -> bytes:
    """The id is in the cookie alone, of the row's key it is only the preimage."""
    return hmac.new(secret.encode(), b"credential:" + session.id.encode(), hashlib.sha256).digest()


def _hash(secret: str, session: Session) -> str:
    return hmac.new(secret.encode(), b"form:" + session.id.encode(), hashlib.sha256).hexdigest()
