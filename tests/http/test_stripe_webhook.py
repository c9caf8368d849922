"""``POST /hooks/stripe``: signed or nothing, once per event, and only ever a hint to look."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe
from ulid import ULID

from app.domain.jobs import JobKind
from app.embedded.shop import STRIPE, Payment, PlacedOrder, place_order
from app.embedded.shop_acts import cancel_by_medusa
from app.embedded.stripe_sandbox.client import Sandbox
from app.http import stripe_webhook
from app.settings import Settings
from tests.world import Api, Shop, eventually, serving, settings_for, working

SECRET = "whsec_of_the_tests"


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    return settings_for(
        database, redis_url, sandbox, STRIPE_WEBHOOK_SECRET=f"whsec_new {SECRET}", VOID_WAIT_SECONDS="0"
    )


@pytest.fixture
async def deaf(database: str, redis_url: str, sandbox: Sandbox, shop: Shop) -> AsyncIterator[Api]:
    """An API that was given no webhook secret."""
    async with serving(settings_for(database, redis_url, sandbox), shop.key) as api:
        yield api


async def placed(shop: Shop, *, capture_method: str = "manual") -> PlacedOrder:
    """An order whose intent knows its payment session, as Medusa's provider writes it."""
    session = f"payses_{time.time_ns()}"
    intent = await shop.sandbox.authorize(2974, "eur", capture_method, metadata={"session_id": session})
    order = await place_order(shop.conn, payments=[Payment(provider_id=STRIPE, intent=intent)])
    await shop.conn.execute("update payment set payment_session_id = $1 where id = $2", session, order.payment_ids[0])
    return order


async def event(shop: Shop, order: PlacedOrder, type_: str, id_: str = "evt_1") -> dict[str, Any]:
    intent = await shop.sandbox.intent(order.intent_ids[0])
    return {"id": id_, "object": "event", "type": type_, "data": {"object": intent}}


async def post(api: Api, body: dict[str, Any] | bytes, *, secret: str = SECRET, at: float = 0) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = int(time.time() + at)
    signature = stripe.WebhookSignature._compute_signature(f"{stamp}.{raw.decode(errors='replace')}", secret)
    headers = {"stripe-signature": f"t={stamp},v1={signature}", "content-type": "application/json"}
    return await api.client.post("/hooks/stripe", content=raw, headers=headers)


async def looked(shop: Shop, order: PlacedOrder) -> None:
    async def done() -> bool:
        states = await shop.conn.fetch("select state from grace.jobs where order_id = $1 and kind = 'look'", order.id)
        return bool(states) and all(row["state"] == "done" for row in states)

    await eventually(done)


async def test_a_lapsed_hold_of_an_open_order_is_an_incident_before_anybody_ships(
    shop: Shop, api: Api, settings: Settings
) -> None:
    order = await placed(shop)
    await shop.sandbox.lapse(order.intent_ids[0])
    async with working(settings):
        answer = await post(api, await event(shop, order, "payment_intent.canceled"))
        await looked(shop, order)
    assert answer.status_code == 200
    assert await shop.incidents(order) == ["authorization_lost"]


async def test_money_captured_on_a_canceled_order_is_recorded_and_raised(
    shop: Shop, api: Api, settings: Settings
) -> None:
    order = await placed(shop, capture_method="automatic")
    await cancel_by_medusa(shop.conn, order, void_succeeded=True)
    async with working(settings):
        await post(api, await event(shop, order, "payment_intent.succeeded"))
        await looked(shop, order)
    assert await shop.incidents(order) == ["late_money"]
    assert (await shop.payment(order))["captured_at"] is not None


