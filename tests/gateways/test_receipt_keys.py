"""Receipts are signed with one key, known by its thumbprint, and by no other algorithm."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.gateways.receipt_keys import (
    TYPE,
    Ed25519Receipts,
    NotAttested,
    attested,
    load_key,
    new_key,
    read_public_keys,
)

CONTENT = b'{"status":"canceled","order_id":"order_1"}'
PRIVATE, PUBLIC = new_key()
OTHER_PRIVATE, OTHER_PUBLIC = new_key()
KEYS = read_public_keys(PUBLIC)
[KID] = KEYS


def signed(content: bytes = CONTENT, **changes: Any) -> str:
    """A JWS by our key, with another header where ``changes`` say so."""
    headers = {"typ": TYPE, "kid": KID, **changes.pop("headers", {})}
    given: dict[str, Any] = {"key": load_key(PRIVATE), "algorithm": "EdDSA", **changes}
    return jwt.PyJWS().encode(content, headers=headers, **given)


def test_signed_and_verified_to_the_byte() -> None:
    token = Ed25519Receipts([PRIVATE]).sign(CONTENT)
    assert token is not None
    assert attested(token, KEYS) == CONTENT
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": TYPE, "kid": KID}


def test_without_a_key_nothing_is_signed() -> None:
    keys = Ed25519Receipts([])
    assert keys.sign(CONTENT) is None
    assert json.loads(keys.public()) == {"keys": []}


def test_rotation() -> None:
    """The first signs; what the others signed can still be checked with what is published."""
    old, new = Ed25519Receipts([OTHER_PRIVATE]), Ed25519Receipts([PRIVATE, OTHER_PUBLIC])
    published = read_public_keys(new.public().decode())
    for keys in (old, new):
        token = keys.sign(CONTENT)
        assert token is not None
        assert attested(token, published) == CONTENT
    assert jwt.get_unverified_header(new.sign(CONTENT) or "")["kid"] == KID


def test_the_thumbprint_is_the_rfcs() -> None:
    """RFC 8037, appendix A.3."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert list(read_public_keys(json.dumps(jwk))) == ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]
    assert list(read_public_keys(json.dumps({"keys": [{"kty": "RSA"}, jwk]}))) == [
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    ]


def test_the_published_key_is_of_the_form_of_rfc_8037() -> None:
    [jwk] = json.loads(Ed25519Receipts([PRIVATE]).public())["keys"]
    assert jwk == {"kty": "OKP", "crv": "Ed25519", "x": jwk["x"], "kid": KID, "use": "sig", "alg": "EdDSA"}
    assert jwt.PyJWK(jwk).key.public_bytes_raw() == KEYS[KID].public_bytes_raw()


def _flipped(token: str, part: int) -> str:
    parts = token.split(".")
    middle = len(parts[part]) // 2
    parts[part] = parts[part][:middle] + ("A" if parts[part][middle] != "A" else "B") + parts[part][middle + 1 :]
    return ".".join(parts)


BAD = {
    "altered content": (_flipped(signed(), 1), "the signature does not fit"),
    "altered signature": (_flipped(signed(), 2), "the signature does not fit"),
    "no signature": (signed().rpartition(".")[0] + ".", "the signature does not fit"),
    "another's key under our name": (signed(key=load_key(OTHER_PRIVATE)), "the signature does not fit"),
    "another's key": (signed(headers={"kid": "theirs"}), "wrong key: signed with 'theirs'"),
    "no key named": (signed(headers={"kid": ""}), "wrong key"),
    "no receipt": (signed(headers={"typ": "JWT"}), "not a receipt: its type is 'JWT'"),
    "signed with nothing": (signed(key=None, algorithm="none"), "the signature does not fit"),
    "signed with the public key as a secret": (signed(key=KID, algorithm="HS256"), "the signature does not fit"),
    "not a JWS": ("garbage", "not a receipt"),
    "empty": ("", "not a receipt"),
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize(("token", "why"), BAD.values(), ids=BAD.keys())
def test_what_proves_nothing(token: str, why: str) -> None:
    with pytest.raises(NotAttested, match=why):
        attested(token, KEYS)


def test_keys_that_are_none() -> None:
    p256 = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for text in ("", "{}", "[]", '{"keys": []}', '{"keys": [{"kty": "RSA"}]}', p256, "-----BEGIN PUBLIC KEY-----\nA"):
        with pytest.raises(ValueError):  # noqa: PT011 (the reader says the rest)
            read_public_keys(text)


def test_a_key_pair_is_published_once() -> None:
    """All that ``receipt-key`` prints is pasted as readily as its first half."""
    private, public = new_key()
    other = new_key()[1]
    keys = Ed25519Receipts([private, public, other, public, other])
    assert [jwk["kid"] for jwk in json.loads(keys.public())["keys"]] == [
        *read_public_keys(public),
        *read_public_keys(other),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"keys": []}', "has no keys: a shop without RECEIPT_SIGNING_KEY publishes none"),
        ('{"keys": null}', "has no Ed25519 key"),
        ('{"keys": 7}', "has no Ed25519 key"),
        ('{"keys": [7]}', "has no Ed25519 key"),
        ("[]", "has no keys"),
        ("", "is neither PEM nor JSON"),
        ("nonsense", "is neither PEM nor JSON"),
        ('{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}', "whose x is not the base64url of 32 bytes"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a PEM block that is no Ed25519 key"),
    ],
)
def test_key_files_that_hold_no_key(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read_public_keys(text)


def test_both_halves_of_a_key_pair_in_either_order() -> None:
    private, public = new_key()
    assert (
        list(read_public_keys(private + public))
        == list(read_public_keys(public + private))
        == [*read_public_keys(public)]
    )
