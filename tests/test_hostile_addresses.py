"""Thousands of strings in each setting that is an address: taken by the library that connects, or refused in words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

import asyncpg
import httpx
import pytest
import redis
from asyncpg.connect_utils import _parse_connect_dsn_and_args  # type: ignore[attr-defined]

from app import setting_kinds
from app.environment import Environment, Setting
from app.setting_kinds import Kind

T = TypeVar("T")

STRINGS = 2_000
SECRET = "hunter2"

_ACCOUNTS = "grace:hunter2@ :hunter2@ g:hunter2@x@ g:hunter2%00@ g:hunter2/@ hunter2#@"
_PORTS = ": :5432 :0 :65535 :65536 :-1 :x :٣ :1_0 :+1 :99999999999999999999 :: :1:2"
_PATHS = "/ /medusa /0 /a/b /%00 /٣ /-1 /99999999999 // /m;x /run/redis.sock /x@y"
_HOSTS = """
db db.internal 127.0.0.1 [::1] [::1 ::1 a,b a,,b , db..x xn--a ﬀ ℀ [fe80::1%25eth0] %2Frun%2Fpostgresql % %zz ключ.рф
256.256.256.256 [v1.a] - _
"""
_OPTIONS = """
? ?a ?= ?sslmode=require ?host= ?host=, ?host=a,b&port=1 ?port=99999 ?db=-1 ?%00=1 ?sslrootcert=/nope ?db=٣ ?family=9
?options=%ff ?a=1&a=1 ?password=hunter2 ?service=x ?&& ?target_session_attrs=x ?user=a@b ?sslmode=verify-full
?ssl_ca_certs=/nope ?x=% ?timeout=1e999
"""
SCHEMES = ["postgres://", "postgresql://", "redis://", "rediss://", "unix://", "http://", "https://", "HTTP://", "//"]
ACCOUNTS = ["", *_ACCOUNTS.split()]
HOSTS = ["", "d b", "x" * 64, *_HOSTS.split()]
PORTS = ["", *_PORTS.split()]
PATHS = ["", *_PATHS.split()]
OPTIONS = ["", *_OPTIONS.split()]
TAILS = ("", "", "", "#", "#hunter2", "\\", "\x00", "\t", "\u202e", "\ud800", "%", "é", "'", '"')
ANY = "abz019:/?#[]@!$&'()*+,;=%-._~ \\\"^`{|}\x00\x7f\n\té٣ﬀ℀\u202e\ud800\U0001f600"


def strings(seed: int) -> Iterator[str]:
    """Addresses put together of good and bad parts, some of them with a character replaced, and a tenth of noise."""
    lot = random.Random(seed)
    for _ in range(STRINGS):
        if lot.random() < 0.1:
            yield "".join(lot.choices(ANY, k=lot.randrange(1, 60)))
            continue
        text = "".join(map(lot.choice, (SCHEMES, ACCOUNTS, HOSTS, PORTS, PATHS, OPTIONS, TAILS)))
        if lot.random() < 0.2 and text:
            at = lot.randrange(len(text))
            text = text[:at] + lot.choice(ANY) + text[at + 1 :]
        yield text


def _read(environment: Environment, kind: Kind[T]) -> T | None:
    setting: Setting[T | None] = Setting("THE_URL", kind, ())
    return environment.read(setting)


def _postgres(environment: Environment) -> None:
    if (address := _read(environment, setting_kinds.DATABASE)) is None:
        return
    names = "host port user password passfile database ssl direct_tls server_settings target_session_attrs krbsrvname"
    nothing = dict.fromkeys(f"{names} gsslib service servicefile".split())
    addresses, parameters = _parse_connect_dsn_and_args(dsn=address.url, **nothing)[:2]
    assert addresses
    for place in addresses:
        if isinstance(place, tuple):
            place[0].encode("idna")
            assert 0 < place[1] < 65536
    assert "\x00" not in f"{parameters.user}{parameters.password}{parameters.database}"


def _redis(environment: Environment) -> None:
    if (url := _read(environment, setting_kinds.redis("take it out"))) is None:
        return
    arguments = redis.ConnectionPool.from_url(url).connection_kwargs
    assert 0 <= int(arguments.get("db", 0)) < 100_000
    if "path" not in arguments:
        arguments["host"].encode("idna")
        assert 0 < int(arguments.get("port", 6379)) < 65536


def _http(environment: Environment) -> None:
    if (url := _read(environment, setting_kinds.http())) is not None:
        sent_to = httpx.Request("GET", url).url
        assert sent_to.host
        assert sent_to.port is None or 0 < sent_to.port < 65536


def _origin(environment: Environment) -> None:
    if (origin := _read(environment, setting_kinds.ORIGIN)) is not None:
        assert origin.startswith(("http://", "https://"))


def _listen(environment: Environment) -> None:
    if (place := _read(environment, setting_kinds.LISTEN)) is not None:
        place[0].encode("idna")
        assert 0 < place[1] < 65536


@pytest.mark.parametrize("read", [_postgres, _redis, _http, _origin, _listen])
def test_hostile_addresses(read: Callable[[Environment], None]) -> None:
    refused = 0
    for text in strings(seed=13):
        environment = Environment({"THE_URL": text})
        try:
            read(environment)
        except (asyncpg.ClientConfigurationError, ValueError, TypeError, LookupError, OverflowError) as error:
            raise AssertionError(f"{text!r} was accepted, or ended in {type(error).__name__}: {error}") from error
        for problem in environment.problems:
            refused += 1
            assert problem.startswith("THE_URL "), text
            assert problem.isprintable(), (text, problem)
            assert "Error" not in problem.replace("FileNotFoundError", ""), (text, problem)
            assert read is _listen or SECRET not in problem, (text, problem)
    assert refused > STRINGS // 4
