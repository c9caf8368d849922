"""The reasons that a shop offers its shoppers for a cancellation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_LONGEST_LABEL: Final = 200
_MOST: Final = 50


class CancelReason(msgspec.Struct, frozen=True):
    """A reason to choose from: ``code`` for machines, ``label`` for shoppers."""

    code: str
    label: str


def parse_reasons(text: str) -> tuple[CancelReason, ...]:
    """The reasons of ``code=label; code=label``, in that order. Raises ``ValueError`` naming the part that is wrong."""
    reasons: dict[str, CancelReason] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        code, equals, label = (piece.strip() for piece in part.partition("="))
        if not equals or not _CODE.fullmatch(code):
            message = f"has {part.strip()!r}: expected code=label; code=label, codes of a-z, 0-9, _ and -, 40 at most"
            raise ValueError(message)
        if not label or len(label) > _LONGEST_LABEL or not label.isprintable():
            message = f"has no good label for {code}: expected 1 to {_LONGEST_LABEL} characters on one line"
            raise ValueError(message)
        if code in reasons:
            message = f"has {code} twice"
            raise ValueError(message)
        reasons[code] = CancelReason(code, label)
    if len(reasons) > _MOST:
        message = f"has {len(reasons)} reasons: expected {_MOST} at most"
        raise ValueError(message)
    return tuple(reasons.values())


def label_of(reasons: Iterable[CancelReason], given: str | None) -> str | None:
    """The label of a code of the list; ``None`` for free text and for no reason at all."""
    return next((reason.label for reason in reasons if reason.code == given), None)
