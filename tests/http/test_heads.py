"""The head of a request, without an application: its bounds to the byte, and its cookies as they were sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from litestar import Request

from app.http.cookies import read_cookie
from app.http.edge import MAX_HEAD_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, Edge

HEADERS = list[tuple[bytes, bytes]]


async def answered(
    headers: HEADERS, *, path: str = "/", raw: bytes | None = None, query: bytes = b"", kept: bytes | None = None
) -> tuple[int, dict[bytes, bytes], bytes]:
    """What comes of a request behind which an application answers 200: status, headers, body."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        own = [] if kept is None else [(b"cache-control", kept)]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive() -> Any:
        raise AssertionError("nothing of a body is read")

    scope: Any = {"type": "http", "path": path, "query_string": query, "headers": headers}
    if raw is not None:
        scope["raw_path"] = raw
    await Edge(app)(scope, receive, send)
    start, body = sent
    assert (body["type"], body["more_body"]) == ("http.response.body", False)
    return start["status"], dict(start["headers"]), body["body"]


def of_size(size: int, name: bytes = b"cookie") -> tuple[bytes, bytes]:
    """A header of that size, its name included."""
    return name, b"x" * (size - len(name))


LARGE = MAX_HEAD_BYTES // 4
HEADS: dict[str, tuple[HEADERS, bool]] = {
    "none": ([], True),
    "one at the limit": ([of_size(MAX_HEADER_BYTES)], True),
    "one beyond it": ([of_size(MAX_HEADER_BYTES + 1)], False),
    "a name beyond it": ([(b"x" * (MAX_HEADER_BYTES + 1), b"")], False),
    "all at the limit": ([of_size(LARGE)] * 4, True),
    "all beyond it": ([of_size(LARGE)] * 3 + [of_size(LARGE + 1)], False),
    "as many as may be": ([(b"a", b"")] * MAX_HEADERS, True),
    "one too many": ([(b"a", b"")] * (MAX_HEADERS + 1), False),
}


@pytest.mark.parametrize(("headers", "good"), HEADS.values(), ids=HEADS.keys())
async def test_headers(headers: HEADERS, good: bool) -> None:
    status, answer, body = await answered(headers)
    assert status == (200 if good else 431)
    assert answer[b"cache-control"] == b"no-store"
    if not good:
        assert json.loads(body)["code"] == "headers_too_large"
        assert answer[b"connection"] == b"close"
        assert answer[b"content-length"] == str(len(body)).encode()
        assert answer[b"content-type"] == b"application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("target", "good"),
    [
        ({"raw": b"/" * MAX_TARGET_BYTES}, True),
        ({"raw": b"/" * (MAX_TARGET_BYTES + 1)}, False),
        ({"raw": b"/%00" * (MAX_TARGET_BYTES // 4), "path": "/\x00" * (MAX_TARGET_BYTES // 4)}, True),
        ({"raw": b"/", "path": "/" * (MAX_TARGET_BYTES + 1)}, True),
        ({"path": "/" * MAX_TARGET_BYTES}, True),
        ({"path": "/" * (MAX_TARGET_BYTES + 1)}, False),
        ({"path": "\u00fc" * (MAX_TARGET_BYTES // 2 + 1)}, False),
        ({"path": "\ud800" * 10}, True),
        ({"raw": b"/", "query": b"x" * (MAX_TARGET_BYTES - 1)}, True),
        ({"raw": b"/", "query": b"x" * MAX_TARGET_BYTES}, False),
    ],
)
async def test_targets(target: dict[str, Any], good: bool) -> None:
    status, _, body = await answered([], **target)
    assert status == (200 if good else 414)
    assert good or json.loads(body)["code"] == "uri_too_long"


async def test_who_says_how_long_an_answer_may_be_kept_is_believed() -> None:
    assert (await answered([], kept=b"public"))[1] == {b"cache-control": b"public"}


async def test_what_is_no_request_passes() -> None:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    scope: Any = {"type": "lifespan"}
    unused: Any = None
    await Edge(app)(scope, unused, unused)
    assert seen == [scope]


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        (["sid=1"], "1"),
        (["a=2; sid=1; b=3"], "1"),
        (["a=2;sid = 1 "], "1"),
        (["sid=1; sid=2"], "1"),
        (["a=2", "sid=1"], "1"),
        (["sid=a=b=="], "a=b=="),
        (['sid="1"'], '"1"'),
        (["sid"], ""),
        (["sid="], ""),
        (["xsid=1; sidx=2; SID=3"], None),
        (["a=sid=1"], None),
        ([], None),
    ],
)
def test_a_cookie(sent: list[str], value: str | None) -> None:
    scope: Any = {"type": "http", "headers": [(b"cookie", line.encode()) for line in sent]}
    request: Request[Any, Any, Any] = Request(scope)
    assert read_cookie(request, "sid") == value
