"""Limits of one process, for when the shared ones cannot be counted."""

from __future__ import annotations

import pytest

from app.gateways import local_limits
from app.gateways.local_limits import FACTOR, LocalRateLimits


def test_a_process_allows_each_key_its_limit_twice_in_a_window() -> None:
    limits = LocalRateLimits()
    answers = [limits.exceeded([("a", 2), ("b", 3)], 7) for _ in range(7)]
    assert answers == [[], [], [], [], ["a"], ["a"], ["a", "b"]]
    assert FACTOR == 2
    assert limits.exceeded([("c", 2)], 7) == []
    assert limits.exceeded([("a", 2), ("b", 3)], 8) == [], "another window begins at nothing"
    assert limits.exceeded([("a", 2), ("b", 3)], 7) == [], "and so does one of a clock that was set back"


def test_keys_beyond_the_bound_are_not_counted_and_the_others_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_limits, "MAX_KEYS", 2)
    limits = LocalRateLimits()
    for _ in range(5):
        found = limits.exceeded([("a", 1), ("b", 9), ("c", 1)], 7)
    assert found == ["a"]
    assert limits.exceeded([("c", 0)], 7) == []
