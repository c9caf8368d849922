"""Reads the README and the pages in docs: headings, links and blocks of code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE: Final = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


class Block(msgspec.Struct, frozen=True):
    """A block of code: the page that has it, its language and its text."""

    page: str
    language: str
    text: str


def name_of(page: Path) -> str:
    """Return the page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """Return the page's text without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(language: str) -> list[Block]:
    """Return all blocks of a language, dedented."""
    return [block for page in PAGES for block in _blocks(page) if block.language == language]


def _blocks(page: Path) -> Iterator[Block]:
    for language, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        margin = len(text) - len(text.lstrip(" "))
        yield Block(name_of(page), language, re.sub(rf"^ {{{margin}}}", "", text, flags=re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """Return the fragments that GitHub gives the page's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(page), flags=re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def links(page: Path) -> list[str]:
    """Return the targets of the page's links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", prose(page))
    return [link or picture for link, picture in found]
