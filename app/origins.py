"""Origins as Medusa spells them in ``storeCors`` and ``adminCors``: one parser for the start and for the answers.

Source: Medusa 2.21.2's parseCorsOrigins and buildRegexpIfValid.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from itertools import chain
from typing import Final

from app.http_address import browser_origin, check_http_address
from app.network_address import AddressError

LONGEST_ORIGIN: Final = 300
"""Scheme, a host name of 253 characters and a port. A shop's pattern that backtracks is not tried on more."""

_LONGEST_SEARCH: Final = 0.02
"""Seconds of this thread that a pattern may take on one origin: a usual one takes microseconds."""
_SIZES: Final = (*range(4, 60), *range(60, LONGEST_ORIGIN, 20))
_PIECES: Final = ("a", "A", "1", "-", ".", "_", "a.", "a-", "1.", "ab.", "/", ":1")
_ENDS: Final = ("", "!", "/", ".x")
_NOBODYS_SITE: Final = "https://a-site-of-nobody.invalid"
_LITERAL_START: Final = re.compile(r"\^?((?:\\[^\w\s]|[\w:/-])*)(?![?*{])")

_AS_REGEX: Final = re.compile(r"^([/~@;%#'])(.*?)\1([a-z]*)$", re.DOTALL)
_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "u": re.NOFLAG}
_STATEFUL_FLAGS: Final = frozenset("gy")
"""Medusa takes them off before it compiles."""


class AllowedOrigins:
    """Origins, or regular expressions between delimiters, separated by commas, never trimmed."""

    def __init__(self, setting: str) -> None:
        parts = setting.split(",") if setting else []
        self._exact: set[str] = set()
        self._patterns: list[re.Pattern[str]] = []
        self.unreadable: list[str] = []
        """Parts that look like regular expressions and cannot be compiled. Medusa takes them for plain origins."""
        self.explosive: list[str] = []
        """Patterns that a header of some hundred characters keeps busy for seconds or without end."""
        self.boundless: list[str] = []
        """Patterns that allow any site."""
        for part in parts:
            match = _AS_REGEX.match(part)
            pattern = _compiled(match[2], match[3]) if match else None
            if pattern is not None:
                self._add_pattern(part, pattern)
                continue
            self._exact.add(part)
            if match is not None:
                self.unreadable.append(part)

    def _add_pattern(self, part: str, pattern: re.Pattern[str]) -> None:
        if any(_takes_long(pattern, origin) for origin in _trying_origins(pattern.pattern)):
            self.explosive.append(part)
            return
        self._patterns.append(pattern)
        if pattern.search(_NOBODYS_SITE):
            self.boundless.append(part)

    @property
    def never_sent(self) -> list[str]:
        """Exact origins that no browser sends, so that they allow nothing, at Medusa neither."""
        return sorted(origin for origin in self._exact if not _is_sent(origin))

    def allow(self, origin: str | None) -> bool:
        """Whether a page of ``origin`` may read the answer."""
        if origin is None or len(origin) > LONGEST_ORIGIN:
            return False
        return origin in self._exact or any(pattern.search(origin) for pattern in self._patterns)


def _is_sent(origin: str) -> bool:
    """Whether it is spelled as a browser does: in lower case and Punycode, without default port, path or wildcard."""
    if not origin.lower().startswith(("http:", "https:")):  # of an app, or of an extension
        return re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+|null", origin) is not None
    try:
        return browser_origin(check_http_address(origin, only_host=True)) == origin
    except AddressError:
        return False


def _trying_origins(source: str) -> Iterator[str]:
    """Origins that get longer step by step, of the kind that patterns with nested repetitions fail on late."""
    literal = _LITERAL_START.match(source.replace("https?", "https"))
    starts = dict.fromkeys(("https://", "" if literal is None else literal[1].replace("\\", "")))
    pieces = dict.fromkeys((*_PIECES, *re.findall(r"[^\W_]", source)[:40]))
    kinds = [[start + piece * size + end for size in _SIZES] for start in starts for piece in pieces for end in _ENDS]
    return (origin for origin in chain.from_iterable(kinds) if len(origin) <= LONGEST_ORIGIN)


def _takes_long(pattern: re.Pattern[str], origin: str) -> bool:
    """Measured twice: what else a thread may be busy with comes once."""
    for _ in range(2):
        began = time.thread_time()
        pattern.search(origin)
        if time.thread_time() - began < _LONGEST_SEARCH:
            return False
    return True


def _compiled(source: str, flags: str) -> re.Pattern[str] | None:
    """A JavaScript pattern as Python spells it: named groups differ, and ``\\d`` and ``\\w`` are ASCII there."""
    if len(set(flags)) != len(flags) or not set(flags) <= {*_FLAGS, *_STATEFUL_FLAGS}:
        return None
    source = re.sub(r"\(\?<(?![=!])", "(?P<", source)
    source = re.sub(r"\\k<(\w+)>", r"(?P=\1)", source)
    compiled_flags = re.ASCII
    for flag in set(flags) - _STATEFUL_FLAGS:
        compiled_flags |= _FLAGS[flag]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(source, compiled_flags)
    except (re.error, OverflowError, RecursionError):
        return None
