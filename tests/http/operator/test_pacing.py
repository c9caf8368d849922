"""Sign-in limits by themselves: what is counted, what waits, and that a place which was waited in is free again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from app.http.operator import guesses
from app.http.operator.guesses import ATTEMPTS_A_MINUTE, PACED_AT_ONCE, UNPACED_A_MINUTE, SignInLimits

PACE = 0.01


class Shared:
    """Redis's counts: nothing is exceeded there unless told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.wait: int | None = None

    async def reachable(self) -> bool:
        return True

    async def exceeded(self, *budgets: tuple[str, int]) -> int | None:
        self.asked += budgets
        return self.wait


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [6_000_000.0]
    monkeypatch.setattr("app.http.operator.guesses.time", SimpleNamespace(time=lambda: now[0]))
    monkeypatch.setattr(guesses, "PACE", PACE)
    return now


async def unknown() -> bool:
    return False


async def known() -> bool:
    return True


async def test_an_attempt_is_counted_here_and_in_redis(clock: list[float]) -> None:
    shared = Shared()
    limits = SignInLimits(shared)
    assert [await limits.exceeded("a") for _ in range(ATTEMPTS_A_MINUTE)] == [None] * ATTEMPTS_A_MINUTE
    clock[0] += 15
    assert await limits.exceeded("a") == 45, "the rest of the minute"
    assert await limits.exceeded("b") is None
    assert shared.asked == [("sign-in:a", ATTEMPTS_A_MINUTE)] * (ATTEMPTS_A_MINUTE + 1) + [
        ("sign-in:b", ATTEMPTS_A_MINUTE)
    ]
    clock[0] += 45
    assert await limits.exceeded("a") is None, "a new minute"
    shared.wait = 7
    assert await limits.exceeded("c") == 7


async def test_a_limit_that_was_hit_is_news_once_a_minute(clock: list[float]) -> None:
    limits = SignInLimits(Shared())
    assert [limits.is_news("a"), limits.is_news("a"), limits.is_news("b")] == [True, False, True]
    clock[0] += 60
    assert limits.is_news("a")


async def test_beyond_the_unpaced_ones_a_few_wait_at_a_time_and_each_place_is_free_again(clock: list[float]) -> None:
    limits = SignInLimits(Shared())

    async def attempt() -> bool:
        async with limits.pace("account", unknown) as admitted:
            return admitted

    assert all([await attempt() for _ in range(UNPACED_A_MINUTE)])
    at_once = await asyncio.gather(*(attempt() for _ in range(PACED_AT_ONCE + 2)))
    assert at_once == [True] * PACED_AT_ONCE + [False] * 2
    assert all([await attempt() for _ in range(2 * PACED_AT_ONCE)]), "one after the other all are let through"
    assert limits._paced == {}


async def test_one_that_fails_or_is_given_up_frees_its_place(clock: list[float]) -> None:
    limits = SignInLimits(Shared())
    for _ in range(UNPACED_A_MINUTE):
        async with limits.pace("account", unknown):
            pass
    with pytest.raises(ZeroDivisionError):
        async with limits.pace("account", unknown):
            raise ZeroDivisionError
    waiting = asyncio.create_task(limits.pace("account", unknown).__aenter__())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert limits._paced == {}


async def test_only_the_account_that_is_guessed_at_is_paced_and_not_where_its_owner_is(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SignInLimits(Shared())
    for _ in range(UNPACED_A_MINUTE):
        async with limits.pace("account", unknown):
            pass
    monkeypatch.setattr(guesses, "PACE", 60.0)
    async with asyncio.timeout(5):
        async with limits.pace("account", known) as owner, limits.pace("another", unknown) as other:
            assert (owner, other) == (True, True)
