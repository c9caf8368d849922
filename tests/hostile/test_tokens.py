"""Tokens, ids and bodies that hypothesis makes up: no 5xx, no change, no word on who is there, no secret logged."""

from __future__ import annotations

import base64
import json
import math
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.warnings import InsecureKeyLengthWarning

from tests.world import JWT_SECRET, SECRET, Api, Shop, token_for

pytestmark = pytest.mark.usefixtures("nothing_logged")

ABSENT = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
FEW = settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=2_500, derandomize=False, print_blob=True)

SHORT = st.sampled_from([SECRET, JWT_SECRET, "another-secret-that-is-long-enough", ""])
ALGORITHMS = st.sampled_from(["HS256", "HS384", "HS512", "none"])
CLAIM = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
CLAIMS = st.dictionaries(
    st.sampled_from(["exp", "nbf", "iat", "aud", "iss", "order_id", "actor_id", "actor_type", "sub", "jti"]),
    CLAIM | st.lists(CLAIM, max_size=3),
)
JUNK = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=300) | st.sampled_from(
    ["..", "a.b.c", "e30.e30.", "x" * 100_000, "Bearer", "eyJhbGciOiJub25lIn0.e30.", "[" * 3000]
)
IDS = st.text(min_size=1, max_size=60) | st.sampled_from(
    [
        "order_\u0000",
        "order_\u202e",
        "ORDER_1",
        "order_1%00",
        "order_" + "ü" * 200,
        "x" * 5000,
        "'; drop table x --",
        "*",
    ]
)
BODIES = st.binary(max_size=400) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just("reason"), inner),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())


def _forged(claims: dict[str, Any], secret: str, algorithm: str, kid: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureKeyLengthWarning)
            key: Any = None if algorithm == "none" else secret or "x"
            return jwt.encode(claims, key, algorithm, {"kid": kid})
    except (TypeError, ValueError, jwt.PyJWTError, OverflowError):
        return "unsignable"


FORGED = st.builds(_forged, CLAIMS, SHORT, ALGORITHMS, st.text(max_size=20))
TOKENS = JUNK | FORGED


@pytest.fixture
async def order(unchanged: Shop, api: Api) -> str:
    """An order that nobody here has a right to."""
    found = await unchanged.conn.fetchval('select id from "order"')
    assert found
    return str(found)


def _told(answer: httpx.Response, order_id: str) -> tuple[Any, ...]:
    """All that an answer tells, apart from the id that it echoes and the number of the request."""
    kept = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    kept.pop("content-length", None)
    return answer.status_code, answer.text.replace(order_id, "ORDER"), kept


async def _ask_for_both(api: Api, order_id: str, headers: dict[str, str], body: bytes = b"") -> httpx.Response:
    """The same for an order that is there and for one that is not."""
    for method in ("POST", "GET"):
        answers = []
        for id_ in (order_id, ABSENT):
            sent = {"x-publishable-api-key": api.key, **headers}
            answers.append(await api.client.request(method, f"/store/orders/{id_}/cancel", headers=sent, content=body))
        there, absent = answers
        assert _told(there, order_id) == _told(absent, ABSENT)
        assert 400 <= there.status_code < 500
        assert "eyJ" not in there.text
    return there


async def _try_tokens(api: Api, order: str, token: str, as_bearer: bool, body: bytes) -> None:
    headers = {"authorization": f"Bearer {token}"} if as_bearer else {"x-modification-token": token}
    await _ask_for_both(api, order, headers, body)


@FEW
@given(token=TOKENS, as_bearer=st.booleans(), body=BODIES)
async def test_tokens_and_bodies(api: Api, order: str, token: str, as_bearer: bool, body: bytes) -> None:
    await _try_tokens(api, order, token, as_bearer, body)


@pytest.mark.long
@MANY
@given(token=TOKENS, as_bearer=st.booleans(), body=BODIES)
async def test_many_tokens_and_bodies(api: Api, order: str, token: str, as_bearer: bool, body: bytes) -> None:
    await _try_tokens(api, order, token, as_bearer, body)


def _customer(**claims: Any) -> str:
    who = {"actor_id": "cus_nobody", "actor_type": "customer", "exp": int(time.time()) + 86_400, **claims}
    return jwt.encode(who, JWT_SECRET, "HS256")


WRONG = {
    "nothing": {},
    "a token of a third order": {"x-modification-token": token_for("order_third")},
    "a token of another secret": {"x-modification-token": token_for(ABSENT, secret="another-secret-01234567")},
    "another customer": {"authorization": f"Bearer {_customer()}"},
    "an expired token of a third order": {
        "x-modification-token": token_for("order_third", valid_for=timedelta(minutes=-5))
    },
    "a customer whose id is null": {"authorization": f"Bearer {_customer(actor_id='')}"},
    "an admin": {"authorization": f"Bearer {_customer(actor_type='user', actor_id='user_1')}"},
    "an expired customer": {"authorization": f"Bearer {_customer(exp=1)}"},
    "no key": {"x-publishable-api-key": "pk_wrong"},
}


@pytest.mark.parametrize("credential", WRONG)
async def test_nobody_learns_which_orders_exist(api: Api, order: str, credential: str) -> None:
    await _ask_for_both(api, order, WRONG[credential])


