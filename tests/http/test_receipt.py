"""GET on ``/store/orders/{id}/cancellation``: what a shopper may keep as proof, and who gets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.embedded.shop import Line, PlacedOrder
from app.embedded.shop_acts import archive, cancel_by_medusa
from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.receipt_keys import Ed25519Receipts, attested, new_key, read_public_keys
from app.http.tokens import TokenVerifier
from app.ports import TokenRejected, Unavailable
from app.receipts import verify_receipt
from app.store.database import PostgresDatabase
from tests.databases import one_database_a_file
from tests.http.answers import JSON_TYPE, assert_answer, not_found
from tests.http.proofs import bearer, customer_token, in_seconds, modification_token
from tests.http.rows import everything
from tests.http.test_cancel_contract import ACCEPTED, ALREADY, NOBODYS, REFUSED, Situation
from tests.http.test_who_may import EXPIRED, INVALID, MISMATCH, REQUIRED
from tests.world import Api, Shop, serving, settings_for, token_for

database = one_database_a_file()

PRIVATE, PUBLIC = new_key()
KEYS = read_public_keys(PUBLIC)
REASONS = "mind=I changed my mind; slow=Delivery is <too> slow"
NOT_CANCELED = {
    "code": "no_receipt",
    "type": "not_found",
    "message": "This order is not canceled.",
    "reason": "not_canceled",
}


@pytest.fixture
async def api(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> AsyncIterator[Api]:
    """A shop that signs its receipts and offers reasons."""
    changes = {"VOID_WAIT_SECONDS": "0", "CANCEL_REASONS": REASONS, "RECEIPT_SIGNING_KEY": PRIVATE}
    async with serving(settings_for(database, redis_url, sandbox, **changes), shop.key) as api:
        yield api


async def ask(api: Api, order_id: str, headers: dict[str, str] | None = None, **more: str) -> httpx.Response:
    sent = {"x-publishable-api-key": api.key, "x-modification-token": token_for(order_id)}
    sent = sent if headers is None else headers
    return await api.client.get(f"/store/orders/{order_id}/cancellation", headers={**sent, **more})


async def read(api: Api, order: PlacedOrder) -> dict[str, Any]:
    """The receipt as JSON, whose attestation is of just the same."""
    answer = await ask(api, order.id)
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON_TYPE), answer.text
    body: dict[str, Any] = answer.json()
    assert json.loads(attested(body.pop("receipt"), KEYS)) == body
    return body


async def test_all_of_it(shop: Shop, api: Api) -> None:
    order = await shop.place(lines=(Line(quantity=2), Line()))
    await api.cancel(order.id, json={"reason": "mind"})
    before = await everything(shop.conn)

    body = await read(api, order)

    assert await everything(shop.conn) == before
    row = await shop.row('select display_id, canceled_at from "order" where id = $1', order.id)
    issued = datetime.fromisoformat(body.pop("issued_at"))
    assert abs(issued - datetime.now(UTC)) < timedelta(seconds=30)
    assert body.pop("canceled_at").endswith("Z")
    body["canceled_at"] = row["canceled_at"]
    body["items"].sort(key=lambda line: -line["quantity"])  # lines of one millisecond have no order
    assert body == {
        "order_id": order.id,
        "display_id": str(row["display_id"]),
        "status": "canceled",
        "canceled_at": row["canceled_at"],
        "canceled_by": "token",
        "reason_code": "mind",
        "reason": "I changed my mind",
        "items": [
            {"title": "Shirt", "subtitle": "M", "quantity": 2},
            {"title": "Shirt", "subtitle": "M", "quantity": 1},
        ],
        "total": "29.74",
        "currency": "eur",
        "payment_action": "void_pending",
    }


async def test_headers(shop: Shop, api: Api) -> None:
    order = await shop.place()
    await api.cancel(order.id)
    answer = await ask(api, order.id, origin="http://shop.test")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "http://shop.test"
    assert {part.strip() for part in answer.headers["vary"].split(",")} == {"Accept", "Origin"}
    assert len(answer.headers["x-request-id"]) == 26


@pytest.mark.parametrize(
    ("given", "code", "reason"),
    [
        ("slow", "slow", "Delivery is <too> slow"),
        ("I changed my mind", None, "I changed my mind"),
        ("MIND", None, "MIND"),
        ("Ordered twice", None, "Ordered twice"),
        (None, None, None),
    ],
)
async def test_reasons(shop: Shop, api: Api, given: str | None, code: str | None, reason: str | None) -> None:
    """A code of the list has its label kept beside it; all else is free text, as it always was."""
    order = await shop.place()
    assert (await api.cancel(order.id, json={"reason": given})).status_code == 200
    row = await shop.row("select reason, reason_label from grace.cancellations where order_id = $1", order.id)
    assert tuple(row) == (given, reason if code else None)
    body = await read(api, order)
    assert (body["reason_code"], body["reason"]) == (code, reason)


async def test_storefronts_are_told_the_reasons(shop: Shop, api: Api) -> None:
    order = await shop.place()
    headers = {"x-publishable-api-key": api.key, "x-modification-token": token_for(order.id)}
    preview = await api.client.get(f"/store/orders/{order.id}/cancel", headers=headers)
    assert preview.json()["reasons"] == [
        {"code": "mind", "label": "I changed my mind"},
        {"code": "slow", "label": "Delivery is <too> slow"},
    ]


async def test_a_label_stays_what_the_shopper_was_shown(
    shop: Shop, api: Api, database: str, redis_url: str, sandbox: Sandbox
) -> None:
    order = await shop.place()
    await api.cancel(order.id, json={"reason": "mind"})
    changes = {"CANCEL_REASONS": "mind=Another label", "RECEIPT_SIGNING_KEY": PRIVATE}
    async with serving(settings_for(database, redis_url, sandbox, **changes), shop.key) as later:
        assert (await read(later, order))["reason"] == "I changed my mind"


async def test_by_the_customer_and_never_by_name(shop: Shop, api: Api) -> None:
    order = await shop.place(account=True)
    await api.cancel(order.id, token=None, headers=bearer(customer_token(order)))
    answer = await ask(api, order.id)
    assert answer.json()["canceled_by"] == "customer"
    assert order.customer_id not in answer.text


@pytest.mark.parametrize(("situation", "action"), ALREADY.values(), ids=ALREADY.keys())
async def test_canceled_by_the_shop(shop: Shop, api: Api, situation: Situation, action: str) -> None:
    order = await situation(shop)
    body = await read(api, order)
    assert (body["canceled_by"], body["reason"], body["payment_action"]) == ("shop", None, action)
    assert body["total"] == "29.74", "Medusa lowers its totals when it refunds"
    assert [line["quantity"] for line in body["items"]] == [1]


async def test_canceled_again_after_the_shop_took_it_up_again(shop: Shop, api: Api) -> None:
    order = await shop.place()
    await api.cancel(order.id, json={"reason": "mind"})
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)
    assert (await ask(api, order.id)).status_code == 404
    await cancel_by_medusa(shop.conn, order)
    assert (await read(api, order))["canceled_by"] == "shop"
    assert (await read(api, order))["reason"] is None


async def test_archived(shop: Shop, api: Api) -> None:
    order = await shop.place()
    await api.cancel(order.id)
    await archive(shop.conn, order)
    assert (await read(api, order))["canceled_by"] == "token"


@pytest.mark.parametrize("edited", [True, False])
async def test_lines_of_the_newest_version(shop: Shop, api: Api, edited: bool) -> None:
    """An edit writes every line again; one that was taken out has a quantity of 0."""
    order = await shop.place(lines=(Line(quantity=3), Line(quantity=2)))
    if edited:
        await shop.conn.execute(
            "insert into order_item (id, order_id, version, item_id, quantity, raw_quantity, fulfilled_quantity,"
            " shipped_quantity, return_requested_quantity, return_received_quantity, return_dismissed_quantity,"
            " written_off_quantity)"
            " select id || n, order_id, 2, item_id, case quantity when 3 then 1.5 else 0 end, raw_quantity,"
            " 0, 0, 0, 0, 0, 0 from order_item, unnest(array['a', 'b']) as n where order_id = $1",
            order.id,
        )
    await api.cancel(order.id)
    quantities = [line["quantity"] for line in (await read(api, order))["items"]]
    assert sorted(quantities) == ([1.5] if edited else [2, 3])


async def test_nothing_says_since_when(shop: Shop, api: Api) -> None:
    order = await shop.place()
    await shop.conn.execute("update \"order\" set status = 'canceled' where id = $1", order.id)
    answer = await ask(api, order.id)
    assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (404, "no_receipt", "time_unknown")


@pytest.mark.parametrize("name", ["captured", "packed", "grace period over", "open edit"])
async def test_not_canceled(shop: Shop, api: Api, name: str) -> None:
    order = await REFUSED[name][0](shop)
    assert_answer(await ask(api, order.id), 404, NOT_CANCELED)


async def test_not_canceled_yet(shop: Shop, api: Api) -> None:
    order = await ACCEPTED["just placed"][0](shop)
    assert_answer(await ask(api, order.id), 404, NOT_CANCELED)


class TestWhoMay:
    """The same as may cancel; nobody else learns so much as that there is an order."""

    @pytest.mark.parametrize("situation", NOBODYS.values(), ids=NOBODYS.keys())
    async def test_nobodys(self, shop: Shop, api: Api, situation: Situation) -> None:
        order = await situation(shop)
        assert_answer(await ask(api, order.id), 404, not_found(order.id))

    @pytest.mark.parametrize("accept", ["application/json", "text/html"])
    async def test_without_a_right(self, shop: Shop, api: Api, accept: str) -> None:
        """A canceled order, an open one and none at all are the same to strangers, whatever they accept."""
        canceled, open_, mine = await shop.place(account=True), await shop.place(), await shop.place(account=True)
        await api.cancel(canceled.id)
        key = {"x-publishable-api-key": api.key, "accept": accept}
        expired = modification_token(mine.id, exp=in_seconds(-60))
        for order_id in (canceled.id, open_.id, "order_unknown"):
            assert (await ask(api, order_id, {"accept": accept})).status_code == 400
            assert_answer(await ask(api, order_id, key), 401, REQUIRED)
            assert_answer(await ask(api, order_id, {**key, "x-modification-token": "garbage"}), 401, INVALID)
            assert_answer(await ask(api, order_id, {**key, "x-modification-token": expired}), 401, EXPIRED)
            others = {**key, "x-modification-token": token_for(mine.id)}
            assert_answer(await ask(api, order_id, others), 403, MISMATCH)
            signed_in = {**key, **bearer(customer_token(mine))}
            assert_answer(await ask(api, order_id, signed_in), 404, not_found(order_id))
        owner = {**key, **bearer(customer_token(canceled))}
        assert (await ask(api, canceled.id, owner)).status_code == 200

    @pytest.mark.parametrize("order_id", ["order_%00", "%F0%9F%98%80", "x" * 129])
    async def test_odd_ids(self, api: Api, order_id: str) -> None:
        assert (await ask(api, order_id)).status_code in {403, 404}

    async def test_rate_limits(self, shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> None:
        """One budget for all that is asked about an order."""
        settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", RATE_LIMIT_PER_ORDER="2")
        order = await shop.place()
        async with serving(settings, shop.key) as api:
            statuses = {(await ask(api, order.id)).status_code for _ in range(10)}
            assert statuses == {404, 429}

    async def test_a_receipt_is_no_modification_token(self, shop: Shop, api: Api) -> None:
        """Even where the shop uses one key for both."""
        order = await shop.place()
        await api.cancel(order.id)
        receipt = (await ask(api, order.id)).json()["receipt"]
        with pytest.raises(TokenRejected):
            TokenVerifier([], PUBLIC).verify(receipt)


async def test_a_locked_order_can_be_read(shop: Shop, api: Api, rival: asyncpg.Connection) -> None:
    order = await shop.place()
    await api.cancel(order.id)
    async with rival.transaction():
        await rival.execute('select from "order" where id = $1 for update', order.id)
        async with asyncio.timeout(20):
            assert (await read(api, order))["order_id"] == order.id


async def test_the_database_does_not_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has canceled must not read that it could not be canceled."""

    def gone(self: object, name: str) -> None:
        raise Unavailable(name)

    monkeypatch.setattr(PostgresDatabase, "read", gone)
    answer = await ask(api, "order_1")
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer.json()["message"] == "The receipt could not be looked up just now. Please try again in a moment."
    assert answer.headers["retry-after"] == "2"


