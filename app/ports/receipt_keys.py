"""Sign receipts."""

from __future__ import annotations

from typing import Protocol


class ReceiptKeys(Protocol):
    """The keys that receipts are signed with, and known by."""

    def sign(self, content: bytes) -> str | None:
        """A compact JWS over exactly ``content``; ``None`` when there is no key to sign with."""
        ...

    def public(self) -> bytes:
        """A JWK set (RFC 7517) of the public keys, as JSON; an empty one when there is none."""
        ...
