"""``TokenVerifier``: what makes a modification token good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed448

from app.http.tokens import AUDIENCE, TokenVerifier, mint
from app.ports import TokenRejected
from tests.http.forgeries import BAD, KEYS, ORDER, OTHER_SECRET, RSA_KEY, public_pem
from tests.http.proofs import hmac_signed, in_seconds, modification_token
from tests.world import SECRET, token_for

KEY = SECRET.encode()


def rejected(verifier: TokenVerifier, token: str) -> str:
    """``expired`` or ``invalid``."""
    with pytest.raises(TokenRejected) as caught:
        verifier.verify(token)
    assert caught.value.expired is (str(caught.value) == "expired")
    return str(caught.value)


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
def test_each_secret_in_rotation(secret: str) -> None:
    verifier = TokenVerifier([SECRET, OTHER_SECRET])
    assert verifier.verify(modification_token(ORDER, key=secret)).order_id == ORDER


GOOD: dict[str, Callable[[], dict[str, Any]]] = {
    "expired, within the leeway": lambda: {"exp": in_seconds(-8)},
    "with a fraction": lambda: {"exp": in_seconds(60) + 0.5},
    "issued now": lambda: {"iat": in_seconds(0)},
    "issued by a clock that is ahead": lambda: {"iat": in_seconds(8)},
    "for this purpose": lambda: {"aud": AUDIENCE},
    "for this purpose among others": lambda: {"aud": ["storefront", AUDIENCE]},
    "iss is nobody's business": lambda: {"iss": "https://shop.test"},
    "other claims": lambda: {"order_ids": ["x"], "scope": "cancel"},
}


@pytest.mark.parametrize("claims", GOOD.values(), ids=GOOD.keys())
def test_good(claims: Callable[[], dict[str, Any]]) -> None:
    assert TokenVerifier([SECRET]).verify(modification_token(ORDER, **claims())).order_id == ORDER


def test_minted() -> None:
    assert TokenVerifier([SECRET]).verify(token_for(ORDER)).order_id == ORDER


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
def test_bad(token: str) -> None:
    assert rejected(TokenVerifier([SECRET, OTHER_SECRET[::-1]]), token) == "invalid"


@pytest.mark.parametrize("ago", [-12, -3600, -(10**9)])
def test_expired(ago: int) -> None:
    assert rejected(TokenVerifier([SECRET]), modification_token(ORDER, exp=in_seconds(ago))) == "expired"


def test_expired_in_rotation() -> None:
    token = modification_token(ORDER, key=OTHER_SECRET, exp=in_seconds(-60))
    assert rejected(TokenVerifier([SECRET, OTHER_SECRET]), token) == "expired"
    assert rejected(TokenVerifier([OTHER_SECRET, SECRET]), token) == "expired"


def test_expired_is_never_said_of_a_forged_token() -> None:
    token = modification_token(ORDER, key=OTHER_SECRET, exp=in_seconds(-60))
    assert rejected(TokenVerifier([SECRET]), token) == "invalid"


def test_no_key_at_all() -> None:
    assert rejected(TokenVerifier([]), modification_token(ORDER)) == "invalid"


OTHER_AUDIENCES: dict[str, Any] = {
    "another": "medusa-grace/receipt",
    "the operator's": "grace-operator",
    "begins like it": "medusa-grace/cancel/all",
    "its beginning": "medusa-grace",
    "another case": "Medusa-Grace/Cancel",
    "empty": "",
    "null": None,
    "no audience": [],
    "several others": ["storefront", "medusa-grace/cancel "],
    "a list in a list": [["medusa-grace/cancel"]],
    "a number": 1,
    "true": True,
    "an object": {"medusa-grace/cancel": True},
}


def _signed(claims: dict[str, Any]) -> str:
    return hmac_signed({"alg": "HS256", "typ": "JWT"}, {"order_id": ORDER, "exp": in_seconds(60), **claims}, KEY)


class TestAudience:
    """A token says what it is for; one that is for something else is none, whether that must be said or not."""

    @pytest.mark.parametrize("required", [False, True])
    @pytest.mark.parametrize("aud", OTHER_AUDIENCES.values(), ids=OTHER_AUDIENCES.keys())
    def test_another_purpose(self, required: bool, aud: Any) -> None:
        assert rejected(TokenVerifier([SECRET], audience_required=required), _signed({"aud": aud})) == "invalid"

    def test_none_said(self) -> None:
        assert TokenVerifier([SECRET]).verify(_signed({})).order_id == ORDER
        assert rejected(TokenVerifier([SECRET], audience_required=True), _signed({})) == "invalid"

    @pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["storefront", AUDIENCE]])
    def test_ours_where_it_must_be_said(self, aud: Any) -> None:
        assert TokenVerifier([SECRET], audience_required=True).verify(_signed({"aud": aud})).order_id == ORDER

    def test_ours_is_minted(self) -> None:
        assert TokenVerifier([SECRET], audience_required=True).verify(token_for(ORDER)).order_id == ORDER

    @pytest.mark.parametrize("algorithm", KEYS)
    def test_of_a_public_key(self, algorithm: str) -> None:
        verifier = TokenVerifier([], public_pem(KEYS[algorithm]), audience_required=True)
        for aud, good in ((AUDIENCE, True), (None, False), ("storefront", False), (["x"], False)):
            token = modification_token(ORDER, key=KEYS[algorithm], algorithm=algorithm, aud=aud)
            if good:
                assert verifier.verify(token).order_id == ORDER
            else:
                assert rejected(verifier, token) == "invalid"


@pytest.mark.parametrize("algorithm", KEYS)
class TestPublicKey:
    """The maker keeps the private key; here is nothing to steal."""

    def test_good(self, algorithm: str) -> None:
        token = modification_token(ORDER, key=KEYS[algorithm], algorithm=algorithm)
        assert TokenVerifier([], public_pem(KEYS[algorithm])).verify(token).order_id == ORDER

    def test_beside_a_secret(self, algorithm: str) -> None:
        verifier = TokenVerifier([SECRET], public_pem(KEYS[algorithm]))
        assert verifier.verify(modification_token(ORDER)).order_id == ORDER
        assert verifier.verify(modification_token(ORDER, key=KEYS[algorithm], algorithm=algorithm)).order_id == ORDER

    @pytest.mark.parametrize("text", [str.encode, lambda pem: pem.strip().encode()], ids=["as it is", "stripped"])
    def test_its_text_is_no_secret(self, algorithm: str, text: Any) -> None:
        """The oldest trick: everybody has the public key, so nobody may sign with its text."""
        pem = public_pem(KEYS[algorithm])
        claims = {"order_id": ORDER, "exp": in_seconds(60)}
        for given in ("HS256", algorithm):
            token = hmac_signed({"alg": given, "typ": "JWT"}, claims, text(pem))
            assert rejected(TokenVerifier([], pem), token) == "invalid"
            assert rejected(TokenVerifier([SECRET], pem), token) == "invalid"

    def test_the_key_of_another_kind(self, algorithm: str) -> None:
        for other, key in KEYS.items():
            if other != algorithm:
                token = modification_token(ORDER, key=key, algorithm=other)
                assert rejected(TokenVerifier([], public_pem(KEYS[algorithm])), token) == "invalid"

    def test_expired(self, algorithm: str) -> None:
        token = modification_token(ORDER, key=KEYS[algorithm], algorithm=algorithm, exp=in_seconds(-60))
        assert rejected(TokenVerifier([], public_pem(KEYS[algorithm])), token) == "expired"


def test_another_algorithm_of_the_same_key() -> None:
    for algorithm in ("RS512", "PS256"):
        token = modification_token(ORDER, key=RSA_KEY, algorithm=algorithm)
        assert rejected(TokenVerifier([], public_pem(RSA_KEY)), token) == "invalid"


def test_minting_makes_what_the_page_says() -> None:
    token = mint(ORDER, SECRET, valid_for=timedelta(minutes=10))
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="medusa-grace/cancel")
    assert claims.keys() == {"order_id", "aud", "iat", "exp"}
    assert abs(claims["iat"] - in_seconds(0)) <= 2
    assert claims["exp"] == claims["iat"] + 600


class TestIssuedAt:
    """Since when the right is there: what was issued in the future would outlive each change of owner."""

    @pytest.mark.parametrize(
        ("iat", "microsecond"), [(1_700_000_000, 0), (1_700_000_000.25, 250_000), (0, 0), (-86_400, 0)]
    )
    def test_told(self, iat: float, microsecond: int) -> None:
        issued_at = TokenVerifier([SECRET]).verify(_signed({"iat": iat})).issued_at
        assert issued_at is not None
        assert (issued_at.timestamp(), issued_at.microsecond, issued_at.utcoffset()) == (iat, microsecond, timedelta(0))

    @pytest.mark.parametrize("claims", [{}, {"iat": None}])
    def test_not_told(self, claims: dict[str, Any]) -> None:
        assert TokenVerifier([SECRET]).verify(_signed(claims)).issued_at is None

    @pytest.mark.parametrize("iat", [True, False, "1700000000", [1_700_000_000], {}])
    def test_no_moment(self, iat: Any) -> None:
        assert rejected(TokenVerifier([SECRET]), _signed({"iat": iat})) == "invalid"

    @pytest.mark.parametrize(("ahead", "good"), [(8, True), (13, False), (86_400, False)])
    def test_of_the_future(self, ahead: int, good: bool) -> None:
        token = _signed({"iat": in_seconds(ahead)})
        if good:
            assert TokenVerifier([SECRET]).verify(token).order_id == ORDER
        else:
            assert rejected(TokenVerifier([SECRET]), token) == "invalid"

    def test_minted_now(self) -> None:
        issued_at = TokenVerifier([SECRET]).verify(token_for(ORDER)).issued_at
        assert issued_at is not None
        assert abs(issued_at.timestamp() - in_seconds(0)) <= 2


def test_a_token_of_up_to_four_kilobytes() -> None:
    """Claims of the shop's own make it longer."""
    plain = len(modification_token(ORDER, padding=""))
    longest = next(
        token
        for size in range((4096 - plain) * 3 // 4, 0, -1)
        if len(token := modification_token(ORDER, padding="x" * size)) <= 4096
    )
    assert len(longest) > 4090
    assert TokenVerifier([SECRET]).verify(longest).order_id == ORDER
    longer = modification_token(ORDER, padding="x" * 4096)
    assert rejected(TokenVerifier([SECRET]), longer) == "invalid"


@pytest.mark.parametrize("error", [ValueError, TypeError, OverflowError, OSError, RecursionError])
def test_whatever_a_token_makes_its_parser_raise(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def decode(*_: object, **__: object) -> None:
        raise error("x")

    monkeypatch.setattr(jwt, "decode", decode)
    assert rejected(TokenVerifier([SECRET]), "x") == "invalid"


def test_a_short_secret_warns_nobody_with_each_request() -> None:
    """The start judges secrets."""
    assert TokenVerifier(["short"]).verify(token_for(ORDER, secret="short")).order_id == ORDER


def test_a_key_of_another_kind() -> None:
    with pytest.raises(ValueError, match="is not an RSA, P-256 or Ed25519 public key"):
        TokenVerifier([], public_pem(ed448.Ed448PrivateKey.generate()))
