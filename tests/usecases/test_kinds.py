"""What holds for every kind of job, whatever it does."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.jobs import QUICK_TRIES, JobKind
from app.embedded.shop import PlacedOrder
from app.ports import Event
from app.usecases import run_job
from tests.usecases.hand import Hand
from tests.world import Shop

AT_STRIPE = {JobKind.CAPTURE, JobKind.VOID, JobKind.REFUND, JobKind.LOOK}


async def _scheduled(hand: Hand, shop: Shop, kind: JobKind) -> PlacedOrder:
    order = await shop.place()
    subjects = {JobKind.RELEASE: [order.id], JobKind.PUBLISH: [Event("order.canceled", order.id).subject]}
    await hand.schedule(order, kind, subjects.get(kind))
    return order


@pytest.mark.parametrize("kind", JobKind)
async def test_only_what_calls_stripe_waits_for_another_at_the_same_order(
    hand: Hand, shop: Shop, kind: JobKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await _scheduled(hand, shop, kind)
    ran = []

    async def verb(services: object, ref: object) -> None:
        ran.append(ref)

    monkeypatch.setattr(run_job, "VERBS", {**run_job.VERBS, kind: verb})
    async with hand.services.locks.hold(order.id) as held:
        assert held
        await hand.run(order, kind)
        assert (ran == []) is (kind in AT_STRIPE)
    if kind in AT_STRIPE:
        await hand.run(order, kind)
        assert len(ran) == 1


@pytest.mark.parametrize("kind", JobKind)
async def test_a_mistake_of_ours_is_an_incident_of_the_kind_after_the_quick_tries(
    hand: Hand, shop: Shop, kind: JobKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await _scheduled(hand, shop, kind)

    async def verb(services: Any, ref: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run_job, "VERBS", {**run_job.VERBS, kind: verb})
    for attempt in range(1, QUICK_TRIES + 1):
        job = await hand.run(order, kind)
        assert (job["state"], job["failures"], job["last_error"]) == ("scheduled", attempt, "ZeroDivisionError: ")
        assert await shop.incidents(order) == ([f"{kind.value}_failed"] if attempt == QUICK_TRIES else [])
