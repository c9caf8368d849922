"""Requests of which a part never comes: they neither hold up an owner's cancel nor fill the memory, and they end."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.http.body_limits import (
    MAX_PENDING_BODIES,
    MAX_PENDING_BYTES,
    MAX_PIECES,
    BodyInPieces,
    BodyLimitMiddleware,
    BodyTimeout,
)
from tests.databases import one_database_a_file
from tests.hostile.served import Served
from tests.world import Shop, token_for

database = one_database_a_file()

MANY = 1_200
"""More connections than the server's backlog had places."""
BODY_LIMIT = 10.0
"""Seconds that a whole body may take."""
UNREAD_LIMIT = 20.0
"""Seconds that an answer may be left unread."""
MEGABYTE = 1024 * 1024

Connections = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


def _head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: shop.test", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _signature() -> str:
    return f"stripe-signature: t={int(time.time())},v1={'0' * 64}"


def _half_cancel(shop: Shop, order_id: str) -> bytes:
    head = _head(
        f"/store/orders/{order_id}/cancel",
        f"x-publishable-api-key: {shop.key}",
        f"x-modification-token: {token_for(order_id)}",
        "content-length: 900",
    )
    return head + b"{"


HALVES: dict[str, Callable[[Shop, str], bytes]] = {
    "webhooks": lambda *_: _head("/hooks/stripe", _signature(), "content-length: 9000") + b"{",
    "webhooks in chunks": lambda *_: _head("/hooks/stripe", _signature(), "transfer-encoding: chunked") + b"1\r\n{\r\n",
    "cancels": _half_cancel,
    "heads": lambda *_: b"POST /hooks/stripe HTTP/1.1\r\nhost: shop.t",
    "nothing": lambda *_: b"",
    "no second request": lambda *_: b"GET /health/live HTTP/1.1\r\nhost: shop.test\r\n\r\n",
}


@asynccontextmanager
async def _connections(server: Served, number: int) -> AsyncIterator[Connections]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft < 2 * number else soft, hard))
    opened: Connections = []
    try:
        for _ in range(0, number, 100):
            opened += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)))
        yield opened
    finally:
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in opened), return_exceptions=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _send_all(opened: Connections, sent: bytes) -> None:
    for _, writer in opened:
        writer.write(sent)
    with contextlib.suppress(ConnectionError):
        await asyncio.gather(*(writer.drain() for _, writer in opened))


async def _cancel(server: Served, shop: Shop) -> tuple[bytes, float]:
    """An owner's cancel, on a connection of its own. Its status line, and how long it took."""
    order = await shop.place()
    head = _head(
        f"/store/orders/{order.id}/cancel",
        f"x-publishable-api-key: {shop.key}",
        f"x-modification-token: {token_for(order.id)}",
        "content-length: 2",
        "connection: close",
    )
    began = time.monotonic()
    answer = await server.raw(head + b"{}", within=5)
    return answer.partition(b"\r\n")[0], time.monotonic() - began


def _memory(server: Served) -> int:
    """Bytes that the server's processes have resident and share with no other."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    total = 0
    for pid in children:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Dirty:", "Private_Clean:")):
                total += int(line.split()[1]) * 1024
    return total


async def _ended(opened: Connections, within: float) -> int:
    """How many connections the server has closed by then."""

    async def read(reader: asyncio.StreamReader) -> bool:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        return True

    tasks = [asyncio.create_task(read(reader)) for reader, _ in opened]
    done, pending = await asyncio.wait(tasks, timeout=within)
    for task in pending:
        task.cancel()
    return len(done)


async def test_half_sent_requests_keep_no_owner_waiting_and_end(server: Served, shop: Shop) -> None:
    order = await shop.place()
    async with _connections(server, MANY) as opened:
        share = MANY // len(HALVES)
        for number, half in enumerate(HALVES.values()):
            await _send_all(opened[number * share : (number + 1) * share], half(shop, order.id))
        trickled = asyncio.create_task(_trickle(server, shop, order.id))
        sent_at = time.monotonic()
        await asyncio.sleep(0.5)
        for _ in range(3):
            status, took = await _cancel(server, shop)
            assert status == b"HTTP/1.1 200 OK"
            assert took < 3
        assert await _ended(opened, within=BODY_LIMIT + 3 - (time.monotonic() - sent_at)) == MANY
        answer, took = await trickled
    assert answer.startswith(b"HTTP/1.1 408 "), answer[:200]
    assert b'"code":"request_timeout"' in answer
    assert b"connection: close" in answer.lower()
    assert BODY_LIMIT - 1 < took < BODY_LIMIT + 3


async def _trickle(server: Served, shop: Shop, order_id: str) -> tuple[bytes, float]:
    """Send a body byte by byte. What is answered, and after how long."""
    began = time.monotonic()
    await asyncio.sleep(0.5)  # the oldest are evicted first
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HALVES["cancels"](shop, order_id))
    answered = asyncio.create_task(reader.read())
    with contextlib.suppress(ConnectionError):
        while not answered.done() and time.monotonic() - began < BODY_LIMIT + 3:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.7)
    writer.close()
    return await answered, time.monotonic() - began


async def test_half_sent_bodies_do_not_fill_the_memory(server: Served, shop: Shop) -> None:
    """900 bodies of a webhook's size, all but the last byte."""
    size = 240_000
    head = _head("/hooks/stripe", _signature(), f"content-length: {size}")
    before = _memory(server)
    async with _connections(server, 900) as opened:
        await _send_all(opened, head)
        for at in range(0, 900, 30):
            await asyncio.gather(*(_write(writer, b" " * (size - 1)) for _, writer in opened[at : at + 30]))
        grown = _memory(server) - before
        status, took = await _cancel(server, shop)
        assert status == b"HTTP/1.1 200 OK"
        assert took < 3
    assert grown < 100 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB"