async def test_a_refund_in_the_dashboard_is_recorded_and_closes_the_incident(
    shop: Shop, api: Api, settings: Settings
) -> None:
    order = await placed(shop, capture_method="automatic")
    await cancel_by_medusa(shop.conn, order, void_succeeded=True)
    async with working(settings):
        await post(api, await event(shop, order, "payment_intent.succeeded", "evt_1"))
        await looked(shop, order)
        async with httpx.AsyncClient(base_url=shop.sandbox.url) as dashboard:
            refund = await dashboard.post(
                "/v1/refunds",
                data={"payment_intent": order.intent_ids[0]},
                headers={"authorization": f"Bearer {shop.sandbox.key}"},
            )
        assert refund.is_success
        charge = {"id": "ch_1", "payment_intent": order.intent_ids[0]}
        charge["metadata"] = (await shop.sandbox.intent(order.intent_ids[0]))["metadata"]
        await post(api, {"id": "evt_2", "type": "charge.refunded", "data": {"object": charge}})
        await eventually(lambda: _closed(shop, order))
    refunded = await shop.conn.fetchval("select amount from refund where payment_id = $1", order.payment_ids[0])
    assert refunded == order.total


async def test_what_the_event_says_is_not_believed(shop: Shop, api: Api, settings: Settings) -> None:
    """A stale event of an intent that is held again, as far as Stripe says now."""
    order = await placed(shop)
    lie = await event(shop, order, "payment_intent.canceled")
    lie["data"]["object"]["status"] = "canceled"
    async with working(settings):
        await post(api, lie)
        await looked(shop, order)
    assert await shop.incidents(order) == []


async def test_an_event_counts_once(shop: Shop, api: Api) -> None:
    order = await placed(shop)
    told = await event(shop, order, "payment_intent.canceled")
    answers = [(await post(api, told)).status_code for _ in range(3)]
    assert answers == [200, 200, 200]
    job = await shop.job(order, JobKind.LOOK)
    assert job is not None
    assert job["state"] == "scheduled"


@pytest.mark.parametrize(
    ("secret", "at"),
    [("whsec_wrong", 0), (SECRET, -400), (SECRET, 400), (SECRET, 86_400_000), ("", 0)],
    ids=["forged", "old", "of the future", "of a far future", "empty secret"],
)
async def test_an_unsigned_event_changes_nothing(shop: Shop, api: Api, secret: str, at: float) -> None:
    order = await placed(shop)
    answer = await post(api, await event(shop, order, "payment_intent.canceled"), secret=secret, at=at)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_data"
    assert await shop.job(order, JobKind.LOOK) is None


async def test_both_secrets_of_a_rotation_are_good(shop: Shop, api: Api) -> None:
    order = await placed(shop)
    answer = await post(api, await event(shop, order, "payment_intent.canceled"), secret="whsec_new")
    assert answer.status_code == 200


def _signed(raw: bytes, secret: str = SECRET, *, at: float = 0) -> tuple[int, str]:
    stamp = int(time.time() + at)
    return stamp, stripe.WebhookSignature._compute_signature(f"{stamp}.{raw.decode()}", secret)


FORMS = {
    "a v0 beside": ("t={t},v1={v1},v0={other}", 200),
    "both secrets": ("t={t},v1={other},v1={v1}", 200),
    "sixteen": ("t={t}" + ",v1={other}" * 15 + ",v1={v1}", 200),
    "two hundred": ("t={t}" + ",v1={other}" * 200 + ",v1={v1}", 400),
    "none": ("", 400),
    "no time": ("v1={v1}", 400),
    "two times": ("t=1,t={t},v1={v1}", 400),
    "another scheme alone": ("t={t},v0={v1}", 400),
    "a time with a sign": ("t=+{t},v1={v1}", 400),
    "a time in other digits": ("t={arabic},v1={v1}", 400),
    "blanks": ("t={t}, v1={v1}", 400),
    "a third part": ("t={t}=1,v1={v1}", 400),
}


@pytest.mark.parametrize(("form", "status"), FORMS.values(), ids=FORMS.keys())
async def test_forms_of_the_signature_header(shop: Shop, api: Api, form: str, status: int) -> None:
    order = await placed(shop)
    raw = json.dumps(await event(shop, order, "payment_intent.canceled")).encode()
    stamp, signature = _signed(raw)
    arabic = str(stamp).translate({ord("0") + digit: 0x660 + digit for digit in range(10)})
    header = form.format(t=stamp, v1=signature, other="0" * 64, arabic=arabic)
    headers = {b"stripe-signature": header.encode()}
    answer = await api.client.post("/hooks/stripe", content=raw, headers=headers)
    assert answer.status_code == status
    assert (await shop.job(order, JobKind.LOOK) is not None) == (status == 200)