def _flipped(token: str, at: int) -> str:
    """One bit of the last byte that counts is another."""
    head, _, signature = token.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[at % len(raw)] ^= 1 << (at % 8)
    return f"{head}.{base64.urlsafe_b64encode(bytes(raw)).decode().rstrip('=')}"


def _minted(order_id: Any, *, ends_in: float = 600, secret: str = SECRET, algorithm: str = "HS256", **more: Any) -> str:
    claims = {"order_id": order_id, "exp": int(time.time() + ends_in), **more}
    return _forged(claims, secret, algorithm, "")


ODD_CHARACTERS = st.text(st.sampled_from("\x00 \t\n/%.*ü\u200b\u202e\U0001f648_-aA0"), min_size=1, max_size=4)
FLAWS: st.SearchStrategy[Callable[[str], str]] = st.one_of(
    st.integers(11, 2**31).map(lambda ago: lambda id_: _minted(id_, ends_in=-ago - 5)),
    st.sampled_from(["HS384", "HS512", "none"]).map(lambda algorithm: lambda id_: _minted(id_, algorithm=algorithm)),
    ODD_CHARACTERS.map(lambda odd: lambda id_: _minted(id_, secret=SECRET + odd)),
    st.integers(0, 255).map(lambda at: lambda id_: _flipped(_minted(id_), at)),
    st.integers(1, 80).map(lambda cut: lambda id_: _minted(id_)[:-cut]),
    ODD_CHARACTERS.map(lambda odd: lambda id_: _minted(id_ + odd)),
    ODD_CHARACTERS.map(lambda odd: lambda id_: _minted(odd + id_)),
    st.sampled_from(
        [str.lower, str.upper, str.title, lambda id_: id_[:-1], lambda id_: [id_], lambda id_: {id_: 1}]
    ).map(lambda change: lambda id_: _minted(change(id_))),
    st.integers(60, 2**31).map(lambda ahead: lambda id_: _minted(id_, nbf=int(time.time()) + ahead)),
    st.sampled_from([math.inf, -math.inf, math.nan, "soon", [], {}, None, -1, True]).map(
        lambda exp: lambda id_: _minted(id_, exp=exp)
    ),
    st.integers(4_000, 9_000).map(lambda size: lambda id_: _minted(id_, padding="x" * size)),
)


async def _try_a_flaw(api: Api, order: str, flaw: Callable[[str], str]) -> None:
    """All is right but for one thing, for an order that is there and for one that is not: both are refused alike."""
    told = []
    for id_ in (order, ABSENT):
        sent = {"x-publishable-api-key": api.key, "x-modification-token": flaw(id_)}
        answer = await api.client.post(f"/store/orders/{id_}/cancel", headers=sent)
        assert answer.status_code in {401, 403}, f"{answer.text}: {flaw(id_)}"
        told.append(_told(answer, id_))
    assert told[0] == told[1]


@FEW
@given(flaw=FLAWS)
async def test_tokens_with_one_flaw(api: Api, order: str, flaw: Callable[[str], str]) -> None:
    await _try_a_flaw(api, order, flaw)


@pytest.mark.long
@MANY
@given(flaw=FLAWS)
async def test_many_tokens_with_one_flaw(api: Api, order: str, flaw: Callable[[str], str]) -> None:
    await _try_a_flaw(api, order, flaw)


async def test_the_same_token_without_a_flaw(shop: Shop, api: Api) -> None:
    """So that the tests above refuse for the flaw, and for nothing else."""
    placed = await shop.place()
    headers = {"x-publishable-api-key": api.key, "x-modification-token": _minted(placed.id)}
    assert (await api.client.post(f"/store/orders/{placed.id}/cancel", headers=headers)).status_code == 200


async def test_a_stranger_does_not_learn_from_waiting(api: Api, order: str, database: str) -> None:
    """Somebody holds the order's row: who has no right to it is answered all the same."""
    rival = await asyncpg.connect(database)
    async with rival.transaction():
        await rival.execute('select from "order" where id = $1 for update', order)
        for credential in ("another customer", "a token of a third order"):
            answer = await _ask_for_both(api, order, WRONG[credential])
            assert answer.status_code in {403, 404}
    await rival.close()


@FEW
@given(order_id=IDS, body=BODIES)
async def test_ids_that_are_none(api: Api, order: str, order_id: str, body: bytes) -> None:
    """A token for the strange id itself, so that nothing but the id is wrong."""
    try:
        headers = {"x-publishable-api-key": api.key, "x-modification-token": token_for(order_id)}
        path = f"/store/orders/{quote(order_id, safe='')}/cancel"
    except UnicodeEncodeError:
        return
    url = httpx.URL("http://grace.test").copy_with(raw_path=path.encode())
    answer = await api.client.post(url, headers=headers, content=body)
    assert 300 <= answer.status_code < 500, answer.text


@FEW
@given(body=BODIES, signature=JUNK | st.builds("t={},v1={}".format, st.integers(), st.text("0123456789abcdef")))
async def test_webhooks_that_stripe_did_not_sign(api: Api, order: str, body: bytes, signature: str) -> None:
    answer = await api.client.post("/hooks/stripe", headers={"stripe-signature": signature}, content=body)
    assert answer.status_code in {400, 431}, answer.text
