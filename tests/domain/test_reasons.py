"""The shop's list of reasons. How it is spelled is tested with the settings."""

from __future__ import annotations

import pytest

from app.domain.reasons import CancelReason, label_of

REASONS = (CancelReason("mind", "I changed my mind"), CancelReason("slow", "Too slow"))


@pytest.mark.parametrize(
    ("given", "label"),
    [("mind", "I changed my mind"), ("slow", "Too slow"), ("Mind", None), ("I changed my mind", None), (None, None)],
)
def test_a_label_is_a_codes(given: str | None, label: str | None) -> None:
    assert label_of(REASONS, given) == label


def test_no_list() -> None:
    assert label_of((), "mind") is None
