"""An endpoint for webhooks, to look at what arrives."""

import asyncio
import json
from typing import Any


class Mailbox:
    """Keeps what arrives; answers the statuses it is told to, then 200."""

    def __init__(self) -> None:
        self.url = ""
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self._news = asyncio.Condition()

    async def wait_for(self, count: int) -> list[dict[str, Any]]:
        """The events, once so many are there."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(self.arrived) >= count)
        return [json.loads(body) for _, body in self.arrived]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes the events of one connection."""
        while head := await _head(reader):
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            body = await reader.readexactly(int(headers["content-length"]))
            status = self.answers.pop(0) if self.answers else 200
            writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n".encode())
            async with self._news:
                self.arrived.append((headers, body))
                self._news.notify_all()
        writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""
