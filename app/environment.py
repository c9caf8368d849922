"""One setting at a time from the environment, and a list of what is wrong with them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from app import database_address, redis_address
from app.database_address import AddressError, DatabaseAddress, read_database_address
from app.http_address import browser_origin, check_http_address
from app.origins import AllowedOrigins
from app.redis_address import read_redis_address

E = TypeVar("E", bound=StrEnum)


class Environment:
    """Values by their names. What is missing or malformed becomes a line of ``problems``; reading goes on.

    What works and is unwise becomes a line of ``warnings``.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def text(self, name: str, *, need: str | None = None) -> str | None:
        """The value without the space around it. With ``need`` a missing one is a problem: what it is needed for."""
        value = self._environ.get(name, "").strip()
        if value:
            return value
        if need is not None:
            self.problems.append(f"{name} is missing: {need}")
        return None

    def words(self, name: str, *, need: str | None = None) -> tuple[str, ...]:
        """Several values, separated by spaces."""
        return tuple((self.text(name, need=need) or "").split())

    def database(self, name: str, *, need: str | None = None) -> DatabaseAddress | None:
        """The address of a Postgres, as asyncpg takes it."""
        value = self._url(name, database_address.SCHEMES, need=need)
        try:
            return None if value is None else read_database_address(value, own_root="PGSSLROOTCERT" in self._environ)
        except (AddressError, ValueError) as error:
            self._refuse_address(name, error)
            return None

    def redis(self, name: str, *, key_prefix: str, need: str | None = None) -> str | None:
        """The address of a Redis, as redis-py takes it. ``key_prefix``: what to do instead of ioredis's keyPrefix."""
        value = self._url(name, redis_address.SCHEMES, need=need, bare_path=True)
        try:
            return None if value is None else read_redis_address(value, key_prefix=key_prefix)
        except (AddressError, ValueError) as error:
            self._refuse_address(name, error)
            return None

    def http(
        self, name: str, *, need: str | None = None, only_host: bool = False, path_only: bool = False
    ) -> str | None:
        """The address of an HTTP server, as httpx takes it."""
        value = self._url(name, ("http", "https"), need=need)
        try:
            if value is not None:
                check_http_address(value, only_host=only_host, path_only=path_only)
        except AddressError as error:
            self._refuse_address(name, error)
        return value

    def origin(self, name: str) -> str | None:
        """A web origin, spelled as browsers do: host in lower case, no default port, no slash at its end."""
        before = len(self.problems)
        value = self.http(name, only_host=True)
        return None if value is None or len(self.problems) > before else browser_origin(value)

    def _url(
        self, name: str, schemes: tuple[str, ...], *, need: str | None = None, bare_path: bool = False
    ) -> str | None:
        value = self.text(name, need=need)
        if value is None or (bare_path and value.startswith("/")) or _is_url(value, schemes):
            return value
        self.problems.append(f"{name} is not a URL that begins with {' or '.join(s + '://' for s in schemes)}")
        return None

    def _refuse_address(self, name: str, error: ValueError) -> None:
        """The words of other errors than ``AddressError`` may repeat a password."""
        reason = str(error) if isinstance(error, AddressError) else f"cannot be read ({type(error).__name__})"
        self.problems.append(f"{name} {reason}")

    def seconds(self, name: str, default: str, *, least: Decimal, most: Decimal) -> timedelta:
        """A number of seconds, fractions too."""
        value = self.text(name) or default
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not (number.is_finite() and least <= number <= most):
            self.problems.append(f"{name} is {value!r}: expected a number of seconds from {least} to {most}")
            return timedelta(0)
        return timedelta(seconds=float(number))

    def count(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number."""
        value = self.text(name) or str(default)
        if not value.isdecimal() or not least <= int(value) <= most:
            self.problems.append(f"{name} is {value!r}: expected a whole number from {least} to {most}")
            return default
        return int(value)

    def flag(self, name: str) -> bool:
        """``true`` or ``false``; ``false`` where it is not set."""
        value = self.text(name) or "false"
        if value not in {"true", "false"}:
            self.problems.append(f"{name} is {value!r}: expected true or false")
        return value == "true"

    def choice(self, name: str, kind: type[E], default: E | None, *, need: str | None = None) -> E | None:
        """One of the words of ``kind``."""
        value = self.text(name, need=need)
        if value is None:
            return default
        try:
            return kind(value)
        except ValueError:
            self.problems.append(f"{name} is {value!r}: expected one of {', '.join(kind)}")
            return default

    def address(self, name: str) -> tuple[str, int] | None:
        """Host and port to listen on."""
        value = self.text(name)
        if value is None:
            return None
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
            self.problems.append(f"{name} is {value!r}: expected host:port, such as 127.0.0.1:9101")
            return None
        return host.strip("[]"), int(port)

    def queue(self, name: str, default: str) -> str:
        """The name of a BullMQ queue, which may not hold a colon: what is in front of one is a prefix."""
        value = self.text(name) or default
        if ":" in value:
            self.problems.append(f"{name} is {value!r}: expected a name without a colon, as BullMQ does")
        return value

    def origins(self, name: str) -> str:
        """Origins as Medusa spells them. The value as it is: Medusa trims nothing either."""
        value = self._environ.get(name, "")
        origins = AllowedOrigins(value)
        self.problems += [
            f"{name} has {part!r}, which is no regular expression: expected an origin such as https://shop.example, or "
            "a pattern between slashes that Python understands too"
            for part in origins.unreadable
        ]
        self.warnings += [
            f"{name} has {part!r}, which is not what a browser sends: expected an origin such as https://shop.example"
            for part in origins.never_sent
        ]
        return value

    def networks(self, name: str, default: str) -> tuple[str, ...]:
        """Addresses and networks, separated by spaces or commas."""
        networks = []
        for part in (self.text(name) or default).replace(",", " ").split():
            try:
                networks.append(str(ipaddress.ip_network(part, strict=False)))
            except ValueError:
                self.problems.append(f"{name} has {part!r}: expected addresses or networks such as 10.0.0.0/8")
                continue
            if networks[-1].endswith("/0"):
                self.problems.append(f"{name} has {part!r}, which is every address: expected those of your proxies")
        return tuple(networks)


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and f"{parts.scheme}://" == value[: len(parts.scheme) + 3].lower()
    except ValueError:
        return False