async def test_two_signature_headers_are_refused(shop: Shop, api: Api) -> None:
    order = await placed(shop)
    raw = json.dumps(await event(shop, order, "payment_intent.canceled")).encode()
    stamp, signature = _signed(raw)
    header = f"t={stamp},v1={signature}"
    for other in (header, "t=1,v1=0", ""):
        for pair in ([header, other], [other, header]):
            answer = await api.client.post(
                "/hooks/stripe", content=raw, headers=[("stripe-signature", one) for one in pair]
            )
            assert answer.status_code == 400, pair
    assert await shop.job(order, JobKind.LOOK) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "evt_" + "x" * 100_000),
        ("id", "evt_" + "x" * 252),
        ("id", ""),
        ("id", "evt_1:payment.captured"),
        ("id", "evt_\u202e1"),
        ("id", "evt_1\n"),
        ("id", 1),
        ("id", None),
        ("type", "payment_intent.canceled\n"),
        ("type", "x" * 100_000),
        ("type", ["payment_intent.canceled"]),
    ],
)
async def test_an_event_whose_id_or_type_is_not_of_stripes_form(shop: Shop, api: Api, field: str, value: Any) -> None:
    order = await placed(shop)
    told = await event(shop, order, "payment_intent.canceled")
    answer = await post(api, told | {field: value})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_data"
    assert await shop.job(order, JobKind.LOOK) is None


async def test_more_webhooks_of_an_address_than_stripe_sends_are_refused_unread(
    api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_webhook, "EVENTS_PER_ADDRESS", 5)
    answers = [await api.client.post("/hooks/stripe", content=b"{}") for _ in range(12)]  # two windows at most
    assert {answer.status_code for answer in answers} == {400, 429}
    order = await shop.place()
    assert (await api.cancel(order.id)).status_code == 200, "a shopper's requests are counted apart"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"id":"e"}', b'{"type":"payment_intent.canceled"}', b"\xff"])
async def test_a_signed_body_that_is_no_event(api: Api, body: bytes) -> None:
    assert (await post(api, body)).status_code == 400


@pytest.mark.parametrize(
    "object_",
    [
        {"id": "pi_of_somebody"},
        {"id": None},
        {"id": 7, "metadata": {"session_id": []}},
        {"id": "pi\x00", "metadata": {}},
        {"id": "pi_" + "x" * 100_000, "metadata": {}},
        {"id": "pi_1", "metadata": {"session_id": "payses_" + "x" * 100_000}},
        {"id": "pi_1", "metadata": {"session_id": "payses_\u202e"}},
    ],
)
async def test_an_event_of_somebody_else_is_taken_and_forgotten(shop: Shop, api: Api, object_: dict[str, Any]) -> None:
    answer = await post(api, {"id": "evt_9", "type": "payment_intent.canceled", "data": {"object": object_}})
    assert answer.status_code == 200
    assert await shop.conn.fetchval("select count(*) from grace.jobs") == 0


async def test_without_a_secret_there_is_no_such_path(shop: Shop, deaf: Api) -> None:
    assert (await post(deaf, b"{}", secret="")).status_code == 404


async def _closed(shop: Shop, order: PlacedOrder) -> bool:
    return await shop.incidents(order) == [] and await shop.incidents(order, open_only=False) == ["late_money"]


async def test_the_look_goes_back_to_the_webhook(shop: Shop, api: Api) -> None:
    order = await placed(shop)
    await post(api, await event(shop, order, "payment_intent.canceled"))
    look = await shop.job(order, JobKind.LOOK)
    assert look is not None
    assert ULID.from_str(look["request_id"])
