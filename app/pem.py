"""Keys as PEM text, and whether they are of a kind that we know."""

from __future__ import annotations

import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


def verifies_tokens(pem: str) -> bool:
    """Whether it is a public key that modification tokens can be checked with: RSA, P-256 or Ed25519."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    is_p256 = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return is_p256 or isinstance(key, RSAPublicKey | Ed25519PublicKey)


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
