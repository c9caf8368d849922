"""Addresses as shops copy them from Medusa's own configuration: understood, or refused by name with the mend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import redis
import redis.asyncio
from asyncpg.connect_utils import _parse_connect_arguments  # type: ignore[attr-defined]

from app import setting_kinds
from app.database_address import DatabaseAddress, read_database_address
from app.environment import Environment, Setting
from app.http_address import check_http_address
from app.network_address import AddressError, check_host, check_host_and_port
from app.redis_address import read_redis_address

POSTGRES: Setting[DatabaseAddress | None] = Setting("THE_URL", setting_kinds.DATABASE, ())
REDIS: Setting[str | None] = Setting("THE_URL", setting_kinds.redis(""), ())
DB = "postgres://grace:hunter2@db.internal:5432/medusa"
CACHE = "redis://:hunter2@cache.internal:6379/0"
SPECIAL = "p@s/s?w#o r:d%[é]&=+"


def connect_arguments(url: str) -> tuple[list[Any], Any]:
    """Addresses and parameters that ``asyncpg.connect(url)`` would use."""
    names = "host port user password passfile database command_timeout ssl direct_tls server_settings"
    names += " target_session_attrs krbsrvname gsslib service servicefile"
    nothing = dict.fromkeys(names.split())
    numbers = {"statement_cache_size": 0, "max_cached_statement_lifetime": 0, "max_cacheable_statement_size": 0}
    addresses, parameters, _ = _parse_connect_arguments(dsn=url, **nothing, **numbers)
    return addresses, parameters


def database(url: str) -> tuple[list[Any], Any]:
    return connect_arguments(read_database_address(url).url)


def refused(url: str) -> str:
    with pytest.raises(AddressError) as caught:
        read_database_address(url) if url.startswith("postgres") else read_redis_address(url, key_prefix="take it out")
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ("sslmode=disable", "disable"),
        ("ssl_mode=disable", "disable"),
        ("ssl=false", "disable"),
        ("ssl=0", "disable"),
        ("sslmode=prefer", "prefer"),
        ("sslmode=require", "require"),
        ("sslmode=no-verify", "require"),
        ("ssl=no-verify", "require"),
        ("sslaccept=accept_invalid_certs", "require"),
        ("ssl=true", "verify_full"),
        ("ssl=1", "verify_full"),
        ("sslaccept=strict", "verify_full"),
        ("sslmode=verify-full", "verify_full"),
        ("sslrootcert=system", "verify_full"),
        ("sslmode=verify-full&sslrootcert=system", "verify_full"),
        ("ssl=true&sslmode=verify-full", "verify_full"),
    ],
)
def test_encryption_of_postgres(options: str, mode: str) -> None:
    """What node-postgres calls ``ssl=true`` proves the server, by the authorities that this machine trusts."""
    _, parameters = database(f"{DB}?{options}")
    assert parameters.sslmode.name == mode
    if mode == "verify_full":
        assert parameters.ssl.check_hostname
        assert parameters.ssl.cert_store_stats()["x509_ca"] > 10
    assert not parameters.server_settings


@pytest.mark.parametrize(
    "options",
    [
        "schema=public",
        "pool_timeout=10",
        "connect_timeout=10&pool_timeout=20",
        "uselibpqcompat=true&sslmode=require",
        "application_name=medusa",
        "statement_timeout=5000&keepalives=1",
        "gssencmode=disable",
        "channel_binding=prefer",
        "client_encoding=UTF8",
        "supa=base-pooler.x",
        "pgbouncer=false",
    ],
)
def test_options_of_another_client_that_mean_nothing_here(options: str) -> None:
    _, parameters = database(f"{DB}?{options}")
    assert not parameters.server_settings


def test_options_that_asyncpg_has_itself() -> None:
    assert read_database_address(DB).url == DB
    _, parameters = database(f"{DB}?options=endpoint%3Dep-cool-1&sslmode=require")
    assert parameters.server_settings == {"options": "endpoint=ep-cool-1"}, "as Neon wants it"
    addresses, parameters = database("postgresql://grace@/medusa?host=/run/postgresql&port=6432")
    assert addresses == ["/run/postgresql/.s.PGSQL.6432"]
    assert database("postgresql://grace@%2Frun%2Fpostgresql/medusa")[0] == ["/run/postgresql/.s.PGSQL.5432"]
    assert database("postgresql://grace@[::1]:5433/medusa")[0] == [("::1", 5433)]
    addresses, parameters = database("postgresql://grace@db-1:5432,db-2:5433/medusa")
    assert addresses == [("db-1", 5432), ("db-2", 5433)]
    assert parameters.target_session_attrs.value == "primary", "a replica cannot be written to"
    addresses, parameters = database("postgresql://grace@localhost,other/medusa?target_session_attrs=read-write")
    assert addresses == [("localhost", 5432), ("other", 5432)]
    assert parameters.target_session_attrs.value == "read-write"


@pytest.mark.parametrize("password", [SPECIAL, "100%", "a@b", "ünï", "a+b", "'\"$`\\"])
def test_passwords_of_special_characters(password: str) -> None:
    _, parameters = database(f"postgres://grace:{quote(password, safe='')}@db/medusa")
    assert (parameters.user, parameters.password) == ("grace", password)
    url = read_redis_address(f"redis://grace:{quote(password, safe='')}@cache/0?family=0", key_prefix="")
    arguments = redis.ConnectionPool.from_url(url).connection_kwargs
    assert (arguments["username"], arguments["password"]) == ("grace", password)


def test_an_at_in_a_password_is_where_node_postgres_looks_for_it() -> None:
    """asyncpg takes what is left of the first for the password, and sends the rest to the name server."""
    addresses, parameters = database("postgres://grace:hun@ter2@db/medusa")
    assert (addresses, parameters.password) == ([("db", 5432)], "hun@ter2")


@pytest.mark.parametrize(
    ("options", "name", "mend"),
    [
        ("connection_limit=1", "connection_limit", "DATABASE_POOL_SIZE"),
        ("max=5", "max", "DATABASE_POOL_SIZE"),
        ("pool_max=5", "pool_max", "DATABASE_POOL_SIZE"),
        ("pool_size=5", "pool_size", "DATABASE_POOL_SIZE"),
        ("prepareThreshold=0", "prepareThreshold", "DATABASE_POOLER=transaction"),
        ("prepared_statements=false", "prepared_statements", "DATABASE_POOLER=transaction"),
        ("currentSchema=shop", "currentSchema", "ALTER ROLE ... SET"),
        ("db=shop", "db", "as the path of the address"),
        ("statement_cache_size=0", "statement_cache_size", "DATABASE_POOLER=transaction"),
        ("channel_binding=require", "channel_binding", "sslmode=verify-full&sslrootcert=system"),
        ("schema=shop", "schema", "ALTER ROLE ... SET search_path"),
        ("search_path=shop", "search_path", "ALTER ROLE ... SET"),
        ("work_mem=64MB", "work_mem", "ALTER ROLE ... SET"),
        ("sslmode=maybe", "sslmode", "verify-full"),
        ("ssl=maybe", "ssl", "sslmode"),
        ("ssl=true&sslmode=disable", "sslmode", "contradicts"),
        ("sslmode=require&sslmode=disable", "option", "more than once"),
        ("sslmode=require&sslrootcert=system", "sslrootcert", "sslmode=verify-full&sslrootcert=system"),
        ("sslmode=verify-ca&sslrootcert=/no/such/file", "certificate", "cannot be loaded"),
        ("sslidentity=/x", "sslidentity", "sslcert and sslkey"),
        ("gssencmode=require", "gssencmode", "sslmode"),
        ("client_encoding=LATIN1", "client_encoding", "UTF-8"),
        ("target_session_attrs=boss", "target_session_attrs", "expected to be one of"),
        ("pgbouncer=maybe", "pgbouncer", "true nor false"),
        (f"{'a' * 41}=1", "of a strange name", "take it out"),
        ("a-b=1", "of a strange name", "take it out"),
        ("ä=1", "of a strange name", "take it out"),
        ("sslmode", "sslmode", "without a value"),
        ("sslmode=", "sslmode", "without a value"),
    ],
)
def test_options_of_postgres_that_cannot_be_honoured(options: str, name: str, mend: str) -> None:
    words = refused(f"{DB}?{options}")
    assert name in words
    assert mend in words


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://grace:hunter2@db", "names no database"),
        ("postgres://grace:hunter2@db/", "names no database"),
        ("postgres://grace:hunter2@db?sslmode=disable", "names no database"),
        ("postgres://grace:hunter2@db/medusa/", "slash"),
        ("postgres://grace:hunter2@db/a/b", "more than one part"),
        ("postgres://grace:hunter2/x@db/medusa", "percent-encode"),
        ("postgres://grace:hunter2#x@db/medusa", "percent-encode"),
        ("postgres://grace:hunter2?x@db/medusa", "percent-encode"),
        ("postgres://grace:hunter2 x@db/medusa", "percent-encode"),
        ("postgres://grace:x@db:hunter2/medusa", "host:port"),
        ("postgres://grace:x@db:1,other:hunter2/medusa", "host:port"),
    ],
)
def test_addresses_of_postgres_that_cannot_be_read(url: str, expected: str) -> None:
    assert expected in refused(url)


@pytest.mark.parametrize("client", [redis, redis.asyncio], ids=["redis", "redis.asyncio"])
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{CACHE}?family=0", {"host": "cache.internal", "db": 0, "password": "hunter2"}),
        (f"{CACHE}?family=6", {"host": "cache.internal", "db": 0}),
        ("redis://cache?db=3", {"db": 3}),
        ("redis://cache/3?db=3", {"db": 3}),
        ("redis://cache/0?tls=true", {"connection_class": "SSLConnection"}),
        ("rediss://cache/0?rejectUnauthorized=false", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        ("redis://cache/0?rejectUnauthorized=false", {"host": "cache"}),
        ("redis://cache/0?enableReadyCheck=false&maxRetriesPerRequest=null&lazyConnect=true", {"host": "cache"}),
        ("redis://cache/0?connectTimeout=500&keepAlive=1&connectionName=medusa", {"host": "cache"}),
        ("redis://cache/0?keyPrefix=", {"host": "cache"}),
        ("/run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("unix:///run/redis.sock?db=2&lazyConnect=true", {"path": "/run/redis.sock", "db": 2}),
        ("redis://[::1]:6380/1", {"host": "::1", "port": 6380, "db": 1}),
        ("redis://default:hunter2@cache", {"username": "default", "password": "hunter2"}),
    ],
)
def test_options_of_ioredis(client: Any, url: str, expected: dict[str, object]) -> None:
    """Neither client may be given an option that it has not: it would say so at each connection, and not before."""
    pool = client.ConnectionPool.from_url(read_redis_address(url, key_prefix=""))
    arguments = pool.connection_kwargs | {"connection_class": pool.connection_class.__name__}
    assert arguments | expected == arguments
    pool.make_connection()


@pytest.mark.parametrize(
    ("url", "name", "mend"),
    [
        ("redis://cache?keyPrefix=shop:", "keyPrefix", "take it out"),
        ("redis://cache?tls=false", "tls", "rediss://"),
        ("redis://cache?family=5", "family", "0, 4 and 6"),
        ("redis://cache?sentinels=a&name=b", "sentinels", "primary"),
        ("redis://cache?ssl=true", "ssl", "rediss://"),
        ("redis://cache?socket_timeout=60", "socket_timeout", "time limits"),
        ("redis://cache?decode_responses=true", "decode_responses", "encodings"),
        ("redis://cache?max_connections=1", "max_connections", "take it out"),
        ("redis://cache?unheard_of=1", "unheard_of", "take it out"),
        ("redis://cache?db=1&db=2", "option", "more than once"),
        ("redis://cache/1?db=2", "two databases", "option db"),
        ("redis://cache/shop", "database", "no number"),
        ("redis://cache/٣", "database", "no number"),
        ("redis://cache/123456", "database", "no number"),
        (f"redis://cache?{'a' * 41}=1", "of a strange name", "take it out"),
        ("redis://cache?a-b=1", "of a strange name", "take it out"),
        ("redis://cache?db=-1", "database", "no number"),
        ("redis://cache/0/1", "database", "no number"),
        ("redis:///0", "no host", "redis://host:6379/0"),
        ("redis://:hunter2@/0", "no host", "redis://host:6379/0"),
        ("unix://?db=1", "no socket", "unix:///path"),
        ("redis://a:6379,b:6379/0", "several hosts", "primary"),
        ("redis://:hunter2#x@cache", "cannot be read", "percent-encode"),
        ("redis://:hunter2/x@cache", "cannot be read", "percent-encode"),
        ("redis://:hunter2 x@cache", "white space", "percent-encode"),
        ("rediss://cache?ssl_ca_certs=/no/such/file", "ssl_ca_certs", "cannot be loaded"),
        ("rediss://cache?ssl_cert_reqs=perhaps", "ssl_cert_reqs", "none, optional, required"),
        ("rediss://cache?ssl_min_version=1.2", "ssl_min_version", "771"),
        ("redis://cache:0", "port 0", ""),
    ],
)
def test_options_of_redis_that_cannot_be_honoured(url: str, name: str, mend: str) -> None:
    words = refused(url)
    assert name in words
    assert mend in words


def test_a_root_of_libpqs_own_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "absent.crt"))
    with pytest.raises(AddressError, match="cannot be loaded"):
        read_database_address(f"{DB}?sslmode=verify-full", {"PGSSLROOTCERT"})


def test_that_asyncpg_still_reads_addresses_where_it_is_asked_to() -> None:
    """A private function of asyncpg's: what it refuses is what ``connect`` would refuse."""
    with pytest.raises(asyncpg.ClientConfigurationError):
        connect_arguments(f"{DB}?sslmode=maybe")


