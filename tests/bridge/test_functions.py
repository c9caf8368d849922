"""Functions in schema ``grace``: made by ``migrate``, missed by name, and never changed beneath a running process."""

from __future__ import annotations

import re

import asyncpg
import pytest

from app.ports import Connection, Services
from app.settings import Settings
from app.store.migrate import FOLDER, drop_old_functions
from plugins.medusa_bridge import SchemaMismatch
from tests.promises import broken_promises
from tests.usecases.hand import opened
from tests.world import ROLE, Shop

LOCK = "grace.lock_order_v1"
READ = "grace.read_order_v1"
NAMES = [
    name
    for path in sorted(FOLDER.glob("*.sql"))
    for name in re.findall(r"^create (?:or replace )?function grace\.(\w+_v\d+) ", path.read_text(), re.MULTILINE)
]


async def test_a_missing_one_is_named(settings: Settings, conn: asyncpg.Connection) -> None:
    await conn.execute(f"drop function {LOCK}")
    with pytest.raises(SchemaMismatch, match=rf"lock_order: function {LOCK}\(\w+\) does not exist"):
        async with opened(settings):
            pytest.fail("it started")
    found = [finding.detail for finding in await broken_promises(conn, None, at_rest=False)]
    assert any(f"function {LOCK}" in detail and "does not exist" in detail for detail in found), found


async def test_what_is_read_behind_the_locks_is_read_after_they_were_had(shop: Shop, settings: Settings) -> None:
    order = await shop.place()
    async with opened(settings) as services, services.db.transaction("test") as mine:
        read = await services.orders.read_order(mine, order.id)
        locked = await services.orders.lock_order(mine, order.id)
    assert read is not None
    assert locked is not None
    assert locked.read_at > read.read_at
    assert locked.payments == read.payments
    assert locked.mark == read.mark
    assert tuple(payment.id for payment in locked.payments) == order.payment_ids


def test_each_has_its_version_in_its_name_and_is_made_by_one_migration() -> None:
    texts = "".join(path.read_text() for path in FOLDER.glob("*.sql"))
    versioned = re.findall(r"^create (?:or replace )?function grace\.(\w+) ", texts, re.MULTILINE)
    assert [name for name in versioned if not re.search(r"_v\d+$", name)] == ["new_ulid"]
    assert len(set(NAMES)) == len(NAMES) == 17


async def test_old_ones_stay_until_they_are_dropped(database: str, conn: asyncpg.Connection) -> None:
    await conn.execute(
        "create function grace.lock_order_0123abcd (text) returns text language sql as 'select $1';"
        "create function grace.lock_order_v2 (text) returns text language sql as 'select $1'"
    )
    assert await drop_old_functions(database) == ["drop function grace.lock_order_0123abcd(text)"]
    assert await drop_old_functions(database) == []
    assert await conn.fetchval("select grace.lock_order_v2('x')") == "x"


async def test_a_role_may_call_each_where_functions_are_not_everybodys_by_default(conn: asyncpg.Connection) -> None:
    rows = await conn.fetch(
        "select proname, has_function_privilege($1, oid, 'execute') as may, proacl::text as granted from pg_proc "
        "where pronamespace = 'grace'::regnamespace and proname ~ '_v[0-9]+$'",
        ROLE,
    )
    assert {row["proname"] for row in rows} == set(NAMES)
    assert [row["proname"] for row in rows if not row["may"] or row["granted"] is None] == []


async def test_it_does_nothing_that_the_caller_may_not(conn: asyncpg.Connection, settings: Settings) -> None:
    """With the rights of whoever calls, not of whoever made it; and the start says so."""
    await conn.execute(f"revoke select on refund from {ROLE}")
    with pytest.raises(SchemaMismatch, match="permission denied for table refund"):
        async with opened(settings):
            pytest.fail("it started")
    async with conn.transaction():
        await conn.execute(f"set local role {ROLE}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetch(f"select * from {LOCK}('')")


async def test_what_only_the_function_trips_over_is_said_at_start(conn: asyncpg.Connection, settings: Settings) -> None:
    """A column of another type than it hands out; and one that only a cancel writes."""
    await conn.execute("alter table capture alter amount type text")
    await conn.execute("alter table order_change drop column declined_at")
    with pytest.raises(SchemaMismatch) as refused:
        async with opened(settings):
            pytest.fail("it started")
    assert "read_order_v1: function sum(text) does not exist" in str(refused.value)
    assert "cancel_order_v1: column order_change.declined_at: does not exist" in str(refused.value)


async def test_a_capture_is_booked_without_a_look_at_those_of_others(
    shop: Shop, settings: Settings, conn: asyncpg.Connection
) -> None:
    """Where the table was empty when the connection made its plans, too: they are kept."""
    await conn.execute("vacuum analyze capture")
    before, order = await shop.place(), await shop.place()
    read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'capture'"
    many = (
        "insert into capture (id, amount, raw_amount, payment_id) "
        "select 'capt_' || n, 1, '{}', $1 from generate_series(1, 500) as n"
    )
    async with opened(settings) as services, services.db.transaction("test") as mine:
        await _book(services, mine, before.id)
        await mine.execute(many, before.payment_ids[0])
        so_far = await mine.fetchval(read)
        await _book(services, mine, order.id)
        assert await mine.fetchval(read) - so_far < 10


async def _book(services: Services, conn: Connection, order_id: str) -> None:
    order = await services.orders.lock_order(conn, order_id)
    assert order is not None
    assert await services.payments.record_capture(conn, order, order.payments[0], None)


@pytest.mark.parametrize("name", NAMES)
async def test_no_variable_could_be_a_column_of_medusas(name: str, conn: asyncpg.Connection) -> None:
    """A column wins over a variable of its name, without a word: one day a new release could have it."""
    given, body = await conn.fetchrow(
        "select array(select a.name from unnest(p.proargnames, p.proargmodes) as a (name, mode) "
        "where coalesce(a.mode, 'i') = 'i'), p.prosrc from pg_proc as p where p.oid = to_regproc($1)",
        f"grace.{name}",
    ) or ((), "")
    declared = re.search(r"\ndeclare\n(.*?)\nbegin\n", body, re.DOTALL)
    variables = [*given, *re.findall(r"^ {4}(\w+) ", declared[1] if declared else "", re.MULTILINE)]
    assert variables
    assert [name for name in variables if name and not name.startswith("the_")] == []
