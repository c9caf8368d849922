"""What the relay of a running worker does besides dispatching: each step has its effect, whatever the others do."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import pytest

from app import meters
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.embedded.processes import free_port
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa, refund_by_medusa
from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.redis_client import connect
from app.gateways.redis_keys import RedisKeys
from app.gateways.redis_wakeup import RedisWakeup
from app.ports import Hint, Services, Unavailable
from app.settings import Settings
from app.store import incidents, stripe_events
from app.store.fleet import last_beat
from app.usecases.announce_incidents import announce_incidents
from app.usecases.track_payments import start_tracking, track_payments
from tests.monitoring.metrics import sample
from tests.usecases.hand import Hand, opened
from tests.world import Shop, eventually, settings_for, working
from workers import relay
from workers.actors import declare_actors
from workers.broker import make_broker
from workers.relay import Relay, Step, open_relay

Seen = Callable[[], Awaitable[Any]]
Scenario = Callable[[Hand, Shop], Awaitable[Seen]]

STEPS: Final = {step.__name__.strip("_"): step for step in relay.UPKEEP}


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """With a receiver of alerts that is not there."""
    receiver = f"http://127.0.0.1:{free_port()}/"
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", ALERT_WEBHOOK_URL=receiver)


async def a_new_hold_is_tracked(hand: Hand, shop: Shop) -> Seen:
    order = await shop.place()
    return lambda: shop.job(order, JobKind.CAPTURE)


async def a_hold_whose_id_came_late_is_tracked(hand: Hand, shop: Shop) -> Seen:
    await shop.place()
    await track_payments(hand.services)
    order = await shop.place(placed_ago=timedelta(minutes=40))
    return lambda: shop.job(order, JobKind.CAPTURE)


async def a_lost_message_is_sent_again(hand: Hand, shop: Shop) -> Seen:
    order = await shop.place()
    await hand.schedule(order, JobKind.LOOK)
    await hand.queue(order, JobKind.LOOK)
    await shop.conn.execute("update grace.jobs set updated_at = now() - interval '1 hour' where kind = 'look'")
    return _row(shop, "select from grace.jobs where order_id = $1 and kind = 'look' and state = 'done'", order.id)


async def an_incident_is_announced(hand: Hand, shop: Shop) -> Seen:
    await incidents.open_(shop.conn, "order_announced", IncidentKind.PUBLISH_FAILED, "")
    return _row(shop, "select from grace.incidents where order_id = $1 and announced_at is not null", "order_announced")


async def an_alert_is_sent(hand: Hand, shop: Shop) -> Seen:
    await incidents.open_(shop.conn, "order_alert", IncidentKind.PUBLISH_FAILED, "")
    await announce_incidents(hand.services, "order_alert")
    query = "select from grace.alerts as a join grace.incidents as i on i.id = a.incident_id and i.order_id = $1"
    return _row(shop, f"{query} where a.attempts > 0", "order_alert")


async def a_worker_is_seen(hand: Hand, shop: Shop) -> Seen:
    async def seen() -> bool:
        return await last_beat(shop.conn) is not None

    return seen


async def an_incident_that_is_over_is_closed(hand: Hand, shop: Shop) -> Seen:
    order = await _captured_on_canceled(hand, shop)
    await incidents.open_(shop.conn, order.id, IncidentKind.LATE_MONEY, "")
    await refund_by_medusa(shop.conn, order, order.payment_ids[0])
    await shop.conn.execute("update refund set created_at = now() - interval '1 hour'")
    return _row(shop, "select from grace.incidents where order_id = $1 and closed_at is not null", order.id)


async def money_taken_beside_our_cancel_is_seen(hand: Hand, shop: Shop) -> Seen:
    order = await _captured_on_canceled(hand, shop)
    return _row(shop, "select from grace.incidents where order_id = $1 and kind = 'late_money'", order.id)


async def a_cancel_of_medusas_whose_void_failed_is_adopted(hand: Hand, shop: Shop) -> Seen:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set run_at = now() + interval '1 hour' where order_id = $1", order.id)
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)
    return lambda: shop.job(order, JobKind.VOID)


async def an_event_that_came_early_is_looked_at_again(hand: Hand, shop: Shop) -> Seen:
    order = await shop.place()
    hint = Hint(
        id="evt_1", type="payment_intent.succeeded", intent_id=order.intent_ids[0], session=order.session_ids[0]
    )
    await stripe_events.keep(shop.conn, hint)
    return lambda: shop.job(order, JobKind.LOOK)


async def the_pace_is_shown_again_and_again(hand: Hand, shop: Shop) -> Seen:
    """Another worker's 429 may have lowered it. A relay that has nothing to queue asks once at its start."""
    shown = 0

    async def seen() -> bool:
        nonlocal shown
        shown += sample("grace_stripe_pace") >= 0
        meters.record_stripe_pace(-1)
        return shown > 5

    return seen


EFFECTS: Final[Mapping[str, Scenario]] = {
    "track": a_new_hold_is_tracked,
    "sweep_jobs": a_lost_message_is_sent_again,
    "announce_incidents": an_incident_is_announced,
    "deliver_alerts": an_alert_is_sent,
    "beat": a_worker_is_seen,
    "observe_pace": the_pace_is_shown_again_and_again,
    "heal_incidents": an_incident_that_is_over_is_closed,
    "recheck_canceled": money_taken_beside_our_cancel_is_seen,
    "adopt_canceled": a_cancel_of_medusas_whose_void_failed_is_adopted,
    "retry_pending_hints": an_event_that_came_early_is_looked_at_again,
    "track_stragglers": a_hold_whose_id_came_late_is_tracked,
}


