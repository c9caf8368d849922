"""Bytes that no honest client sends, to a real server: refused, never a 5xx, and nothing changes."""

from __future__ import annotations

import asyncio
import json

from tests.hostile.ground import Served
from tests.world import Shop, token_for

ORDER = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
MEGABYTE = 1024 * 1024


def _request(shop: Shop, *headers: str, body: bytes = b"", path: str = "", token: str = "") -> bytes:
    given = [
        f"POST {path or f'/store/orders/{ORDER}/cancel'} HTTP/1.1",
        "host: shop.test",
        f"x-publishable-api-key: {shop.key}",
        f"x-modification-token: {token or token_for(ORDER)}",
        *headers,
    ]
    return "\r\n".join(given).encode() + b"\r\n\r\n" + body


def _statuses(answer: bytes) -> list[int]:
    return [int(part.split(b" ", 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def _chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


async def test_bodies_of_a_megabyte(server: Served, unchanged: Shop) -> None:
    body = json.dumps({"reason": "x" * MEGABYTE}).encode()
    plain = await server.raw(_request(unchanged, f"content-length: {len(body)}", body=body))
    chunked = await server.raw(_request(unchanged, "transfer-encoding: chunked", body=_chunked(body, 8192)))
    hook = await server.raw(_request(unchanged, f"content-length: {len(body)}", body=body, path="/hooks/stripe"))
    for answer in (plain, chunked, hook):
        assert _statuses(answer) in ([400], [413], []), answer[:300]  # [] where it hung up while we were still sending
    assert server.alive()


async def test_a_chunked_body_is_read_like_any_other(server: Served, unchanged: Shop) -> None:
    for size in (1, 7, 4096):
        body = _chunked(json.dumps({"reason": "too small"}).encode(), size)
        answer = await server.raw(_request(unchanged, "transfer-encoding: chunked", "connection: close", body=body))
        assert _statuses(answer) == [404], answer


async def test_slow_senders_do_not_keep_others_waiting(server: Served, unchanged: Shop) -> None:
    slow = _request(unchanged, "content-length: 20")
    senders = [
        asyncio.create_task(server.raw(*(slow[at : at + 40] for at in range(0, len(slow), 40)), pause=0.3, within=2))
        for _ in range(40)
    ]
    await asyncio.sleep(0.5)
    began = asyncio.get_running_loop().time()
    answer = await server.raw(_request(unchanged, "connection: close"))
    took = asyncio.get_running_loop().time() - began
    assert _statuses(answer) == [404]
    assert took < 3, f"an honest request took {took:.1f} s beside slow ones"
    for answer in await asyncio.gather(*senders):
        assert all(status < 500 for status in _statuses(answer)), answer


async def test_pipelined_requests_are_answered_each_by_itself(server: Served, unchanged: Shop) -> None:
    one = _request(unchanged, "content-length: 2", body=b"{}")
    other = _request(unchanged, "content-length: 2", body=b"{}", token="nonsense")
    answer = await server.raw(one + other + one)
    assert _statuses(answer) == [404, 401, 404], answer


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
            sent = _request(unchanged, f"{header}: Bearer {'x' * size}", "connection: close")
            answer = await server.raw(sent, within=3)
            assert all(status < 500 for status in _statuses(answer)), answer[:300]
    assert server.alive()
    assert "x" * 100 not in server.log.read_text(errors="replace"), "a token is in the log"
