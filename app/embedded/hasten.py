"""Captures that come due earlier than ``CAPTURE_DELAY_SECONDS`` allows, where nobody has half a minute to wait."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

_HASTEN = """
create or replace function grace.hasten_capture() returns trigger language plpgsql as $$
begin
    new.run_at := new.run_at - tg_argv[0]::interval;
    return new;
end $$;
create or replace trigger hasten_capture before insert on grace.jobs
for each row when (new.kind = 'capture') execute function grace.hasten_capture('{} seconds')
"""


async def hasten_captures(conn: asyncpg.Connection[asyncpg.Record], by: timedelta) -> None:
    """Move every capture that is scheduled from now on ``by`` so much forward, in its row.

    A trigger of the small shop's database: the processes are those of a real shop, with settings that they accept.
    """
    await conn.execute(_HASTEN.format(by.total_seconds()))
