"""Twice the input takes at most about twice the time, at every place where a client may write."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote

import pytest

from app.http.clients import ClientAddresses
from app.http.edge import MAX_HEADER_BYTES, MAX_TARGET_BYTES
from plugins.medusa_bridge.cors import AllowedOrigins
from tests.http.operator.browser import SAME_ORIGIN
from tests.http.operator.test_hostile_walk import HEADERS, filled, routes
from tests.http.operator.test_hostile_walk import settings as settings
from tests.world import Api

LARGEST = 0.15
"""Seconds of this process for the largest input that is let in; most take a hundredth of it."""
GROWTH = 3.0
SOON = 0.02
"""Seconds in which growth is not told from noise."""

PIECES = [
    '\\"',
    ",",
    ";",
    "a=1;",
    "a=1&",
    "%00",
    "[",
    " ",
    "\t",
    "10.0.0.1,",
    "*/*;q=0.1,",
    ';a="',
    "=",
    "\\",
    "x",
    "-",
]


_runs = itertools.cycle(range(64))


async def _cost(ask: Callable[[int], Awaitable[object]], size: int) -> float:
    times = []
    for _ in range(3):
        began = time.process_time()
        await ask(size - 8 * next(_runs))  # never the same twice: what is remembered costs nothing
        times.append(time.process_time() - began)
        if times[-1] < SOON:
            break
    return min(times)


async def grows_too_fast(ask: Callable[[int], Awaitable[object]], largest: int) -> str | None:
    """Why the cost of an input of that size is too high, or grows faster than the input; ``None`` when all is well."""
    whole = await _cost(ask, largest)
    if whole > LARGEST:
        return f"{whole:.2f} s"
    if whole > SOON:
        half = await _cost(ask, largest // 2)
        if whole > GROWTH * half:
            return f"{half:.3f} s, then {whole:.3f} s"
    return None


def _value(piece: str, size: int) -> str:
    return (piece * (size // len(piece) + 1))[:size]


PREFIXES = {
    "authorization": ["", "Bearer "],
    "cookie": ["", 'a="', "connect.sid=", 'connect.sid="', "grace_operator=", 'grace_operator="'],
    "origin": ["", "http://"],
    "referer": ["http://"],
}


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.long)], ids=["every fifth", "all"])
async def test_headers(api: Api, share: int) -> None:
    """Every fifth: each piece in each header, each header at each route, each piece at each route."""
    slow = []
    paths = {path: method for method, path in routes(api)}
    combinations = itertools.product(enumerate(HEADERS), enumerate(paths.items()), enumerate(PIECES))
    for (i, name), (j, (path, method)), (k, piece) in combinations:
        for prefix in PREFIXES.get(name, [""]) if (i + j + k) % share == 0 else ():
            ask = partial(_ask, api, method, filled(path, "1"), name, prefix, piece)
            if trouble := await grows_too_fast(ask, MAX_HEADER_BYTES - len(name) - len(prefix) - 1):
                slow.append((name, path, piece, trouble))
    assert slow == []


async def _ask(api: Api, method: str, path: str, name: str, prefix: str, piece: str, size: int) -> None:
    value = prefix + piece * (size // len(piece)) + ('"' if prefix.endswith('"') else "")
    await api.client.request(method, path, headers={**SAME_ORIGIN, name: value})


async def test_targets(api: Api) -> None:
    slow = []
    for (method, path), piece in itertools.product(routes(api), PIECES):
        for start in (f"{filled(path, '1')}?q=", f"{path.partition('{')[0]}/"):
            ask = partial(_ask_target, api, method, start, quote(piece, safe="&=%,;"))
            if trouble := await grows_too_fast(ask, MAX_TARGET_BYTES - 60):
                slow.append((start, piece, trouble))
    assert slow == []


async def _ask_target(api: Api, method: str, start: str, piece: str, size: int) -> None:
    await api.client.request(method, start + piece * (size // len(piece)), headers=SAME_ORIGIN)


BODIES = {
    "form": ("application/x-www-form-urlencoded", "", "a=1&"),
    "one field": ("application/x-www-form-urlencoded", "csrf=", "%25"),
    "escapes": ("application/x-www-form-urlencoded", "email=", "%"),
    "multipart": ("multipart/form-data; boundary=b", "", "--b\r\n\r\n\r\n"),
    "a preamble": ("multipart/form-data; boundary=b", "", "\r\n--"),
    "no end": ("multipart/form-data; boundary=b", '--b\r\ncontent-disposition: form-data; name="a"', "; a=\\"),
    "JSON": ("application/json", '{"reason":', "["),
    "objects": ("application/json", "", '{"reason":'),
    "a number": ("application/json", '{"reason":', "9"),
    "escaped": ("application/json", '{"reason":"', "\\u0041"),
    "nothing": ("application/json", "", " "),
    "quotes": ("text/plain", "", '\\"'),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_bodies(api: Api, body: tuple[str, str, str]) -> None:
    slow = []
    for method, path in routes(api):
        if method == "POST":
            largest = 500_000 if path.startswith("/hooks") else 16_000
            ask = partial(_ask_body, api, filled(path, "1"), body)
            if trouble := await grows_too_fast(ask, largest):
                slow.append((path, trouble))
    assert slow == []


async def _ask_body(api: Api, path: str, body: tuple[str, str, str], size: int) -> None:
    content_type, start, piece = body
    headers = {**SAME_ORIGIN, "content-type": content_type, "stripe-signature": "t=1,v1=a"}
    await api.client.post(path, content=start + _value(piece, size - len(start)), headers=headers)


async def test_forwarded_addresses() -> None:
    addresses = ClientAddresses(("10.0.0.0/8", "fc00::/7"))
    for piece in ("10.0.0.1,", "fc00::1,", ",", "[", "a,", "203.0.113.7:", " "):

        async def ask(size: int, piece: str = piece) -> None:
            addresses.of("10.0.0.1", piece * (size // len(piece)) + "10.0.0.1")

        assert await grows_too_fast(ask, 1_000_000) is None, piece


async def test_a_pattern_of_the_shop_is_not_tried_on_a_long_origin() -> None:
    """``.*`` from each place on."""
    origins = AllowedOrigins(r"/(.*\.)*.*-preview\.shop\.test$/")

    async def ask(size: int) -> None:
        assert not origins.allow("http://" + _value("-preview", size))

    assert await grows_too_fast(ask, MAX_HEADER_BYTES) is None
