"""Customer tokens of shops that set ``http.jwtOptions`` and ``http.jwtPublicKey``, verified as Medusa does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from app.embedded.stripe_sandbox.client import Sandbox
from app.ports import TokenRejected
from plugins.medusa_bridge import CustomerTokens, MedusaStorefront
from tests.databases import one_database_a_file
from tests.http.answers import assert_refused
from tests.http.forgeries import KEYS, RSA_KEY, public_pem
from tests.http.proofs import bearer, hmac_signed, in_seconds
from tests.http.test_who_may import INVALID
from tests.world import JWT_SECRET, Shop, serving, settings_for

database = one_database_a_file()

LONG_SECRET = JWT_SECRET * 2
CURVES = {
    "ES256": KEYS["ES256"],
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
}
BY_PUBLIC_KEY: dict[str, Any] = {
    **{f"{family}{size}": RSA_KEY for family in ("RS", "PS") for size in (256, 384, 512)},
    **CURVES,
}
BY_SECRET = ("HS256", "HS384", "HS512")
CUSTOMER = "cus_01M82MGPYYHGSM41XBR1GMBMVJ"


def token(key: Any, algorithm: str, **claims: Any) -> str:
    return jwt.encode(_claims(**claims), key, algorithm=algorithm)


def _claims(**claims: Any) -> dict[str, Any]:
    given = {"actor_id": CUSTOMER, "actor_type": "customer", "iat": in_seconds(0), "exp": in_seconds(3600), **claims}
    return {name: value for name, value in given.items() if value is not None}


def by_key(algorithm: str, **options: Any) -> MedusaStorefront:
    public_key = public_pem(BY_PUBLIC_KEY[algorithm])
    return MedusaStorefront(CustomerTokens(algorithms=[algorithm], public_key=public_key, **options))


def by_secret(*algorithms: str, **options: Any) -> MedusaStorefront:
    return MedusaStorefront(CustomerTokens(algorithms=algorithms, secret=LONG_SECRET, **options))


def rejected(storefront: MedusaStorefront, bearer_token: str) -> str:
    with pytest.raises(TokenRejected) as caught:
        storefront.customer_id(bearer_token)
    return str(caught.value)


@pytest.mark.parametrize("algorithm", BY_PUBLIC_KEY)
class TestPublicKey:
    def test_good(self, algorithm: str) -> None:
        assert by_key(algorithm).customer_id(token(BY_PUBLIC_KEY[algorithm], algorithm)) == CUSTOMER

    def test_expired(self, algorithm: str) -> None:
        late = token(BY_PUBLIC_KEY[algorithm], algorithm, exp=in_seconds(-60))
        assert rejected(by_key(algorithm), late) == "expired"

    @pytest.mark.parametrize("said", [*BY_SECRET, "same", "none"])
    @pytest.mark.parametrize("strip", [False, True])
    def test_its_text_is_no_secret(self, algorithm: str, said: str, strip: bool) -> None:
        """Everybody has the public key: what is signed with its text proves nothing, whatever the header says."""
        pem = public_pem(BY_PUBLIC_KEY[algorithm])
        header = {"alg": algorithm if said == "same" else said, "typ": "JWT"}
        forged = hmac_signed(header, _claims(), (pem.strip() if strip else pem).encode())
        assert rejected(by_key(algorithm), forged) == "invalid"

    def test_no_other_algorithm(self, algorithm: str) -> None:
        for other, key in BY_PUBLIC_KEY.items():
            if other != algorithm:
                assert rejected(by_key(algorithm), token(key, other)) == "invalid"

    def test_unsigned(self, algorithm: str) -> None:
        unsigned = token(None, "none")
        assert rejected(by_key(algorithm), unsigned) == "invalid"
        assert (
            rejected(by_key(algorithm), token(BY_PUBLIC_KEY[algorithm], algorithm).rpartition(".")[0] + ".")
            == "invalid"
        )

    def test_another_key(self, algorithm: str) -> None:
        family = RSA_KEY if algorithm[0] in "RP" else None
        other = ec.generate_private_key(CURVES[algorithm].curve) if family is None else None
        if other is not None:
            assert rejected(by_key(algorithm), token(other, algorithm)) == "invalid"


@pytest.mark.parametrize("algorithm", BY_SECRET)
def test_a_secret_with_the_algorithm_that_is_set(algorithm: str) -> None:
    for other in BY_SECRET:
        given = token(LONG_SECRET, other)
        if other == algorithm:
            assert by_secret(algorithm).customer_id(given) == CUSTOMER
        else:
            assert rejected(by_secret(algorithm), given) == "invalid"
    assert by_secret(*BY_SECRET).customer_id(token(LONG_SECRET, algorithm)) == CUSTOMER


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"iss": "shop", "aud": "store"}, True),
        ({"iss": "shop-of-old", "aud": ["store", "other"]}, True),
        ({"iss": "shop", "aud": "admin"}, False),
        ({"iss": "another", "aud": "store"}, False),
        ({"iss": "shop"}, False),
        ({"aud": "store"}, False),
        ({}, False),
        ({"iss": ["shop"], "aud": "store"}, False),
        ({"iss": "shop", "aud": 1}, False),
    ],
)
def test_issuer_and_audience(claims: dict[str, Any], good: bool) -> None:
    strict = {"issuers": ["shop", "shop-of-old"], "audiences": ["store"]}
    for storefront, key, algorithm in (
        (by_secret("HS256", **strict), LONG_SECRET, "HS256"),
        (by_key("ES256", **strict), KEYS["ES256"], "ES256"),
    ):
        given = jwt.encode(_claims(**claims), key, algorithm=algorithm) if _plain(claims) else None
        if given is None:
            continue
        if good:
            assert storefront.customer_id(given) == CUSTOMER
        else:
            assert rejected(storefront, given) == "invalid"


def _plain(claims: dict[str, Any]) -> bool:
    """Whether PyJWT makes such a token."""
    return isinstance(claims.get("iss", ""), str)


def test_an_issuer_that_is_a_list() -> None:
    forged = hmac_signed({"alg": "HS256"}, _claims(iss=["shop"]), LONG_SECRET.encode())
    assert rejected(by_secret("HS256", issuers=["shop"]), forged) == "invalid"


def test_nothing_is_asked_of_issuer_and_audience_unless_it_is_set() -> None:
    assert by_secret("HS256").customer_id(token(LONG_SECRET, "HS256", iss="x", aud="y")) == CUSTOMER


@pytest.mark.parametrize("algorithm", ["RS256", "ES384"])
async def test_through_the_api(shop: Shop, database: str, redis_url: str, sandbox: Sandbox, algorithm: str) -> None:
    order = await shop.place(account=True)
    key = BY_PUBLIC_KEY[algorithm]
    changes = {
        "VOID_WAIT_SECONDS": "0",
        "MEDUSA_JWT_SECRET": "",
        "MEDUSA_JWT_PUBLIC_KEY": public_pem(key).replace("\n", "\\n"),
        "MEDUSA_JWT_ALGORITHMS": algorithm,
        "MEDUSA_JWT_ISSUER": "shop",
        "MEDUSA_JWT_AUDIENCE": "store admin",
    }
    async with serving(settings_for(database, redis_url, sandbox, **changes), shop.key) as api:
        for refused in (
            token(key, algorithm, actor_id=order.customer_id),
            token(key, algorithm, actor_id=order.customer_id, iss="shop", aud="other"),
            token(JWT_SECRET, "HS256", actor_id=order.customer_id, iss="shop", aud="store"),
        ):
            await assert_refused(shop, api, order.id, 401, INVALID, token=None, headers=bearer(refused))
        good = token(key, algorithm, actor_id=order.customer_id, iss="shop", aud="store")
        assert (await api.cancel(order.id, token=None, headers=bearer(good))).status_code == 200


async def test_hs512_through_the_api(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> None:
    order = await shop.place(account=True)
    changes = {"VOID_WAIT_SECONDS": "0", "MEDUSA_JWT_ALGORITHMS": "HS512", "MEDUSA_JWT_SECRET": LONG_SECRET}
    async with serving(settings_for(database, redis_url, sandbox, **changes), shop.key) as api:
        old = bearer(token(LONG_SECRET, "HS256", actor_id=order.customer_id))
        await assert_refused(shop, api, order.id, 401, INVALID, token=None, headers=old)
        new = bearer(token(LONG_SECRET, "HS512", actor_id=order.customer_id))
        assert (await api.cancel(order.id, token=None, headers=new)).status_code == 200


def _signed(**claims: Any) -> str:
    """Claims of any type, as a signer other than PyJWT makes them."""
    return hmac_signed({"alg": "HS256"}, _claims(**claims), LONG_SECRET.encode())


AGED: dict[str, tuple[int, str | None]] = {
    "new": (0, None),
    "old enough": (-560, None),
    "too old": (-601, "expired"),
    "of a day ago": (-86_400, "expired"),
    "ahead": (30, None),
}
NO_AGE: dict[str, tuple[Any, str]] = {
    "the beginning of time": (0, "expired"),
    "before it": (-1.5, "expired"),
    "absent": (None, "invalid"),
    "a text": ("1790000000", "invalid"),
    "true": (True, "invalid"),
    "a list": ([1790000000], "invalid"),
    "no number": (float("nan"), "invalid"),
    "without end": (float("inf"), "invalid"),
}


def _by_age() -> MedusaStorefront:
    return by_secret("HS256", max_age=timedelta(minutes=10))


@pytest.mark.parametrize(("ago", "why"), AGED.values(), ids=AGED.keys())
def test_max_age_counts_from_iat(ago: int, why: str | None) -> None:
    """However late ``exp`` is: the option is for sessions that are not to last."""
    given = _signed(iat=in_seconds(ago), exp=in_seconds(10**9))
    if why is None:
        assert _by_age().customer_id(given) == CUSTOMER
    else:
        assert rejected(_by_age(), given) == why
    assert by_secret("HS256").customer_id(given) == CUSTOMER, "no age is asked for unless it is set"


@pytest.mark.parametrize(("iat", "why"), NO_AGE.values(), ids=NO_AGE.keys())
def test_an_age_needs_a_moment(iat: Any, why: str) -> None:
    assert rejected(_by_age(), _signed(iat=iat)) == why


LATE: dict[str, dict[str, int]] = {
    "exp": {"exp": -20},
    "nbf": {"nbf": 40},
    "max age": {"iat": -620},
    "all": {"exp": -20, "nbf": 40, "iat": -620},
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE.keys())
def test_clock_tolerance_is_for_each_of_the_times(late: dict[str, int]) -> None:
    given = token(LONG_SECRET, "HS256", **{name: in_seconds(ago) for name, ago in late.items()})
    age = timedelta(minutes=10)
    tolerant = by_secret("HS256", max_age=age, clock_tolerance=timedelta(seconds=60))
    assert tolerant.customer_id(given) == CUSTOMER
    for seconds in (0, 10):
        strict = by_secret("HS256", max_age=age, clock_tolerance=timedelta(seconds=seconds))
        assert rejected(strict, given) in {"expired", "invalid"}


@pytest.mark.parametrize("name", ["sub", "jti", "nonce"])
def test_claims_that_must_have_one_value(name: str) -> None:
    storefront = by_secret("HS256", claims={name: "as set"})
    assert storefront.customer_id(_signed(**{name: "as set"})) == CUSTOMER
    for other in ("as Set", "", None, ["as set"], True, 1):
        assert rejected(storefront, _signed(**{name: other})) == "invalid"


async def test_age_tolerance_and_claims_through_the_api(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox
) -> None:
    order = await shop.place(account=True)
    changes = {
        "VOID_WAIT_SECONDS": "0",
        "MEDUSA_JWT_MAX_AGE": "10m",
        "MEDUSA_JWT_CLOCK_TOLERANCE": "60",
        "MEDUSA_JWT_SUBJECT": "customers",
        "MEDUSA_JWT_JWTID": "one",
        "MEDUSA_JWT_NONCE": "two",
    }
    good: dict[str, Any] = {"actor_id": order.customer_id, "sub": "customers", "jti": "one", "nonce": "two"}
    good |= {"iat": in_seconds(-610), "exp": in_seconds(-10)}
    async with serving(settings_for(database, redis_url, sandbox, **changes), shop.key) as api:
        for wrong in ({"sub": "x"}, {"jti": "x"}, {"nonce": "x"}, {"iat": None}):
            given = bearer(token(JWT_SECRET, "HS256", **{**good, **wrong}))
            await assert_refused(shop, api, order.id, 401, INVALID, token=None, headers=given)
        for late in ({"iat": in_seconds(-700)}, {"exp": in_seconds(-70)}):
            given = bearer(token(JWT_SECRET, "HS256", **{**good, **late}))
            answer = await api.cancel(order.id, token=None, headers=given)
            assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
        given = bearer(token(JWT_SECRET, "HS256", **good))
        assert (await api.cancel(order.id, token=None, headers=given)).status_code == 200


@pytest.mark.parametrize(
    "actor_id",
    ["", " ", "\ud800", "cus_1\x00", "cus_1\n", "cus_1\u202e", "cüs_1", "c" * 256, ["cus_1"], {"id": "cus_1"}, 1, True],
    ids=ascii,
)
def test_what_is_no_customer_id(actor_id: Any) -> None:
    """It is signed, and still is neither sent to Redis nor written to the log."""
    forged = hmac_signed({"alg": "HS256"}, _claims(actor_id=actor_id), LONG_SECRET.encode())
    assert rejected(by_secret("HS256"), forged) == "invalid"


@pytest.mark.parametrize("claims", [b"[" * 8000, b'{"exp":' + b"[" * 8000, b'{"a":' * 3000])
def test_claims_that_are_nested_without_end(claims: bytes) -> None:
    forged = hmac_signed({"alg": "HS256"}, claims, LONG_SECRET.encode())
    assert rejected(by_secret("HS256"), forged) == "invalid"
