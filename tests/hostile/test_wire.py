"""Bytes that no honest client sends, to a real server: refused, never a 5xx, and nothing changes."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import unquote

import pytest

from tests.databases import one_database_a_file
from tests.hostile.served import Served
from tests.world import Shop, token_for

database = one_database_a_file()

ORDER = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
MEGABYTE = 1024 * 1024
CLOSE = "connection: close"


def _request(
    shop: Shop, *headers: str, body: bytes = b"", path: str = "", token: str = "", method: str = "POST"
) -> bytes:
    given = [
        f"{method} {path or f'/store/orders/{ORDER}/cancel'} HTTP/1.1",
        "host: shop.test",
        f"x-publishable-api-key: {shop.key}",
        f"x-modification-token: {token or token_for(ORDER)}",
        *headers,
    ]
    return "\r\n".join(given).encode("latin-1") + b"\r\n\r\n" + body


def _statuses(answer: bytes) -> list[int]:
    return [int(part.split(b" ", 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def _chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


async def test_bodies_of_a_megabyte(server: Served, unchanged: Shop) -> None:
    """One is too long a reason, the other nothing but blanks: refused for its size alone."""
    for body in (json.dumps({"reason": "x" * MEGABYTE}).encode(), b" " * MEGABYTE):
        length = f"content-length: {len(body)}"
        plain = await server.raw(_request(unchanged, length, CLOSE, body=body))
        chunked = await server.raw(_request(unchanged, "transfer-encoding: chunked", CLOSE, body=_chunked(body, 8192)))
        hook = await server.raw(_request(unchanged, length, CLOSE, body=body, path="/hooks/stripe"))
        for answer in (plain, chunked, hook):
            # An order is looked for before its body is read; [] where it hung up while we were still sending.
            assert _statuses(answer) in ([400], [404], []), answer[:300]
            refused = b"Invalid", b"Request Entity Too Large", b"Order id not found"
            assert answer == b"" or any(words in answer for words in refused), answer
    assert server.alive()


async def test_a_chunked_body_is_read_like_any_other(server: Served, unchanged: Shop) -> None:
    for size in (1, 7, 4096):
        body = _chunked(json.dumps({"reason": "too small"}).encode(), size)
        answer = await server.raw(_request(unchanged, "transfer-encoding: chunked", CLOSE, body=body))
        assert _statuses(answer) == [404], answer


SLOW = 60
"""More than there are connections to the database."""


@pytest.mark.parametrize("sent", ["half a header", "all but the body"])
async def test_slow_senders_do_not_keep_others_waiting(server: Served, unchanged: Shop, sent: str) -> None:
    """They send no more until everybody else has been answered."""
    request = _request(unchanged, "content-length: 2", CLOSE, body=b"{}")
    cut = {"half a header": len(request) // 2, "all but the body": len(request) - 2}[sent]
    senders = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(SLOW)]
    for _, writer in senders:
        writer.write(request[:cut])
        await writer.drain()
    for _ in range(5):
        assert _statuses(await server.raw(request)) == [404], "an honest request waits for slow ones"
    for reader, writer in senders:
        writer.write(request[cut:])
        assert _statuses(await asyncio.wait_for(reader.read(), 20)) == [404], "slow is not wrong"
        writer.close()


async def test_senders_that_hang_up_leave_nothing_behind(server: Served, unchanged: Shop) -> None:
    request = _request(unchanged, "content-length: 20")
    for cut in (1, len(request) // 2, len(request)):
        for _ in range(SLOW):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request[:cut] + b"{"[: cut == len(request)])
            await writer.drain()
            writer.close()
    answer = await server.raw(_request(unchanged, CLOSE))
    assert _statuses(answer) == [404]


async def test_pipelined_requests_are_answered_each_by_itself(server: Served, unchanged: Shop) -> None:
    one = _request(unchanged, "content-length: 2", body=b"{}")
    other = _request(unchanged, "content-length: 2", body=b"{}", token="nonsense")
    last = _request(unchanged, "content-length: 2", CLOSE, body=b"{}")
    answer = await server.raw(one + other + last)
    assert _statuses(answer) == [404, 401, 404], answer


PATHS = [
    "/store/orders/\xff\xfe/cancel",
    "/store/orders/%ff%fe/cancel",
    "/store/orders/%00/cancel",
    "/store/orders/order_1%00/cancel",
    "/store/orders/%/cancel",
    "/store/orders/%zz/cancel",
    "/store/orders/..%2f..%2fhealth/cancel",
    "/store/orders/../../health/live",
    "/store/orders//cancel",
    "/store/orders/%ed%a0%80/cancel",
    "/store/orders/%e2%80%ae/cancel",
    "/store/orders/\u00fcber/cancel",
    f"/store/orders/{'x' * 20_000}/cancel",
    f"/store/orders/{'%00' * 5_000}/cancel",
    "/store/orders/order_1/cancel?" + "a=1&" * 3_000,
    "http://elsewhere.test/store/orders/order_1/cancel",
    "//elsewhere.test/store/orders/order_1/cancel",
    "*",
    "\\..\\..",
]


@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS", "DELETE", "TRACE", "BREW"])
async def test_paths_that_name_no_order(server: Served, unchanged: Shop, method: str) -> None:
    async def ask(path: str) -> tuple[str, list[int]]:
        named = re.fullmatch(r"/store/orders/(.*)/cancel", path)  # the token is good for the very id
        token = token_for(unquote(named[1])) if named and len(path) < 1_000 else ""
        asked = _request(unchanged, CLOSE, path=path, method=method, token=token)
        return path[:80], _statuses(await server.raw(asked))

    answers = await asyncio.gather(*map(ask, PATHS))
    allowed = range(200, 500) if method == "OPTIONS" else range(300, 500)
    assert [told for told in answers if any(status not in allowed for status in told[1])] == []
    assert server.alive()


SMUGGLED = b"POST /store/orders/order_smuggled/cancel HTTP/1.1\r\nhost: x\r\n\r\n"
SMUGGLING = {
    "length and chunked": (["content-length: 6", "transfer-encoding: chunked"], b"0\r\n\r\n" + SMUGGLED),
    "two lengths": (["content-length: 2", f"content-length: {2 + len(SMUGGLED)}"], b"{}" + SMUGGLED),
    "chunked, not quite": (["transfer-encoding: xchunked", "content-length: 2"], b"{}"),
    "a space before the colon": (["content-length : 2"], b"{}"),
    "a negative length": (["content-length: -1"], b"{}"),
    "a folded header": (["x-one: 1\r\n two"], b""),
    "a bare line feed": (["x-one: 1\nx-two: 2"], b""),
    "a NUL": (["x-one: 1\0"], b""),
    "a bad chunk": (["transfer-encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n"),
}


async def test_smuggling(server: Served, unchanged: Shop) -> None:
    async def play(trick: str) -> tuple[str, list[int], bool]:
        headers, body = SMUGGLING[trick]
        answer = await server.raw(_request(unchanged, *headers, body=body), within=3)
        return trick, _statuses(answer), b"order_smuggled" in answer

    played = await asyncio.gather(*map(play, SMUGGLING))
    assert [told for told in played if told[2] or any(status >= 500 for status in told[1])] == []
    assert "order_smuggled" not in server.log.read_text(errors="replace"), "a body was taken for a request"
    assert server.alive()


async def test_huge_headers(server: Served, unchanged: Shop) -> None:
    for header in ("x-modification-token", "authorization", "x-publishable-api-key", "cookie"):
        for size in (5_000, 60_000, MEGABYTE):
            sent = _request(unchanged, f"{header}: Bearer {'x' * size}", CLOSE)
            answer = await server.raw(sent, within=3)
            assert all(status < 500 for status in _statuses(answer)), answer[:300]
    assert server.alive()
    assert "x" * 100 not in server.log.read_text(errors="replace"), "a token is in the log"
