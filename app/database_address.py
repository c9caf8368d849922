"""Read DATABASE_URL as asyncpg will, with options of libpq, node-postgres, Prisma and Neon translated or refused."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlunsplit

import asyncpg
import certifi
import msgspec

from app.network_address import PERCENT_ENCODE, AddressError, check_account, check_host_and_port, check_port, split_url
from app.private_names import reaching_into

with reaching_into("asyncpg", __file__):
    from asyncpg.connect_utils import _parse_connect_dsn_and_args  # type: ignore[attr-defined]  # what connect() calls

SCHEMES: Final = ("postgres", "postgresql")
_EXAMPLE: Final = "postgresql://user:password@host:5432/database"


def names_of(words: str) -> frozenset[str]:
    """Names that are written in one string, separated by spaces."""
    return frozenset(words.split())


_ASYNCPG_OPTIONS: Final = names_of(
    "host port dbname database user password passfile service options krbsrvname gsslib target_session_attrs "
    "sslmode sslcert sslkey sslrootcert sslcrl sslpassword sslnegotiation ssl_min_protocol_version "
    "ssl_max_protocol_version"
)

_IGNORED_OPTIONS: Final = names_of(
    "application_name fallback_application_name connect_timeout connectionTimeoutMillis pool_timeout "
    "socket_timeout max_idle_connection_lifetime max_connection_lifetime idleTimeoutMillis query_timeout "
    "statement_timeout lock_timeout idle_in_transaction_session_timeout keepalives keepalives_idle "
    "keepalives_interval keepalives_count keepAlive tcp_user_timeout uselibpqcompat load_balance_hosts supa "
    "workaround"
)
"""Options about timeouts and names of another client. This sidecar has its own."""

_VERIFY: Final = "sslmode=verify-full&sslrootcert=system"
_POOL_SIZE: Final = "take it out, and set DATABASE_POOL_SIZE to the number of connections of a process, from 2 to 200"
_POOLER: Final = "take it out, and set DATABASE_POOLER=transaction where a pooler in transaction mode stands in between"
_ROLE_SETTING: Final = "write it into the role instead (ALTER ROLE ... SET ...)"

_REFUSED_OPTIONS: Final[Mapping[str, str]] = {
    "connection_limit": _POOL_SIZE,
    "max": _POOL_SIZE,
    "pool_max": _POOL_SIZE,
    "pool_size": _POOL_SIZE,
    "statement_cache_size": _POOLER,
    "prepareThreshold": _POOLER,
    "prepared_statements": _POOLER,
    "search_path": _ROLE_SETTING,
    "currentSchema": _ROLE_SETTING,
    "sslidentity": "write sslcert and sslkey instead",
    "db": "write the database as the path of the address instead",
}

_SSL_MODES: Final[Mapping[str, str]] = {
    "true": "verify-full",
    "1": "verify-full",
    "false": "disable",
    "0": "disable",
    "no-verify": "require",
    "strict": "verify-full",
    "accept_invalid_certs": "require",
}
"""Values of ``ssl`` (node-postgres) and ``sslaccept`` (Prisma) in libpq's words."""


class DatabaseAddress(msgspec.Struct, frozen=True):
    """A URL for asyncpg, and whether the address itself says that a pooler in transaction mode stands in between."""

    url: str
    pooled: bool = False


def read_database_address(value: str, libpq: Collection[str] = ()) -> DatabaseAddress:
    """Translate ``value`` into a URL that asyncpg understands. Raises ``AddressError``.

    A URL that needs no translation is returned as it is. ``libpq`` has the names of environment variables, of which
    asyncpg takes those of libpq where the address says nothing.
    """
    parts = split_url(value, SCHEMES)
    check_account(parts)
    options = _options(parts.query)
    pooled = _take_flag(options, "pgbouncer")
    own_root = "PGSSLROOTCERT" in libpq or (Path.home() / ".postgresql" / "root.crt").exists()
    translated = _translate(options, own_root=own_root)
    netloc = _netloc(parts.netloc, translated)
    if netloc.rpartition("@")[2] == "" and not translated.keys() & {"host", "service"} and "PGHOST" not in libpq:
        raise AddressError(f"names no host: expected {_EXAMPLE}, or ?host=/directory/of/sockets at its end")
    if "," in (netloc.rpartition("@")[2] or translated.get("host", "")):
        translated.setdefault("target_session_attrs", "primary")
    if "/" in parts.path[1:]:
        raise AddressError("ends with a slash after its database, or has more than one part in its path")
    if parts.path in {"", "/"} and not translated.keys() & {"dbname", "database", "service"}:
        raise AddressError(f"names no database: expected {_EXAMPLE}")
    url = value
    if translated != _options(parts.query) or netloc != parts.netloc:
        url = urlunsplit(parts._replace(netloc=netloc, query=urlencode(translated, quote_via=quote)))
    _try_asyncpg(url)
    return DatabaseAddress(url, pooled)


def _options(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs):
        raise AddressError("has an option more than once")
    for name, option in pairs:
        if not option:
            raise AddressError(f"has an option {_shown(name)} without a value: expected ?name=value&name=value")
    return options


