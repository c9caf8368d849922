"""A lean HTTP client: prebuilt requests over kept connections, one thread, no event loop but ``select``'s.

It shares the machine with what it measures, so it counts its own CPU time: ``Load.client_us`` is what it took of a
core per request, and ``python -m tests.benchmarks`` shows it beside the figures.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median

from app.embedded.processes import HOST
from app.http.tokens import mint

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What came back."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: Counter[bytes] = field(default_factory=Counter)
    retry_after: int = 0
    """Answers with that header."""
    counted: int = 0
    """Answers with the words that were asked for."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def median_ms(self) -> float:
        """Of the latencies."""
        return median(self.latencies) * 1000

    def quantile_ms(self, share: float) -> float:
        """The latency that this share of the answers kept."""
        return sorted(self.latencies)[min(int(share * len(self.latencies)), len(self.latencies) - 1)] * 1000

    @property
    def client_us(self) -> float:
        """What the client took of a core, microseconds a request."""
        return self.cpu_seconds / len(self.latencies) * 1e6


def cancels(order_ids: Iterable[str], key: str, secret: str, method: str = "POST") -> list[bytes]:
    """A request to cancel each order (or to look at it), as a storefront behind one proxy sends it."""
    made = []
    for number, order_id in enumerate(order_ids):
        address = f"198.{18 + (number >> 16 & 1)}.{number >> 8 & 255}.{number & 255}"
        token = mint(order_id, secret, valid_for=timedelta(hours=1))
        made.append(
            f"{method} /store/orders/{order_id}/cancel HTTP/1.1\r\nhost: {HOST}\r\nx-publishable-api-key: {key}\r\n"
            f"x-modification-token: {token}\r\nx-forwarded-for: {address}\r\ncontent-length: 0\r\n\r\n".encode()
        )
    return made


def plain(path: str, count: int) -> list[bytes]:
    """The same GET over and over."""
    return [f"GET {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()] * count


class _Line:
    """One kept connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket = self._connect()
        self.buffer = b""
        self.sent_at = 0.0

    def _connect(self) -> socket.socket:
        made = socket.create_connection((HOST, self.port), timeout=30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def send(self, request: bytes) -> None:
        self.buffer = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def answer(self) -> tuple[bytes, bytes] | None:
        """Head and body once they are there. Raises ``ConnectionError`` when the server hung up."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if found else None
        if not found or length is None or len(body) < int(length[1]):
            return None
        return head, body


def run(
    port: int, requests: list[bytes], clients: int, *, seconds: float | None = None, count_body: bytes | None = None
) -> Load:
    """Send the requests, each once, ``clients`` at a time. ``seconds`` ends it before they are used up.

    Answers that have ``count_body`` in them are counted.
    """
    done = Load()
    left: Iterator[bytes] = iter(requests)
    lines = [_Line(port) for _ in range(clients)]
    with selectors.DefaultSelector() as selector:
        cpu, began = time.thread_time(), time.perf_counter()
        busy = 0
        for line in lines:
            if (request := next(left, None)) is not None:
                selector.register(line.socket, selectors.EVENT_READ, line)
                line.send(request)
                busy += 1
        while busy:
            for key, _ in selector.select():
                line = key.data
                answer = line.answer()
                if answer is None:
                    continue
                now = time.perf_counter()
                done.latencies.append(now - line.sent_at)
                _note(done, *answer)
                done.counted += count_body is not None and count_body in answer[1]
                late = seconds is not None and now - began > seconds
                request = None if late else next(left, None)
                if request is None:
                    busy -= 1
                    selector.unregister(line.socket)
                else:
                    line.send(request)
        done.seconds, done.cpu_seconds = time.perf_counter() - began, time.thread_time() - cpu
    for line in lines:
        line.socket.close()
    return done


def _note(done: Load, head: bytes, body: bytes) -> None:
    status = int(head[9:12])
    done.statuses[status] += 1
    if status != 200:
        done.bodies[body] += 1
        done.retry_after += b"\r\nretry-after:" in head.lower()
