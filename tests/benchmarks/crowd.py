"""Far more clients than can be served: each comes on a connection of its own, asks once, hangs up and comes again.

That is what a flash sale's shoppers are to a server, with a proxy in between or without: no connection is kept, so that
nobody holds a place that he does not use. Who is turned away comes again, with the request that changed nothing, when
``Retry-After`` says; whoever is served, or lost, makes room for somebody new. So the crowd stays as large as it is till
its time is over. From then on nobody comes any more, and those within are waited for. Patience counts from the first
packet, the wait to be let in included.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from app.embedded.processes import HOST

PATIENCE: Final = 20.0
"""Seconds after which a client gives up. A server that lets nobody wait longer than that keeps it at zero."""


@dataclass
class Crowd:
    """What became of them."""

    seconds: float = 0.0
    """How long they came."""
    cpu_seconds: float = 0.0
    """What they took of a core themselves in that time: it is the server's that they take it from."""
    served_meanwhile: int = 0
    """Answers 200 within those seconds."""
    unused: int = 0
    """Requests that nobody was left to send. Without one the crowd had shrunk before its time."""
    latencies: dict[int, list[float]] = field(default_factory=dict)
    """Of all answers, by status: those after the last newcomer, too."""
    lost: Counter[str] = field(default_factory=Counter)
    """Those who got no answer, by what they saw instead."""
    without_hint: int = 0
    """503 without Retry-After."""

    def count(self, status: int) -> int:
        """Answers with this status."""
        return len(self.latencies.get(status, ()))

    @property
    def total(self) -> int:
        """All answers."""
        return sum(map(len, self.latencies.values()))

    @property
    def longest(self) -> float:
        """Seconds that the last to be answered waited."""
        return max((max(took) for took in self.latencies.values()), default=0.0)


class _Client:
    """One connection with one request."""

    def __init__(self, port: int, request: bytes) -> None:
        self.request, self.answer = request, b""
        self.began = time.perf_counter()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        started = self.socket.connect_ex((HOST, port))
        assert started in (0, errno.EINPROGRESS), errno.errorcode[started]

    def go_on(self, events: int) -> bool:
        """Send or receive what can be. True when the answer is there in full. Raises ``OSError`` when it broke."""
        if events & selectors.EVENT_WRITE:
            if failed := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(failed, errno.errorcode[failed])
            self.socket.sendall(self.request)
            return False
        data = self.socket.recv(65536)
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0])
            return len(body) >= length
        if not data:
            raise OSError(errno.ECONNRESET, "ECONNRESET")
        return False


class Storm:
    """Keeps clients at the door for so long, each with a request that nobody else has."""

    def __init__(self, port: int, requests: list[bytes], seconds: float) -> None:
        self._port, self._seconds = port, seconds
        self._left: Iterator[bytes] = iter(requests)
        self._seen = Crowd()
        self._away: deque[tuple[float, bytes]] = deque()
        """When those who were turned away come back, and what with; in order, since all are told the same."""
        self._selector = selectors.DefaultSelector()
        self._began = self._now = self._cpu = 0.0
        self.over = threading.Event()
        """Nobody new is sent any more."""

    def rage(self, clients: int) -> Crowd:
        """So many of them. Returns once the last has his answer or has lost patience."""
        self._began, self._cpu = time.perf_counter(), time.thread_time()
        self._now = self._began
        try:
            with self._selector:
                for _ in range(clients):
                    self._welcome()
                while self._selector.get_map() or not self.over.is_set():
                    for key, events in self._selector.select(0.05):
                        self._serve(key.data, events)
                    self._now = time.perf_counter()
                    if not self.over.is_set() and self._now - self._began >= self._seconds:
                        self._end()
                    while self._away and self._away[0][0] <= self._now:
                        self._enter(self._away.popleft()[1])
                    self._lose_patience()
                return self._seen
        finally:
            self.over.set()

    def _end(self) -> None:
        self._seen.seconds = self._now - self._began
        self._seen.cpu_seconds = time.thread_time() - self._cpu
        self._seen.served_meanwhile = self._seen.count(200)
        self._seen.unused = sum(1 for _ in self._left)
        self.over.set()

    def _welcome(self) -> None:
        """Somebody new."""
        if (request := next(self._left, None)) is not None:
            self._enter(request)

    def _enter(self, request: bytes) -> None:
        if not self.over.is_set():
            client = _Client(self._port, request)
            self._selector.register(client.socket, selectors.EVENT_WRITE, client)

    def _serve(self, client: _Client, events: int) -> None:
        try:
            whole = client.go_on(events)
        except OSError as error:
            self._leave(client)
            self._seen.lost[errno.errorcode.get(error.errno or 0, str(error))] += 1
            self._welcome()
            return
        if whole:
            self._leave(client)
            later = _note(self._seen, client)
            if later is not None:
                self._away.append((time.perf_counter() + later, client.request))
            else:
                self._welcome()
        elif events & selectors.EVENT_WRITE:
            self._selector.modify(client.socket, selectors.EVENT_READ, client)

    def _leave(self, client: _Client) -> None:
        self._selector.unregister(client.socket)
        client.socket.close()

    def _lose_patience(self) -> None:
        keys = self._selector.get_map().values()  # in the order in which they came
        for client in [k.data for k in takewhile(lambda k: self._now - k.data.began > PATIENCE, keys)]:
            self._seen.lost["no answer" if _let_in(client) else "not let in"] += 1
            self._leave(client)
            self._welcome()


def _let_in(client: _Client) -> bool:
    try:
        client.socket.getpeername()
    except OSError:
        return False
    return True


def _note(seen: Crowd, client: _Client) -> float | None:
    """Seconds until this client comes again; ``None`` when he has what he came for."""
    status = int(client.answer[9:12])
    seen.latencies.setdefault(status, []).append(time.perf_counter() - client.began)
    _, hint, rest = client.answer.lower().partition(b"\r\nretry-after:")
    seen.without_hint += status == 503 and not hint
    return float(rest.split(b"\r\n")[0]) if hint else None
