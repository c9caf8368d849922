"""Where Medusa keeps its locks in memory, stock is released through its own admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import Line, PlacedOrder
from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from tests.leftovers import connected
from tests.simulated_medusa import HANG, SECRET_KEY, SimulatedMedusa, listening
from tests.usecases.hand import Hand, opened
from tests.world import Shop, settings_for


@pytest.fixture
async def medusa(database: str) -> AsyncIterator[SimulatedMedusa]:
    """Medusa's admin API."""
    async with connected(database) as conn:
        yield SimulatedMedusa(conn=conn)


@pytest.fixture
async def medusa_url(medusa: SimulatedMedusa, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Where it listens; it has half a second to answer."""
    monkeypatch.setattr("plugins.medusa_bridge.bridge.HTTP_PATIENCE", 0.5)
    async with listening(medusa) as url:
        yield url


@pytest.fixture
async def hand(shop: Shop, database: str, redis_url: str, sandbox: Sandbox, medusa_url: str) -> AsyncIterator[Hand]:
    """A worker beside a Medusa with ``locking`` in memory."""
    async with opened(_settings(database, redis_url, sandbox, medusa_url, SECRET_KEY)) as services:
        yield Hand(services, shop)


async def test_every_reservation_is_deleted_through_the_api(hand: Hand, shop: Shop, medusa: SimulatedMedusa) -> None:
    order = await _canceled(hand, shop)
    job = await hand.run(order, JobKind.RELEASE)
    assert job["state"] == "done"
    assert medusa.asked == [f"DELETE /admin/reservations/{id_}" for id_ in sorted(order.reservation_ids)]
    assert await _reserved(shop) == {Decimal(0)}


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        pytest.param([500], "Medusa answered 500", id="500 at once"),
        pytest.param([200, 500], "Medusa answered 500", id="500 half way"),
        pytest.param([401], "Medusa answered 401", id="401"),
        pytest.param([409], "Medusa answered 409", id="409: its lock is busy"),
        pytest.param([200, HANG], "Medusa does not answer", id="no answer"),
    ],
)
@pytest.mark.parametrize("done_all_the_same", [False, True], ids=["not done", "done"])
async def test_what_fails_is_tried_again_and_released_once(
    hand: Hand, shop: Shop, medusa: SimulatedMedusa, answers: list[int], error: str, done_all_the_same: bool
) -> None:
    order = await _canceled(hand, shop)
    medusa.statuses, medusa.act_before_failing = list(answers), done_all_the_same

    failed = await hand.run(order, JobKind.RELEASE)
    assert (failed["state"], failed["failures"]) == ("scheduled", 1)
    assert failed["last_error"].startswith(error)
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    assert await _reserved(shop) == {Decimal(0)}


async def test_an_api_that_keeps_failing_is_an_incident_that_heals(
    hand: Hand, shop: Shop, medusa: SimulatedMedusa
) -> None:
    order = await _canceled(hand, shop)
    medusa.statuses = [500, 500, 500]
    for _ in range(3):
        await hand.run(order, JobKind.RELEASE)
    assert await shop.incidents(order) == ["release_failed"]
    assert (await hand.run(order, JobKind.RELEASE))["state"] == "done"
    assert await shop.incidents(order) == []


async def test_a_200_that_released_nothing_is_not_believed(hand: Hand, shop: Shop, medusa: SimulatedMedusa) -> None:
    """Medusa says 200 for anything: the rows decide."""
    order = await _canceled(hand, shop)

    async def forget() -> None:
        await shop.conn.execute("update reservation_item set deleted_at = null where id = $1", order.reservation_ids[0])

    job = await hand.before("release.record", forget).run(order, JobKind.RELEASE)
    assert (job["state"], job["failures"]) == ("scheduled", 1)
    assert order.reservation_ids[0] in job["last_error"]


async def test_a_wrong_key_is_an_incident(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, medusa_url: str
) -> None:
    async with opened(_settings(database, redis_url, sandbox, medusa_url, "sk_wrong")) as services:
        hand = Hand(services, shop)
        order = await _canceled(hand, shop)
        for _ in range(3):
            job = await hand.run(order, JobKind.RELEASE)
        assert "401" in job["last_error"]
        assert await shop.incidents(order) == ["release_failed"]
        assert await _reserved(shop) == {Decimal(2), Decimal(3)}


def _settings(database: str, redis_url: str, sandbox: Sandbox, medusa_url: str, key: str) -> Settings:
    return settings_for(
        database,
        redis_url,
        sandbox,
        MEDUSA_LOCKING="memory",
        MEDUSA_BACKEND_URL=medusa_url,
        MEDUSA_SECRET_API_KEY=key,
        VOID_WAIT_SECONDS="0",
    )


async def _canceled(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place(lines=[Line(quantity=2), Line(quantity=3)])
    await hand.cancel(order)
    return order


async def _reserved(shop: Shop) -> set[Decimal]:
    return {row["reserved_quantity"] for row in await shop.conn.fetch("select reserved_quantity from inventory_level")}
