"""The reverse proxy in front of both: one rule, as the README tells operators to write it for theirs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from app.embedded.processes import HOST

_OURS = re.compile(r"^/store/(orders/[^/]+/cancel(lation)?|cancellation-keys)$")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"}


@asynccontextmanager
async def running_proxy(*, medusa: str, sidecar: str) -> AsyncIterator[str]:
    """The address under which a storefront sees one backend."""
    async with httpx.AsyncClient(timeout=30) as client:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(await _answer(reader, client, medusa, sidecar))
                await writer.drain()
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
    passed = [(name, value) for name, value in headers if name not in _HOP_BY_HOP]
    answer = await client.request(method, base + target, headers=passed, content=body or None)
    shown = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _HOP_BY_HOP]
    shown += [("content-length", str(len(answer.content))), ("connection", "close")]
    status = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"
    return "\r\n".join([status, *(f"{name}: {value}" for name, value in shown), "", ""]).encode() + answer.content
