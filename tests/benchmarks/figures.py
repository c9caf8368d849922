"""Figures: ratios with their spread, their targets, and what they were made of; as a table, Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

MARKS: Final = ("<!-- benchmarks: begin -->", "<!-- benchmarks: end -->")
_BEGAN: Final = time.monotonic()
_LOAD: Final = os.getloadavg()[0]


@dataclass(frozen=True)
class Figure:
    """One line of the table: the median over repetitions of a ratio of two that took turns, or of what has no other."""

    part: str
    what: str
    values: tuple[float, ...]
    """One a repetition."""
    target: str = ""
    """Such as ``>= 0.5``; empty where there is none."""
    unit: str = "x"
    made_of: dict[str, Any] = field(default_factory=dict)
    """The figures behind the ratio, by name; of the median repetition or over all of them."""

    @property
    def value(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; ``None`` without one."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


def say(words: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{time.monotonic() - _BEGAN:6.1f} s  {words}\n")
    sys.stderr.flush()


def machine() -> str:
    """What it was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {_LOAD:.1f} at the start and {os.getloadavg()[0]:.1f} at the end"
    )


def table(figures: Sequence[Figure]) -> str:
    """For a terminal."""
    rows: list[tuple[str, ...]] = [("part", "figure", "median", "spread", "target", "")]
    rows += [_cells(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    behind = [f"{f.part} {f.what}: {_made_of(f)}" for f in figures if f.made_of]
    return "\n".join([*lines, "", *behind, "", machine()])


def markdown(figures: Sequence[Figure]) -> str:
    """For the page."""
    lines = ["| | figure | median | spread | target | made of |", "| --- | --- | --- | --- | --- | --- |"]
    for figure in figures:
        part, what, value, spread, target, met = _cells(figure)
        lines.append(f"| {part} | {what} | {value} | {spread} | {target} {met} | {_made_of(figure)} |")
    lines += ["", *_in_words(figures)]
    return "\n".join([*lines, "", f"Measured on {machine()}, {time.strftime('%Y-%m-%d', time.gmtime())}."])


def as_json(figures: Sequence[Figure]) -> str:
    """Everything."""
    made = [{**asdict(figure), "median": figure.value, "met": figure.met} for figure in figures]
    return json.dumps({"machine": machine(), "at": time.time(), "figures": made}, indent=1)


def into_page(page: Path, figures: Sequence[Figure]) -> None:
    """Replace what stands between the marks."""
    text = page.read_text()
    before, found, rest = text.partition(MARKS[0])
    _, closed, after = rest.partition(MARKS[1])
    if not found or not closed:
        sys.exit(f"{page} has no place for the table: {' ... '.join(MARKS)}")
    page.write_text(f"{before}{MARKS[0]}\n{markdown(figures)}\n{MARKS[1]}{after}")


def _in_words(figures: Sequence[Figure]) -> list[str]:
    """What the ratios of c come to in a shop."""
    told = [
        f"{_rounded(float(figure.made_of['a second']) * 3600, 2):,.0f} by {figure.what.rpartition(', ')[2]}"
        for figure in figures
        if figure.part == "c" and "bound" in figure.made_of
    ]
    return [f"Captured in an hour with Stripe at 150 ms: about {', '.join(told)}."] if told else []


def _cells(figure: Figure) -> tuple[str, ...]:
    spread = f"{_number(min(figure.values))} to {_number(max(figure.values))}" if len(figure.values) > 1 else ""
    met = {True: "met", False: "MISSED", None: ""}[figure.met]
    return figure.part, figure.what, f"{_number(figure.value)} {figure.unit}", spread, figure.target, met


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _number(value: float) -> str:
    """Three digits: runs differ in the second."""
    return f"{_rounded(value, 3):.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _made_of(figure: Figure) -> str:
    return ", ".join(
        f"{name} {_number(value) if isinstance(value, float) else value}" for name, value in figure.made_of.items()
    )
