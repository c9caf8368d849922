"""What ``demo`` and ``up`` print: timed lines, steps, and a table of 80 columns; with colours on a terminal."""

from __future__ import annotations

import os
import textwrap
import time
from itertools import zip_longest
from typing import Final, TextIO

import msgspec

_BOLD, _DIM, _RED, _GREEN, _PLAIN = "1", "2", "31", "32", "0"
_WIDTHS: Final = {
    "order": 9,
    "answers": 16,
    "in Medusa": 16,
    "at Stripe": 9,
    "stock held": 5,
    "incident": 8,
    "kept": 4,
}
_GAP: Final = "  "
_LAST: Final = sum(_WIDTHS.values()) - _WIDTHS["kept"] + (len(_WIDTHS) - 1) * len(_GAP)
"""Where the last column begins."""


class Verdict(msgspec.Struct, frozen=True):
    """One order of the table: what was answered, how it ended, and whether that was promised."""

    title: str
    answers: tuple[str, ...]
    medusa: str
    stripe: str
    reserved: int
    incidents: str
    kept: bool


class Narrator:
    """Prints what happens, with the seconds since the start."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._colored = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def line(self, text: str) -> None:
        """Print one line."""
        self._write(f"{self._in(_DIM, f'{time.monotonic() - self._began:5.1f} s')}  {text}")

    def step(self, part: str) -> None:
        """Print which server is being started."""
        self.line(f"Starting {part} ...")

    def result(self, text: str, *, good: bool) -> None:
        """Print one line in green or red."""
        self.line(self._in(_GREEN if good else _RED, text))

    def plain(self, text: str) -> None:
        """Print lines as they are, without a time."""
        self._write(text)

    def table(self, verdicts: list[Verdict]) -> None:
        """Print a row for each order. Cells are wrapped, so that a row has at most 80 columns."""
        self._write("")
        self._row([[title] for title in _WIDTHS], _BOLD)
        self._write(_GAP.join("-" * width for width in _WIDTHS.values()))
        for verdict in verdicts:
            cells = [
                [verdict.title],
                list(verdict.answers) or ["-"],
                verdict.medusa.split(", "),
                [verdict.stripe],
                [str(verdict.reserved)],
                [verdict.incidents.replace("_", " ")],
                ["yes" if verdict.kept else "NO"],
            ]
            self._row(cells, _GREEN if verdict.kept else _RED, at=_LAST)
        self._write("")

    def _row(self, cells: list[list[str]], color: str, at: int = 0) -> None:
        """Print one row. Each cell is a list of paragraphs; ``color`` begins at the column ``at``."""
        wrapped = [
            [part for text in cell for part in textwrap.wrap(text, width)]
            for cell, width in zip(cells, _WIDTHS.values(), strict=True)
        ]
        for parts in zip_longest(*wrapped, fillvalue=""):
            padded = _GAP.join(part.ljust(width) for part, width in zip(parts, _WIDTHS.values(), strict=True)).rstrip()
            colored = padded[at:]
            self._write(padded[:at] + (self._in(color, colored) if colored else ""))

    def _in(self, color: str, text: str) -> str:
        return f"\x1b[{color}m{text}\x1b[{_PLAIN}m" if self._colored else text

    def _write(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()
