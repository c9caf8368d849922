"""Origins as Medusa spells them in ``storeCors`` and ``adminCors``: one parser for the start and for the answers.

Source: Medusa 2.21.2's parseCorsOrigins and buildRegexpIfValid.
"""

from __future__ import annotations

import re
import warnings
from typing import Final

LONGEST_ORIGIN: Final = 300
"""Scheme, a host name of 253 characters and a port. A shop's pattern that backtracks is not tried on more."""

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
        for part in parts:
            match = _AS_REGEX.match(part)
            pattern = _compiled(match[2], match[3]) if match else None
            if pattern is not None:
                self._patterns.append(pattern)
                continue
            self._exact.add(part)
            if match is not None:
                self.unreadable.append(part)

    @property
    def never_sent(self) -> list[str]:
        """Exact origins that no browser sends, so that they allow nothing, at Medusa neither."""
        return sorted(origin for origin in self._exact if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+|null", origin))

    def allow(self, origin: str | None) -> bool:
        """Whether a page of ``origin`` may read the answer."""
        if origin is None or len(origin) > LONGEST_ORIGIN:
            return False
        return origin in self._exact or any(pattern.search(origin) for pattern in self._patterns)


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
