"""Kinds of settings: how each is spelled, and how its text is read. What is wrong never repeats a secret."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from app.database_address import DatabaseAddress, read_database_address
from app.domain.reasons import CancelReason, parse_reasons
from app.http_address import browser_origin, check_http_address
from app.network_address import AddressError, check_host, check_port, read_network
from app.origins import AllowedOrigins
from app.redis_address import read_redis_address

E = TypeVar("E", bound=StrEnum)
T_co = TypeVar("T_co", covariant=True)

EXTRA: Final = "install medusa-grace[observability]"
_LISTEN: Final = "host:port, such as 127.0.0.1:9101"
_WIDEST_NETWORK: Final = 7
"""Bits of the widest networks that are not public: 10.0.0.0/8, fc00::/7."""


class WrongValue(ValueError):
    """What is wrong with a value: each argument is the rest of a sentence that begins with the setting's name."""


class Given(msgspec.Struct, frozen=True):
    """A setting's text as it is read."""

    name: str
    text: str
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    """Takes the rest of a sentence about what works and is unwise."""


class Kind(msgspec.Struct, Generic[T_co], frozen=True):
    """``shown`` is the kind in words, bounds included. ``read`` raises ``WrongValue`` or ``AddressError``."""

    shown: str
    read: Callable[[Given], T_co]
    trimmed: bool = True


def seconds(least: Decimal, most: Decimal) -> Kind[timedelta]:
    """A number of seconds, fractions too."""

    def read(given: Given) -> timedelta:
        value = given.text
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not (value.isascii() and "_" not in value and number.is_finite() and least <= number <= most):
            raise WrongValue(f"is {value!r}: expected a number of seconds from {least} to {most}")
        return timedelta(seconds=float(number))

    return Kind(f"seconds, {least} to {most}", read)


def count(least: int, most: int) -> Kind[int]:
    """A whole number."""

    def read(given: Given) -> int:
        value = given.text
        if not (value.isascii() and value.isdecimal() and len(value) < 20 and least <= int(value) <= most):
            raise WrongValue(f"is {value!r}: expected a whole number from {least} to {most}")
        return int(value)

    return Kind(f"number, {least} to {most}", read)


def choice(kind: type[E]) -> Kind[E]:
    """One of the words of ``kind``."""

    def read(given: Given) -> E:
        try:
            return kind(given.text)
        except ValueError:
            raise WrongValue(f"is {given.text!r}: expected one of {', '.join(kind)}") from None

    return Kind(" or ".join(f"`{word}`" for word in kind), read)


def redis(key_prefix: str) -> Kind[str]:
    """The address of a Redis, as redis-py takes it. ``key_prefix``: what to do instead of ioredis's keyPrefix."""
    return Kind("address of a Redis", lambda given: read_redis_address(given.text, key_prefix=key_prefix))


def http(shown: str = "URL", *, only_host: bool = False, path_only: bool = False) -> Kind[str]:
    """The address of an HTTP server, as httpx takes it."""
    return Kind(shown, lambda given: check_http_address(given.text, only_host=only_host, path_only=path_only))


def _flag(given: Given) -> bool:
    if given.text not in {"true", "false"}:
        raise WrongValue(f"is {given.text!r}: expected true or false")
    return given.text == "true"


