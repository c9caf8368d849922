"""One setting at a time from the environment, and a list of what is wrong with them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

E = TypeVar("E", bound=StrEnum)


class Environment:
    """Values by their names. What is missing or malformed becomes a line of ``problems``; reading goes on."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str, *, need: str | None = None) -> str | None:
        """The value without the space around it. With ``need`` a missing one is a problem: what it is needed for."""
        value = self._environ.get(name, "").strip()
        if value:
            return value
        if need is not None:
            self.problems.append(f"{name} is missing: {need}")
        return None

    def words(self, name: str, *, need: str | None = None) -> tuple[str, ...]:
        """Several values, parted by spaces."""
        return tuple((self.text(name, need=need) or "").split())

    def url(self, name: str, schemes: tuple[str, ...], *, need: str | None = None) -> str | None:
        """A URL of one of the schemes."""
        value = self.text(name, need=need)
        if value is not None and not _is_url(value, schemes):
            self.problems.append(f"{name} is not a URL that begins with {' or '.join(s + '://' for s in schemes)}")
        return value

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

    def networks(self, name: str, default: str) -> tuple[str, ...]:
        """Addresses and networks, parted by spaces or commas."""
        networks = []
        for part in (self.text(name) or default).replace(",", " ").split():
            try:
                networks.append(str(ipaddress.ip_network(part, strict=False)))
            except ValueError:
                self.problems.append(f"{name} has {part!r}: expected addresses or networks such as 10.0.0.0/8")
        return tuple(networks)


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and "://" in value and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