class TestForms:
    """A page and a text, for who is no program."""

    @pytest.fixture
    async def order(self, shop: Shop, api: Api) -> PlacedOrder:
        order = await shop.place()
        await shop.conn.execute(
            "update order_line_item set title = '<b>Shirt</b>' where id = any($1)", order.line_item_ids
        )
        await api.cancel(order.id, json={"reason": "</dd><script>alert(1)</script>\nTotal of the order: 0.00 EUR"})
        return order

    @pytest.mark.parametrize(
        ("accept", "type_"),
        [
            ("application/json", "application/json"),
            ("*/*", "application/json"),
            ("image/png", "application/json"),
            ("", "application/json"),
            (";;,/,q", "application/json"),
            ("nonsense;q=high", "application/json"),
            ("text/html;q=high", "text/html"),
            ("text/html;q=NaN, */*;q=inf", "application/json"),
            ("/".join("a" * 5_000), "application/json"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
            ("text/html", "text/html"),
            ("application/json;q=0.5,text/html", "text/html"),
            ("text/plain", "text/plain"),
            ("text/plain;q=0.1, application/json", "application/json"),
        ],
    )
    async def test_what_is_accepted_is_answered(self, api: Api, order: PlacedOrder, accept: str, type_: str) -> None:
        answer = await ask(api, order.id, accept=accept)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"{type_}; charset=utf-8"

    async def test_page(self, shop: Shop, api: Api, order: PlacedOrder) -> None:
        answer = await ask(api, order.id, accept="text/html")
        row = await shop.row('select display_id, canceled_at from "order" where id = $1', order.id)
        assert f"<title>Cancellation of order {row['display_id']}</title>" in answer.text
        for told in (order.id, f"{row['canceled_at']:%Y-%m-%d %H:%M:%S} UTC", "29.74 EUR", "1 x &lt;b&gt;Shirt"):
            assert told in answer.text
        assert "&lt;script&gt;" in answer.text
        for active in ("<script", "<b>", "http:", "https:", "src=", "href="):
            assert active not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"

    async def test_text(self, api: Api, order: PlacedOrder) -> None:
        lines = (await ask(api, order.id, accept="text/plain")).text.splitlines()
        assert [line for line in lines if line.startswith("Total of the order")] == ["Total of the order: 29.74 EUR"]

    @pytest.mark.parametrize("accept", ["application/json", "text/html", "text/plain"])
    async def test_what_was_saved_can_be_verified(
        self, api: Api, order: PlacedOrder, accept: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "receipt").write_bytes((await ask(api, order.id, accept=accept)).content)
        (tmp_path / "keys").write_bytes((await api.client.get("/store/cancellation-keys")).content)
        assert verify_receipt(str(tmp_path / "receipt"), str(tmp_path / "keys")) == 0
        assert json.loads(capsys.readouterr().out)["order_id"] == order.id


class TestKeys:
    async def test_for_anybody(self, api: Api) -> None:
        answer = await api.client.get("/store/cancellation-keys", headers={"origin": "http://shop.test"})
        assert answer.status_code == 200
        assert answer.content == Ed25519Receipts([PRIVATE]).public()
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert answer.headers["cache-control"] == "public, max-age=3600"
        assert answer.headers["access-control-allow-origin"] == "http://shop.test"
        assert "PRIVATE" not in answer.text
        assert '"d"' not in answer.text

    async def test_a_shop_without_a_key(self, shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> None:
        order = await shop.place()
        settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0")
        async with serving(settings, shop.key) as api:
            await api.cancel(order.id)
            answer = await ask(api, order.id)
            assert (answer.status_code, answer.json()["receipt"]) == (200, None)
            assert "Attestation" not in (await ask(api, order.id, accept="text/html")).text
            assert (await api.client.get("/store/cancellation-keys")).json() == {"keys": []}
