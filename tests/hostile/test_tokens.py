"""Tokens, ids and bodies that hypothesis makes up: no 5xx, no change, no word on who is there, no secret logged."""

from __future__ import annotations

import json
import logging
import time
import warnings
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.warnings import InsecureKeyLengthWarning

from tests.hostile.ground import SECRETS
from tests.world import JWT_SECRET, SECRET, Api, Shop, token_for

ABSENT = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
FEW = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=2_500)

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
            return jwt.encode(claims, None if algorithm == "none" else secret or "x", algorithm, {"kid": kid})
    except (TypeError, ValueError, jwt.PyJWTError, OverflowError):
        return "unsignable"


FORGED = st.builds(_forged, CLAIMS, SHORT, ALGORITHMS, st.text(max_size=20))
TOKENS = JUNK | FORGED


@pytest.fixture(autouse=True)
def _nothing_logged(caplog: pytest.LogCaptureFixture) -> Any:
    """No secret and no token in any log line of the test."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    yield
    text = "\n".join(str(record.msg) + str(record.args) for record in caplog.get_records("call"))
    assert not [secret for secret in SECRETS if secret in text]
    assert "eyJ" not in text, "a token is in the log"
    assert "request.failed" not in text


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
    who = {"actor_id": "cus_nobody", "actor_type": "customer", "exp": int(time.time()) + 600, **claims}
    return jwt.encode(who, JWT_SECRET, "HS256")


WRONG = {
    "nothing": {},
    "a token of a third order": {"x-modification-token": token_for("order_third")},
    "a token of another secret": {"x-modification-token": token_for(ABSENT, secret="another-secret-01234567")},
    "another customer": {"authorization": f"Bearer {_customer()}"},
    "a customer whose id is null": {"authorization": f"Bearer {_customer(actor_id='')}"},
    "an admin": {"authorization": f"Bearer {_customer(actor_type='user', actor_id='user_1')}"},
    "an expired customer": {"authorization": f"Bearer {_customer(exp=1)}"},
    "no key": {"x-publishable-api-key": "pk_wrong"},
}


@pytest.mark.parametrize("credential", WRONG)
async def test_nobody_learns_which_orders_exist(api: Api, order: str, credential: str) -> None:
    await _ask_for_both(api, order, WRONG[credential])


@FEW
@given(order_id=IDS, body=BODIES)
async def test_ids_that_are_none(api: Api, order: str, order_id: str, body: bytes) -> None:
    """A token for the strange id itself, so that nothing but the id is wrong."""
    try:
        headers = {"x-publishable-api-key": api.key, "x-modification-token": token_for(order_id)}
        url = httpx.URL("http://grace.test").copy_with(path=f"/store/orders/{order_id}/cancel")
    except (httpx.InvalidURL, UnicodeEncodeError):
        return
    answer = await api.client.post(url, headers=headers, content=body)
    assert 300 <= answer.status_code < 500, answer.text


@FEW
@given(body=BODIES, signature=JUNK | st.builds("t={},v1={}".format, st.integers(), st.text("0123456789abcdef")))
async def test_webhooks_that_stripe_did_not_sign(api: Api, order: str, body: bytes, signature: str) -> None:
    answer = await api.client.post("/hooks/stripe", headers={"stripe-signature": signature}, content=body)
    assert answer.status_code == 400, answer.text