def _take_flag(options: dict[str, str], name: str) -> bool:
    value = options.pop(name, "false").lower()
    if value not in {"true", "1", "false", "0"}:
        raise AddressError(f"has an option {name} that is neither true nor false")
    return value in {"true", "1"}


def _netloc(netloc: str, options: Mapping[str, str]) -> str:
    """Quote user and password, so that asyncpg, which looks for the first ``@``, finds the same host as Medusa.

    A host among the options replaces the one in front of the path, as for node-postgres and Prisma, which write the
    directory of a socket so.
    """
    account, at, hosts = netloc.rpartition("@")
    if "host" in options:
        netloc, hosts = f"{account}{at}", ""
    elif "port" in options:
        raise AddressError(f"has an option port: expected {_EXAMPLE}")
    places = options.get("host", hosts)
    for place in places.split(",") if places else ():
        if not unquote(place).startswith("/"):  # a directory of sockets
            check_host_and_port(place, _EXAMPLE)
    for port in options["port"].split(",") if "port" in options else ():
        check_port(port, _EXAMPLE)
    if "@" not in account and not any(char in account for char in "[]"):
        return netloc
    user, colon, password = account.partition(":")
    return f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}{at}{hosts}"


def _translate(options: Mapping[str, str], *, own_root: bool) -> dict[str, str]:
    translated: dict[str, str] = {}
    for name, value in options.items():
        lowered = value.lower()
        match name:
            case "sslmode" | "ssl_mode":
                _set_ssl_mode(translated, name, _SSL_MODES.get(lowered, lowered))
            case "ssl" | "sslaccept":
                if lowered not in _SSL_MODES:
                    raise AddressError(f"has an option {name} of an unknown value: write sslmode instead")
                _set_ssl_mode(translated, name, _SSL_MODES[lowered])
            case "sslrootcert":
                translated[name] = _system_certificates() if value == "system" else value
            case "schema":
                _expect(name, lowered, {"public"}, _ROLE_SETTING.replace("SET ...", "SET search_path = ..."))
            case "channel_binding":
                _expect(name, lowered, {"prefer", "disable"}, f"write {_VERIFY}, which proves the server too")
            case "gssencmode":
                _expect(name, lowered, {"prefer", "disable"}, "take it out, and write sslmode")
            case "client_encoding" | "encoding":
                _expect(name, lowered.replace("-", ""), {"utf8", "auto"}, "this sidecar speaks UTF-8")
            case _ if name in _ASYNCPG_OPTIONS:
                translated[name] = value
            case _ if name in _IGNORED_OPTIONS:
                pass
            case _:
                raise AddressError(f"has an option {_shown(name)}{_mend(name)}")
    if translated.get("sslmode") == "verify-full" and not own_root:
        translated.setdefault("sslrootcert", _system_certificates())
    elif "sslrootcert" in translated and options["sslrootcert"] == "system":
        _expect(
            "sslrootcert=system", translated.setdefault("sslmode", "verify-full"), {"verify-full"}, f"write {_VERIFY}"
        )
    return translated


def _set_ssl_mode(translated: dict[str, str], name: str, mode: str) -> None:
    """``ssl`` and ``sslmode`` may stand side by side as long as they agree."""
    if translated.setdefault("sslmode", mode) != mode:
        raise AddressError(f"has an option {name} that contradicts another: write sslmode alone")


def _expect(name: str, value: str, known: set[str], mend: str) -> None:
    if value not in known:
        raise AddressError(f"has an option {name} that cannot be honoured: {mend}")


def _mend(name: str) -> str:
    if name in _REFUSED_OPTIONS:
        return f", which is not taken over: {_REFUSED_OPTIONS[name]}"
    return f" that is not understood: take it out, or, if it is a setting of Postgres, {_ROLE_SETTING}"


def _shown(name: str) -> str:
    """Names of options only: what looks like anything else may be a part of a password."""
    return name if name.replace("_", "").isalnum() and name.isascii() and len(name) <= 40 else "of a strange name"


def _system_certificates() -> str:
    """The file of the certificate authorities that this machine trusts."""
    return ssl.get_default_verify_paths().cafile or certifi.where()


def _try_asyncpg(url: str) -> None:
    nothing = dict.fromkeys(
        names_of(
            "host port user password passfile database ssl direct_tls server_settings target_session_attrs krbsrvname "
            "gsslib service servicefile"
        )
    )
    try:
        _parse_connect_dsn_and_args(dsn=url, **nothing)
    except asyncpg.ClientConfigurationError as error:
        raise AddressError(f"cannot be used: {str(error).splitlines()[0]}") from error
    except (OSError, ssl.SSLError) as error:
        message = f"names a certificate or key that cannot be loaded: {type(error).__name__}"
        raise AddressError(message) from error
    except (ValueError, LookupError, asyncpg.InterfaceError) as error:  # their words may repeat a part of the address
        raise AddressError(f"cannot be read: expected {_EXAMPLE}; {PERCENT_ENCODE}") from error
