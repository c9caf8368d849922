"""Keys as PEM text, and whether they are of a kind that we know."""

from __future__ import annotations

import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

LEAST_RSA_BITS: Final = 2048
MOST_RSA_BITS: Final = 8192
"""A longer key makes each forged token cost milliseconds."""

_EXPECTED: Final = "expected a PEM public key, RSA, P-256 or Ed25519"
_OF_CURVE: Final = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


def token_key_problem(pem: str) -> str | None:
    """Why modification tokens cannot be checked with a public key; ``None`` when they can."""
    if "PRIVATE KEY" in pem:
        return "is a private key: expected its public key, as `openssl pkey -pubout` prints it"
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return f"is not a key we know: {_EXPECTED}"
    match key:
        case RSAPublicKey() if not LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS:
            return f"is an RSA key of {key.key_size} bits: expected {LEAST_RSA_BITS} to {MOST_RSA_BITS}"
        case EllipticCurvePublicKey() if not isinstance(key.curve, SECP256R1):
            return f"is a key on the curve {key.curve.name}: {_EXPECTED}"
        case RSAPublicKey() | EllipticCurvePublicKey() | Ed25519PublicKey():
            return None
        case _:
            return f"is not a key we know: {_EXPECTED}"


def jwt_key_problem(pem: str) -> str | None:
    """Why Medusa's tokens cannot be verified with a public key; ``None`` when they can."""
    if "PRIVATE KEY" in pem:
        return "is a private key: expected its public key, as `openssl pkey -pubout` prints it"
    key = _public(pem)
    if isinstance(key, RSAPublicKey) and not LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS:
        return f"is an RSA key of {key.key_size} bits: expected {LEAST_RSA_BITS} to {MOST_RSA_BITS}"
    return None if jwt_key_algorithms(pem) else "is not a key we know: expected a PEM public key, RSA or P-256 to P-521"


def jwt_key_algorithms(pem: str) -> tuple[str, ...]:
    """The algorithms that a public key verifies; none for what is no such key."""
    key = _public(pem)
    if isinstance(key, RSAPublicKey):
        return ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    if isinstance(key, EllipticCurvePublicKey):
        return _OF_CURVE.get(key.curve.name, ())
    return ()


def _public(pem: str) -> object:
    try:
        return load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None


def receipt_keys(text: str) -> tuple[str, ...] | None:
    """The Ed25519 keys of a text, a private one first; ``None`` where it is not just that. Files of settings may spell
    line ends as ``\\n``."""
    blocks = tuple(f"{block[0]}\n" for block in _BLOCK.finditer(text.replace("\\n", "\n")))
    kinds = [_is_private(block) for block in blocks]
    return blocks if kinds and kinds[0] is True and None not in kinds else None


def _is_private(pem: str) -> bool | None:
    """Whether an Ed25519 key is private; ``None`` for what is no such key."""
    try:
        if "PRIVATE" in pem:
            return True if isinstance(load_pem_private_key(pem.encode(), None), Ed25519PrivateKey) else None
        return False if isinstance(load_pem_public_key(pem.encode()), Ed25519PublicKey) else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
