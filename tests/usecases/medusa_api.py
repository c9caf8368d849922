"""Medusa's ``DELETE /admin/reservations/:id``, stood in for: it answers, refuses or hangs as it is told."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

SECRET_KEY = "sk_of_medusa"
HANG = 0
"""As a status: no answer at all."""

_RELEASE = """
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
class MedusaApi:
    """What it was asked, and what it will say: the next of ``answers``, then 200."""

    conn: asyncpg.Connection
    url: str = ""
    asked: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    act_before_failing: bool = False
    """Does the work, and fails to say so."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *headers = head.split("\r\n")
        method, path, _ = line.split(" ")
        given = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
        wanted = base64.b64encode(f"{SECRET_KEY}:".encode()).decode()
        self.asked.append(f"{method} {path}")
        status = self.answers.pop(0) if self.answers else 200
        if given.get("authorization") != f"Basic {wanted}":
            status = 401
        reservation_id = path.rpartition("/")[2]
        if status == 200 or self.act_before_failing:
            await self.conn.execute(_RELEASE, reservation_id)
        if status == HANG:
            await reader.read()
        else:
            body = json.dumps({"id": reservation_id, "object": "reservation", "deleted": True}).encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
        writer.close()


@asynccontextmanager
async def medusa_api(conn: asyncpg.Connection) -> AsyncIterator[MedusaApi]:
    """A server on a port of its own."""
    api = MedusaApi(conn)
    server = await asyncio.start_server(api.answer, "127.0.0.1", 0)
    api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield api
    finally:
        server.close()
