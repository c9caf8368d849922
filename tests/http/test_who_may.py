"""Who may cancel, asked through the API: nobody learns anything about an order without a right to it."""

from __future__ import annotations

from typing import Any

import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from tests.databases import one_database_a_file
from tests.http.answers import assert_answer, assert_refused, not_found
from tests.http.forgeries import BAD, KEYS, OTHER_SECRET, public_pem
from tests.http.proofs import bearer, customer_token, in_seconds, modification_token
from tests.http.rows import everything
from tests.world import SECRET, Api, Shop, serving, settings_for, token_for

database = one_database_a_file()

REQUIRED = {
    "code": "token_required",
    "type": "unauthorized",
    "message": "Please sign in, or use the link in your order confirmation, to cancel this order.",
}
INVALID = {
    "code": "token_invalid",
    "type": "unauthorized",
    "message": "This link is not valid. Please sign in, or use the link in your order confirmation.",
}
EXPIRED = {
    "code": "token_expired",
    "type": "unauthorized",
    "message": "This link has expired. Please sign in, or ask for a new link, to cancel this order.",
}
MISMATCH = {"code": "token_mismatch", "type": "forbidden", "message": "This link belongs to another order."}


async def test_no_token(shop: Shop, api: Api) -> None:
    order = await shop.place()
    for headers in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer "}, {"authorization": "Bearer"}):
        await assert_refused(shop, api, order.id, 401, REQUIRED, token=None, headers=headers)


async def test_bad_tokens(shop: Shop, api: Api) -> None:
    order = await shop.place()
    before = await everything(shop.conn)
    for name, token in BAD.items():
        if token and token.isascii():
            answer = await api.cancel(order.id, token=token)
            assert answer.status_code == 401, name
            assert_answer(answer, 401, INVALID)
    assert await everything(shop.conn) == before


async def test_expired(shop: Shop, api: Api) -> None:
    order = await shop.place()
    token = modification_token(order.id, exp=in_seconds(-60))
    await assert_refused(shop, api, order.id, 401, EXPIRED, token=token)


async def test_a_token_for_another_order(shop: Shop, api: Api) -> None:
    """The answer is the same whether there is such an order or not."""
    one, two = await shop.place(), await shop.place()
    await assert_refused(shop, api, two.id, 403, MISMATCH, token=token_for(one.id))
    await assert_refused(shop, api, "order_unknown", 403, MISMATCH, token=token_for(one.id))
    await assert_refused(shop, api, one.id.lower(), 403, MISMATCH, token=token_for(one.id))


async def test_a_bad_token_is_not_made_good_by_a_good_bearer(shop: Shop, api: Api) -> None:
    order = await shop.place(account=True)
    headers = bearer(customer_token(order))
    await assert_refused(shop, api, order.id, 401, INVALID, token="garbage", headers=headers)


@pytest.mark.parametrize("secrets", [f"{SECRET} {OTHER_SECRET}", f"{OTHER_SECRET} {SECRET}"], ids=["new", "old"])
async def test_rotation(shop: Shop, database: str, redis_url: str, sandbox: Sandbox, secrets: str) -> None:
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", MODIFICATION_TOKEN_SECRET=secrets)
    order = await shop.place()
    async with serving(settings, shop.key) as api:
        assert (await api.cancel(order.id, token=token_for(order.id, secret=OTHER_SECRET))).status_code == 200


@pytest.mark.parametrize("algorithm", KEYS)
async def test_public_key(shop: Shop, database: str, redis_url: str, sandbox: Sandbox, algorithm: str) -> None:
    key = KEYS[algorithm]
    changes = {"MODIFICATION_TOKEN_SECRET": "", "MODIFICATION_TOKEN_PUBLIC_KEY": public_pem(key)}
    order = await shop.place()
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", **changes)
    async with serving(settings, shop.key) as api:
        await assert_refused(shop, api, order.id, 401, INVALID, token=token_for(order.id))
        token = modification_token(order.id, key=key, algorithm=algorithm)
        assert (await api.cancel(order.id, token=token)).status_code == 200


