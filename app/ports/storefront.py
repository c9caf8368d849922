"""Authenticate shoppers."""

from __future__ import annotations

from typing import Protocol


class TokenRejected(Exception):
    """A token that proves nothing; ``expired`` when it once did."""

    def __init__(self, *, expired: bool) -> None:
        super().__init__("expired" if expired else "invalid")
        self.expired = expired


class Storefront(Protocol):
    """Who is asking, by the shop's own rules."""

    def customer_id(self, bearer: str) -> str:
        """The customer that a bearer token speaks for. Raises ``TokenRejected``."""
        ...

    @property
    def session_cookie(self) -> str | None:
        """The name of the shop's session cookie; ``None`` where sessions are not accepted."""
        ...

    async def customer_of_session(self, cookie: str, publishable_key: str) -> str | None:
        """The customer who is signed in by a session cookie, as the shop says now; ``None`` where it is nobody.

        Raises ``Unavailable`` when the shop does not answer in time.
        """
        ...
