"""Addresses as shops copy them from Medusa's own configuration: understood, or refused by name with the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import redis
import redis.asyncio
from asyncpg.connect_utils import _parse_connect_arguments  # type: ignore[attr-defined]

from app.database_address import AddressError, read_database_address
from app.redis_address import read_redis_address

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
        read_database_address(f"{DB}?sslmode=verify-full", own_root=True)


def test_that_asyncpg_still_reads_addresses_where_it_is_asked_to() -> None:
    """A private function of asyncpg's: what it refuses is what ``connect`` would refuse."""
    with pytest.raises(asyncpg.ClientConfigurationError):
        connect_arguments(f"{DB}?sslmode=maybe")