def test_options_of_prisma_say_what_to_do_with_them() -> None:
    words = refused(f"{DB}?connection_limit=5")
    assert "take it out, and set DATABASE_POOL_SIZE" in words
    assert "not understood" not in words


@pytest.mark.parametrize("scheme", ["postgres", "redis"])
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("db:65536", "names port 65536: expected a port from 1 to 65535"),
        ("db:99999", "names port 99999: expected a port from 1 to 65535"),
        ("db:0", "names port 0: expected a port from 1 to 65535"),
        ("db:4294967297", "names port of 10 digits: expected a port from 1 to 65535"),
        ("[::1]:65536", "names port 65536: expected a port from 1 to 65535"),
        ("db:-1", "names a port that is no number: expected host:port, from 1 to 65535"),
        ("db:five", "names a port that is no number: expected host:port, from 1 to 65535"),
        ("db:٣", "names a port that is no number: expected host:port, from 1 to 65535"),
        ("db:1_0", "names a port that is no number: expected host:port, from 1 to 65535"),
        ("db:5432:5433", "more than one colon"),
        ("::1", "an IPv6 host stands in [ and ]"),
        ("fe80::1:6379", "an IPv6 host stands in [ and ]"),
        ("[::1", "an IPv6 host stands in [ and ]"),
        ("[db]", "an IPv6 host stands in [ and ]"),
        ("[::1]5432", "IPv6 host"),
        ("", "names no host"),
        (":5432", "names no host"),
        ("db..internal", "no host name"),
        (".db", "no host name"),
        ("d" * 64, "no host name"),
        (".".join(["d" * 63] * 4), "no host name"),
        ("db%00", "percent-encoded control character"),
        ("d!b", "no host name"),
        ("d\u200bb", "white space or control characters"),
        ("d%7Fb", "percent-encoded control character"),
        (".".join(["d" * 63] * 3 + ["d" * 62]), "no host name"),
        ("db:123456", "names port of 6 digits"),
    ],
)
def test_hosts_and_ports_that_are_none(scheme: str, place: str, expected: str) -> None:
    """Each ended in a traceback, in the name of an exception, or was found out at each connection."""
    assert expected in refused(f"{scheme}://grace:hunter2@{place}/0")


