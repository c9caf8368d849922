"""Whose request it is, behind proxies that may be trusted and shoppers that may not."""

from __future__ import annotations

import pytest

from app.http.clients import ClientAddresses
from app.settings import read_settings
from app.settings_table import Role

PROXIES = ("10.0.0.0/8", "127.0.0.0/8", "fc00::/7", "::1/128")
SHOPPER = "203.0.113.7"

CASES = {
    "no proxy": (SHOPPER, None, SHOPPER),
    "no proxy, and a lie": (SHOPPER, "198.51.100.1", SHOPPER),
    "no proxy, and many lies": (SHOPPER, "10.0.0.1, 10.0.0.2", SHOPPER),
    "one proxy": ("10.0.0.1", SHOPPER, SHOPPER),
    "one proxy, and a lie": ("10.0.0.1", f"198.51.100.1, {SHOPPER}", SHOPPER),
    "two proxies": ("10.0.0.1", f"{SHOPPER}, 10.2.0.1", SHOPPER),
    "two proxies, and a lie": ("10.0.0.1", f"10.9.9.9, {SHOPPER}, 10.2.0.1", SHOPPER),
    "a proxy of another network": ("10.0.0.1", f"{SHOPPER}, 192.0.2.1", "192.0.2.1"),
    "without blanks": ("10.0.0.1", f"198.51.100.1,{SHOPPER},10.2.0.1", SHOPPER),
    "with blanks": ("10.0.0.1", f"  {SHOPPER}  ", SHOPPER),
    "IPv6": ("fc00::1", "2001:db8::7", "2001:db8::/48"),
    "IPv6 written at length": ("::1", "2001:0DB8:0:0:0:0:0:7", "2001:db8::/48"),
    "IPv6 behind IPv4": ("10.0.0.1", "2001:db8::7, fc00::2", "2001:db8::/48"),
    "another subnet of the same site": ("10.0.0.1", "2001:db8:0:ffff::7", "2001:db8::/48"),
    "another site": ("10.0.0.1", "2001:db8:1::7", "2001:db8:1::/48"),
    "a client in a private network": ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
    "a client in a private network, two proxies": ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    "a private address before the shopper": ("10.0.0.1", f"10.0.0.3, {SHOPPER}, 10.0.0.2", SHOPPER),
    "garbage before proxies": ("10.0.0.1", "garbage, 10.0.0.2", "10.0.0.2"),
    "nothing but garbage": ("10.0.0.1", "garbage", "10.0.0.1"),
    "an address that is none": ("10.0.0.1", "999.0.113.7", "10.0.0.1"),
    "a zone": ("10.0.0.1", "fe80::1%eth0", "fe80::/48"),
    "IPv4 as IPv6": ("10.0.0.1", "::ffff:203.0.113.7", SHOPPER),
    "a proxy's IPv4 as IPv6": ("::ffff:10.0.0.1", f"{SHOPPER}, ::ffff:10.0.0.2", SHOPPER),
    "a port": ("10.0.0.1", f"{SHOPPER}:4711", SHOPPER),
    "IPv6 and a port": ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::/48"),
    "as RFC 7239 writes it": ("10.0.0.1", f"for={SHOPPER}", SHOPPER),
    "as RFC 7239 quotes it": ("10.0.0.1", 'For="[2001:db8::7]:4711"', "2001:db8::/48"),
    "empty elements": ("10.0.0.1", f"{SHOPPER}, , ,", SHOPPER),
    "more proxies than there are": ("10.0.0.1", f"{SHOPPER}, " + ", ".join(["10.0.0.9"] * 2000), "10.0.0.9"),
    "a proxy that says nothing": ("10.0.0.1", None, None),
    "a proxy that says an empty word": ("10.0.0.1", "", None),
    "a proxy that says nothing but commas": ("10.0.0.1", ", ,", None),
    "a proxy that says something else": ("10.0.0.1", "unknown", "10.0.0.1"),
    "garbage before the shopper": ("10.0.0.1", f"<script>, {SHOPPER}", SHOPPER),
    "a unix socket": (None, None, None),
    "a unix socket has no say": (None, SHOPPER, None),
    "a name": ("localhost", None, None),
}


@pytest.mark.parametrize(("peer", "forwarded_for", "address"), CASES.values(), ids=CASES.keys())
def test_address(peer: str | None, forwarded_for: str | None, address: str | None) -> None:
    assert ClientAddresses(PROXIES).of(peer, forwarded_for) == address


def test_ipv4_on_a_dual_stack_socket() -> None:
    """What a process that listens on ``::`` sees of an IPv4 proxy. All shoppers would share its one address."""
    assert ClientAddresses(PROXIES).of("::ffff:10.0.0.1", SHOPPER) == SHOPPER


def test_nobody_is_trusted() -> None:
    assert ClientAddresses(()).of("10.0.0.1", SHOPPER) == "10.0.0.1"


@pytest.mark.parametrize("proxy", ["127.0.0.1", "::1", "10.1.2.3", "172.31.255.255", "192.168.7.7", "fd00::1"])
def test_private_networks_are_trusted_by_default(proxy: str) -> None:
    settings = read_settings(
        {
            "DATABASE_URL": "postgres://db/shop",
            "REDIS_URL": "redis://cache",
            "MODIFICATION_TOKEN_SECRET": "7f3k9q2m5x8r1v6z",
        },
        Role.SERVE,
    )
    assert ClientAddresses(settings.trusted_proxies).of(proxy, SHOPPER) == SHOPPER


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fc00::1", True),
        (SHOPPER, False),
        ("2001:db8::7", False),
        ("nonsense", False),
        ("", False),
        (None, False),
    ],
)
def test_whose_word_is_taken(peer: str | None, trusted: bool) -> None:
    assert ClientAddresses(PROXIES).trusts(peer) is trusted
    assert not ClientAddresses(()).trusts(peer)


@pytest.mark.parametrize(("proxies", "found"), [(19, SHOPPER), (20, "10.0.0.9"), (40, "10.0.0.9")])
def test_twenty_hops_are_read(proxies: int, found: str) -> None:
    chain = ", ".join([SHOPPER] + ["10.0.0.9"] * proxies)
    assert ClientAddresses(PROXIES).of("10.0.0.1", chain) == found
