"""The budget of requests to Stripe, counted in Redis for the whole fleet of an installation.

A script of our own: ``limits``, ``pyrate-limiter`` and ``throttled-py`` grant all or nothing, and know neither priority
nor a pace that changes.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.domain import token_bucket as bucket
from app.gateways.local_stripe_budget import SHARE, LocalStripeBudget
from app.gateways.redis_keys import RedisKeys
from app.meters import record_rate_limited, record_stripe_pace
from app.ports.stripe_budget import RESERVE, CallClass

AWAY: Final = 1.0
"""Seconds for which a Redis that did not answer is not asked again."""

# The rules of app.domain.token_bucket, by the clock of Redis: one for the fleet.
_SCRIPT: Final = f"""
local rate, burst, reserve = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted, charge, slow = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local clock = redis.call('time')
local now = clock[1] + clock[2] / 1000000
local state = redis.call('hmget', KEYS[1], 'level', 'at', 'pace', 'slowed_at')
local level, at = tonumber(state[1]) or burst, tonumber(state[2]) or now
local pace, slowed_at = tonumber(state[3]) or 1, math.min(tonumber(state[4]) or 0, now)
local allowed = pace
local calm = now - slowed_at - {bucket.SLOWED_SECONDS}
if calm >= 0 then
    allowed = math.min(pace + {bucket.STEP} * (1 + math.floor(calm / {bucket.STEP_SECONDS})), 1)
end
level = math.min(level + math.max(now - at, 0) * rate * allowed, burst)
if slow and now - slowed_at >= {bucket.DEAF_SECONDS} then
    allowed = math.max(allowed * {bucket.SLOWED}, {bucket.LEAST_PACE})
    pace, slowed_at = allowed, now
end
level = math.max(math.min(level - charge, burst), -rate * {bucket.DEBT_SECONDS})
local granted = math.max(math.min(wanted, math.floor(level - reserve * burst)), 0)
local texts = {{}}
for place, value in ipairs({{level - granted, now, pace, slowed_at}}) do
    texts[place] = string.format('%.6f', value)
end
redis.call('hset', KEYS[1], 'level', texts[1], 'at', texts[2], 'pace', texts[3], 'slowed_at', texts[4])
redis.call('expire', KEYS[1], 120)
return {{granted, string.format('%.6f', rate * allowed)}}
"""

log = structlog.get_logger()


class RedisStripeBudget:
    """``app.ports.stripe_budget.StripeBudget``. While Redis is away the process counts its ``SHARE`` by itself."""

    def __init__(self, redis: Redis, keys: RedisKeys, rate: int) -> None:
        """``rate``: requests a second."""
        self._key, self._rate = keys.stripe_budget, rate
        self._script = redis.register_script(_SCRIPT)
        self._local = LocalStripeBudget(rate * SHARE)
        self._away_until = 0.0

    async def take(self, call_class: CallClass, wanted: int) -> int:
        """See ``StripeBudget``."""
        granted = await self._ask(reserve=RESERVE[call_class], wanted=wanted)
        return await self._local.take(call_class, wanted) if granted is None else granted

    async def charge(self, requests: int) -> None:
        """See ``StripeBudget``."""
        if requests and await self._ask(charge=requests) is None:
            await self._local.charge(requests)

    async def slow_down(self) -> None:
        """See ``StripeBudget``."""
        record_rate_limited()
        if await self._ask(slow=True) is None:
            await self._local.slow_down()

    async def _ask(self, *, reserve: float = 0.0, wanted: int = 0, charge: int = 0, slow: bool = False) -> int | None:
        """What Redis grants; ``None`` while it is away."""
        if time.monotonic() < self._away_until:
            record_stripe_pace(self._local.pace)
            return None
        arguments = [self._rate, bucket.burst_of(self._rate), reserve, wanted, charge, int(slow)]
        try:
            granted, pace = await self._script(keys=[self._key], args=arguments)
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + AWAY
            log.warning("stripe.budget_not_shared", error=type(error).__name__, share=SHARE)
            return None
        record_stripe_pace(float(pace))
        return int(granted)
