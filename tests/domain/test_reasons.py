"""The shop's list of reasons. How it is spelled is tested with the settings."""

from __future__ import annotations

import re

import pytest

from app.domain.reasons import CancelReason, label_of, parse_reasons

REASONS = (CancelReason("mind", "I changed my mind"), CancelReason("slow", "Too slow"))


@pytest.mark.parametrize(
    ("given", "label"),
    [("mind", "I changed my mind"), ("slow", "Too slow"), ("Mind", None), ("I changed my mind", None), (None, None)],
)
def test_a_label_is_a_codes(given: str | None, label: str | None) -> None:
    assert label_of(REASONS, given) == label


def test_no_list() -> None:
    assert label_of((), "mind") is None


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("", ()),
        (" ; ;", ()),
        ("mind=I changed my mind;slow=Too slow", REASONS),
        (" mind = I changed my mind ;\n slow= Too slow ;", REASONS),
        ("a_b-9=x = y", (CancelReason("a_b-9", "x = y"),)),
        (f"{'a' * 40}=x", (CancelReason("a" * 40, "x"),)),
        (f"a={'x' * 200}", (CancelReason("a", "x" * 200),)),
    ],
)
def test_a_list(text: str, reasons: tuple[CancelReason, ...]) -> None:
    assert parse_reasons(text) == reasons


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mind", "has 'mind': expected code=label"),
        ("=x", "has '=x': expected"),
        ("Mind=x", "has 'Mind=x': expected"),
        ("_a=x", "has '_a=x': expected"),
        (f"{'a' * 41}=x", f"has '{'a' * 41}=x': expected code=label"),
        ("mind=", "has no good label for mind: expected 1 to 200 characters"),
        (f"mind={'x' * 201}", "has no good label for mind"),
        ("mind=x\x07y", "has no good label for mind"),
        ("mind=x; slow=y; mind=z", "has mind twice"),
    ],
)
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        parse_reasons(text)


def test_fifty_reasons_are_enough() -> None:
    assert len(parse_reasons(";".join(f"r{number}=x" for number in range(50)))) == 50
    with pytest.raises(ValueError, match=r"^has 51 reasons: expected 50 at most$"):
        parse_reasons(";".join(f"r{number}=x" for number in range(51)))
