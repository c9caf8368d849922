"""A wire to Redis on which answers get lost, although what was asked was done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class LossyWire:
    """Passes everything on, save the answers to the next ``lose`` requests that hold ``about``."""

    def __init__(self, url: str, about: bytes) -> None:
        self._there = urlsplit(url)
        self._about = about
        self._clients: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.lose = 0
        self.url = ""

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new client."""
        self._writers.append(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._there.hostname, self._there.port)
        self._writers.append(far_writer)
        lost: list[bool] = []

        async def ask() -> None:
            while data := await reader.read(65536):
                if self.lose and self._about in data:
                    self.lose -= 1
                    lost.append(True)
                far_writer.write(data)

        async def answer() -> None:
            while data := await far_reader.read(65536):
                if lost:
                    lost.clear()
                else:
                    writer.write(data)

        both = [asyncio.ensure_future(ask()), asyncio.ensure_future(answer())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in both:
                direction.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            writer.close()
            far_writer.close()

    async def cut(self) -> None:
        """The end of the wire."""
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def lossy_wire(url: str, about: bytes) -> AsyncIterator[LossyWire]:
    """A wire to the Redis at ``url``, reached by its own ``url``."""
    wire = LossyWire(url, about)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    there = urlsplit(url)
    wire.url = there._replace(netloc=f":{there.password}@127.0.0.1:{port}").geturl()
    try:
        yield wire
    finally:
        server.close()
        await wire.cut()
