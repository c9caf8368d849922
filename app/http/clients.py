"""Whose request it is, by address."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network


class ClientAddresses:
    """Finds the shopper's address behind the proxies that may name it."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted = [ip_network(network) for network in trusted_proxies]

    def of(self, peer: str | None, forwarded_for: str | None) -> str | None:
        """The last address (of IPv6, its /64) that no trusted proxy vouches for; ``None`` when only proxies are named.

        ``X-Forwarded-For`` is believed from the right, hop by hop, as long as the hop is a trusted proxy:
        whatever a shopper writes into it stands to the left.
        """
        hops = [*(forwarded_for or "").split(","), peer or ""]
        for hop in reversed(hops):
            try:
                address = ip_address(_without_port(hop.strip()))
            except ValueError:
                return None
            if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            if not any(address in network for network in self._trusted if network.version == address.version):
                return str(ip_network(f"{address}/64", strict=False)) if address.version == 6 else str(address)
        return None

    def trusts(self, peer: str | None) -> bool:
        """Whether the peer of a connection is a proxy whose word is taken."""
        try:
            address = ip_address(peer or "")
        except ValueError:
            return False
        return any(address in network for network in self._trusted if network.version == address.version)


def _without_port(hop: str) -> str:
    """Some proxies write ``203.0.113.7:4711`` or ``[2001:db8::7]:4711``."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
