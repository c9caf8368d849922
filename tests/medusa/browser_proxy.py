"""A reverse proxy for browsers, in front of Medusa and of a sidecar in this process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from app.embedded.processes import HOST

# An application in this process, in the place of a sidecar with an address.
App = Callable[..., Awaitable[Any]]
_APP_URL = "http://sidecar.test"

_OURS = re.compile(r"^/store/orders/[^/]+/cancel$|^/grace(/|$)")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"}


@asynccontextmanager
async def running_proxy(*, medusa: str, sidecar: str | App) -> AsyncIterator[str]:
    """The address under which browsers see one backend."""
    app = None if isinstance(sidecar, str) else httpx.ASGITransport(sidecar)
    base = sidecar if isinstance(sidecar, str) else _APP_URL
    forgetful = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # cookies are the browser's affair
    async with httpx.AsyncClient(timeout=60, cookies=forgetful, mounts={_APP_URL: app}) as client:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(await _answer(reader, client, medusa, base))
                await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass  # browsers open connections that they never use
            finally:
                writer.close()

        server = await asyncio.start_server(serve, HOST)
        async with server:
            yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"


async def _answer(reader: asyncio.StreamReader, client: httpx.AsyncClient, medusa: str, sidecar: str) -> bytes:
    head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    method, target, _ = head.split(" ")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    body = await reader.readexactly(int(dict(headers).get("content-length", "0")))
    base = sidecar if _OURS.match(target.partition("?")[0]) else medusa
    # httpx asks for the encodings that it can undo, which are fewer than a browser's.
    passed = [(name, value) for name, value in headers if name not in _HOP_BY_HOP | {"accept-encoding"}]
    try:
        answer = await client.request(method, base + target, headers=passed, content=body or None)
    except httpx.TransportError:
        answer = httpx.Response(502, text="Bad Gateway")
    shown = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _HOP_BY_HOP]
    shown += [("content-length", str(len(answer.content))), ("connection", "close")]
    status = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"
    return "\r\n".join([status, *(f"{name}: {value}" for name, value in shown), "", ""]).encode() + answer.content