async def test_an_audience_is_asked_for(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> None:
    order = await shop.place()
    changes = {"VOID_WAIT_SECONDS": "0", "MODIFICATION_TOKEN_AUDIENCE_REQUIRED": "true"}
    async with serving(settings_for(database, redis_url, sandbox, **changes), shop.key) as api:
        await assert_refused(shop, api, order.id, 401, INVALID, token=modification_token(order.id))
        await assert_refused(shop, api, order.id, 401, INVALID, token=modification_token(order.id, aud="other"))
        assert (await api.cancel(order.id, token=token_for(order.id))).status_code == 200


class TestCustomer:
    """``Authorization: Bearer`` with Medusa's own token, in the place of a modification token."""

    async def test_owner(self, shop: Shop, api: Api) -> None:
        order = await shop.place(account=True)
        answer = await api.cancel(order.id, token=None, headers=bearer(customer_token(order)))
        assert answer.status_code == 200
        assert await shop.status(order) == "canceled"

    async def test_owner_again(self, shop: Shop, api: Api) -> None:
        order = await shop.place(account=True)
        for message in (None, "Already canceled"):
            headers = {"authorization": f"bearer {customer_token(order)}"}
            answer = await api.cancel(order.id, token=None, headers=headers)
            assert answer.json().get("message") == message

    @pytest.mark.parametrize("account", [True, False], ids=["account", "guest"])
    async def test_somebody_elses_order(self, shop: Shop, api: Api, account: bool) -> None:
        """Not told from an order that is not there, in whatever state it is."""
        theirs, mine = await shop.place(account=account), await shop.place(account=True)
        headers = bearer(customer_token(mine))
        for order_id in (theirs.id, "order_unknown"):
            await assert_refused(shop, api, order_id, 404, not_found(order_id), token=None, headers=headers)
        await api.cancel(theirs.id)
        await assert_refused(shop, api, theirs.id, 404, not_found(theirs.id), token=None, headers=headers)

    async def test_a_guests_order_with_the_same_email(self, shop: Shop, api: Api) -> None:
        guests = await shop.place(email="ada@shoppers.test")
        mine = await shop.place(email="ada@shoppers.test", account=True)
        assert guests.customer_id != mine.customer_id
        headers = bearer(customer_token(mine))
        await assert_refused(shop, api, guests.id, 404, not_found(guests.id), token=None, headers=headers)

    async def test_rejected(self, shop: Shop, api: Api) -> None:
        order = await shop.place(account=True)
        rejected: dict[str, Any] = {
            "an admin's": {"actor_type": "user"},
            "nobody in particular's": {"actor_type": None},
            "not registered yet": {"actor_id": ""},
            "no actor": {"actor_id": None},
            "actor is a list": {"actor_id": [order.customer_id]},
            "second factor missing": {"mfa_enabled": True},
            "second factor empty": {"mfa_enabled": True, "mfa_challenge_completed_at": ""},
            "endless": {"exp": None},
            "another shop's": {"secret": SECRET},
        }
        for name, claims in rejected.items():
            headers = bearer(customer_token(order, **claims))
            answer = await assert_refused(shop, api, order.id, 401, INVALID, token=None, headers=headers)
            assert answer.status_code == 401, name
        for token in ("garbage", modification_token(order.id), customer_token(order)[:-2]):
            await assert_refused(shop, api, order.id, 401, INVALID, token=None, headers=bearer(token))

    async def test_second_factor_given(self, shop: Shop, api: Api) -> None:
        order = await shop.place(account=True)
        claims: dict[str, Any] = {"mfa_enabled": True, "mfa_challenge_completed_at": "2026-11-22T20:00:00.000Z"}
        answer = await api.cancel(order.id, token=None, headers=bearer(customer_token(order, **claims)))
        assert answer.status_code == 200

    async def test_expired(self, shop: Shop, api: Api) -> None:
        order = await shop.place(account=True)
        headers = bearer(customer_token(order, exp=in_seconds(-1)))
        await assert_refused(shop, api, order.id, 401, EXPIRED, token=None, headers=headers)

    async def test_issued_by_a_clock_that_is_ahead(self, shop: Shop, api: Api) -> None:
        order = await shop.place(account=True)
        headers = bearer(customer_token(order, iat=in_seconds(5)))
        assert (await api.cancel(order.id, token=None, headers=headers)).status_code == 200

    async def test_a_customers_token_is_no_modification_token(self, shop: Shop, api: Api) -> None:
        order = await shop.place(account=True)
        token = customer_token(order, order_id=order.id)
        await assert_refused(shop, api, order.id, 401, INVALID, token=token)

    async def test_without_medusas_secret_nobody_is_believed(
        self, shop: Shop, database: str, redis_url: str, sandbox: Sandbox
    ) -> None:
        order = await shop.place(account=True)
        settings: Settings = settings_for(database, redis_url, sandbox, MEDUSA_JWT_SECRET="")
        async with serving(settings, shop.key) as api:
            for secret in ("", SECRET):
                headers = bearer(customer_token(order, secret=secret)) if secret else bearer("a.b.c")
                await assert_refused(shop, api, order.id, 401, INVALID, token=None, headers=headers)
