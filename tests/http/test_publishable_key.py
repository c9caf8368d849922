"""``x-publishable-api-key``, checked and answered as Medusa does, letter for letter (taken from Medusa 2.21.2)."""

from __future__ import annotations

import pytest

from app.embedded.shop import create_publishable_key
from tests.databases import one_database_a_file
from tests.http.answers import JSON_TYPE
from tests.http.rows import everything
from tests.world import Api, Shop

database = one_database_a_file()

MISSING = (
    '{"type":"not_allowed","message":"Publishable API key required in the request header: x-publishable-api-key. '
    'You can manage your keys in settings in the dashboard."}'
)
INVALID = '{"type":"not_allowed","message":"A valid publishable key is required to proceed with the request"}'


async def assert_key_refused(shop: Shop, api: Api, key: str | None, text: str) -> None:
    order = await shop.place()
    before = await everything(shop.conn)
    answer = await api.cancel(order.id, headers={"x-publishable-api-key": key})  # type: ignore[dict-item]
    assert (answer.status_code, answer.text) == (400, text)
    assert answer.headers["content-type"] == JSON_TYPE
    assert await everything(shop.conn) == before


@pytest.mark.parametrize("key", [None, ""], ids=["none", "empty"])
async def test_missing(shop: Shop, api: Api, key: str | None) -> None:
    await assert_key_refused(shop, api, key, MISSING)


async def test_unknown(shop: Shop, api: Api) -> None:
    await assert_key_refused(shop, api, f"{shop.key}0", INVALID)


async def test_revoked(shop: Shop, api: Api) -> None:
    await assert_key_refused(shop, api, await create_publishable_key(shop.conn, revoked=True), INVALID)


async def test_secret_key(shop: Shop, api: Api) -> None:
    await shop.conn.execute("update api_key set type = 'secret' where token = $1", shop.key)
    await assert_key_refused(shop, api, shop.key, INVALID)


async def test_deleted_key(shop: Shop, api: Api) -> None:
    await shop.conn.execute("update api_key set deleted_at = now() where token = $1", shop.key)
    await assert_key_refused(shop, api, shop.key, INVALID)


async def test_to_be_revoked_later(shop: Shop, api: Api) -> None:
    await shop.conn.execute("update api_key set revoked_at = now() + interval '1 minute' where token = $1", shop.key)
    order = await shop.place()
    assert (await api.cancel(order.id)).status_code == 200


async def test_the_headers_name_in_any_case(shop: Shop, api: Api) -> None:
    order = await shop.place()
    answer = await api.cancel(
        order.id,
        headers={"x-publishable-api-key": None, "X-Publishable-API-Key": shop.key},  # type: ignore[dict-item]
    )
    assert answer.status_code == 200


async def test_the_key_is_asked_for_before_the_token(shop: Shop, api: Api) -> None:
    answer = await api.cancel("order_unknown", token=None, headers={"x-publishable-api-key": ""})
    assert answer.text == MISSING
