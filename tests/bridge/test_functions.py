"""Functions in schema ``grace``: made by ``migrate``, missed by name, and never changed beneath a running process."""

from __future__ import annotations

import re

import asyncpg
import pytest

from app.ports import Connection, Services
from app.settings import Settings
from app.store.functions import Function, install
from app.store.migrate import migrate
from plugins.medusa_bridge import FUNCTIONS, SchemaMismatch
from plugins.medusa_bridge.orders import LOCK_ORDER
from tests.promises import broken_promises
from tests.usecases.ground import opened
from tests.world import ROLE, Shop


async def test_a_missing_one_is_named_and_migrate_makes_it(
    shop: Shop, settings: Settings, database: str, conn: asyncpg.Connection
) -> None:
    await conn.execute(f"drop function {LOCK_ORDER.name}")
    with pytest.raises(SchemaMismatch, match=rf"lacks {LOCK_ORDER.name}: run medusa-grace migrate"):
        async with opened(settings):
            pytest.fail("it started")
    found = [finding.detail for finding in await broken_promises(conn, None, at_rest=False)]
    assert f"function {LOCK_ORDER.name} does not exist" in found

    assert await migrate(database, FUNCTIONS) == [LOCK_ORDER.name]
    assert await migrate(database, FUNCTIONS) == []
    order = await shop.place()
    async with opened(settings) as services, services.db.transaction("test") as mine:
        read = await services.commerce.read_order(mine, order.id)
        locked = await services.commerce.lock_order(mine, order.id)
    assert read is not None
    assert locked is not None
    assert locked.read_at > read.read_at
    assert locked.payments == read.payments
    assert tuple(payment.id for payment in locked.payments) == order.payment_ids


async def test_another_text_is_another_function(conn: asyncpg.Connection) -> None:
    template = "create function {name} () returns text language sql as $$ {body} $$"
    before, after = [Function.of("greet", template, {"body": f"select '{word}'"}) for word in ("hallo", "hello")]
    assert await install(conn, [before]) == [before.name]
    assert await install(conn, [before, after]) == [after.name]
    assert await conn.fetchval(f"select {before.name}()") == "hallo"


async def test_a_role_may_call_it_in_a_house_that_gives_nothing_away(conn: asyncpg.Connection) -> None:
    """Where functions are not everybody's by default."""
    await conn.execute("alter default privileges revoke execute on functions from public")
    await conn.execute(f"drop function {LOCK_ORDER.name}")
    await install(conn, FUNCTIONS)
    assert await conn.fetchval("select has_function_privilege($1, $2, 'execute')", ROLE, f"{LOCK_ORDER.name}(text)")


async def test_it_does_nothing_that_the_caller_may_not(conn: asyncpg.Connection, settings: Settings) -> None:
    """With the rights of whoever calls, not of whoever made it; and the start says so."""
    await conn.execute(f"revoke select on refund from {ROLE}")
    with pytest.raises(SchemaMismatch, match="permission denied for table refund"):
        async with opened(settings):
            pytest.fail("it started")
    async with conn.transaction():
        await conn.execute(f"set local role {ROLE}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetch(f"select * from {LOCK_ORDER.name}('')")


async def test_what_only_the_function_trips_over_is_said_at_start(conn: asyncpg.Connection, settings: Settings) -> None:
    """A column of another type than it hands out."""
    await conn.execute('alter table "order" alter column version type bigint')
    with pytest.raises(SchemaMismatch, match=rf"{LOCK_ORDER.name}: structure of query does not match"):
        async with opened(settings):
            pytest.fail("it started")


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
    order = await services.commerce.lock_order(conn, order_id)
    assert order is not None
    assert await services.commerce.record_capture(conn, order, order.payments[0], None)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
async def test_no_variable_could_be_a_column_of_medusas(function: Function, conn: asyncpg.Connection) -> None:
    """A column wins over a variable of its name, without a word: one day a new release could have it."""
    given = await conn.fetchval(
        "select array(select a.name from unnest(p.proargnames, p.proargmodes) as a (name, mode) "
        "where coalesce(a.mode, 'i') = 'i') from pg_proc as p where p.oid = to_regproc($1)",
        function.name,
    )
    declared = re.search(r"\ndeclare\n(.*?)\nbegin\n", function.text, re.DOTALL)
    variables = [*given, *re.findall(r"^ {4}(\w+) ", declared[1] if declared else "", re.MULTILINE)]
    assert [name for name in variables if name and not name.startswith("the_")] == []
