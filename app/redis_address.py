"""Read a Redis URL as redis-py will, with options of ioredis translated or refused. Its client tries the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from ssl import TLSVersion
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlunsplit

from app.database_address import names_of
from app.network_address import AddressError, check_account, check_host_and_port, split_url

SCHEMES: Final = ("redis", "rediss", "unix")
_EXAMPLE: Final = "redis://host:6379/0"

_REDIS_PY_OPTIONS: Final = names_of(
    "db username password client_name ssl_cert_reqs ssl_ca_certs ssl_ca_path ssl_certfile ssl_keyfile "
    "ssl_password ssl_check_hostname ssl_min_version ssl_ciphers"
)
_FILES: Final = names_of("ssl_ca_certs ssl_ca_path ssl_certfile ssl_keyfile")
_VALUES: Final[Mapping[str, frozenset[str]]] = {
    "ssl_cert_reqs": names_of("none optional required"),
    "ssl_check_hostname": names_of("true false yes no 1 0"),
    "ssl_min_version": frozenset(str(version.value) for version in TLSVersion if version.value > 0),
}
_IGNORED_OPTIONS: Final = names_of(
    "enableReadyCheck maxRetriesPerRequest lazyConnect enableOfflineQueue connectTimeout commandTimeout "
    "socketTimeout disconnectTimeout keepAlive noDelay connectionName autoResubscribe "
    "autoResendUnfulfilledCommands enableAutoPipelining maxLoadingRetryTime showFriendlyErrorStack "
    "stringNumbers blockingTimeout monitor retryDelayOnFailover"
)
"""Options about how ioredis connects, waits and retries. This sidecar has its own way."""

_SENTINEL: Final = "Sentinel is not supported: write the address of the primary, or of a proxy that leads to it"
_OWN: Final = "this sidecar has time limits, retries and encodings of its own: take it out"
_MENDS: Final[Mapping[str, str]] = {
    "sentinels": _SENTINEL,
    "name": _SENTINEL,
    "role": _SENTINEL,
    "sentinelPassword": _SENTINEL,
    "sentinelUsername": _SENTINEL,
    "host": "write it as the host of the address instead",
    "port": "write it as the port of the address instead",
    "path": "write unix:///path/to/redis.sock instead",
    "ssl": "write rediss:// instead",
    "cluster": "Redis Cluster is not supported: write the address of a single Redis or Valkey",
} | dict.fromkeys(
    names_of(
        "socket_timeout socket_connect_timeout socket_keepalive socket_read_size retry_on_timeout retry_on_error "
        "max_connections health_check_interval timeout protocol encoding encoding_errors decode_responses "
        "legacy_responses"
    ),
    _OWN,
)
_TRUE: Final = frozenset({"true", "1", "yes", ""})


def read_redis_address(value: str, *, key_prefix: str) -> str:
    """Translate ``value`` into a URL that redis-py understands. Raises ``AddressError``.

    ``key_prefix`` says what to do instead of ioredis's option of that name. A URL that needs no translation is
    returned as it is.
    """
    if value.startswith("/"):  # ioredis takes a bare path
        value = f"unix://{value}"
    parts = split_url(value, SCHEMES)
    check_account(parts)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    given = dict(pairs)
    if len(given) != len(pairs):
        raise AddressError("has an option more than once")
    options, encrypted = _translate(given, key_prefix)
    scheme = "rediss" if encrypted and parts.scheme == "redis" else parts.scheme
    if scheme == "redis":
        options = {name: option for name, option in options.items() if not name.startswith("ssl_")}
    _check_place(parts.scheme, parts.netloc, parts.path, options)
    if options != given or scheme != parts.scheme:
        value = urlunsplit(parts._replace(scheme=scheme, query=urlencode(options, quote_via=quote)))
        value = value.replace("unix:/", "unix:///", 1) if not value.startswith(f"{scheme}://") else value
    return value


def _translate(given: Mapping[str, str], key_prefix: str) -> tuple[dict[str, str], bool]:
    options: dict[str, str] = {}
    encrypted = False
    for name, value in given.items():
        lowered = value.lower()
        match name:
            case "family":
                if lowered not in {"0", "4", "6", "ipv4", "ipv6"}:
                    raise AddressError("has an option family that is none of 0, 4 and 6")
            case "tls":
                if lowered not in _TRUE:
                    raise AddressError("has an option tls that is not true: take it out, or write rediss:// for TLS")
                encrypted = True
            case "rejectUnauthorized":
                if lowered not in _TRUE:
                    options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": "false"}
            case "keyPrefix":
                if value:
                    raise AddressError(f"has an option keyPrefix: {key_prefix}")
            case _ if name in _REDIS_PY_OPTIONS:
                _check_option(name, value)
                options[name] = value
            case _ if name in _IGNORED_OPTIONS:
                pass
            case _:
                shown = name if name.replace("_", "").isalnum() and len(name) <= 40 else "of a strange name"
                mend = _MENDS.get(name, "take it out")
                raise AddressError(f"has an option {shown} that is not understood: {mend}")
    return options, encrypted


def _check_option(name: str, value: str) -> None:
    """Values that redis-py looks at only when it connects."""
    if name in _FILES and not Path(value).exists():
        raise AddressError(f"has an option {name} that names no file of this machine: it cannot be loaded")
    if name in _VALUES and value.lower() not in _VALUES[name]:
        raise AddressError(f"has an option {name} that is none of {', '.join(sorted(_VALUES[name]))}")


def _check_place(scheme: str, netloc: str, path: str, options: Mapping[str, str]) -> None:
    """One host, and one database by its number: redis-py takes what it cannot read for database 0."""
    database = unquote(path).removeprefix("/")
    if scheme == "unix":
        if not database:
            raise AddressError("names no socket: expected unix:///path/to/redis.sock")
        database = ""
    elif "," in netloc.rpartition("@")[2]:
        raise AddressError("names several hosts: write one, the address of the primary")
    else:
        check_host_and_port(netloc.rpartition("@")[2], _EXAMPLE)
    for number in (database, options.get("db", "")):
        if number and not (number.isascii() and number.isdecimal() and len(number) < 6):
            raise AddressError(f"names a database that is no number: expected {_EXAMPLE}")
    if database and "db" in options and int(database) != int(options["db"]):
        raise AddressError("names two databases, as its path and as its option db")
