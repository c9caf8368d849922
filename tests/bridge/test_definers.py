"""Definers: what they hand out, for which schema, and that they stand in nobody's way."""

from __future__ import annotations

import json

import asyncpg
import pytest

from app.embedded.postgres import Postgres
from app.runtime import NotReady
from app.settings import Settings
from app.store.migrate import MigrationError, migrate
from plugins.medusa_bridge.grants import OF_DEFINERS
from tests.leftovers import connected
from tests.promises import broken_promises
from tests.usecases.hand import opened
from tests.world import ROLE_PASSWORD, Shop, as_role

DEFINERS = "0009_definers"
INTENT = "grace.payment_intent_v1"


async def intent_of(conn: asyncpg.Connection, payment_id: str) -> dict[str, str | None]:
    """What ``payment_intent`` hands out."""
    found: str = await conn.fetchval(f"select {INTENT}($1)::text", payment_id)
    intent: dict[str, str | None] = json.loads(found)
    return intent


@pytest.mark.parametrize("data", ["null", "'null'", "'[]'", "'7'", "'\"text\"'", "'{}'"])
async def test_a_payment_without_an_intent_has_none(shop: Shop, data: str) -> None:
    """Other providers keep what they like in ``data``."""
    order = await shop.place()
    await shop.conn.execute(f"update payment set data = {data}")
    assert set((await intent_of(shop.conn, order.payment_ids[0])).values()) == {None}


async def test_medusas_next_release_may_change_the_columns(shop: Shop, settings: Settings, database: str) -> None:
    """Nothing of ours depends on them: no view, and no function whose body Postgres has looked into."""
    order = await shop.place()
    before = await intent_of(shop.conn, order.payment_ids[0])
    async with opened(settings) as services:
        async with services.db.read("test") as conn:
            assert await services.orders.read_order(conn, order.id)
        for table, columns in OF_DEFINERS.items():
            for column in columns:
                kind = await shop.conn.fetchval(
                    "select format_type(atttypid, null) from pg_attribute "
                    "where attrelid = to_regclass(quote_ident($1)) and attname = $2",
                    table,
                    column,
                )
                if kind in ("jsonb", "text"):
                    other = {"jsonb": "json", "text": "varchar"}[kind]
                    await shop.conn.execute(
                        f'alter table "{table}" alter column {column} drop default, alter column {column} type {other}'
                    )
        async with services.db.read("test") as conn:
            read = await services.orders.read_order(conn, order.id)
    assert read is not None
    assert read.payments[0].intent_id == before["id"]
    assert await intent_of(shop.conn, order.payment_ids[0]) == before


async def test_migrate_follows_medusas_tables_into_another_schema(
    shop: Shop, settings: Settings, database: str, conn: asyncpg.Connection
) -> None:
    """A shop's own role setting says where they are; until then processes do not start, and the doctor says why."""
    order = await shop.place()
    before = await intent_of(conn, order.payment_ids[0])
    name = await conn.fetchval("select current_database()")
    await conn.execute(
        f'alter schema public rename to "Shop ""1"""; alter database {name} set search_path = "Shop ""1"""'
    )
    with pytest.raises(NotReady, match=rf"the database lacks {DEFINERS}: run medusa-grace migrate"):
        async with opened(settings):
            pytest.fail("it started")
    async with connected(database) as moved:
        found = [finding.detail for finding in await broken_promises(moved, None, at_rest=False)]
        assert any(DEFINERS in detail for detail in found), found
        assert await migrate(database) == [DEFINERS]
        assert await migrate(database) == []
        assert await intent_of(moved, order.payment_ids[0]) == before
    async with opened(settings) as services, services.db.transaction("test") as mine:
        read = await services.orders.lock_order(mine, order.id)
        assert read is not None
        assert read.payments[0].intent_id == before["id"]


async def test_no_table_or_operator_of_the_caller_is_used(shop: Shop, database: str) -> None:
    """With the rights of who migrates, whatever stands first in the caller's search path."""
    order = await shop.place()
    before = await intent_of(shop.conn, order.payment_ids[0])
    async with connected(as_role(database)) as conn:
        await conn.execute(
            "create temp table payment (id text, data jsonb); set search_path = pg_temp, pg_catalog, public;"
            "create function pg_temp.trap(jsonb, text) returns text language sql as 'select current_user::text';"
            "create operator pg_temp.->> (leftarg = jsonb, rightarg = text, function = pg_temp.trap)"
        )
        await conn.execute('insert into payment values ($1, \'{"id": "pi_trap"}\')', order.payment_ids[0])
        assert await intent_of(conn, order.payment_ids[0]) == before
    definers = await shop.conn.fetch(
        "select proconfig, prosrc from pg_proc where pronamespace = 'grace'::regnamespace and prosecdef"
    )
    assert len(definers) == 9
    for definer in definers:
        assert "search_path=pg_catalog, pg_temp" in definer["proconfig"]
        assert "execute " not in definer["prosrc"].lower()


async def test_without_the_shops_tables_it_is_said(postgres: Postgres, database: str) -> None:
    name = f"{database.rpartition('/')[2]}_bare"
    admin = await asyncpg.connect(postgres.dsn())
    await admin.execute(f"create database {name}")
    try:
        with pytest.raises(MigrationError, match=rf'{DEFINERS}: there is no table "order"'):
            await migrate(postgres.dsn(name))
    finally:
        await admin.execute(f"drop database {name}")
        await admin.close()


async def test_another_owner_is_told(shop: Shop, database: str) -> None:
    """Of a function that is to read another schema."""
    await shop.conn.execute('create schema another; create table another."order" (id text)')
    role = "migrator_of_tests"
    await shop.conn.execute(f"create role {role} login password '{ROLE_PASSWORD}'")
    try:
        await shop.conn.execute(f"grant usage, create on schema another, grace to {role}")
        await shop.conn.execute(f"grant all on all tables in schema grace to {role}")
        await shop.conn.execute(f"alter role {role} set search_path = another")
        with pytest.raises(MigrationError, match=rf"{DEFINERS}: must be owner .* Migrate as its owner"):
            await migrate(as_role(database, role, ROLE_PASSWORD))
    finally:
        await shop.conn.execute(f"drop owned by {role}; drop role {role}")


async def test_refunds_of_sessions_that_are_there_are_noted(shop: Shop) -> None:
    """Nothing is noted where nothing ever was; a refund that failed later is; a deleted session is left alone."""
    note = "select grace.note_session_refund_v1($1, $2)"
    order = await shop.place()
    session_id = await shop.conn.fetchval("select payment_session_id from payment where id = $1", order.payment_ids[0])
    read = "select metadata ->> 'grace_refunded' from payment_session where id = $1"
    for refunded, noted in ((0, None), (5, "5"), (0, "0"), (7, "7")):
        await shop.conn.execute(note, session_id, refunded)
        assert await shop.conn.fetchval(read, session_id) == noted
    await shop.conn.execute("update payment_session set deleted_at = now()")
    await shop.conn.execute(note, session_id, 9)
    assert await shop.conn.fetchval(read, session_id) == "7"
