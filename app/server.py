"""The HTTP server in front of the application: granian, with bounds on connections."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import multiprocessing
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import structlog
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from litestar import Litestar

from app import main
from app.private_names import reaching_into, require_method
from app.settings import Settings

with reaching_into("granian", __file__):
    from granian import _signals
    from granian._granian import WorkerSignal

    assert callable(_signals.set_loop_signals)
    require_method(Granian, "_init_shared_socket", "_ssp", "_shd", "build", "get_fd")
    require_method(Granian, "_spawn_worker", "_ssp", "_shd")
    require_method(Granian, "_spawn_asgi_lifespan_worker", "granian._signals", "set_loop_signals")
    require_method(Granian, "_stop_workers", "wrks")
    require_method(Granian, "_serve_loop", "interrupt_signal", "interrupt_children")

log = structlog.get_logger()

HEADER_TIMEOUT: Final = 10_000
"""Milliseconds for a request's header, and for the wait for the next request of a connection that is kept open."""

READ_BUFFER: Final = 64 * 1024
"""Bytes read ahead for a connection, its header included. A body that the application does not read yet waits here."""

CONNECTIONS: Final = 8_192
"""Open at the same time in a process; more wait in the listen backlog."""

SEND_TIMEOUT: Final = 20_000
"""Milliseconds that a client may leave an answer unread, or unacknowledged, before its connection is closed. The kernel
counts them (Linux): without, a client that sends requests and reads nothing keeps its connection without end."""

SEND_BUFFER: Final = 64 * 1024
"""Bytes of answers that the kernel keeps for a connection: twice as many, as it counts, and megabytes by itself."""

_DESCRIPTORS: Final = CONNECTIONS + 1_024
_LINGER: Final = 1.0
"""Seconds between the last connection that is let in and the end of those that ask nothing."""
_STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_REPEAT_SIGTERM: Final = 0.3
"""Seconds."""
_LAST_REQUESTS: Final = 10
"""Seconds that an orphaned server has to end its requests."""
_LONGEST_ANSWER: Final = 30
"""Seconds that a request may take beside the wait for its void: what is left of them after a SIGTERM is cut off."""


def listen(host: str, port: int, processes: int, settings: Settings) -> None:
    """Serve until SIGTERM."""
    _end_on_signals_while_starting()
    _raise_descriptor_limit()
    gc.freeze()  # a server that went through what it was forked with, for rubbish, would copy every page of it
    _Server(
        "app.server:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=host,
        port=port,
        workers=processes,
        # HTTP/1 alone: while the protocol is still detected, granian has no timeout at all
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT, max_buffer_size=READ_BUFFER),
        websockets=False,
        backlog=1_024,
        backpressure=CONNECTIONS,
        log_enabled=False,
        workers_kill_timeout=_LONGEST_ANSWER + round(settings.policy.void_wait.total_seconds()),
        respawn_failed_workers=True,
        respawn_interval=1.0,
    ).serve()


def create_app() -> Litestar:
    """The application, as granian loads it in a server before it sets its handlers of signals.

    A second signal, as the one of a service manager to all processes beside the one of granian's own, would block
    granian's thread for good.
    """
    _signals.set_loop_signals = _set_loop_signals
    app = main.create_app()
    threading.Thread(target=_exit_when_orphaned, args=(os.getppid(),), daemon=True).start()
    return app


def _exit_when_orphaned(parent: int) -> None:
    """Exit when granian's process manager has ended: it can be killed alone, and a server that it no longer sees would
    answer on, with old settings, beside its successor. A manager that died before is only known by its pipe."""
    manager = multiprocessing.parent_process()
    while os.getppid() == parent and (manager is None or manager.is_alive()):
        time.sleep(1)
    log.warning("serve.orphaned")
    for _ in range(_LAST_REQUESTS):  # again and again: a server that is not up yet still has the manager's handler
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _set_loop_signals(loop: asyncio.AbstractEventLoop) -> WorkerSignal:
    """In place of granian's function of that name."""
    event = WorkerSignal()

    def stop() -> None:
        for number in _STOPPING:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        event.set()

    for number in _STOPPING:
        loop.add_signal_handler(number, stop)
    return event


def _end_on_signals_while_starting() -> None:
    """Call before granian forks its servers. One that has no handlers of its own yet inherits granian's, which would
    take a SIGTERM and do nothing: until it has them, the signal ends it, as no request is being answered."""

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def reset() -> None:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=reset)


def _raise_descriptor_limit() -> None:
    """Many systems start a service with a soft limit of 1,024, which fewer connections than that would use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_SO_ATTACH_FILTER: Final = 26
"""Linux, ``asm-generic/socket.h``."""
_DROP_ALL: Final = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A classic BPF program of one instruction, ``ret #0``: of each packet, nothing."""


class _Server(Granian):  # type: ignore[misc, valid-type]
    """Stops gracefully, and promptly, whenever the SIGTERM comes.

    Opens the listening sockets in this process, before granian forks its servers.

    On Linux granian opens one in each server, out of reach: this process could neither stop them listening nor set
    what their connections inherit. They still are one for each server, so that the kernel shares connections out, and
    outlive a server that is replaced: a client that connects meanwhile waits for the new one.
    """

    _ssp: Any
    _holders: tuple[Any, ...] = ()

    def _init_shared_socket(self) -> None:
        super()._init_shared_socket()
        if sys.platform == "linux":
            specification, self._ssp = self._ssp, None
            self._holders = tuple(specification.build() for _ in range(self.workers))
            for listener in self._listeners():
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def _spawn_worker(self, idx: int, *arguments: Any, **options: Any) -> Any:
        if self._holders:
            self._shd = self._holders[idx]
        return super()._spawn_worker(idx, *arguments, **options)

    def _listeners(self) -> Iterator[socket.socket]:
        """Each listening socket, closed again here after its turn, which closes it nowhere else."""
        for descriptor in [holder.get_fd() for holder in self._holders or (self._shd,)]:
            with socket.socket(fileno=os.dup(descriptor)) as listener:
                yield listener

    def shutdown(self, exit_code: int = 0) -> None:
        """Refuse new connections and give the open ones a moment to ask. Called once, in the process that a SIGTERM
        reaches: granian itself closes connections that have not sent their request yet."""
        for listener in self._listeners():
            with contextlib.suppress(OSError):
                _drop_packets(listener)
        time.sleep(_LINGER)
        super().shutdown(exit_code)

    def _stop_workers(self) -> None:
        """Send SIGTERM until every server has ended. One whose event loop does not run yet, or not for a moment, as
        between its start and its first request, has a handler that drops the signal."""
        over = threading.Event()
        servers = list(self.wrks)

        def repeat() -> None:
            while not over.wait(_REPEAT_SIGTERM):
                for server in servers:
                    server.terminate()

        repeating = threading.Thread(target=repeat, daemon=True)
        repeating.start()
        try:
            super()._stop_workers()
        finally:
            over.set()
            repeating.join()
        if self.interrupt_signal:  # servers that the same Ctrl-C reached have not failed
            self.interrupt_children.clear()


def _drop_packets(listener: socket.socket) -> None:
    """Let no packet reach the listening socket any more: a client that connects now tries again a second later, and is
    refused then. (After ``shutdown`` it would be refused immediately, and granian's servers would never end.)"""
    program = ctypes.create_string_buffer(_DROP_ALL)
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))
