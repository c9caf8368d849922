"""Read the address of an HTTP server as httpx will."""

from __future__ import annotations

from typing import Final

import httpx

from app.network_address import PERCENT_ENCODE, AddressError, check_host_and_port, split_url

SCHEMES: Final = ("http", "https")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_EXAMPLE: Final = "https://host:port"


def check_http_address(value: str, *, only_host: bool = False, path_only: bool = False) -> str:
    """Return ``value``. Raise ``AddressError`` where httpx could not send a request to it.

    ``path_only`` is for an address that paths are appended to: no query, no account. ``only_host`` allows no path
    either.
    """
    parts = split_url(value, SCHEMES)
    if "#" in value:
        raise AddressError(f"has a # in it: what follows would never be sent; {PERCENT_ENCODE}")
    account, at, place = parts.netloc.rpartition("@")
    if not at and "@" in parts.path and ":" in parts.netloc:
        raise AddressError(f"cannot be read: {PERCENT_ENCODE}")
    check_host_and_port(place, _EXAMPLE)
    try:
        host = httpx.URL(value).host
    except (httpx.InvalidURL, ValueError) as error:  # its words may repeat the address
        raise AddressError(f"names a host that is no host name, or cannot be read: expected {_EXAMPLE}/path") from error
    if not host:
        raise AddressError(f"names no host: expected {_EXAMPLE}")
    if (path_only or only_host) and ("?" in value or account or at):
        raise AddressError(f"has a user, a password or options: expected no more than {_EXAMPLE}")
    if only_host and parts.path not in {"", "/"}:
        raise AddressError(f"has a path: expected no more than {_EXAMPLE}, as paths are appended to it")
    return value


def browser_origin(value: str) -> str:
    """The origin of an address that ``check_http_address`` has passed, as a browser's ``Origin`` header spells it."""
    url = httpx.URL(value)
    place = url.netloc.decode("ascii").lower()
    return f"{url.scheme}://{place.removesuffix(_DEFAULT_PORTS[url.scheme])}"
