"""A token bucket with classes of priority and a pace that a refusal halves (additive increase, multiplicative
decrease).

``app.gateways.redis_stripe_budget`` has the same rules as a script, and reads the figures from here.
"""

from __future__ import annotations

import math
from typing import Final, Self

import msgspec

BURST_SECONDS: Final = 0.25
"""What an idle bucket holds, as seconds of its rate: 80 requests a second come to 100 in any one second."""
LEAST_BURST: Final = 4.0
"""Tokens that any bucket can hold, so that each class gets some of a small rate."""
DEBT_SECONDS: Final = 1.0
"""How far below zero a charge can bring it, as seconds of its rate."""

SLOWED: Final = 0.5
"""What a refusal leaves of the pace."""
LEAST_PACE: Final = 0.1
SLOWED_SECONDS: Final = 10.0
"""For so long the pace stays as low after a refusal."""
STEP: Final = 0.1
STEP_SECONDS: Final = 2.0
"""Then it rises by ``STEP`` of the rate, and by as much each ``STEP_SECONDS`` after that."""
DEAF_SECONDS: Final = 1.0
"""Refusals within so long of the last that counted are of requests that were under way then."""


def burst_of(rate: float) -> float:
    """The most tokens that the bucket of a rate holds."""
    return max(rate * BURST_SECONDS, LEAST_BURST)


class TokenBucket(msgspec.Struct, frozen=True):
    """The state of a bucket at the moment ``at``, in seconds of any clock."""

    level: float
    at: float
    pace: float = 1.0
    """The part of the rate that the last refusal left."""
    slowed_at: float = -math.inf

    @classmethod
    def full(cls, rate: float, now: float) -> Self:
        """A bucket that nothing was taken from."""
        return cls(burst_of(rate), now)

    def pace_at(self, now: float) -> float:
        """The part of the rate that may be used now."""
        calm = min(now - self.slowed_at - SLOWED_SECONDS, STEP_SECONDS / STEP)  # by then it is whole again
        return self.pace if calm < 0 else min(self.pace + STEP * (1 + calm // STEP_SECONDS), 1.0)

    def refilled(self, rate: float, now: float) -> TokenBucket:
        """The bucket at ``now``. A clock that was set back refills nothing, and lengthens no wait."""
        slowed_at = min(self.slowed_at, now)
        bucket = msgspec.structs.replace(self, at=now, slowed_at=slowed_at)
        level = self.level + max(now - self.at, 0.0) * rate * bucket.pace_at(now)
        return msgspec.structs.replace(bucket, level=min(level, burst_of(rate)))

    def take(self, wanted: int, rate: float, reserve: float) -> tuple[int, TokenBucket]:
        """Take up to ``wanted`` of what is above ``reserve``, a part of the burst that more urgent classes keep."""
        granted = max(min(wanted, math.floor(self.level - reserve * burst_of(rate))), 0)
        return granted, msgspec.structs.replace(self, level=self.level - granted)

    def charge(self, tokens: int, rate: float) -> TokenBucket:
        """Take ``tokens`` whatever there is; a negative number gives back."""
        level = max(min(self.level - tokens, burst_of(rate)), -rate * DEBT_SECONDS)
        return msgspec.structs.replace(self, level=level)

    def slow_down(self, now: float) -> TokenBucket:
        """Halve the pace, once for all refusals of one moment."""
        if now - self.slowed_at < DEAF_SECONDS:
            return self
        return msgspec.structs.replace(self, pace=max(self.pace_at(now) * SLOWED, LEAST_PACE), slowed_at=now)
