"""``medusa-grace demo``: what its reader sees on a terminal and in a pipe."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from typing import Final

import pytest

from app.embedded.narrator import Narrator, Verdict

COLUMNS: Final = 80
_COLOR: Final = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST: Final = Verdict(
    "partially captured",
    ("422 partial_capture", "200 voided, Already canceled"),
    "order canceled, payment partly captured",
    "canceled, 1 void",
    12345,
    "partial_capture",
    kept=False,
)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _written(out: io.StringIO, *, kept: bool = True) -> str:
    say = Narrator(out)
    say.line("Starting")
    say.table([_LONGEST, Verdict("canceled", ("200 voided",), "order canceled", "canceled", 0, "-", kept=kept)])
    return out.getvalue()


def test_the_table_fits_a_terminal() -> None:
    """Long cells are wrapped, and no word is lost."""
    lines = _written(io.StringIO()).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    words = " ".join(lines)
    for word in ("partial_capture", "Already", "partly", "12345", "NO", "yes"):
        assert word in words, word


@pytest.mark.parametrize("kept", [True, False])
def test_colors_mark_what_was_kept(monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    """Green or red on a terminal; the words are those of a pipe."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colored, plain = _written(_Terminal(), kept=kept), _written(io.StringIO(), kept=kept)
    assert ("\x1b[32myes" in colored) is kept
    assert "\x1b[31mNO" in colored
    assert "\x1b" not in plain
    assert _COLOR.sub("", colored).partition("Starting")[2] == plain.partition("Starting")[2]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_may_decline_colors(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """https://no-color.org, and terminals without colours."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, value)
    assert "\x1b" not in _written(_Terminal())


@pytest.mark.timeout(240)
def test_the_demo_on_a_terminal() -> None:
    """It names each server that it starts and the currency, keeps its table to 80 columns, and says what to do next."""
    main, follower = pty.openpty()
    command = [sys.executable, "-m", "app.cli", "demo"]
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    demo = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    shown = _read_all(main)
    assert demo.wait(60) == 0, shown
    assert "\x1b[32myes" in shown
    text = _COLOR.sub("", shown).replace("\r\n", "\n")
    steps = [
        text.index(f"Starting {step}") for step in ("Postgres", "Valkey", "the Stripe sandbox", "the shop", "the API")
    ]
    assert steps == sorted(steps)
    table, _, rest = text[text.index("\norder ") :].partition("Each came out as promised.")
    assert max(map(len, table.splitlines())) <= COLUMNS
    assert "29.74 EUR" in table
    assert table.count(" yes") == 6
    assert "An operator has captured 10.00 EUR of 29.7381 EUR." in text
    assert "no promise is broken" in rest
    assert "uv run medusa-grace up" in rest.partition("Next:")[2]
    assert "docs/install.md" in rest.partition("Next:")[2]


def _read_all(descriptor: int) -> str:
    """Everything until the last process on the other side has ended."""
    found = b""
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # Linux: no process has the other side open any more
            part = b""
        if not part:
            os.close(descriptor)
            return found.decode()
        found += part
