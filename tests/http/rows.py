"""Rows of the whole database, of a lock that is waited for, and of a job."""

from __future__ import annotations

import asyncpg

from app.embedded.shop import PlacedOrder
from tests.world import Shop, eventually

_TABLES = """
select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'grace')
    and tablename <> 'events' order by 1
"""


async def everything(conn: asyncpg.Connection) -> dict[str, list[str]]:
    """Every row of every table, Medusa's and ours, that anything is decided by: not the timeline shown to people."""
    tables = [row[0] for row in await conn.fetch(_TABLES)]
    rows: dict[str, list[str]] = {table: [] for table in tables}
    parts = [f"select '{table}', to_jsonb(t)::text from {table} as t" for table in tables]
    for table, row in await conn.fetch(f"{' union all '.join(parts)} order by 1, 2"):
        rows[table].append(row)
    return rows


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
