"""Read the address of an HTTP server as httpx will."""

from __future__ import annotations

import httpx

from app.database_address import AddressError


def check_http_address(value: str, *, only_host: bool = False, path_only: bool = False) -> None:
    """Raise ``AddressError`` where httpx could not send a request to ``value``.

    ``path_only`` is for an address that paths are appended to: no query, no account. ``only_host`` allows no path
    either.
    """
    if any(char.isspace() or not char.isprintable() for char in value):
        raise AddressError("holds white space or control characters")
    try:
        url = httpx.URL(value)
    except (httpx.InvalidURL, ValueError) as error:  # its words may repeat the address
        raise AddressError("cannot be read: expected https://host:port/path") from error
    if url.port is not None and not 0 < url.port < 65536:
        raise AddressError(f"names port {url.port}: expected 1 to 65535")
    if not url.host:
        raise AddressError("names no host: expected https://host:port")
    if "#" in value:
        raise AddressError("has a # in it: what follows would never be sent")
    if (path_only or only_host) and ("?" in value or url.userinfo):
        raise AddressError("has a user, a password or options: expected no more than https://host:port")
    if only_host and url.path not in {"", "/"}:
        raise AddressError("has a path: expected no more than https://host:port, as paths are appended to it")


def browser_origin(value: str) -> str:
    """The origin of an address that ``check_http_address`` has passed, as a browser's ``Origin`` header spells it."""
    url = httpx.URL(value)
    return f"{url.scheme}://{url.netloc.decode('ascii').lower()}"
