"""Who canceled waits a moment for the void, and hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast

import pytest

from app.domain.cancellation import PaymentAction
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.gateways.redis_void_news import RedisVoidNews
from app.store import incidents
from app.usecases import await_void as waiting
from app.usecases.await_void import await_void
from tests.usecases.hand import Hand
from tests.world import Shop


@pytest.fixture
async def _ear(hand: Hand) -> AsyncIterator[None]:
    async with cast(RedisVoidNews, hand.services.void_news).heard():
        yield


@pytest.mark.usefixtures("_ear")
@pytest.mark.parametrize(("times", "told"), [(0, PaymentAction.VOIDED), (3, PaymentAction.VOID_FAILED)])
async def test_news_of_the_void_ends_the_wait_whatever_came_of_it(
    hand: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch, times: int, told: PaymentAction
) -> None:
    monkeypatch.setattr(waiting, "_PAUSE", 60.0)  # the next look without news would come too late
    order = await shop.place()
    if times:
        await shop.sandbox.fault("payment_intents.cancel", "error", times=times, status=500)
    await hand.cancel(order)
    wait = asyncio.create_task(await_void(hand.services, order.id, timedelta(seconds=60), just_begun=True))
    await asyncio.sleep(0.5)
    assert not wait.done(), "there is nothing to tell yet"

    for _ in range(max(1, times)):
        await hand.run(order, JobKind.VOID)
    assert await asyncio.wait_for(wait, 10) is told


@pytest.mark.usefixtures("_ear")
async def test_news_of_another_order_is_not_looked_after(hand: Hand, shop: Shop) -> None:
    order, other = await shop.place(), await shop.place()
    await hand.cancel(order)
    await hand.cancel(other)
    await hand.run(other, JobKind.VOID)
    assert await await_void(hand.services, order.id, timedelta(seconds=0.3)) is PaymentAction.VOID_PENDING


async def test_without_news_a_look_now_and_then_has_to_do(hand: Hand, shop: Shop) -> None:
    """As while Redis is away."""
    order = await shop.place()
    await hand.cancel(order)
    wait = asyncio.create_task(await_void(hand.services, order.id, timedelta(seconds=60), just_begun=True))
    await asyncio.sleep(0.05)
    await hand.run(order, JobKind.VOID)
    assert await asyncio.wait_for(wait, 10) is PaymentAction.VOIDED


MONEY = {
    IncidentKind.VOID_FAILED,
    IncidentKind.UNSUPPORTED_PROVIDER,
    IncidentKind.LATE_MONEY,
    IncidentKind.PAYMENT_SHARED,
    IncidentKind.REFUND_FAILED,
}


@pytest.mark.parametrize("kind", IncidentKind)
async def test_a_shopper_is_told_of_trouble_with_the_money_and_of_no_other(
    hand: Hand, shop: Shop, kind: IncidentKind
) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    await incidents.open_(shop.conn, order.id, kind, "x")
    told = PaymentAction.VOID_FAILED if kind in MONEY else PaymentAction.VOIDED
    assert await hand.payment_action(order) is told
    await incidents.close(shop.conn, order.id, kind)
    assert await hand.payment_action(order) is PaymentAction.VOIDED


@pytest.mark.usefixtures("_ear")
async def test_one_that_waits_no_longer_takes_the_news_from_no_other(hand: Hand) -> None:
    news = hand.services.void_news
    with news.awaited("order_1") as first:
        with news.awaited("order_1"), news.awaited("order_2") as other:
            pass
        for _ in range(50):
            await news.tell("order_1")
            await asyncio.sleep(0.05)
            if first.is_set():
                break
        assert first.is_set()
        assert not other.is_set()