def _level(given: Given) -> str:
    value = given.text.upper()
    if value not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        raise WrongValue(f"is {value!r}: expected DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return value


def _address(given: Given) -> tuple[str, int]:
    host, _, port = given.text.rpartition(":")
    try:
        check_host(host if ":" not in host.strip("[]") else f"[{host.strip('[]')}]", _LISTEN)
        return host.strip("[]"), check_port(port, _LISTEN)
    except AddressError as error:
        raise WrongValue(f"is {given.text!r}, which {error}") from error


def _queue(given: Given) -> str:
    """A BullMQ queue's name may not hold a colon: what is in front of one is a prefix."""
    if ":" in given.text:
        raise WrongValue(f"is {given.text!r}: expected a name without a colon, as BullMQ does")
    return given.text


@lru_cache(maxsize=8)  # each pattern is tried on some thousand origins
def _parsed(origins: str) -> AllowedOrigins:
    return AllowedOrigins(origins)


def _origins(given: Given) -> str:
    """Origins as Medusa spells them. The value as it is: Medusa trims nothing either."""
    origins = _parsed(given.text)
    problems = [
        f"has {part!r}, which is no regular expression: expected an origin such as https://shop.example, or "
        "a pattern between slashes that Python understands too"
        for part in origins.unreadable
    ] + [
        f"has {part!r}, which takes longer the longer an origin is, without bound: expected a pattern in "
        "which no repetition stands within another, such as /^https:\\/\\/[a-z0-9.-]+\\.shop\\.example$/"
        for part in origins.explosive
    ]
    for part in origins.never_sent:
        given.warn(f"has {part!r}, which is not what a browser sends: expected an origin such as https://shop.example")
    for part in origins.boundless:
        given.warn(f"has {part!r}, which allows every site: expected a pattern for origins of the shop's own")
    if problems:
        raise WrongValue(*problems)
    return given.text


def _networks(given: Given) -> tuple[str, ...]:
    """Addresses and networks, separated by spaces or commas."""
    networks, problems = [], []
    for part in given.text.replace(",", " ").split():
        try:
            network = read_network(part)
        except ValueError:
            problems.append(f"has {part!r}: expected addresses or networks such as 10.0.0.0/8")
            continue
        if network.prefixlen < _WIDEST_NETWORK:
            problems.append(f"has {part!r}, which is every address, or many of them: expected those of your proxies")
        networks.append(str(network))
    if problems:
        raise WrongValue(*problems)
    return tuple(networks)


def _reasons(given: Given) -> tuple[CancelReason, ...]:
    try:
        return parse_reasons(given.text)
    except ValueError as error:
        raise WrongValue(str(error)) from error


def _directory(given: Given) -> str:
    if not Path(given.text).is_dir():
        raise WrongValue(f"is {given.text!r}: expected a directory that is there")
    return given.text


def _sentry_dsn(given: Given) -> str:
    """A URL that names a key and a project."""
    check_http_address(given.text)
    parts = urlsplit(given.text)
    if not installed("sentry_sdk"):
        raise WrongValue(f"is set, but sentry-sdk is not installed: {EXTRA}")
    if not (parts.username and parts.path.rpartition("/")[2]):
        raise WrongValue("is not one of Sentry's: expected https://key@host/project")
    return given.text


def installed(module: str) -> bool:
    """Whether a module of an extra can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package above it
        return False


TEXT: Final = Kind("text", lambda given: given.text)
WORDS: Final = Kind("words, separated by spaces", lambda given: tuple(given.text.split()))
FLAG: Final = Kind("`true` or `false`", _flag)
LEVEL: Final = Kind("`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`", _level)
DATABASE: Final[Kind[DatabaseAddress]] = Kind(
    "address of a Postgres", lambda given: read_database_address(given.text, given.environ)
)
ORIGIN: Final = Kind(
    "origin", lambda given: browser_origin(check_http_address(given.text, only_host=True))
)  # spelled as browsers do: host in lower case, no default port, no slash at its end
ORIGINS: Final = Kind("origins and `/patterns/`, separated by commas", _origins, trimmed=False)
NETWORKS: Final = Kind("networks, separated by spaces", _networks)
LISTEN: Final = Kind("`host:port`", _address)
QUEUE: Final = Kind("name of a BullMQ queue", _queue)
REASONS: Final = Kind("`code=label; code=label`", _reasons)
DIRECTORY: Final = Kind("directory", _directory)
SENTRY_DSN: Final = Kind("URL", _sentry_dsn)
