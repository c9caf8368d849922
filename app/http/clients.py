"""The client's address behind proxies, for rate limits."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

MAX_HOPS: Final = 20
"""Of ``X-Forwarded-For``, counted from its end. No chain of proxies is longer."""
_SITE_BITS: Final = 48
"""What one customer of a provider is given of IPv6."""


class ClientAddresses:
    """Finds the client's address behind the proxies that may name it."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted = [ip_network(network) for network in trusted_proxies]

    def of(self, peer: str | None, forwarded_for: str | None) -> str | None:
        """The last address (of IPv6, its /48) that no trusted proxy vouches for.

        ``X-Forwarded-For`` is believed from the right, hop by hop, as long as the hop is a trusted proxy: whatever a
        client writes into it stands to the left. Where a hop is no address, or all of them are trusted, the last one
        that was read counts. ``None`` for a connection without an address, and for a trusted peer that names nobody:
        it asks for itself.
        """
        client = _address(peer or "")
        if client is None or (self._is_trusted(client) and not (forwarded_for or "").strip(", \t")):
            return None
        for hop in reversed((forwarded_for or "").rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            if not self._is_trusted(client):
                break
            if hop.strip():
                named = _address(hop)
                if named is None:
                    break
                client = named
        return _site(client)

    def trusts(self, peer: str | None) -> bool:
        """Whether the peer of a connection is a proxy whose word is taken."""
        address = _address(peer or "")
        return address is not None and self._is_trusted(address)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted if network.version == address.version)


def _address(hop: str) -> IPv4Address | IPv6Address | None:
    """The address of ``203.0.113.7``, ``203.0.113.7:4711``, ``[2001:db8::7]:4711`` and, as RFC 7239 has it,
    ``for="[2001:db8::7]"``."""
    hop = hop.strip()
    if hop[:4].lower() == "for=":
        hop = hop[4:].strip('"')
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        address = ip_address(hop.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _site(address: IPv4Address | IPv6Address) -> str:
    return str(ip_network(f"{address}/{_SITE_BITS}", strict=False)) if address.version == 6 else str(address)