@pytest.mark.parametrize(
    "place",
    [
        "db",
        "db:",
        "db:1",
        "db:65535",
        "db.",
        "d" * 63,
        ".".join(["d" * 63] * 3 + ["d" * 61]),
        ".".join(["d" * 63] * 3 + ["d" * 61]) + ".",
        "[::1]",
        "[::1]:",
        "[::1]:5432",
        "[fe80::1%25eth0]:5432",
        "m\u00fcnchen.example",
    ],
)
def test_hosts_and_ports(place: str) -> None:
    check_host_and_port(place, "host:port")


@pytest.mark.parametrize("host", ["[db]", "[]", ""])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(AddressError):
        check_host(host, "host:port")


@pytest.mark.parametrize(
    ("options", "password"),
    [("user=me&password=a%40b", "a@b"), ("user=me&password=a@b", "a@b"), ("user=me&options=x", None)],
)
def test_an_account_among_the_options(options: str, password: str | None) -> None:
    _, parameters = database(f"postgres://db/medusa?{options}")
    assert (parameters.user, parameters.password) == ("me", password)


def test_ports_and_hosts_among_the_options_of_postgres() -> None:
    """node-postgres and Prisma take a host there before the other one; asyncpg drops it without a word."""
    addresses, parameters = database("postgres://grace:hunter2@localhost/medusa?host=/run/postgresql")
    assert addresses == ["/run/postgresql/.s.PGSQL.5432"]
    assert (parameters.user, parameters.password, parameters.database) == ("grace", "hunter2", "medusa")
    assert "names port 99999" in refused("postgres://grace:hunter2@/medusa?host=db&port=99999")
    assert "no number" in refused("postgres://grace:hunter2@/medusa?host=db&port=hunter2")
    assert "an option port" in refused("postgres://grace:hunter2@db/medusa?port=6432")
    assert "3 port numbers to 2 hosts" in refused("postgres://grace:hunter2@/medusa?host=a,b&port=1,2,3")
    for hosts in ("db-1,,db-2", ",", "db-1,", "db-1:1,db-2:99999"):
        assert "names " in refused(f"postgres://grace:hunter2@{hosts}/medusa")


