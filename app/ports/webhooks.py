"""Verify and read webhooks of the payment gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """An event of Stripe's: something happened to an intent. What, is to be looked at."""

    id: str
    type: str
    intent_id: str
    session: str
    """What the shop wrote into the intent to find it by; empty when it wrote nothing."""


class HintRejected(Exception):
    """A webhook that does not prove where it comes from, or that cannot be read."""


class Hints(Protocol):
    """Webhooks of the payment gateway."""

    @property
    def expected(self) -> bool:
        """Whether webhooks are taken at all."""
        ...

    def check_signature(self, headers: Sequence[str]) -> str:
        """Return the one signature header if its form and time are right, before the body is received. Raises
        ``HintRejected``."""
        ...

    def read(self, body: bytes, signature: str) -> Hint | None:
        """The hint of a webhook, ``None`` when it is about nothing of ours. Raises ``HintRejected``."""
        ...
