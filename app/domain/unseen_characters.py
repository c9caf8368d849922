"""Control, bidirectional and other characters that are not seen: none may reorder or hide what a person reads."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_HARMLESS: Final = frozenset("\n\u200c\u200d")
"""Line ends, which are laid out, and the joiners of scripts and emoji."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode."""


def visible(text: str) -> str:
    """Name each of them: ``[U+202E]``."""
    return "".join(f"[U+{ord(char):04X}]" if _is_unseen(char) else char for char in text.replace("\r\n", "\n"))


def escaped(json_text: str) -> str:
    """The same JSON with an escape for each of them."""
    return "".join(_escape(char) if _is_unseen(char) else char for char in json_text)


def _is_unseen(char: str) -> bool:
    return char not in _HARMLESS and unicodedata.category(char) in _UNSEEN


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return re.sub("....", r"\\u\g<0>", units)
