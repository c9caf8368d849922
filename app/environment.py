"""One setting at a time from the environment, and a list of what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeVar

from app.database_address import DatabaseAddress, read_database_address
from app.http_address import browser_origin, check_http_address
from app.network_address import AddressError, check_host, check_port, read_network
from app.origins import AllowedOrigins
from app.redis_address import read_redis_address

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_LISTEN: Final = "host:port, such as 127.0.0.1:9101"
_WIDEST_NETWORK: Final = 7
"""Bits of the widest networks that are not public: 10.0.0.0/8, fc00::/7."""


class Environment:
    """Values by their names. What is missing or malformed becomes a line of ``problems``; reading goes on.

    What works and is unwise becomes a line of ``warnings``.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._read: set[str] = set()
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def text(self, name: str, *, need: str | None = None) -> str | None:
        """The value without the space around it. With ``need`` a missing one is a problem: what it is needed for."""
        self._read.add(name)
        value = self._environ.get(name, "").strip()
        if value:
            return value
        if need is not None:
            self.problems.append(f"{name} is missing: {need}")
        return None

    def refuse_files(self) -> None:
        """Name each ``..._FILE`` beside a setting that was read and is not set: images that take one are not ours."""
        self.problems += [
            f"{name}_FILE is not read: expected the value itself in {name}"
            for name in sorted(self._read)
            if self._environ.get(f"{name}_FILE") and not self._environ.get(name, "").strip()
        ]

    def words(self, name: str, *, need: str | None = None) -> tuple[str, ...]:
        """Several values, separated by spaces."""
        return tuple((self.text(name, need=need) or "").split())

    def database(self, name: str, *, need: str | None = None) -> DatabaseAddress | None:
        """The address of a Postgres, as asyncpg takes it."""
        return self._address(name, lambda value: read_database_address(value, self._environ), need=need)

    def redis(self, name: str, *, key_prefix: str, need: str | None = None) -> str | None:
        """The address of a Redis, as redis-py takes it. ``key_prefix``: what to do instead of ioredis's keyPrefix."""
        return self._address(name, lambda value: read_redis_address(value, key_prefix=key_prefix), need=need)

    def http(
        self, name: str, *, need: str | None = None, only_host: bool = False, path_only: bool = False
    ) -> str | None:
        """The address of an HTTP server, as httpx takes it."""
        return self._address(
            name, lambda value: check_http_address(value, only_host=only_host, path_only=path_only), need=need
        )

    def origin(self, name: str) -> str | None:
        """A web origin, spelled as browsers do: host in lower case, no default port, no slash at its end."""
        value = self.http(name, only_host=True)
        return None if value is None else browser_origin(value)

    def _address(self, name: str, read: Callable[[str], T], *, need: str | None) -> T | None:
        """What ``read`` makes of the value; ``None``, and a problem, where it raises ``AddressError``."""
        value = self.text(name, need=need)
        try:
            return None if value is None else read(value)
        except AddressError as error:
            self.problems.append(f"{name} {error}")
            return None

    def seconds(self, name: str, default: str, *, least: Decimal, most: Decimal) -> timedelta:
        """A number of seconds, fractions too."""
        value = self.text(name) or default
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not (value.isascii() and "_" not in value and number.is_finite() and least <= number <= most):
            self.problems.append(f"{name} is {value!r}: expected a number of seconds from {least} to {most}")
            return timedelta(0)
        return timedelta(seconds=float(number))

    def count(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number."""
        value = self.text(name) or str(default)
        if not (value.isascii() and value.isdecimal() and len(value) < 20 and least <= int(value) <= most):
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
        try:
            check_host(host if ":" not in host.strip("[]") else f"[{host.strip('[]')}]", _LISTEN)
            return host.strip("[]"), check_port(port, _LISTEN)
        except AddressError as error:
            self.problems.append(f"{name} is {value!r}, which {error}")
            return None

    def queue(self, name: str, default: str) -> str:
        """The name of a BullMQ queue, which may not hold a colon: what is in front of one is a prefix."""
        value = self.text(name) or default
        if ":" in value:
            self.problems.append(f"{name} is {value!r}: expected a name without a colon, as BullMQ does")
        return value

    def origins(self, name: str) -> str:
        """Origins as Medusa spells them. The value as it is: Medusa trims nothing either."""
        value = self._environ.get(name, "")
        self._read.add(name)
        origins = AllowedOrigins(value)
        self.problems += [
            f"{name} has {part!r}, which is no regular expression: expected an origin such as https://shop.example, or "
            "a pattern between slashes that Python understands too"
            for part in origins.unreadable
        ]
        self.problems += [
            f"{name} has {part!r}, which takes longer the longer an origin is, without bound: expected a pattern in "
            "which no repetition stands within another, such as /^https:\\/\\/[a-z0-9.-]+\\.shop\\.example$/"
            for part in origins.explosive
        ]
        self.warnings += [
            f"{name} has {part!r}, which is not what a browser sends: expected an origin such as https://shop.example"
            for part in origins.never_sent
        ]
        self.warnings += [
            f"{name} has {part!r}, which allows every site: expected a pattern for origins of the shop's own"
            for part in origins.boundless
        ]
        return value

    def networks(self, name: str, default: str) -> tuple[str, ...]:
        """Addresses and networks, separated by spaces or commas."""
        networks: list[IPv4Network | IPv6Network] = []
        for part in (self.text(name) or default).replace(",", " ").split():
            try:
                network = read_network(part)
            except ValueError:
                self.problems.append(f"{name} has {part!r}: expected addresses or networks such as 10.0.0.0/8")
                continue
            if network.prefixlen < _WIDEST_NETWORK:
                self.problems.append(
                    f"{name} has {part!r}, which is every address, or many of them: expected those of your proxies"
                )
            networks.append(network)
        return tuple(map(str, networks))