async def _write(writer: asyncio.StreamWriter, sent: bytes) -> None:
    writer.write(sent)
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(2):
            await writer.drain()


async def test_answers_that_nobody_reads_end_their_connection(server: Served, unchanged: Shop) -> None:
    """Requests one after another, and not one answer read: the kernel's window is closed, and stays so."""
    loop = asyncio.get_running_loop()
    clients: list[socket.socket] = []
    try:
        for _ in range(20):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            clients.append(client)
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await loop.sock_sendall(client, b"GET /openapi.json HTTP/1.1\r\nhost: shop.test\r\n\r\n" * 100)
        await asyncio.sleep(1)
        assert _established(server) >= 20
        await asyncio.sleep(UNREAD_LIMIT + 5)
        assert _established(server) == 0
    finally:
        for client in clients:
            client.close()


def _established(server: Served) -> int:
    """Connections of the server's that have not ended on its side."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{server.port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.parametrize("pieces", [MAX_PIECES + 1, 200_000])
async def test_a_body_in_crumbs_is_refused(server: Served, unchanged: Shop, pieces: int) -> None:
    """Chunks of a byte each cost a thousand times what they weigh: 1.2 MB kept a core busy for five seconds."""
    head = _head("/hooks/stripe", _signature(), "transfer-encoding: chunked")
    began = time.monotonic()
    answer = await server.raw(head + b"1\r\n[\r\n" * pieces + b"0\r\n\r\n", within=5)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert b"chunks" in answer
    assert b"connection: close" in answer.lower()
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(("pieces", "refused"), [(MAX_PIECES, False), (MAX_PIECES + 1, True)])
async def test_the_pieces_of_a_body_are_counted(pieces: int, refused: bool) -> None:
    messages = [{"type": "http.request", "body": b"x", "more_body": left > 0} for left in range(pieces + 1)]

    async def receive() -> Any:
        return messages.pop()

    async def read(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    limits = BodyLimitMiddleware()
    scope: Any = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
    send: Any = None
    with pytest.raises(BodyInPieces) if refused else contextlib.nullcontext():
        await limits.handle(scope, receive, send, read)
    assert limits.pending == (0, 0)


@pytest.mark.parametrize(("read", "closed"), [(0, False), (1, True), (2, False)])
async def test_an_answer_amid_a_body_closes_the_connection(read: int, closed: bool) -> None:
    """Of a body that is not read at all the server sees to by itself."""
    messages = [
        {"type": "http.request", "body": b"x", "more_body": False},
        {"type": "http.request", "body": b"x", "more_body": True},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    async def answer(_scope: Any, receive: Any, send: Any) -> None:
        for _ in range(read):
            await receive()
        await send({"type": "http.response.start", "status": 400, "headers": []})

    scope: Any = {"type": "http", "headers": [(b"content-length", b"2")]}
    await BodyLimitMiddleware().handle(scope, receive, send, answer)
    assert ((b"connection", b"close") in sent[0]["headers"]) is closed


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "stripe-signature: nonsense",
        f"stripe-signature: t=1,v1={'0' * 64}",
        f"stripe-signature: t=99999999999,v1={'0' * 64}",
    ],
    ids=["none", "nonsense", "old", "of the future"],
)
async def test_a_webhook_that_cannot_be_signed_is_refused_before_its_body(
    server: Served, unchanged: Shop, signature: str
) -> None:
    head = _head("/hooks/stripe", *filter(None, [signature]), "content-length: 9000")
    answer = await server.raw(head, within=3)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]


@pytest.mark.parametrize("length", ["9999999", "x", "-1", "+5"])
async def test_a_webhook_with_a_wrong_length_is_refused_before_its_body(
    server: Served, unchanged: Shop, length: str
) -> None:
    answer = await server.raw(_head("/hooks/stripe", _signature(), f"content-length: {length}"), within=3)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]


async def test_the_oldest_half_sent_bodies_give_way() -> None:
    """To a body that arrives whole, and to the newest half."""
    limits = BodyLimitMiddleware()
    endings: dict[int, str] = {}

    async def request(number: int, chunk: int) -> None:
        messages = [{"type": "http.request", "body": b"x" * chunk, "more_body": True}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            return await asyncio.Event().wait()

        async def read(_scope: Any, receive: Any, _send: Any) -> None:
            while True:
                await receive()

        scope: Any = {"type": "http", "headers": [(b"content-length", b"99999999")]}
        send: Any = None
        try:
            await limits.handle(scope, receive, send, read)
        except BodyTimeout:
            endings[number] = "timeout"

    tasks = [asyncio.create_task(request(number, 1)) for number in range(MAX_PENDING_BODIES + 3)]
    await asyncio.sleep(0.2)
    assert endings == dict.fromkeys(range(3), "timeout")
    tasks.append(asyncio.create_task(request(-1, MAX_PENDING_BYTES - 4)))
    await asyncio.sleep(0.2)
    assert len(endings) == MAX_PENDING_BODIES + 3 - 4
    assert -1 not in endings
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limits.pending == (0, 0)
