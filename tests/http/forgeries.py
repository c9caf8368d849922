"""Keys for modification tokens, and tokens that prove nothing."""

from __future__ import annotations

import base64
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.http.proofs import hmac_signed, in_seconds, modification_token
from tests.world import SECRET

ORDER = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
OTHER_SECRET = "another-secret-of-the-tests-01234567"
RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, Any] = {
    "RS256": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def public_pem(key: Any) -> str:
    """As ``openssl pkey -pubout`` prints it."""
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def _with_payload(payload: bytes) -> str:
    header, _, signature = modification_token(ORDER).split(".")
    return f"{header}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.{signature}"


BAD = {
    "empty": "",
    "garbage": "not a token",
    "two dots": "..",
    "not ASCII": "ü.ü.ü",
    "unsigned": modification_token(ORDER).rpartition(".")[0] + ".",
    "none": modification_token(ORDER, key=None, algorithm="none"),
    "None": modification_token(ORDER, key=None, algorithm="none").replace("none", "None"),
    "HS512": modification_token(ORDER, key=SECRET * 2, algorithm="HS512"),
    "HS384 of our secret": jwt.encode({"order_id": ORDER, "exp": in_seconds(86_400)}, SECRET * 2, "HS384"),
    "RS256": modification_token(ORDER, key=RSA_KEY, algorithm="RS256"),
    "another secret": modification_token(ORDER, key=OTHER_SECRET),
    "changed": _with_payload(b'{"order_id":"order_1","exp":9999999999}'),
    "no exp": modification_token(ORDER, exp=None),
    "exp is a word": modification_token(ORDER, exp="soon"),
    "exp is endless": hmac_signed({"alg": "HS256"}, {"order_id": ORDER, "exp": float("inf")}, SECRET.encode()),
    "iat of no calendar": modification_token(ORDER, iat=-(10**18)),
    "iat of no calendar to come": modification_token(ORDER, iat=10**18),
    "exp is a list": modification_token(ORDER, exp=[in_seconds(86_400)]),
    "no order_id": modification_token(ORDER, order_id=None),
    "order_id is a number": modification_token(ORDER, order_id=1),
    "order_id is a list": modification_token(ORDER, order_id=[ORDER]),
    "not yet": modification_token(ORDER, nbf=in_seconds(86_400)),
    "huge": modification_token(ORDER, padding="x" * 4096),
    "claims are a list": hmac_signed({"alg": "HS256"}, [ORDER], SECRET.encode()),  # type: ignore[arg-type]
    "alg is missing": hmac_signed({"typ": "JWT"}, {"order_id": ORDER, "exp": in_seconds(86_400)}, SECRET.encode()),
    "alg is a list": hmac_signed({"alg": ["HS256"]}, {"order_id": ORDER, "exp": in_seconds(86_400)}, SECRET.encode()),
    "deep": "e" * 10 + ".[" * 1000,
}
