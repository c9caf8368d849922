"""``GET /metrics`` and a process's own probes, on an address of their own that no proxy leads shoppers to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog

from app.domain.fleet import Fleet
from app.ports import Services, Unavailable
from app.usecases.observe_fleet import observe_fleet

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

FRESH: Final = 5.0
"""Seconds for which figures from the database are used again, however often somebody scrapes."""

_PATIENCE: Final = 12.0
CLIENT_TIMEOUT: Final = 10.0
"""Seconds that a client may take to send its request, or to read on."""
_BETWEEN_TRIES: Final = 5.0


class FleetFigures:
    """What the rows say of the whole fleet, for threads. To be made on the event loop that ``services`` work on."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._fleet: Fleet | None = None
        self._read_at = -FRESH

    def read(self) -> Fleet | None:
        """Return figures that are at most ``FRESH`` seconds old; ``None`` when the database does not answer."""
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH:
                self._fleet = self._ask()
                self._read_at = time.monotonic()
            return self._fleet

    def _ask(self) -> Fleet | None:
        async def observe() -> Fleet:
            return await observe_fleet(self._services)

        if self._loop.is_closed():
            return None
        asked = asyncio.run_coroutine_threadsafe(observe(), self._loop)
        try:
            return asked.result(_PATIENCE)
        except (Unavailable, FutureTimeoutError, FutureCancelledError) as error:
            asked.cancel()
            log.warning("metrics.no_figures", error=f"{type(error).__name__}: {error}")
        except Exception:
            log.exception("metrics.failed")
        return None


class MetricsServer:
    """Serves ``metrics``, a WSGI application, and the process's liveness, on threads of its own: a slow scrape and a
    hung event loop do not hold the other up."""

    def __init__(self, listen: tuple[str, int], metrics: WSGIApplication, alive: Callable[[], str | None]) -> None:
        """``alive`` names what keeps this process from working; ``None`` when nothing does."""
        self.listen = listen
        self._metrics = metrics
        self._alive = alive
        self._stopped = threading.Event()
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return self._server.server_port

    def start(self) -> None:
        """Listen. Raises ``OSError`` when the address is taken."""
        self._server = make_server(*self.listen, self._answer, _Server6 if ":" in self.listen[0] else _Server, _Handler)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def start_when_free(self) -> None:
        """Listen as soon as the address is free: of several API processes on a host, one answers for all.

        Without tenacity, whose ``stop_when_event_set`` is looked at after an attempt, and not before the first.
        """

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

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environ, start_response)
            case "/health/live":
                trouble = self._alive()
                body = {"status": "ok"} if trouble is None else {"status": "failed", "detail": trouble}
                status = "200 OK" if trouble is None else "503 Service Unavailable"
                start_response(status, [("content-type", "application/json")])
                return [json.dumps(body).encode()]
            case _:
                start_response("404 Not Found", [("content-type", "text/plain")])
                return [b"not found\n"]


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log no scrapes."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_port = False  # two processes would share the scrapes

    def server_bind(self) -> None:
        """Bind without the look-up of a host name that http.server makes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        """Accept a client, with its time limit."""
        client, address = super().get_request()
        client.settimeout(CLIENT_TIMEOUT)
        return client, address

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Log a client that sent no request, or did not wait for its answer."""
        log.debug("metrics.client_lost", client=str(client_address), exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6
