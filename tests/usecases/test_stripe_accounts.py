"""Two Stripe accounts in one shop: the key of one of them is tried on no payment of the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import structlog

from app.doctor import run_doctor
from app.domain.cancellation import PaymentAction
from app.domain.jobs import JobKind
from app.domain.money import to_minor_units
from app.embedded.shop import Payment, PlacedOrder
from app.embedded.shop_acts import capture_by_medusa
from app.embedded.shop_sessions import open_session
from app.embedded.stripe_sandbox.client import Sandbox
from app.ports import Hint
from app.usecases.heal_incidents import heal_incidents
from app.usecases.preview_cancel import preview_cancel
from app.usecases.take_hint import take_hint
from app.usecases.track_payments import start_tracking, track_payments
from tests.usecases.hand import Hand, opened
from tests.world import Shop, eventually, serving, settings_for, working

US, EU, EU_IDEAL = "pp_stripe_us", "pp_stripe_eu", "pp_stripe-ideal_eu"
TOTAL = Decimal("29.7381")


@pytest.fixture
async def us(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> AsyncIterator[Hand]:
    """A sidecar whose key is that of ``us``."""
    settings = settings_for(database, redis_url, sandbox, STRIPE_PROVIDERS=US, VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        await start_tracking(services, await shop.conn.fetchval("select now() - interval '1 hour'"))
        yield Hand(services, shop)


async def _order(shop: Shop, *providers: str) -> PlacedOrder:
    """Held with each of the providers. The intents are there at the sandbox: a wrong key would do harm."""
    payments = []
    for provider in providers:
        intent = await shop.sandbox.authorize(to_minor_units(TOTAL, "eur"), "eur")
        payments.append(Payment(amount=TOTAL, provider_id=provider, intent=intent))
    return await shop.place(payments=payments)


@pytest.mark.parametrize("provider", [EU, EU_IDEAL])
async def test_a_hold_of_another_account_is_named_when_it_is_first_seen(us: Hand, shop: Shop, provider: str) -> None:
    theirs, ours = await _order(shop, provider), await _order(shop, US)
    await track_payments(us.services)
    assert await shop.incidents(theirs) == ["unsupported_provider"]
    assert await shop.incidents(ours) == []
    detail = await shop.conn.fetchval("select detail from grace.incidents where order_id = $1", theirs.id)
    assert provider in detail
    assert "STRIPE_PROVIDERS" in detail

    assert (await us.run(theirs, JobKind.CAPTURE))["state"] == "dead"
    assert (await us.run(ours, JobKind.CAPTURE))["state"] == "done"
    assert await shop.calls(theirs, "capture") == []
    assert await shop.incidents(theirs) == ["unsupported_provider"]


async def test_a_cancel_voids_only_what_the_key_is_for(us: Hand, shop: Shop) -> None:
    order = await _order(shop, US, EU)
    await track_payments(us.services)
    await us.cancel(order)
    for payment_id in order.payment_ids:
        await us.run(order, JobKind.VOID, payment_id)
    ledger = await shop.sandbox.ledger()
    assert [ledger[intent_id].status for intent_id in order.intent_ids] == ["canceled", "requires_capture"]
    assert [call["object_id"] for call in await shop.calls(order, "cancel")] == [order.intent_ids[0]]
    assert await us.payment_action(order) is PaymentAction.VOID_FAILED
    assert await shop.incidents(order) == ["unsupported_provider"]


async def test_a_cancel_without_a_look_before_it_opens_the_incident_too(us: Hand, shop: Shop) -> None:
    order = await _order(shop, EU)
    await us.cancel(order)
    assert (await us.run(order, JobKind.VOID))["state"] == "dead"
    assert await shop.incidents(order) == ["unsupported_provider"]
    assert await shop.sandbox.requests("payment_intents.cancel") == []


@pytest.mark.parametrize(
    ("providers", "action"),
    [((US,), PaymentAction.VOIDED), ((EU,), PaymentAction.VOID_FAILED), ((US, EU), PaymentAction.VOID_FAILED)],
)
async def test_a_preview_says_what_will_not_be_voided(
    us: Hand, shop: Shop, providers: tuple[str, ...], action: PaymentAction
) -> None:
    order = await _order(shop, *providers)
    async with us.services.db.read("test") as conn:
        read = await us.services.orders.read_order(conn, order.id)
    assert read is not None
    preview = await preview_cancel(us.services, read)
    assert (preview.cancelable, preview.payment_action) == (True, action)


async def test_an_event_about_another_accounts_intent_asks_nobody(us: Hand, shop: Shop) -> None:
    order = await _order(shop, EU)
    session = await shop.conn.fetchval("select payment_session_id from payment where id = $1", order.payment_ids[0])
    hint = Hint(id="evt_1", type="payment_intent.canceled", intent_id=order.intent_ids[0], session=session)
    await take_hint(us.services, hint)
    assert (await us.run(order, JobKind.LOOK))["state"] == "removed"
    assert await shop.sandbox.requests("payment_intents.retrieve") == []


async def test_the_incident_closes_when_the_others_have_captured(us: Hand, shop: Shop) -> None:
    order = await _order(shop, EU)
    await track_payments(us.services)
    await heal_incidents(us.services)
    assert await shop.incidents(order) == ["unsupported_provider"]
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    await heal_incidents(us.services)
    assert await shop.incidents(order) == []


@pytest.mark.parametrize(
    ("setting", "provider", "served"),
    [
        ("", EU, True),
        ("us eu", EU_IDEAL, True),
        ("eu", EU_IDEAL, True),
        ("eu", EU, True),
        ("eu", US, False),
        (f"{US}, {EU}", EU, True),
        (EU, EU_IDEAL, False),
        (f"{EU},{EU_IDEAL}", EU_IDEAL, True),
        ("stripe", EU, False),
    ],
)
async def test_what_the_setting_names(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, setting: str, provider: str, served: bool
) -> None:
    order = await _order(shop, provider)
    settings = settings_for(database, redis_url, sandbox, STRIPE_PROVIDERS=setting, VOID_WAIT_SECONDS="0")
    async with opened(settings) as services:
        hand = Hand(services, shop)
        await hand.cancel(order)
        assert (await hand.run(order, JobKind.VOID))["state"] == ("done" if served else "dead")


async def test_api_and_worker_agree(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> None:
    order = await _order(shop, EU)
    settings = settings_for(database, redis_url, sandbox, STRIPE_PROVIDERS=US)
    async with serving(settings, shop.key) as api, working(settings):

        async def named() -> bool:
            return await shop.incidents(order) == ["unsupported_provider"]

        await eventually(named)
        assert (await api.cancel(order.id)).json()["payment_action"] == "void_failed"
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].status == "requires_capture"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("", ["eu", "us"]), (US, []), ("us,eu", []), ("pp_stripe_uk", ["pp_stripe_uk", "pp_stripe_us"])],
)
async def test_the_start_says_what_the_setting_leaves_open(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, setting: str, expected: list[str]
) -> None:
    """Unset beside two accounts, or set to what no payment has."""
    for provider in (US, EU, "pp_system_default", "pp_paypal_paypal"):
        await shop.place(payments=[Payment(provider_id=provider, intent=None)])
    with structlog.testing.capture_logs() as logs:
        async with opened(settings_for(database, redis_url, sandbox, STRIPE_PROVIDERS=setting)):
            pass
    details = [entry["detail"] for entry in logs if entry["event"] == "medusa.names"]
    assert len(details) == (1 if expected else 0)
    for word in expected:
        assert word in details[0]


@pytest.mark.parametrize("setting", ["", US])
async def test_the_doctor_agrees(
    shop: Shop, database: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    await _order(shop, US)
    await _order(shop, EU)
    environ = {"DATABASE_URL": database, "STRIPE_API_KEY": sandbox.key, "STRIPE_API_BASE": sandbox.url}
    await asyncio.to_thread(run_doctor, environ | {"STRIPE_PROVIDERS": setting}, ask_stripe=True, as_json=True)
    out, err = capsys.readouterr()
    assert ("STRIPE_PROVIDERS" in out) == (not setting)
    assert f"about {1 if setting else 2} intents" in err


async def test_an_open_session_of_another_account_is_not_voided_with_our_key(us: Hand, shop: Shop) -> None:
    order = await shop.place(payments=[])
    intent = await shop.sandbox.authorize(to_minor_units(TOTAL, "eur"), "eur")
    session = await open_session(shop.conn, order, intent, amount=TOTAL, provider_id=EU)
    await us.cancel(order)
    assert (await us.run(order, JobKind.VOID, session.id))["state"] == "dead"
    assert await shop.incidents(order) == ["unsupported_provider"]
    assert (await shop.sandbox.ledger())[intent["id"]].status == "requires_capture"
