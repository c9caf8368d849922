"""What a refusal must look like and leave alone, and tokens that nobody should make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import jwt

from app.embedded.shop import PlacedOrder
from tests.world import JWT_SECRET, SECRET, Api, Shop, eventually

JSON_TYPE = "application/json; charset=utf-8"

_TABLES = """
select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'grace')
    and tablename <> 'events' order by 1
"""

Body = dict[str, str]


async def everything(conn: asyncpg.Connection) -> dict[str, list[str]]:
    """Every row of every table, Medusa's and ours, that anything is decided by: not the timeline shown to people."""
    tables = [row[0] for row in await conn.fetch(_TABLES)]
    rows: dict[str, list[str]] = {table: [] for table in tables}
    parts = [f"select '{table}', to_jsonb(t)::text from {table} as t" for table in tables]
    for table, row in await conn.fetch(f"{' union all '.join(parts)} order by 1, 2"):
        rows[table].append(row)
    return rows


async def assert_refused(
    shop: Shop, api: Api, order_id: str, status: int, body: Body, **request: Any
) -> httpx.Response:
    """The cancel is answered with just that, and not one row of the database is another one afterwards."""
    before = await everything(shop.conn)
    answer = await api.cancel(order_id, **request)
    assert_answer(answer, status, body)
    assert await everything(shop.conn) == before
    return answer


def assert_answer(answer: httpx.Response, status: int, body: Body) -> None:
    """Status, and the body to the byte: Medusa's order of keys counts."""
    assert (answer.status_code, answer.text) == (status, compact(body))
    assert answer.headers.get_list("content-type") == [JSON_TYPE]


def compact(body: Body) -> str:
    """As Express writes JSON."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def not_found(order_id: str) -> Body:
    """Medusa's own words."""
    return {"code": "not_found", "type": "not_found", "message": f"Order id not found: {order_id}"}


def conflict(code: str, message: str, reason: str) -> Body:
    """409."""
    return {"code": code, "type": "conflict", "message": message, "reason": reason}


def in_seconds(seconds: float) -> int:
    """A moment as tokens spell it."""
    return int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp())


def modification_token(for_order: str, *, key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A token with these claims beside a good ``order_id`` and ``exp``; a claim of ``None`` is left out."""
    given = {"order_id": for_order, "exp": in_seconds(3600), **claims}
    return jwt.encode({name: value for name, value in given.items() if value is not None}, key, algorithm=algorithm)


def customer_token(order: PlacedOrder, *, secret: str = JWT_SECRET, **claims: Any) -> str:
    """A token as Medusa makes it for the order's customer at log-in; a claim of ``None`` is left out."""
    given = {
        "actor_id": order.customer_id,
        "actor_type": "customer",
        "auth_identity_id": "authid_01M82MGPYYHGSM41XBR1GMBMVJ",
        "auth_provider": "emailpass",
        "mfa_enabled": False,
        "app_metadata": {"customer_id": order.customer_id},
        "user_metadata": {},
        "iat": in_seconds(0),
        "exp": in_seconds(86_400),
        **claims,
    }
    return jwt.encode({name: value for name, value in given.items() if value is not None}, secret, algorithm="HS256")


def bearer(token: str) -> dict[str, str]:
    """The header of a signed-in customer."""
    return {"authorization": f"Bearer {token}"}


def hmac_signed(header: dict[str, Any], claims: dict[str, Any] | bytes, secret: bytes) -> str:
    """A token that jwt libraries refuse to make."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{_base64(json.dumps(header).encode())}.{_base64(payload)}"
    return f"{signed}.{_base64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def waiting_for_a_lock(conn: asyncpg.Connection, sessions: int = 1) -> None:
    """Until so many sessions of this database wait for somebody's lock."""

    async def enough() -> bool:
        waiting = await conn.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        return bool(waiting >= sessions)

    await eventually(enough, within=3, message="nobody waits for a lock")


async def add_capture_job(
    shop: Shop, order: PlacedOrder, state: str, *, in_doubt: bool = False, failures: int = 0, payment: int = 0
) -> None:
    """A capture job as a worker would have left it."""
    await shop.conn.execute(
        "insert into grace.jobs"
        " (kind, order_id, subject, state, run_at, in_doubt, failures, failing_since, lease_until)"
        " values ('capture', $1, $2, $3, now(), $4, $5, case when $5 > 0 then now() end,"
        " case when $3 = 'running' then now() + interval '20 s' end)",
        order.id,
        order.payment_ids[payment],
        state,
        in_doubt,
        failures,
    )
