"""A simulated Medusa: the HTTP routes that the sidecar asks, answered as 2.21 does.

``MockTransport(medusa.answer)`` takes it in this process; ``listening`` and ``listening_in_a_thread`` over a socket.
"""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import asyncpg
import httpx

from app.embedded.processes import HOST

EMAIL, PASSWORD = "ada@shop.test", "made-up-password"
OTHER = "bob@shop.test"
UNANSWERED = "down@shop.test"
"""For whom Medusa is down."""
SECRET_KEY = "sk_of_medusa"
HANG = 0
"""As a status: no answer at all."""

_RELEASE: Final = """
with released as (
    update reservation_item set deleted_at = now() where id = $1 and deleted_at is null
    returning inventory_item_id, quantity
)
update inventory_level as l
set reserved_quantity = l.reserved_quantity - r.quantity
from released as r
where l.inventory_item_id = r.inventory_item_id
"""


@dataclass
class SimulatedMedusa:
    """Its admins, its customers' sessions, what it was asked, and how it fails."""

    people: dict[str, str] = field(default_factory=lambda: {EMAIL: PASSWORD, OTHER: PASSWORD})
    """Passwords of admins by their addresses."""
    sessions: dict[str, str] = field(default_factory=lambda: {"s:ada": EMAIL})
    """Admins by the value of their cookie."""
    customers: dict[str, str] = field(default_factory=dict)
    """Ids of customers by the value of their cookie."""
    asked: list[str] = field(default_factory=list)
    headers: list[httpx.Headers] = field(default_factory=list)
    """Of each request that it was asked."""
    down: bool = False
    second_factor: bool = False
    is_admin: bool = True
    deleted: set[str] = field(default_factory=set)
    """Admins whose tokens are good, and who are no longer there."""
    instead: Callable[[httpx.Request], httpx.Response] | None = None
    """Answers everything."""
    conn: asyncpg.Connection | None = None
    """Where reservations are deleted."""
    statuses: list[int] = field(default_factory=list)
    """Of the next deletions of reservations; then 200."""
    act_before_failing: bool = False
    """Deletes the reservation, and fails to say so."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        self.headers.append(request.headers)
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        if self.instead is not None:
            return self.instead(request)
        if path == "/auth/user/emailpass":
            return self._log_in(request)
        if path == "/admin/users/me":
            return self._admin(request)
        if path == "/store/customers/me":
            return self._customer(request)
        if path.startswith("/admin/reservations"):
            return await self._release(request)
        return httpx.Response(404, json={"type": "not_found", "message": "not here"})

    def _log_in(self, request: httpx.Request) -> httpx.Response:
        given = httpx.Response(200, content=request.content).json()
        if given.get("email") == UNANSWERED:
            raise httpx.ConnectError("refused", request=request)
        if self.people.get(given["email"]) != given["password"]:
            return httpx.Response(401, json={"type": "unauthorized", "message": "Invalid email or password"})
        return httpx.Response(200, json={} if self.second_factor else {"token": f"jwt-{given['email']}"})

    def _admin(self, request: httpx.Request) -> httpx.Response:
        bearer = str(request.headers.get("authorization", ""))
        token = bearer.removeprefix("Bearer jwt-")
        email = token if token != bearer else self.sessions.get(_session(request))
        if email is None or not self.is_admin or email in self.deleted:
            return httpx.Response(401, json={"message": "Unauthorized"})
        user = {"id": f"user_{email}", "email": email, "first_name": email.partition("@")[0].title(), "last_name": None}
        return httpx.Response(200, json={"user": user})

    def _customer(self, request: httpx.Request) -> httpx.Response:
        customer = self.customers.get(_session(request))
        if customer is None:
            return httpx.Response(401, json={"message": "Unauthorized"})
        return httpx.Response(200, json={"customer": {"id": customer}})

    async def _release(self, request: httpx.Request) -> httpx.Response:
        assert self.conn is not None, "a Medusa that releases needs a connection to its database"
        status = self.statuses.pop(0) if self.statuses else 200
        wanted = base64.b64encode(f"{SECRET_KEY}:".encode()).decode()
        if request.headers.get("authorization") != f"Basic {wanted}":
            status = 401
        reservation_id = request.url.path.rpartition("/")[2]
        if status == 200 or self.act_before_failing:
            await self.conn.execute(_RELEASE, reservation_id)
        if status == HANG:
            await asyncio.Event().wait()
        return httpx.Response(status, json={"id": reservation_id, "object": "reservation", "deleted": True})


def _session(request: httpx.Request) -> str:
    return str(request.headers.get("cookie", "")).removeprefix("connect.sid=")


@asynccontextmanager
async def listening(medusa: SimulatedMedusa) -> AsyncIterator[str]:
    """Its address, on this event loop."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ")
            headers = [(name, value) for name, _, value in (header.partition(": ") for header in lines) if name]
            length = int(httpx.Headers(headers).get("content-length", 0))
            request = httpx.Request(
                method, f"http://{HOST}{target}", headers=headers, content=await reader.readexactly(length)
            )
            answering, left = asyncio.create_task(medusa.answer(request)), asyncio.create_task(reader.read())
            await asyncio.wait({answering, left}, return_when=asyncio.FIRST_COMPLETED)
            left.cancel()
            if not answering.done():
                answering.cancel()
            elif answering.exception() is None:
                writer.write(_as_bytes(answering.result()))
                await writer.drain()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"


def _as_bytes(answer: httpx.Response) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(answer.content)}\r\n\r\n"
    )
    return head.encode() + answer.content


@contextmanager
def listening_in_a_thread(medusa: SimulatedMedusa) -> Iterator[str]:
    """Its address without a scheme, for tests that block. Each answer says that it is Medusa's."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = httpx.Request(
                self.command, f"http://{HOST}{self.path}", headers=dict(self.headers.items()), content=body
            )
            answer = asyncio.run(medusa.answer(request))
            self.send_response(answer.status_code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer.content)))
            self.send_header("x-answered-by", "medusa")
            self.end_headers()
            self.wfile.write(answer.content)

        def do_POST(self) -> None:
            self.do_GET()

        def do_OPTIONS(self) -> None:
            self.do_GET()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Log nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
