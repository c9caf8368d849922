"""How Medusa signs customer tokens, as settings: what does not fit together ends the start."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.settings import Settings, SettingsError, read_settings
from app.settings_table import Role
from tests.http.forgeries import KEYS, public_pem

SECRET = "the-jwt-secret-of-the-medusa-01234567"
RSA, P256, ED = (public_pem(KEYS[name]) for name in ("RS256", "ES256", "EdDSA"))
P384, P521 = (public_pem(ec.generate_private_key(curve)) for curve in (ec.SECP384R1(), ec.SECP521R1()))
SMALL = public_pem(rsa.generate_private_key(65537, 1024))
PRIVATE = KEYS["ES256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
KOBLITZ = public_pem(ec.generate_private_key(ec.SECP256K1()))
DSA = public_pem(dsa.generate_private_key(2048))
X25519 = public_pem(ed25519.Ed25519PrivateKey.generate())


def read(**changes: str) -> Settings:
    given = {
        "DATABASE_URL": "postgres://grace@db/shop",
        "REDIS_URL": "redis://cache/0",
        "MODIFICATION_TOKEN_SECRET": "a-secret-of-the-tests-0123456789",
        **{f"MEDUSA_JWT_{name}": value for name, value in changes.items()},
    }
    return read_settings(given, Role.SERVE)


GOOD: dict[str, dict[str, str]] = {
    "none": {},
    "a secret": {"SECRET": SECRET},
    "HS384": {"SECRET": SECRET, "ALGORITHMS": "HS384"},
    "each of a secret's": {"SECRET": SECRET, "ALGORITHMS": "HS256 HS384 HS512"},
    "RSA": {"PUBLIC_KEY": RSA, "ALGORITHMS": "RS256"},
    "RSA, several": {"PUBLIC_KEY": RSA, "ALGORITHMS": "RS256 RS512 PS384"},
    "P-256": {"PUBLIC_KEY": P256, "ALGORITHMS": "ES256"},
    "P-384": {"PUBLIC_KEY": P384, "ALGORITHMS": "ES384"},
    "P-521": {"PUBLIC_KEY": P521, "ALGORITHMS": "ES512"},
    "on one line": {"PUBLIC_KEY": P256.replace("\n", "\\n"), "ALGORITHMS": "ES256"},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_good(changes: dict[str, str]) -> None:
    given = read(**changes).medusa_jwt
    assert given.algorithms == tuple(changes.get("ALGORITHMS", "HS256").split())
    assert given.secret == changes.get("SECRET")
    assert (given.public_key or "").strip() == changes.get("PUBLIC_KEY", "").replace("\\n", "\n").strip()


def test_issuer_and_audience() -> None:
    given = read(SECRET=SECRET, ISSUER="shop old-shop", AUDIENCE="store").medusa_jwt
    assert (given.issuers, given.audiences) == (("shop", "old-shop"), ("store",))


BAD: dict[str, tuple[dict[str, str], str]] = {
    "a secret's with a public key": ({"PUBLIC_KEY": RSA, "ALGORITHMS": "HS256"}, "ALGORITHMS is HS256: expected, for"),
    "one of each": ({"PUBLIC_KEY": RSA, "ALGORITHMS": "RS256 HS256"}, "ALGORITHMS is RS256 HS256: expected, for"),
    "not said": ({"PUBLIC_KEY": P256}, "ALGORITHMS is not set: expected, for the key .* some of ES256,"),
    "of another kind of key": ({"PUBLIC_KEY": P256, "ALGORITHMS": "RS256"}, "ALGORITHMS is RS256: expected"),
    "of another curve": ({"PUBLIC_KEY": P384, "ALGORITHMS": "ES256"}, "some of ES384,"),
    "a key is needed": ({"SECRET": SECRET, "ALGORITHMS": "RS256"}, "RS256 needs MEDUSA_JWT_PUBLIC_KEY"),
    "a key is needed, and nothing there": ({"ALGORITHMS": "ES256"}, "ES256 needs MEDUSA_JWT_PUBLIC_KEY"),
    "a secret is needed": ({"ALGORITHMS": "HS512"}, "MEDUSA_JWT_SECRET is not"),
    "none": ({"SECRET": SECRET, "ALGORITHMS": "none"}, "ALGORITHMS has 'none': expected some of HS256"),
    "spelled otherwise": ({"SECRET": SECRET, "ALGORITHMS": "hs256"}, "has 'hs256'"),
    "by commas": ({"SECRET": SECRET, "ALGORITHMS": "HS256,HS512"}, "has 'HS256,HS512'"),
    "not Medusa's": ({"PUBLIC_KEY": ED, "ALGORITHMS": "EdDSA"}, "has 'EdDSA'"),
    "a secret beside the key": ({"SECRET": SECRET, "PUBLIC_KEY": RSA, "ALGORITHMS": "RS256"}, "is set beside"),
    "a private key as secret": ({"SECRET": PRIVATE}, "MEDUSA_JWT_SECRET is a key and no secret"),
    "a public key as secret": ({"SECRET": RSA}, "MEDUSA_JWT_SECRET is a key and no secret"),
    "a private key": ({"PUBLIC_KEY": PRIVATE, "ALGORITHMS": "ES256"}, "PUBLIC_KEY is a private key"),
    "a small key": ({"PUBLIC_KEY": SMALL, "ALGORITHMS": "RS256"}, "an RSA key of 1024 bits: expected 2048"),
    "Ed25519": ({"PUBLIC_KEY": X25519, "ALGORITHMS": "RS256"}, "PUBLIC_KEY is not a key we know"),
    "secp256k1": ({"PUBLIC_KEY": KOBLITZ, "ALGORITHMS": "ES256"}, "PUBLIC_KEY is not a key we know"),
    "DSA": ({"PUBLIC_KEY": DSA, "ALGORITHMS": "RS256"}, "PUBLIC_KEY is not a key we know"),
    "no key": ({"PUBLIC_KEY": SECRET, "ALGORITHMS": "RS256"}, "PUBLIC_KEY is not a key we know"),
}


@pytest.mark.parametrize(("changes", "problem"), BAD.values(), ids=BAD.keys())
def test_bad(changes: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=f"MEDUSA_JWT_.*{problem}|{problem}"):
        read(**changes)


@pytest.mark.parametrize("algorithms", ["", "RS256", "RS512"])
@pytest.mark.parametrize("key", [SMALL, PRIVATE, DSA, "no key"])
def test_a_bad_key_is_named_once(key: str, algorithms: str) -> None:
    """A second line asked for the key, which is there, or for an algorithm of it."""
    with pytest.raises(SettingsError) as caught:
        read(PUBLIC_KEY=key, ALGORITHMS=algorithms)
    [line] = str(caught.value).splitlines()
    assert line.startswith("MEDUSA_JWT_PUBLIC_KEY is ")


@pytest.mark.parametrize("value", ["yes", "1", "TRUE", "on"])
def test_a_flag_is_true_or_false(value: str) -> None:
    given = {
        "DATABASE_URL": "postgres://grace@db/shop",
        "REDIS_URL": "redis://cache/0",
        "MODIFICATION_TOKEN_SECRET": "a-secret-of-the-tests-0123456789",
        "MODIFICATION_TOKEN_AUDIENCE_REQUIRED": value,
    }
    with pytest.raises(
        SettingsError, match=f"MODIFICATION_TOKEN_AUDIENCE_REQUIRED is '{value}': expected true or false"
    ):
        read_settings(given, Role.SERVE)


AGES: dict[str, float] = {
    "3600": 3600,
    "90.5": 90.5,
    "3600ms": 3.6,
    "1500 msecs": 1.5,
    "60s": 60,
    "2 secs": 2,
    "5m": 300,
    "5 Minutes": 300,
    "1.5 hrs": 5400,
    ".5h": 1800,
    "20H": 72_000,
    "1 day": 86_400,
    "7d": 604_800,
    "2w": 1_209_600,
    "1y": 31_557_600,
}


@pytest.mark.parametrize(("value", "seconds"), AGES.items())
def test_max_age_as_jsonwebtoken_spells_it(value: str, seconds: float) -> None:
    assert read(SECRET=SECRET, MAX_AGE=value).medusa_jwt.max_age == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "0s",
        "-1",
        "-1d",
        "soon",
        "1 month",
        "1d2h",
        "1e3",
        "nan",
        "inf",
        "1.",
        "1_000",
        "\u0661d",
        "9" * 99,
        "1000y",
    ],
)
def test_an_age_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=rf"MEDUSA_JWT_MAX_AGE is '{value}': expected seconds, or a number with ms"):
        read(SECRET=SECRET, MAX_AGE=value)


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("30", 30), ("1.5", 1.5), ("86400", 86_400)])
def test_clock_tolerance(value: str, seconds: float) -> None:
    assert read(SECRET=SECRET, CLOCK_TOLERANCE=value).medusa_jwt.clock_tolerance == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["-1", "30s", "1m", "86401", "nan", "true"])
def test_a_clock_tolerance_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=f"MEDUSA_JWT_CLOCK_TOLERANCE is '{value}': expected a number of seconds"):
        read(SECRET=SECRET, CLOCK_TOLERANCE=value)


def test_claims_that_must_have_one_value() -> None:
    given = read(SECRET=SECRET, SUBJECT="of the shop", JWTID="id-1", NONCE="n").medusa_jwt
    assert given.claims == {"sub": "of the shop", "jti": "id-1", "nonce": "n"}
    given = read(SECRET=SECRET).medusa_jwt
    assert (given.claims, given.max_age, given.clock_tolerance) == ({}, None, timedelta(0))


@pytest.mark.parametrize("value", ["/store/", "/^shop-.*$/i", "shop /store/"])
def test_an_audience_by_a_pattern_is_refused(value: str) -> None:
    with pytest.raises(
        SettingsError, match=r"MEDUSA_JWT_AUDIENCE has '/.*/i?': a regular expression is not understood"
    ):
        read(SECRET=SECRET, AUDIENCE=value)


IGNORED = {
    "IGNORE_EXPIRATION": "true",
    "IGNORE_NOT_BEFORE": "true",
    "CLOCK_TIMESTAMP": "1",
    "ALLOW_INVALID_ASYMMETRIC_KEY_TYPES": "true",
    "COMPLETE": "true",
}


@pytest.mark.parametrize("name", IGNORED)
def test_options_that_are_not_honored_are_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=f"MEDUSA_JWT_{name} is not honored"):
        read(SECRET=SECRET, **{name: IGNORED[name]})
