"""Bodies that are being received, without a server: which are counted, for how long, and which give way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from app.http import body_limits
from app.http.body_limits import BodyInPieces, BodyLimitMiddleware, BodyTimeout

CHUNKED = [(b"transfer-encoding", b"chunked")]


def scope(headers: Sequence[tuple[bytes, bytes]] = CHUNKED) -> Any:
    return {"type": "http", "headers": list(headers)}


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def received(limits: BodyLimitMiddleware, messages: list[Any], reads: int, headers: Any = CHUNKED) -> list[Any]:
    """How much is pending before each read and after the last, and once the request is over."""
    seen: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        for _ in range(reads):
            seen.append(limits.pending)
            await receive()
        seen.append(limits.pending)

    send: Any = None
    await limits.handle(scope(headers), receive, send, app)
    return [*seen, limits.pending]


@pytest.mark.parametrize(
    ("headers", "counted"),
    [
        (CHUNKED, True),
        ([(b"content-length", b"2")], True),
        ([(b"host", b"x"), (b"content-length", b" 2 ")], True),
        ([(b"content-length", b"nonsense")], True),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b" 0 ")], False),
        ([(b"host", b"x")], False),
        ([], False),
    ],
)
async def test_a_body_that_is_announced_is_counted(headers: list[tuple[bytes, bytes]], counted: bool) -> None:
    seen = await received(BodyLimitMiddleware(), [part(b"x", more=True), part(b"y", more=False)], 1, headers)
    assert seen == [(0, 0), (1, 1) if counted else (0, 0), (0, 0)]


async def test_a_body_counts_from_its_first_read_to_its_last() -> None:
    messages = [part(b"xx", more=True), part(b"yyy", more=True), part(b"z", more=False), {"type": "http.disconnect"}]
    seen = await received(BodyLimitMiddleware(), messages, 4)
    assert seen == [(0, 0), (1, 2), (1, 5), (0, 0), (0, 0), (0, 0)]


async def test_a_client_that_hangs_up_is_pending_no_more() -> None:
    seen = await received(BodyLimitMiddleware(), [part(b"xx", more=True), {"type": "http.disconnect"}], 2)
    assert seen == [(0, 0), (1, 2), (0, 0), (0, 0)]


async def test_a_request_that_fails_is_pending_no_more() -> None:
    limits = BodyLimitMiddleware()

    async def receive() -> Any:
        return part(b"xx", more=True)

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        raise RuntimeError("x")

    send: Any = None
    with pytest.raises(RuntimeError):
        await limits.handle(scope(), receive, send, app)
    assert limits.pending == (0, 0)


async def test_the_time_is_for_the_whole_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is cut: a part in time gives none to the next."""
    monkeypatch.setattr(body_limits, "BODY_TIMEOUT", 0.3)
    limits = BodyLimitMiddleware()
    reads = 0

    async def receive() -> Any:
        await asyncio.sleep(0.2)
        return part(b"x", more=True)

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        nonlocal reads
        for _ in range(5):
            await receive()
            reads += 1

    send: Any = None
    with pytest.raises(BodyTimeout) as caught:
        await limits.handle(scope(), receive, send, app)
    assert (reads, caught.value.status_code, caught.value.detail) == (1, 408, "Request Timeout")
    assert limits.pending == (0, 0)


async def test_what_comes_after_a_whole_body_has_no_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application waits for the client to hang up."""
    monkeypatch.setattr(body_limits, "BODY_TIMEOUT", 0.05)
    messages = [part(b"x", more=False), {"type": "http.disconnect"}]

    async def receive() -> Any:
        await asyncio.sleep(0.15 if len(messages) == 1 else 0)
        return messages.pop(0)

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    send: Any = None
    await BodyLimitMiddleware().handle(scope(), receive, send, app)


@pytest.mark.parametrize(("limit", "value"), [("MAX_PENDING_BODIES", 2), ("MAX_PENDING_BYTES", 4)])
async def test_the_oldest_gives_way_beyond_the_limit_and_not_at_it(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(body_limits, limit, value)
    limits = BodyLimitMiddleware()
    ended: list[int] = []

    async def request(number: int) -> None:
        messages = [part(b"xx", more=True)]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            return await asyncio.Event().wait()

        async def app(_scope: Any, receive: Any, _send: Any) -> None:
            while True:
                await receive()

        send: Any = None
        try:
            await limits.handle(scope(), receive, send, app)
        except BodyTimeout:
            ended.append(number)

    tasks = [asyncio.create_task(request(number)) for number in range(2)]
    await asyncio.sleep(0.05)
    assert (ended, limits.pending) == ([], (2, 4))
    tasks.append(asyncio.create_task(request(2)))
    await asyncio.sleep(0.05)
    assert (ended, limits.pending) == ([0], (2, 4))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limits.pending == (0, 0)


async def test_what_was_received_is_passed_on() -> None:
    sent = [part(b"xx", more=True), {"type": "http.disconnect", "more_body": True}]
    messages, got = list(sent), []

    async def receive() -> Any:
        return messages.pop(0)

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        got.extend([await receive(), await receive()])

    send: Any = None
    await BodyLimitMiddleware().handle(scope(), receive, send, app)
    assert got == sent


@pytest.mark.parametrize(("pieces", "good"), [(3, True), (4, False)])
async def test_a_body_in_more_pieces_than_may_be(monkeypatch: pytest.MonkeyPatch, pieces: int, good: bool) -> None:
    monkeypatch.setattr(body_limits, "MAX_PIECES", 3)
    limits = BodyLimitMiddleware()
    messages = [part(b"x", more=True)] * pieces + [part(b"", more=False)]
    if good:
        assert (await received(limits, messages, pieces + 1))[-1] == (0, 0)
        return
    with pytest.raises(BodyInPieces) as caught:
        await received(limits, messages, pieces + 1)
    assert (caught.value.status_code, caught.value.detail) == (
        400,
        "Invalid request: expected a body of at most 3 chunks",
    )
    assert limits.pending == (0, 0)


@pytest.mark.parametrize(
    ("reads", "closes"),
    [(0, False), (1, True), (2, False)],
    ids=["of a body that was not read", "amid a body", "after a body"],
)
async def test_an_answer_amid_a_body_closes_the_connection(reads: int, closes: bool) -> None:
    messages = [part(b"x", more=True), part(b"y", more=False)]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        for _ in range(reads):
            await receive()
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"No"})

    await BodyLimitMiddleware().handle(scope(), receive, send, app)
    start, body = sent
    assert start["headers"] == ([(b"connection", b"close")] if closes else [])
    assert body == {"type": "http.response.body", "body": b"No"}


async def test_what_is_over_refers_to_nothing_of_the_server() -> None:
    """The server ends the connection of a half-sent body only when nothing refers to its request any more."""
    sent: list[Any] = []
    kept: list[Any] = []

    async def receive() -> Any:
        return part(b"x", more=True)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        kept.extend([receive, send])

    await BodyLimitMiddleware().handle(scope(), receive, send, app)
    assert (await kept[0]())["type"] == "http.disconnect"
    await kept[1]({"type": "http.response.body"})
    assert sent == []
