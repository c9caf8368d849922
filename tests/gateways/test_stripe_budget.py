"""The budget of requests to Stripe: of the whole fleet in Redis, of one process without it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe
from redis.asyncio import Redis

from app.domain.token_bucket import TokenBucket, burst_of
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.gateways.local_stripe_budget import SHARE, LocalStripeBudget
from app.gateways.paced_stripe_gateway import PacedStripeGateway
from app.gateways.redis_client import connect
from app.gateways.redis_keys import RedisKeys
from app.gateways.redis_stripe_budget import AWAY, RedisStripeBudget
from app.gateways.stripe_gateway import StripeGateway, _is_rate_limit
from app.ports import Answered, Declined
from app.ports.stripe_budget import RESERVE, CallClass
from tests.monitoring.metrics import sample

KEYS, OTHERS = RedisKeys("01M8ENPPEZFT6BX79QANHA0HAP"), RedisKeys("01M8ENPPEZFT6BX79QANHA0HAQ")
RATE = 80
SLOW = 1
"""A rate at which a test's own time refills nothing."""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


async def rate_of(*budgets: RedisStripeBudget, call_class: CallClass = CallClass.VOID) -> float:
    """What they grant a second once they are empty, over a second and more."""
    for budget in budgets:
        await budget.take(call_class, 1000)
    began, granted = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < 1.2:
        await asyncio.sleep(0.02)
        granted += sum([await budget.take(call_class, 1000) for budget in budgets])
    return granted / elapsed


@pytest.mark.parametrize("processes", [1, 3])
async def test_the_fleet_together_makes_the_rate_and_no_more(redis: Redis, processes: int) -> None:
    slow = [RedisStripeBudget(redis, OTHERS, SLOW) for _ in range(processes)]
    assert sum([await one.take(CallClass.VOID, 1000) for one in slow]) == burst_of(SLOW) == 4
    assert await rate_of(*(RedisStripeBudget(redis, KEYS, RATE) for _ in range(processes))) == pytest.approx(RATE, 0.1)


async def test_captures_leave_requests_to_voids_and_comparisons_to_captures(redis: Redis) -> None:
    budget = RedisStripeBudget(redis, KEYS, SLOW)
    granted = [await budget.take(kind, 1000) for kind in (CallClass.RECONCILE, CallClass.CAPTURE, CallClass.VOID)]
    assert granted == [2, 1, 1]
    assert [await budget.take(kind, 1) for kind in (CallClass.CAPTURE, CallClass.RECONCILE)] == [0, 0]


async def test_captures_get_nothing_while_voids_use_the_whole_rate(redis: Redis) -> None:
    budget = RedisStripeBudget(redis, KEYS, RATE)
    await budget.take(CallClass.VOID, 1000)
    voids = captures = 0
    began = time.monotonic()
    while time.monotonic() - began < 1:
        await asyncio.sleep(0.01)
        voids += await budget.take(CallClass.VOID, 1000)
        captures += await budget.take(CallClass.CAPTURE, 1000)
    assert captures == 0
    assert voids == pytest.approx(RATE * (time.monotonic() - began), 0.1)


async def test_two_installations_on_one_redis_have_a_budget_each(redis: Redis) -> None:
    ours, theirs = RedisStripeBudget(redis, KEYS, SLOW), RedisStripeBudget(redis, OTHERS, SLOW)
    await ours.slow_down()
    await ours.charge(100)
    assert await ours.take(CallClass.VOID, 1000) == 0
    assert await theirs.take(CallClass.VOID, 1000) == burst_of(SLOW)
    names = {str(name, "ascii") for name in await redis.keys("*stripe-budget*") if isinstance(name, bytes)}
    assert names == {KEYS.stripe_budget, OTHERS.stripe_budget}
    assert all(
        installation in name
        for installation, name in zip((KEYS.installation, OTHERS.installation), sorted(names), strict=True)
    )
    assert 0 < await redis.ttl(KEYS.stripe_budget) <= 120


async def test_a_429_that_one_worker_sees_slows_all_of_them(redis: Redis) -> None:
    one, other = RedisStripeBudget(redis, KEYS, RATE), RedisStripeBudget(redis, KEYS, RATE)
    await one.slow_down()
    await other.slow_down()  # of the same moment
    assert await pace(other) == 40
    assert await rate_of(other) == pytest.approx(RATE / 2, 0.15)


async def test_the_pace_recovers_stepwise_after_ten_seconds(redis: Redis) -> None:
    budget = RedisStripeBudget(redis, KEYS, RATE)
    await budget.slow_down()
    paces = []
    for _ in range(8):
        paces.append(round(await pace(budget)))
        await bring_forward(redis, 2.0)
    assert paces == [40, 40, 40, 40, 40, 48, 56, 64]


@pytest.mark.parametrize("wanted", [0, 3, 1000])
@pytest.mark.parametrize("charge", [-7, 0, 30])
@pytest.mark.parametrize("since", [-100.0, 0.0, 0.07, 3.0])
@pytest.mark.parametrize(("level", "paced", "slowed"), [(0.0, 1.0, None), (12.7, 0.5, 4.0), (-60.0, 0.25, 13.0)])
async def test_the_script_decides_as_the_rule_does(
    redis: Redis, level: float, paced: float, slowed: float | None, since: float, charge: int, wanted: int
) -> None:
    """By Redis' own clock: the moment of the decision is what it keeps."""
    budget = RedisStripeBudget(redis, KEYS, RATE)
    seconds, micro = await redis.time()
    now = seconds + micro / 1e6
    slowed_at = -math.inf if slowed is None else now - slowed
    state: dict[Any, Any] = {
        "level": level,
        "at": now - since,
        "pace": paced,
        "slowed_at": 0 if slowed is None else slowed_at,
    }
    await redis.hset(KEYS.stripe_budget, mapping=state)
    granted = await budget._ask(reserve=RESERVE[CallClass.CAPTURE], wanted=wanted, charge=charge)
    names = ("level", "at", "pace", "slowed_at")
    values = await redis.hmget(KEYS.stripe_budget, names)
    kept = {name: float(value or "nan") for name, value in zip(names, values, strict=True)}
    at = kept["at"]
    rule = TokenBucket(level, now - since, paced, slowed_at).refilled(RATE, at).charge(charge, RATE)
    expected, rule = rule.take(wanted, RATE, RESERVE[CallClass.CAPTURE])
    assert now <= at < now + 5
    assert (granted, kept["pace"]) == (expected, paced)
    assert kept["level"] == pytest.approx(rule.level, abs=0.001)
    assert kept["slowed_at"] == pytest.approx(max(rule.slowed_at, 0), abs=0.001)


