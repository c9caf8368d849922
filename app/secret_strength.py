"""Whether a secret could be guessed."""

from __future__ import annotations

import itertools
import re
from typing import Final

_LEAST_DIFFERENT: Final = 6
"""Different characters: a hexadecimal secret of 16 has fewer once in 30,000 times."""
_LEAST_PERIOD: Final = 12

_PLACEHOLDERS: Final = re.compile(
    "supersecret|secret|changeme|change|password|passw0rd|passwort|example|placeholder|replace|default|medusa|insert|"
    "please|your|qwertz|qwerty|letmein|[0-9]+",
)
"""Words of those who mean to come back later, as in Medusa's own defaults, and the digits that make them longer."""


def is_guessable(secret: str) -> bool:
    """Whether a secret is a repetition, a sequence, or little more than a placeholder."""
    if len(set(secret)) < _LEAST_DIFFERENT or _period(secret) < _LEAST_PERIOD:
        return True
    if len({ord(after) - ord(before) for before, after in itertools.pairwise(secret)}) == 1:
        return True
    letters = re.sub(r"[^a-z0-9]", "", secret.lower())
    left = _PLACEHOLDERS.sub("", letters)
    return len(left) < len(letters) / 2 and len(set(left)) < _LEAST_DIFFERENT


def _period(secret: str) -> int:
    """The length of the shortest piece that the secret is a repetition of."""
    return next(size for size in range(1, len(secret) + 1) if secret.startswith(secret[size:]))
