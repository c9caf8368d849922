"""Authenticate operators."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Admin(msgspec.Struct, frozen=True):
    """Somebody who may work in the shop's admin."""

    id: str
    email: str
    name: str = ""


class Credential(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the shop knows an admin by: its session cookie, or an ``Authorization`` header."""

    cookie: str | None = None
    authorization: str | None = None


class SignInRefused(Exception):
    """Wrong address or password; ``elsewhere`` when the shop asks for more than these two."""

    def __init__(self, *, elsewhere: bool = False) -> None:
        super().__init__("elsewhere" if elsewhere else "wrong")
        self.elsewhere = elsewhere


class Admins(Protocol):
    """Who works in the shop, by the shop's own sign-in. Raises ``Unavailable`` when the shop does not answer."""

    async def sign_in(self, email: str, password: str) -> tuple[Admin, Credential]:
        """The admin of this address and password, and what the shop knows them by now. Raises ``SignInRefused``."""
        ...

    async def whoami(self, *, cookie: str | None, authorization: str | None) -> Admin | None:
        """The admin whom the shop's session cookie, or a bearer token, speaks for; ``None`` when it is no admin."""
        ...
