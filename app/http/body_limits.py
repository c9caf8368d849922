"""Bounds on request bodies that are still being received: time, memory and number."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

BODY_TIMEOUT: Final = 10.0
"""Seconds for the whole body, however it arrives."""

MAX_PENDING_BODIES: Final = 512
"""In a process. A body that arrives whole is pending for a millisecond or so."""

MAX_PENDING_BYTES: Final = 16 * 1024 * 1024
"""What the pending bodies of a process may hold together."""

MAX_PIECES: Final = 2_048
"""That a body may arrive in. Each costs some 50 us, however small; 256 KB in TCP segments of 536 bytes are 490."""


class BodyTimeout(HTTPException):
    """The body did not arrive in time, or was evicted for others."""

    def __init__(self) -> None:
        super().__init__(status_code=408, detail="Request Timeout")


class BodyInPieces(HTTPException):
    """The body arrives in more pieces than ``MAX_PIECES``."""

    def __init__(self) -> None:
        super().__init__(status_code=400, detail=f"Invalid request: expected a body of at most {MAX_PIECES} chunks")


class BodyLimitMiddleware(ASGIMiddleware):
    """Gives every body ``BODY_TIMEOUT`` seconds and evicts the oldest pending ones beyond the limits.

    An answer that is sent amid a body closes the connection, so that the client sends no more of it.

    Evicting the oldest, rather than refusing the newest, keeps clients with half-sent bodies from blocking those
    whose bodies arrive whole.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self) -> None:
        self._pending: dict[_PendingBody, None] = {}  # oldest first
        self._bytes = 0

    @property
    def pending(self) -> tuple[int, int]:
        """How many bodies are pending, and what they hold."""
        return len(self._pending), self._bytes

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """See Litestar."""
        if not _announces_body(scope):
            await next_app(scope, receive, send)
            return
        body = _PendingBody(self, receive, send)
        try:
            await next_app(scope, body.receive, body.send)
        finally:
            self.remove(body)
            body.release()

    def add(self, body: _PendingBody) -> None:
        """Count a body from its first read on."""
        self._pending[body] = None
        self._evict()

    def grow(self, body: _PendingBody, size: int) -> None:
        """Count ``size`` more bytes of a body that is not complete."""
        body.size += size
        self._bytes += size
        self._evict()

    def remove(self, body: _PendingBody) -> None:
        """Count the body no more: it is complete, timed out or given up. Safe to repeat."""
        if body in self._pending:
            del self._pending[body]
            self._bytes -= body.size

    def _evict(self) -> None:
        while self._pending and (len(self._pending) > MAX_PENDING_BODIES or self._bytes > MAX_PENDING_BYTES):
            oldest = next(iter(self._pending))
            self.remove(oldest)
            oldest.evict()


class _PendingBody:
    """A request's ``receive`` with a deadline, and its ``send``."""

    def __init__(self, limits: BodyLimitMiddleware, receive: Receive, send: Send) -> None:
        self.size = 0
        self._limits = limits
        self._receive = receive
        self._send = send
        self._deadline: float | None = None
        self._timer: asyncio.Timeout | None = None
        self._pieces = 0
        self._complete = False

    async def receive(self) -> Any:
        """Return the next ASGI message. Raises ``BodyTimeout`` and ``BodyInPieces``."""
        if self._complete:
            return await self._receive()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT
            self._limits.add(self)
        try:
            async with asyncio.timeout_at(self._deadline) as self._timer:
                message = await self._receive()
        except TimeoutError:
            self._limits.remove(self)
            raise BodyTimeout from None
        finally:
            self._timer = None
        if message["type"] == "http.request" and message.get("more_body", False):
            self._pieces += 1
            if self._pieces > MAX_PIECES:
                self._limits.remove(self)
                raise BodyInPieces
            self._limits.grow(self, len(message["body"]))
        else:
            self._complete = True
            self._limits.remove(self)
        return message

    async def send(self, message: Message) -> None:
        """Send an ASGI message; an answer amid the body closes the connection."""
        is_partly_read = self._deadline is not None and not self._complete
        if message["type"] == "http.response.start" and is_partly_read:
            MutableScopeHeaders.from_message(message)["connection"] = "close"
        await self._send(message)

    def release(self) -> None:
        """Drop what is the server's. Requests are parts of reference cycles (HTMX's details have their request), and
        the server ends the connection of a half-sent body only when nothing refers to its request any more."""
        self._receive, self._send = _receive_nothing, _send_nowhere

    def evict(self) -> None:
        """End the read that is under way, and any later one."""
        self._deadline = asyncio.get_running_loop().time()
        if self._timer is not None:
            self._timer.reschedule(self._deadline)


async def _receive_nothing() -> Any:
    return {"type": "http.disconnect"}


async def _send_nowhere(_: Message) -> None:
    pass


def _announces_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0"):
            return True
    return False
