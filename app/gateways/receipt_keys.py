"""Signed receipts: compact JWS with Ed25519, and the keys that they are known by."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

TYPE: Final = "cancellation-receipt+jws"
"""``typ`` of the header, so that nothing else that the same key signed passes for a receipt."""

_ALGORITHM: Final = "EdDSA"
_EXPECTED: Final = "expected PEM, or a JWK set as GET /store/cancellation-keys answers it"
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_JWS: Final = jwt.PyJWS(algorithms=[_ALGORITHM])


class NotAttested(Exception):
    """What was given proves nothing; the message says why."""


class Ed25519Receipts:
    """``app.ports.ReceiptKeys`` of PEM keys: the first signs, the others are only published."""

    def __init__(self, pems: Sequence[str]) -> None:
        keys = [load_key(pem) for pem in pems]
        self._private = next((key for key in keys[:1] if isinstance(key, Ed25519PrivateKey)), None)
        public = {thumbprint(key): key for key in map(_public, keys)}  # a key pair is one key
        self._kid = next(iter(public), "")
        self._public = json.dumps({"keys": [*map(as_jwk, public.values())]}, separators=(",", ":")).encode()

    def sign(self, content: bytes) -> str | None:
        """A compact JWS over exactly ``content``; ``None`` when there is no key to sign with."""
        if self._private is None:
            return None
        headers = {"typ": TYPE, "kid": self._kid}
        return _JWS.encode(content, self._private, algorithm=_ALGORITHM, headers=headers)

    def public(self) -> bytes:
        """The public keys as a JWK set, JSON."""
        return self._public


def new_key() -> tuple[str, str]:
    """A new private key and its public key, both PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def load_key(pem: str) -> Ed25519PrivateKey | Ed25519PublicKey:
    """The Ed25519 key of a PEM block. Raises ``ValueError`` when it is none."""
    key = load_pem_private_key(pem.encode(), None) if "PRIVATE KEY" in pem else load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        message = f"is a {type(key).__name__}: expected Ed25519"
        raise ValueError(message)
    return key


def as_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """The key by RFC 8037, with its thumbprint as ``kid``."""
    return {**_required(key), "kid": thumbprint(key), "use": "sig", "alg": _ALGORITHM}


def thumbprint(key: Ed25519PublicKey) -> str:
    """RFC 7638: a key's name, the same wherever it is computed."""
    canonical = json.dumps(_required(key), separators=(",", ":"), sort_keys=True)
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def read_public_keys(text: str) -> dict[str, Ed25519PublicKey]:
    """The keys of a PEM file or a JWK set (or one JWK), by thumbprint. Raises ``ValueError`` when there is none."""
    blocks = [block[0] for block in _PEM.finditer(text)]
    if blocks:
        found = [_from_pem(f"{block}\n") for block in blocks]
    else:
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is neither PEM nor JSON: {_EXPECTED}") from error
        listed = given.get("keys", [given]) if isinstance(given, dict) else []
        if listed == []:
            raise ValueError(f"has no keys: a shop without RECEIPT_SIGNING_KEY publishes none; {_EXPECTED}")
        found = [_from_jwk(jwk) for jwk in listed if _is_ed25519(jwk)] if isinstance(listed, list) else []
    if not found:
        raise ValueError(f"has no Ed25519 key: {_EXPECTED}")
    return {thumbprint(key): key for key in found}


def attested(token: str, keys: Mapping[str, Ed25519PublicKey]) -> bytes:
    """What the receipt ``token`` attests, to the byte. Raises ``NotAttested``.

    The header only says which key to try: the algorithm is ours, and the key must be one of ``keys``.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        message = f"not a receipt: {error}"
        raise NotAttested(message) from error
    if header.get("typ") != TYPE:
        message = f"not a receipt: its type is {header.get('typ')!r}, expected {TYPE!r}"
        raise NotAttested(message)
    key = keys.get(str(header.get("kid")))
    if key is None:
        message = f"wrong key: signed with {header.get('kid')!r}, the keys given are {', '.join(keys)}"
        raise NotAttested(message)
    try:
        content: bytes = _JWS.decode(token, key, algorithms=[_ALGORITHM])
    except jwt.PyJWTError as error:
        message = "the signature does not fit: the receipt was altered, or is not from the owner of this key"
        raise NotAttested(message) from error
    return content


def _public(key: Ed25519PrivateKey | Ed25519PublicKey) -> Ed25519PublicKey:
    return key.public_key() if isinstance(key, Ed25519PrivateKey) else key


def _required(key: Ed25519PublicKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def _is_ed25519(jwk: object) -> bool:
    return isinstance(jwk, dict) and jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519"


def _from_pem(pem: str) -> Ed25519PublicKey:
    try:
        return _public(load_key(pem))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it is encrypted
        raise ValueError(f"has a PEM block that is no Ed25519 key: {_EXPECTED}") from error


def _from_jwk(jwk: dict[str, Any]) -> Ed25519PublicKey:
    x = str(jwk.get("x", ""))
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))
    except ValueError as error:
        raise ValueError("has an Ed25519 key whose x is not the base64url of 32 bytes") from error


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