def test_a_host_that_libpqs_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgres:///medusa"
    assert "names no host: expected postgresql://user:password@host:5432/database" in refused(url)
    monkeypatch.setenv("PGHOST", "db-1")
    assert connect_arguments(read_database_address(url, {"PGHOST"}).url)[0] == [("db-1", 5432)]


@pytest.mark.parametrize("url", ["postgres://grace:hunter2-{}@db/medusa", "redis://:hunter2-{}@cache/0"])
@pytest.mark.parametrize(
    "password", ["p@ss#word/", "p@ss/word", "a/b", "a#b", "a?b", "a@b?c", "[a]", "a]b", "a@b/c?d", "a?b=c"]
)
def test_a_password_that_was_not_percent_encoded(url: str, password: str) -> None:
    words = refused(url.format(password))
    assert "percent-encode special characters in its user and password" in words
    assert "@ is %40" in words
    assert password not in words
    environment = Environment({"THE_URL": url.format(quote(password, safe=""))})
    if url.startswith("postgres"):
        assert environment.read(POSTGRES) is not None
    else:
        assert environment.read(REDIS) is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'{}'", "is in quotation marks"),
        ('"{}"', "is in quotation marks"),
        ("${{SOME_URL}}", "is the name of a variable, which nothing has replaced by its value"),
        ("$SOME_URL", "is the name of a variable, which nothing has replaced by its value"),
        ("%SOME_URL%", "is the name of a variable, which nothing has replaced by its value"),
        ("{{{{ some_url }}}}", "is the name of a variable, which nothing has replaced by its value"),
        ("`{}`", "is in quotation marks"),
    ],
)
@pytest.mark.parametrize("url", [DB, CACHE])
def test_what_is_around_an_address(url: str, value: str, expected: str) -> None:
    """As files of settings for containers keep quotation marks, and shells do not replace what is quoted."""
    environment = Environment({"THE_URL": value.format(url)})
    assert (environment.read(POSTGRES) if url is DB else environment.read(REDIS)) is None
    assert [problem.partition(":")[0] for problem in environment.problems] == [f"THE_URL {expected}"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://medusa:99999", "names port 99999"),
        ("http://medusa:0", "names port 0"),
        ("http://medusa:nine", "no number"),
        ("http://medusa:٣", "no number"),
        ("http://:9000", "names no host"),
        ("http://", "names no host"),
        ("http://::1:9000", "IPv6 host stands in [ and ]"),
        ("http://[::1", "IPv6 host stands in [ and ]"),
        ("http://a,b", "no host name"),
        ("http://medusa..internal", "no host name"),
        ("http://medusa%00", "control character"),
        ("http://xn--a", "no host name"),
        ("http://user:p/w@medusa", "percent-encode"),
        ("http://user:p#w@medusa", "percent-encode"),
        ("'http://medusa'", "quotation marks"),
        ("medusa:9000", "is not a URL that begins with http:// or https://"),
    ],
)
def test_addresses_of_http_servers_that_are_none(value: str, expected: str) -> None:
    with pytest.raises(AddressError, match=re.escape(expected)):
        check_http_address(value)


def test_addresses_of_http_servers() -> None:
    for value in (
        "http://medusa",
        "https://[::1]:9000/x",
        "http://my_medusa:9000",
        "https://ключ.рф",
        "http://u:p@m./",
    ):
        assert check_http_address(value) == value
