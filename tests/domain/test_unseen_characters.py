"""Characters that are not seen are named, whatever kind they are of."""

from __future__ import annotations

import json

import pytest

from app.domain.unseen_characters import escaped, visible

UNSEEN = {
    "control": ("\x07", "[U+0007]", "\\u0007"),
    "carriage return": ("\r", "[U+000D]", "\\u000d"),
    "tab": ("\t", "[U+0009]", "\\u0009"),
    "bidirectional": ("\u202e", "[U+202E]", "\\u202e"),
    "soft hyphen": ("\u00ad", "[U+00AD]", "\\u00ad"),
    "surrogate": ("\ud800", "[U+D800]", "\\ud800"),
    "private use": ("\ue000", "[U+E000]", "\\ue000"),
    "unassigned": ("\u0378", "[U+0378]", "\\u0378"),
    "line separator": ("\u2028", "[U+2028]", "\\u2028"),
    "paragraph separator": ("\u2029", "[U+2029]", "\\u2029"),
    "tag, beyond 16 bits": ("\U000e0041", "[U+E0041]", "\\udb40\\udc41"),
}
SEEN = ["a", "é", "\u0669", " ", "\u00a0", "\u0301", "\n", "\u200c", "\u200d", "\U0001f469"]


@pytest.mark.parametrize(("char", "named", "escape"), UNSEEN.values(), ids=UNSEEN.keys())
def test_what_is_not_seen(char: str, named: str, escape: str) -> None:
    assert visible(f"a{char}b") == f"a{named}b"
    assert escaped(f'"a{char}b"') == f'"a{escape}b"'
    assert json.loads(escaped(f'"a{char}b"')) == f"a{char}b"


@pytest.mark.parametrize("char", SEEN)
def test_what_is_seen_stays(char: str) -> None:
    assert visible(f"a{char}b") == escaped(f"a{char}b") == f"a{char}b"


def test_a_line_end_is_one_whoever_wrote_it() -> None:
    assert visible("one\r\ntwo\nthree") == "one\ntwo\nthree"
