"""A token bucket: its rate, what classes leave to one another, and the pace after refusals."""

from __future__ import annotations

import pytest

from app.domain.token_bucket import TokenBucket, burst_of

RATE = 80.0


def test_an_idle_bucket_grants_its_burst_and_then_its_rate() -> None:
    granted, bucket = TokenBucket.full(RATE, 0.0).take(1000, RATE, 0.0)
    assert granted == burst_of(RATE) == 20
    in_all = 0
    for tick in range(1, 201):
        now, bucket = bucket.refilled(RATE, tick * 0.05).take(1000, RATE, 0.0)
        in_all += now
    assert in_all == 800


def test_any_second_has_less_than_stripe_allows_an_account() -> None:
    granted, bucket = TokenBucket.full(RATE, 0.0).take(1000, RATE, 0.0)
    more, _ = bucket.refilled(RATE, 1.0).take(1000, RATE, 0.0)
    assert granted + more <= 100


def test_a_class_leaves_its_reserve_to_more_urgent_ones() -> None:
    captures, bucket = TokenBucket.full(RATE, 0.0).take(1000, RATE, 0.25)
    voids, bucket = bucket.take(1000, RATE, 0.0)
    assert (captures, voids) == (15, 5)
    assert bucket.take(1, RATE, 0.25)[0] == bucket.take(1, RATE, 0.0)[0] == 0


def test_a_class_gets_nothing_while_a_more_urgent_one_uses_the_whole_rate() -> None:
    bucket, voids, captures = TokenBucket(0.0, 0.0), 0, 0
    for tick in range(1, 101):
        bucket = bucket.refilled(RATE, tick * 0.05)
        granted, bucket = bucket.take(10, RATE, 0.0)
        voids += granted
        granted, bucket = bucket.take(10, RATE, 0.25)
        captures += granted
    assert (voids, captures) == (400, 0)


def test_a_charge_may_go_into_debt_for_a_second_at_most_and_a_gift_fills_no_more_than_the_burst() -> None:
    bucket = TokenBucket.full(RATE, 0.0)
    debt = bucket.charge(1_000_000, RATE)
    assert debt.refilled(RATE, 1.0).take(1, RATE, 0.0)[0] == 0
    assert debt.refilled(RATE, 1.1).take(100, RATE, 0.0)[0] == 8
    assert bucket.charge(-1_000_000, RATE).level == burst_of(RATE)


def test_a_refusal_halves_the_pace_for_ten_seconds_and_then_it_rises_by_tenths() -> None:
    bucket = TokenBucket.full(RATE, 0.0).slow_down(100.0)
    assert [bucket.pace_at(100.0 + after) for after in (0, 5, 9.9)] == [0.5] * 3
    steps = [bucket.pace_at(110.0 + after) for after in (0, 2, 4, 6, 8, 1000)]
    assert steps == pytest.approx([0.6, 0.7, 0.8, 0.9, 1.0, 1.0])
    assert bucket.refilled(RATE, 100.0).charge(20, RATE).refilled(RATE, 101.0).level == pytest.approx(20)
    empty = TokenBucket(0.0, 100.0).slow_down(100.0)
    assert empty.refilled(RATE, 100.2).level == pytest.approx(8), "half of what comes in 0.2 s"


def test_refusals_of_one_moment_count_once_and_later_ones_again_down_to_a_tenth() -> None:
    bucket = TokenBucket.full(RATE, 0.0)
    for millisecond in range(100):
        bucket = bucket.slow_down(100 + millisecond / 1000)
    assert bucket.pace_at(101.0) == 0.5
    for second in range(2, 30, 2):
        bucket = bucket.slow_down(100.0 + second)
    assert bucket.pace_at(128.0) == 0.1


def test_a_clock_that_was_set_back_refills_nothing_and_lengthens_no_wait() -> None:
    bucket = TokenBucket(0.0, 1_000_000.0).slow_down(1_000_000.0).refilled(RATE, 500.0)
    assert bucket.level == 0
    assert bucket.refilled(RATE, 500.1).level == pytest.approx(4)
    assert bucket.pace_at(511.0) == pytest.approx(0.6)


@pytest.mark.parametrize("rate", [1.0, 5.0])
def test_of_a_small_rate_each_class_gets_some(rate: float) -> None:
    bucket = TokenBucket.full(rate, 0.0)
    assert [bucket.take(1, rate, reserve)[0] for reserve in (0.0, 0.25, 0.5)] == [1, 1, 1]
