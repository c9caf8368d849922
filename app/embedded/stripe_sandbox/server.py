"""The HTTP side, on asyncio's protocols: a framework's server hides the socket, and a reset needs it."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

from app.embedded.stripe_sandbox.api import Api, Hang, Outcome, Reply, Request, Reset
from app.embedded.stripe_sandbox.control import Control
from app.embedded.stripe_sandbox.world import Worlds

HOST = "127.0.0.1"
LARGEST_REQUEST = 1_000_000
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Application:
    """The application: the API on one side, the controls on the other."""

    def __init__(self, latency: float = 0.0) -> None:
        worlds = Worlds(latency)
        self._api = Api(worlds)
        self._control = Control(worlds)
        self.running: set[asyncio.Task[None]] = set()

    def answer(self, request: Request) -> Outcome | Coroutine[Any, Any, Outcome]:
        """The outcome, or a coroutine where it takes a while."""
        if request.path.startswith("/_sandbox/"):
            return self._control.answer(request)
        return self._api.answer(request)


class Connection(asyncio.Protocol):
    """One keep-alive connection, answered request by request.

    Work that has begun goes on when the client is gone, as it would at Stripe.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._buffer = b""
        self._busy = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answers every request that is complete."""
        self._buffer += data
        self._answer_what_is_there()

    def _answer_what_is_there(self) -> None:
        while not self._busy and not self._transport.is_closing():
            request = self._next_request()
            if request is None:
                return
            outcome = self._application.answer(request)
            if isinstance(outcome, Reply | Hang | Reset):
                self._act(outcome)
            else:
                self._busy = True
                task = asyncio.get_running_loop().create_task(self._act_later(outcome))
                self._application.running.add(task)
                task.add_done_callback(self._application.running.discard)

    async def _act_later(self, coming: Coroutine[Any, Any, Outcome]) -> None:
        try:
            outcome = await coming
        except BaseException:
            self._transport.abort()
            raise
        self._busy = False
        self._act(outcome)
        self._answer_what_is_there()

    def _next_request(self) -> Request | None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            if len(self._buffer) > LARGEST_REQUEST:
                self._transport.abort()
            return None
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3:
            self._refuse(400)
            return None
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > LARGEST_REQUEST:
            self._refuse(411)
            return None
        if len(rest) < int(length):
            if headers.pop("expect", None):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._buffer = self._buffer.replace(b"100-continue", b"", 1)
            return None
        self._buffer = rest[int(length) :]
        path, _, query = parts[1].partition("?")
        return Request(parts[0], unquote(path), query, headers, rest[: int(length)])

    def _refuse(self, status: int) -> None:
        self._act(Reply(status, b"{}"))
        self._transport.close()

    def _act(self, outcome: Outcome) -> None:
        match outcome:
            case Reply():
                self._write(outcome)
            case Hang():
                self._busy = True
                asyncio.get_running_loop().call_later(outcome.seconds, self._transport.close)
            case Reset():
                # SO_LINGER with 0 seconds: the kernel answers with RST where a close would send FIN
                peer = cast(socket.socket, self._transport.get_extra_info("socket"))
                with contextlib.suppress(OSError):
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                self._transport.abort()

    def _write(self, reply: Reply) -> None:
        if self._transport.is_closing():
            return
        head = [
            f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, '')}",
            "Content-Type: application/json",
            f"Content-Length: {len(reply.body)}",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        self._transport.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + reply.body)


async def serve(
    *, port: int, latency: float, listening: Callable[[str], None], until_stdin_closes: bool = False, host: str = HOST
) -> None:
    """Serves on ``host`` until SIGTERM or SIGINT; ``listening`` gets the URL as soon as it holds."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    application = Application(latency)
    server = await loop.create_server(lambda: Connection(application), host, port, backlog=1024)
    if until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _at_end_of_stdin, stop.set)
    listening(f"http://{host}:{server.sockets[0].getsockname()[1]}")
    await stop.wait()
    server.close()


def _at_end_of_stdin(then: Callable[[], None]) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        then()
