"""What all addresses in settings have in common: characters, hosts and ports. What is wrong is said without secrets."""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Network, IPv6Network
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

PERCENT_ENCODE: Final = (
    "percent-encode special characters in its user and password (@ is %40, : is %3A, / is %2F, ? is %3F, # is %23, "
    "[ is %5B, ] is %5D, % is %25)"
)
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_MAPPED_BITS: Final = 96
_LONGEST_HOST: Final = 253
_SHOWN_DIGITS: Final = 5
_UNEXPANDED: Final = re.compile(r"\$\{?[A-Za-z_]|%[A-Z_]+%$|\{\{")


class AddressError(ValueError):
    """What is wrong with an address, as the rest of a sentence that begins with its setting. Repeats no secret."""


def split_url(value: str, schemes: tuple[str, ...]) -> SplitResult:
    """Split an address into its parts. Raises ``AddressError`` where it cannot be split, or holds what none may hold.

    Python's ``urlsplit`` drops line ends and tabs in the middle of an address without a word.
    """
    if value[0] in "\"'`":
        raise AddressError("is in quotation marks: write it without them")
    if _UNEXPANDED.match(value):
        raise AddressError("is the name of a variable, which nothing has replaced by its value")
    if not value.lower().startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise AddressError(f"is not a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    check_characters(value)
    try:
        return urlsplit(value)
    except ValueError as error:  # its words may repeat a part of the address
        raise AddressError(
            f"is not a URL that can be read: an IPv6 host stands in [ and ]; {PERCENT_ENCODE}"
        ) from error


def check_account(parts: SplitResult) -> None:
    """Raise ``AddressError`` where a password that is not percent-encoded has cut the address short."""
    names = [option.partition("=")[0] for option in parts.query.split("&")]
    in_names = "@" in "".join(names)
    in_values = "@" in parts.query and "@" not in parts.netloc and "user" not in names
    if parts.fragment or "@" in parts.path or in_names or in_values:
        raise AddressError(f"cannot be read: {PERCENT_ENCODE}")


def check_characters(value: str) -> None:
    """Raise ``AddressError`` for white space and control characters, percent-encoded ones too."""
    if any(char.isspace() or not char.isprintable() for char in value):
        raise AddressError(f"holds white space or control characters: {PERCENT_ENCODE}")
    if any(ord(char) < ord(" ") or char == "\x7f" for char in unquote(value)):
        raise AddressError("holds a percent-encoded control character, such as %00 or %0A: take it out")


def check_host_and_port(text: str, example: str) -> None:
    """Raise ``AddressError`` where ``text`` is not ``host`` or ``host:port``. ``example`` is an address as expected."""
    host, port = _host_and_port(text, example)
    check_host(host, example)
    if port is not None:
        check_port(port, example)


def _host_and_port(text: str, example: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise AddressError(f"has an IPv6 host that cannot be read: expected {example}, with [::1] for its host")
        return host + bracket, rest[1:] or None
    if text.count(":") > 1:
        raise AddressError(
            f"has a host with more than one colon: expected {example}, and an IPv6 host stands in [ and ]"
        )
    host, _, port = text.partition(":")
    return host, port or None


def check_host(host: str, example: str) -> None:
    """Raise ``AddressError`` for what is neither a name nor an address, as the name server would at each connection."""
    if not host:
        raise AddressError(f"names no host: expected {example}")
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host.strip("[]").replace("%25", "%"))
        except ValueError as error:
            raise AddressError(
                f"has an IPv6 host that cannot be read: expected {example}, with [::1] for its host"
            ) from error
        return
    try:
        name = host.encode("idna").decode("ascii").removesuffix(".")
    except UnicodeError:
        name = ""
    if len(name) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, name.split("."))):
        raise AddressError(
            f"names a host that is no host name: expected {example}, the name of letters, digits, hyphens and dots"
        )


def check_port(text: str, example: str) -> int:
    """The port. Raises ``AddressError``; what is no short number may be a part of a password, and is not repeated."""
    if not (text.isascii() and text.isdecimal()):
        raise AddressError(
            f"names a port that is no number: expected host:port, from 1 to 65535, as in {example}; {PERCENT_ENCODE}"
        )
    if not 0 < int(text) < 65536:
        shown = text if len(text) <= _SHOWN_DIGITS else f"of {len(text)} digits"
        raise AddressError(f"names port {shown}: expected a port from 1 to 65535, as in {example}")
    return int(text)


def read_network(text: str) -> IPv4Network | IPv6Network:
    """An address or network. One of IPv4-mapped addresses is IPv4's, as these are. Raises ``ValueError``."""
    network = ipaddress.ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None:
        return network
    return IPv4Network((mapped, max(0, network.prefixlen - _MAPPED_BITS)), strict=False)