async def test_without_redis_a_process_makes_its_share_and_asks_again_after_a_second(own_valkey: Valkey) -> None:
    async with connect(own_valkey.url()) as redis:
        budget = RedisStripeBudget(redis, KEYS, 4 * RATE)
        assert await rate_of(budget) == pytest.approx(4 * RATE, 0.1)
        own_valkey.kill()
        assert await rate_of(budget) == pytest.approx(4 * RATE * SHARE, 0.1)
        own_valkey.restart()
        await asyncio.sleep(AWAY)
        assert await rate_of(budget) == pytest.approx(4 * RATE, 0.1)


@pytest.mark.parametrize("hung", [False, True])
async def test_a_redis_that_does_not_answer_delays_one_question_a_second_and_no_other(
    own_valkey: Valkey,
    hung: bool,
) -> None:
    own_valkey.pause() if hung else own_valkey.kill()
    try:
        async with connect(own_valkey.url()) as redis:
            budget = RedisStripeBudget(redis, KEYS, RATE)
            began = time.monotonic()
            await budget.take(CallClass.VOID, 1)
            assert time.monotonic() - began < 0.6
            began = time.monotonic()
            for _ in range(200):
                await budget.take(CallClass.CAPTURE, 1)
                await budget.charge(1)
            await budget.slow_down()
            assert time.monotonic() - began < 0.2
    finally:
        if hung:
            own_valkey.resume()


async def test_a_full_or_flushed_redis_costs_no_more_than_a_burst(redis: Redis) -> None:
    budget = RedisStripeBudget(redis, KEYS, SLOW)
    await budget.charge(1000)
    assert await budget.take(CallClass.VOID, 1000) == 0
    await redis.flushdb()
    assert await budget.take(CallClass.VOID, 1000) == burst_of(SLOW)
    await redis.delete(KEYS.stripe_budget)
    await redis.set(KEYS.stripe_budget, "of another type")
    assert await budget.take(CallClass.VOID, 1000) == burst_of(SLOW * SHARE)


async def test_a_process_that_waits_for_its_share_comes_to_its_rate() -> None:
    budget = LocalStripeBudget(40.0)
    began = time.monotonic()
    for _ in range(25):
        await budget.wait(CallClass.RECONCILE)
    assert (25 - burst_of(40.0) * 0.5) / 40 - 0.05 < time.monotonic() - began < 2


async def test_a_429_of_stripe_lowers_the_pace_and_a_locked_object_does_not(redis: Redis, sandbox: Sandbox) -> None:
    budget = RedisStripeBudget(redis, KEYS, RATE)
    gateway = StripeGateway.open(sandbox.key, sandbox.url, budget=budget)
    intent = str((await sandbox.authorize(1000, "eur"))["id"])
    try:
        assert isinstance(await gateway.look(intent), Answered)
        assert await pace(budget) == RATE
        await sandbox.fault("payment_intents.capture", "error", status=429)
        before = rate_limited()
        assert isinstance(await gateway.capture(intent, amount=1000, key="one"), Declined)
        assert await pace(budget) == RATE / 2
        assert rate_limited() == before + 1
    finally:
        await gateway.close()


@pytest.mark.parametrize(
    ("code", "headers", "is_one"),
    [
        ("rate_limit", {}, True),
        (None, {}, True),
        ("lock_timeout", {}, False),
        ("rate_limit", {"stripe-rate-limited-reason": "endpoint-rate"}, True),
        ("rate_limit", {"stripe-rate-limited-reason": "resource-specific"}, False),
    ],
)
def test_which_429_is_about_the_number_of_requests(code: str | None, headers: dict[str, str], is_one: bool) -> None:
    error = stripe.RateLimitError("no", http_status=429, headers=headers, code=code)
    assert _is_rate_limit(error) is is_one
    assert not _is_rate_limit(stripe.APIError("no", http_status=500))


async def test_the_doctors_retrieves_wait_for_a_share(sandbox: Sandbox) -> None:
    intent = str((await sandbox.authorize(1000, "eur"))["id"])
    gateway = PacedStripeGateway.paced(sandbox.key, sandbox.url, 40)
    try:
        began = time.monotonic()
        await asyncio.gather(*(gateway.look(intent) for _ in range(8)))
        assert time.monotonic() - began > (8 - burst_of(10) * 0.5) / 10 - 0.1
    finally:
        await gateway.close()


async def pace(budget: RedisStripeBudget) -> float:
    """What the metric shows."""
    await budget.take(CallClass.VOID, 0)
    return sample("grace_stripe_pace")


def rate_limited() -> float:
    return sample("grace_stripe_rate_limited_total")


async def bring_forward(redis: Any, seconds: float) -> None:
    """Time passes for the bucket."""
    for name in ("at", "slowed_at"):
        await redis.hincrbyfloat(KEYS.stripe_budget, name, -seconds)
