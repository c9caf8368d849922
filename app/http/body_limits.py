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

    An answer that is sent amid a body closes the connection: the server would wait for the rest of some without end.

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
        body = _PendingBody(self, receive)

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and body.is_partly_read:
                MutableScopeHeaders.from_message(message)["connection"] = "close"
            await send(message)

        try:
            await next_app(scope, body.receive, send_last)
        finally:
            self.remove(body)

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
    """A request's ``receive`` with a deadline."""

    def __init__(self, limits: BodyLimitMiddleware, receive: Receive) -> None:
        self.size = 0
        self._limits = limits
        self._receive = receive
        self._deadline: float | None = None
        self._timer: asyncio.Timeout | None = None
        self._pieces = 0
        self._complete = False

    @property
    def is_partly_read(self) -> bool:
        """Whether the application has begun to read the body and not seen its end."""
        return self._deadline is not None and not self._complete

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

    def evict(self) -> None:
        """End the read that is under way, and any later one."""
        self._deadline = asyncio.get_running_loop().time()
        if self._timer is not None:
            self._timer.reschedule(self._deadline)


def _announces_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0"):
            return True
    return False
