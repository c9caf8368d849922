"""``GET /metrics`` and a process's own probes, on an address of their own that no proxy leads shoppers to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec
import structlog
from litestar import Request
from litestar.types import Message, Scope

from app.domain.fleet import Fleet
from app.http import errors
from app.ports import Services, Unavailable
from app.telling import Meters
from app.usecases.observe_fleet import observe_fleet

log = structlog.get_logger()

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

FRESH: Final = 5.0
"""Seconds for which figures from the database are used again, however often somebody scrapes."""

_PATIENCE: Final = 12.0
_BETWEEN_TRIES: Final = 5.0
_BEGAN: Final = "grace_began"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered, and where."""

    listen: tuple[str, int]
    render: Callable[[Fleet | None, bool], bytes]
    """Counts and figures as text; the second argument says whether the figures were to be read at all."""
    alive: Callable[[], str | None] = lambda: None
    """What keeps this process from working; ``None`` when nothing does."""


class MetricsServer:
    """Answers on a thread of its own, so that a slow scrape or a hung event loop does not hold the other up."""

    def __init__(self, metrics: Metrics, services: Services | None) -> None:
        self._metrics = metrics
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._fleet: Fleet | None = None
        self._read_at = -FRESH
        self._server: ThreadingHTTPServer | None = None

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port that it was told; port 0 is any."""
        return self._metrics.listen

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen. Raises ``OSError`` when the address is taken."""
        self._server = _bind(self)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def start_when_free(self) -> None:
        """Listen as soon as the address is free: of several API processes on a host, one answers for all."""

        def wait() -> None:
            while not self._stopped.is_set():
                with contextlib.suppress(OSError):
                    self.start()
                    return
                self._stopped.wait(_BETWEEN_TRIES)

        threading.Thread(target=wait, name="metrics-wait", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body. Runs on the server's threads."""
        match path.partition("?")[0]:
            case "/metrics":
                fleet = self._read_fleet() if self._services is not None else None
                knows_fleet = self._services is not None
                return 200, CONTENT_TYPE, self._metrics.render(fleet, knows_fleet)
            case "/health/live":
                trouble = self._metrics.alive()
                body = json.dumps({"status": "ok"} if trouble is None else {"status": "failed", "detail": trouble})
                return 200 if trouble is None else 503, "application/json", body.encode()
            case _:
                return 404, "text/plain", b"not found\n"

    def _read_fleet(self) -> Fleet | None:
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH:
                self._fleet = self._ask(observe_fleet)
                self._read_at = time.monotonic()
            return self._fleet

    def _ask(self, question: Callable[[Services], Awaitable[Fleet]]) -> Fleet | None:
        assert self._services is not None

        async def ask() -> Fleet:
            assert self._services is not None
            return await question(self._services)

        if self._loop.is_closed():
            return None
        asked = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        try:
            return asked.result(_PATIENCE)
        except (Unavailable, FutureTimeoutError, asyncio.CancelledError) as error:
            asked.cancel()
            log.warning("metrics.no_figures", error=f"{type(error).__name__}: {error}")
        except Exception:
            log.exception("metrics.failed")
        return None


def _bind(server: MetricsServer) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            status, content_type, body = server.answer(self.path)
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Scrapes are no news."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in server.listen[0] else socket.AF_INET

        def server_bind(self) -> None:
            """Without the look-up of a host name that http.server makes."""
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)
            self.server_address = self.socket.getsockname()
            self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    return Server(server.listen, Handler)


def request_meter(meters: Callable[[], Meters | None]) -> tuple[Any, Any]:
    """Two hooks for Litestar, ``before_request`` and ``before_send``, that measure every answer of a known route."""

    async def begin(request: Request[Any, Any, Any]) -> None:
        request.scope["state"][_BEGAN] = time.monotonic()

    async def end(message: Message, scope: Scope) -> None:
        began = scope.get("state", {}).get(_BEGAN)
        if message["type"] != "http.response.start" or began is None:
            return
        counted = meters()
        if counted is not None:
            state = scope.get("state", {})
            counted.request(
                method=str(scope.get("method", "")),
                route=str(scope.get("path_template", "")),
                status=message["status"],
                outcome=state.get(errors.OUTCOME, f"status_{message['status']}"),
                seconds=time.monotonic() - began,
            )

    return begin, end
