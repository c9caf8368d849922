"""Who canceled waits a moment for the void, and hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast

import pytest

from app.domain.cancellation import PaymentAction
from app.domain.jobs import JobKind
from app.gateways.redis_void_news import RedisVoidNews
from app.usecases import await_void as waiting
from app.usecases.await_void import await_void
from tests.usecases.ground import Hand
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
