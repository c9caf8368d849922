"""Whether a secret could be guessed."""

from __future__ import annotations

import itertools
import re
from typing import Final

_LEAST_DIFFERENT: Final = 6
"""Different characters: a hexadecimal secret of 16 has fewer once in 30,000 times."""
_LEAST_PERIOD: Final = 12
_MOST_STEPS: Final = 0.6
"""Of the pairs of neighbours, how many may be steps of a sequence; of random hexadecimal digits one in six is."""

_UNREPLACED: Final = re.compile(r"\$\{?[A-Za-z_]\w*\}?|%[A-Z_]+%|\{\{.*\}\}|<.*>|\[.*\]|\$\(.*\)", re.DOTALL)
_PATH: Final = re.compile(r"(file:|/(app|etc|home|mnt|opt|run|secrets|usr|var)/).*", re.DOTALL)

_PLACEHOLDERS: Final = re.compile(
    "supersecret|secret|changeme|change|password|passw0rd|passwort|example|placeholder|replace|default|medusa|insert|"
    "please|your|qwertz|qwerty|letmein|[0-9]+",
)
"""Words of those who mean to come back later, as in Medusa's own defaults, and the digits that make them longer."""


def form_problem(name: str, value: str) -> str | None:
    """Why a value is no secret but what stands for one, as the rest of a sentence; ``None`` when it may be one."""
    if len(value) > 1 and value[0] in "\"'`" and value[0] == value[-1]:
        return "is in quotation marks, which would be a part of it: write it without them"
    if _UNREPLACED.fullmatch(value):
        return "is a placeholder or the name of a variable, which nothing has replaced by its value"
    if _PATH.fullmatch(value):
        return "is the path of a file: expected the secret itself"
    if value.startswith(f"{name}="):
        return "begins with its own name: expected the secret alone"
    return None


def is_guessable(secret: str) -> bool:
    """Whether a secret is a repetition, a sequence, or little more than a placeholder."""
    if len(set(secret)) < _LEAST_DIFFERENT or _period(secret) < _LEAST_PERIOD:
        return True
    steps = [abs(ord(after) - ord(before)) <= 1 for before, after in itertools.pairwise(secret)]
    if sum(steps) > _MOST_STEPS * len(steps):
        return True
    letters = re.sub(r"[^a-z0-9]", "", secret.lower())
    left = _PLACEHOLDERS.sub("", letters)
    return len(left) < len(letters) / 2 and len(set(left)) < _LEAST_DIFFERENT


def _period(secret: str) -> int:
    """The length of the shortest piece that the secret is a repetition of."""
    return next(size for size in range(1, len(secret) + 1) if secret.startswith(secret[size:]))


def hmac_key(secret: str) -> bytes:
    """Return the key of a secret for HMAC with SHA-2, 64 bytes at least.

    HMAC pads a key with zero bytes up to the block of its hash (RFC 2104), so the longer one signs the same. PyJWT
    warns of each use of a short key; how strong a secret must be is decided once, when the settings are read.
    """
    return secret.encode().ljust(64, b"\0")
