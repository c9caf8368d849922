"""The HTTP server in front of the application: granian, with bounds on connections."""

from __future__ import annotations

import contextlib
import gc
import resource
import socket
import time
from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from app.main import let_servers_be_stopped
from app.settings import Settings

HEADER_TIMEOUT: Final = 10_000
"""Milliseconds for a request's header, and for the wait for the next request of a connection that is kept open."""

READ_BUFFER: Final = 64 * 1024
"""Bytes read ahead for a connection, its header included. A body that the application does not read yet waits here."""

CONNECTIONS: Final = 8_192
"""Open at the same time in a process; more wait in the listen backlog."""

_DESCRIPTORS: Final = CONNECTIONS + 1_024
_LINGER: Final = 1.0
"""Seconds between the last connection that is let in and the end of those that ask nothing."""
_LONGEST_ANSWER: Final = 30
"""Seconds that a request may take beside the wait for its void: what is left of them after a SIGTERM is cut off."""


def listen(host: str, port: int, processes: int, settings: Settings) -> None:
    """Serve until SIGTERM."""
    let_servers_be_stopped()
    _raise_descriptor_limit()
    gc.freeze()  # a server that went through what it was forked with, for rubbish, would copy every page of it
    _Server(
        "app.main:create_app",
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


def _raise_descriptor_limit() -> None:
    """Many systems start a service with a soft limit of 1,024, which fewer connections than that would use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Server(Granian):  # type: ignore[misc, valid-type]
    """Granian closes connections that have not sent their request when it is told to stop: a shopper who came just
    before would get no answer. So nobody new is let in, and those who are in have a moment to ask."""

    def shutdown(self, exit_code: int = 0) -> None:
        """Called once, in the process that a SIGTERM reaches."""
        if self._sso is not None:
            with contextlib.suppress(OSError):
                self._sso.shutdown(socket.SHUT_RD)  # on a socket that listens: connections are refused from now on
                time.sleep(_LINGER)
        super().shutdown(exit_code)