def test_every_step_has_an_effect_to_look_for() -> None:
    assert set(EFFECTS) == set(STEPS)


@pytest.mark.parametrize("name", EFFECTS)
async def test_a_running_worker_takes_each_step(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(relay, "UPKEEP", {step: 0.1 for step in relay.UPKEEP if step is STEPS[name]})
    seen = await _arranged(settings, shop, name)
    assert not await seen()
    async with working(settings):
        await eventually(seen, message=f"no effect of {name}")


@pytest.mark.parametrize("left_out", ["track", "track_stragglers"])  # each would find what is left to the other
async def test_a_step_that_raises_ends_neither_itself_nor_another(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """Every other turn of each fails: of a mistake of ours, or for want of the database."""
    errors = itertools.cycle([ValueError("a bad row"), Unavailable("away")])
    steps = {name: step for name, step in STEPS.items() if name != left_out}
    monkeypatch.setattr(relay, "UPKEEP", {_raising_at_first(step, errors): 0.05 for step in steps.values()})
    seen = {name: await _arranged(settings, shop, name) for name in reversed(list(EFFECTS)) if name in steps}
    async with working(settings):
        for name, effect in seen.items():
            await eventually(effect, message=f"no effect of {name}")


@pytest.mark.parametrize("turn", range(3))
async def test_the_probe_names_the_steps_that_end_hang_or_keep_failing(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    monkeypatch.setattr(relay, "SILENT", 1.5)
    broken = {name for number, name in enumerate(STEPS) if number % 3 == turn}
    faults = itertools.cycle([_ends, _hangs, _fails])
    steps = {name: _named(name, next(faults)) if name in broken else step for name, step in STEPS.items()}
    monkeypatch.setattr(relay, "UPKEEP", dict.fromkeys(steps.values(), 0.1))
    async with opened(settings) as services:
        with _relay(settings, services) as starting:
            running = await starting
            assert running.trouble() is None
            await eventually(lambda: _names(running, broken), within=20, message=f"unnoticed: {broken}")
            assert {part.partition(" ")[0] for part in str(running.trouble()).split("; ")} == broken
            await running.stop()


async def test_the_probe_names_a_dispatch_that_keeps_failing_and_no_database_that_is_away(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "SILENT", 0.5)
    error: Exception = Unavailable("the database is away")

    async def dispatch(services: Services, room: Any, *, at_once: int) -> list[Any]:
        raise error

    monkeypatch.setattr(relay, "dispatch_jobs", dispatch)
    async with opened(settings) as services:
        with _relay(settings, services) as starting:
            running = await starting
            await asyncio.sleep(1.5)
            assert running.trouble() is None
            error = ValueError("a bad row")
            await eventually(lambda: _names(running, {"dispatch"}))
            error = Unavailable("the database is away")
            await eventually(lambda: _names(running, set()))
            await running.stop()


def test_a_step_may_be_late_for_a_minute() -> None:
    assert 30 <= relay.SILENT <= 120
    assert max(relay.UPKEEP.values()) <= relay.SILENT


async def _names(running: Relay, broken: set[str]) -> bool:
    trouble = running.trouble()
    return trouble is None if not broken else trouble is not None and all(name in trouble for name in broken)


async def _arranged(settings: Settings, shop: Shop, name: str) -> Seen:
    async with opened(settings) as services:
        now = await shop.conn.fetchval("select now()")
        await start_tracking(services, now)
        return await EFFECTS[name](Hand(services, shop), shop)


async def _captured_on_canceled(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.cancel(order)
    await shop.conn.execute("update grace.jobs set state = 'done' where order_id = $1", order.id)
    await shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    return order


def _row(shop: Shop, query: str, *arguments: object) -> Seen:
    async def seen() -> bool:
        return bool(await shop.conn.fetch(query, *arguments))

    return seen


def _named(name: str, act: Step) -> Step:
    async def step(services: Services) -> object:
        return await act(services)

    step.__name__ = name
    return step


def _raising_at_first(inner: Step, errors: Iterator[Exception]) -> Step:
    turns = itertools.count()

    async def act(services: Services) -> object:
        if next(turns) % 2 == 0:
            raise next(errors)
        return await inner(services)

    return _named(inner.__name__, act)


async def _ends(services: Services) -> None:
    raise asyncio.CancelledError


async def _hangs(services: Services) -> None:
    await asyncio.Event().wait()


async def _fails(services: Services) -> None:
    raise ValueError(f"a bad row at {time.monotonic()}")


@contextmanager
def _relay(settings: Settings, services: Services) -> Iterator[Awaitable[Relay]]:
    redis = connect(settings.redis_url)
    keys = RedisKeys("upkeep")
    broker = make_broker(settings.redis_url)
    broker.join_installation(keys)
    actors = declare_actors(broker, lambda: services)
    try:
        yield open_relay(services, broker, actors, RedisWakeup(redis, keys), here_at_once=4)
    finally:
        broker.client.connection_pool.disconnect()
