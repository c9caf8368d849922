"""``migrate --grants``: a role that can do the work, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final
from urllib.parse import quote

import asyncpg
import pytest
from msgspec import structs

from app.domain.jobs import JobKind
from app.domain.rights import Right
from app.embedded.postgres import Postgres
from app.embedded.shop import SYSTEM, Payment, PlacedOrder, create_publishable_key, create_tables, place_order
from app.embedded.shop_sessions import open_session
from app.embedded.shop_transfers import change_email, request_transfer
from app.roles import check_shop, grant_role, print_grants
from app.runtime import NotReady
from app.schema_checks import plan
from app.settings import Settings
from app.sql_files import read_statements
from app.store import turns
from app.store.grants import GrantError, grant, own_rights
from app.store.migrate import migrate
from app.store.sql import SQL
from app.usecases.cancel_order import Canceled
from plugins.medusa_bridge import NoShop, SchemaMismatch
from plugins.medusa_bridge.grants import READ, as_arguments, medusa_rights
from plugins.medusa_bridge.sqlfile import FOLDER, statement
from tests.databases import copied
from tests.leftovers import connected
from tests.promises import broken_promises
from tests.usecases.hand import Hand, opened
from tests.world import ROLE, Shop, as_role, eventually

PASSWORD = "a-password-of-the-tests"
_WIDE = (FOLDER / "find_wide_grants.sql").read_text()
_numbers = itertools.count(1)
LISTED = [right for right in medusa_rights("public") if right.table]


@pytest.fixture
async def role(conn: asyncpg.Connection) -> AsyncIterator[str]:
    """The name of a role that does not exist yet, and is gone afterwards. Names are not always plain words."""
    name = f'gr"ace {os.getpid()} {next(_numbers)}'
    quoted = '"' + name.replace('"', '""') + '"'
    yield name
    if await conn.fetchval("select 1 from pg_roles where rolname = $1", name):
        await conn.execute(f"drop owned by {quoted}; drop role {quoted}")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def test_it_is_made_granted_and_left_alone_the_second_time(
    database: str, conn: asyncpg.Connection, role: str
) -> None:
    done = await grant_role(database, role, password=None)
    assert done[0] == f"create role {quoted(role)} login"
    assert any('grant update ("canceled_at", "status", "updated_at") on "public"."order"' in line for line in done)
    assert await grant_role(database, role, password=None) == []
    row = await conn.fetchrow("select * from pg_roles where rolname = $1", role)
    assert row is not None
    powers = [name for name in row.keys() if name.startswith("rol") and row[name] is True]  # noqa: SIM118
    assert powers == ["rolinherit", "rolcanlogin"]


async def test_several_at_once_are_one(database: str, role: str) -> None:
    """Each start of a container may run it."""
    for password in (PASSWORD, PASSWORD[::-1]):
        done = await asyncio.gather(*(grant_role(database, role, password=password) for _ in range(4)))
        assert sum(map(bool, done)) == (1 if password == PASSWORD else 0)
    assert await grant_role(database, role, password=None) == []


async def test_it_waits_in_turns_while_medusa_migrates(
    database: str, conn: asyncpg.Connection, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two tries it holds nothing, so that Medusa's migration can go on to any other table."""
    monkeypatch.setattr(turns, "LOCK_TIMEOUT", "100ms")
    medusas = await asyncpg.connect(database)
    async with medusas.transaction():
        await medusas.execute("alter table reservation_item add column of_tomorrow text")
        granting = asyncio.create_task(grant_role(database, role, password=None))
        await eventually(lambda: _waits(conn), within=30)
        await medusas.execute('alter table "order" add column of_tomorrow text')
        assert not granting.done()
    await medusas.close()
    assert len(await asyncio.wait_for(granting, 30)) > 1
    assert await grant_role(database, role, password=None) == []


async def test_what_changed_beneath_it_is_read_again(database: str, conn: asyncpg.Connection, role: str) -> None:
    """Postgres calls it "tuple concurrently updated"."""
    await grant_role(database, role, password=None)
    async with conn.transaction():
        await conn.execute(f"alter role {quoted(role)} connection limit 5")
        granting = asyncio.create_task(grant_role(database, role, password=PASSWORD))
        await eventually(lambda: _waits(conn), within=30)
    assert await asyncio.wait_for(granting, 30) == []
    await (await asyncpg.connect(as_role(database, quote(role), PASSWORD))).close()


async def test_it_gives_up_in_words_and_grants_nothing(
    database: str, conn: asyncpg.Connection, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LOCK_TIMEOUT", "50ms")
    medusas = await asyncpg.connect(database)
    async with medusas.transaction():
        await medusas.execute("alter table reservation_item add column of_tomorrow text")
        with pytest.raises(GrantError, match=r"somebody is in the way for more than 0 s .* run this again"):
            await grant(conn, role, LISTED, password=None, patience=0.2)
    await medusas.close()
    assert await conn.fetchval("select count(*) from pg_roles where rolname = $1", role) == 0


async def test_the_password_is_that_of_the_environment_and_may_change(database: str, role: str) -> None:
    for password in (PASSWORD, PASSWORD[::-1]):
        await grant_role(database, role, password=password)
        conn = await asyncpg.connect(as_role(database, quote(role), password))
        await conn.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(as_role(database, quote(role), PASSWORD))


async def test_what_an_earlier_version_granted_is_revoked(database: str, conn: asyncpg.Connection, role: str) -> None:
    await conn.execute(
        f"create role {quoted(role)} login;"
        f'grant update on "order", payment to {quoted(role)}; grant select (email) on customer to {quoted(role)};'
        f"grant delete on grace.jobs to {quoted(role)}; grant create on schema public, grace to {quoted(role)}"
    )
    done = await grant_role(database, role, password=None)
    gone = [line for line in done if line.startswith("revoke")]
    assert [line.removesuffix(f" from {quoted(role)}") for line in gone] == [
        'revoke create on schema "grace"',
        'revoke delete on "grace"."jobs"',
        'revoke create on schema "public"',
        'revoke select ("email") on "public"."customer"',
        'revoke update on "public"."order"',
        'revoke update on "public"."payment"',
    ]
    assert await grant_role(database, role, password=None) == []
    held = await conn.fetchrow(
        "select has_table_privilege($1, 'payment', 'update') as all, "
        "has_column_privilege($1, 'payment', 'amount', 'update') as amount, "
        "has_column_privilege($1, 'payment', 'canceled_at', 'update') as canceled_at",
        role,
    )
    assert held is not None
    assert tuple(held) == (False, False, True)


async def test_tables_of_later_migrations_are_granted_too(database: str, conn: asyncpg.Connection, role: str) -> None:
    await grant_role(database, role, password=None)
    await conn.execute("create table grace.of_tomorrow (id bigint generated always as identity primary key)")
    for privilege, may in (("select", True), ("insert", True), ("update", True), ("delete", False)):
        held = await conn.fetchval("select has_table_privilege($1, 'grace.of_tomorrow', $2)", role, privilege)
        assert held is may
    assert not await conn.fetchval("select has_table_privilege($1, 'grace.migrations', 'insert')", role)


async def test_printed_it_is_the_same(database: str, conn: asyncpg.Connection, role: str) -> None:
    printed = await print_grants(database, role)
    await conn.execute(f"create role {quoted(role)} login")
    await conn.execute(";".join(printed))
    assert await grant_role(database, role, password=None) == []


@pytest.mark.parametrize("name", ["superuser", "itself"])
async def test_a_role_that_no_grant_limits_is_refused(
    database: str, conn: asyncpg.Connection, role: str, name: str
) -> None:
    await conn.execute(f"create role {quoted(role)} login {'superuser' if name == 'superuser' else ''}")
    mine = role if name == "superuser" else await conn.fetchval("select current_user")
    with pytest.raises(GrantError, match="choose another"):
        await grant_role(database, mine, password=None)


async def test_a_person_without_the_right_to_create_roles_is_told(database: str, role: str) -> None:
    with pytest.raises(GrantError, match=r"may not create it: create it as an administrator"):
        await grant_role(as_role(database), role, password=None)


async def test_a_person_who_does_not_own_the_tables_is_told(database: str, conn: asyncpg.Connection, role: str) -> None:
    await conn.execute(f"create role {quoted(role)} login")
    with pytest.raises(GrantError, match="Migrate as the owner of Medusa's tables"):
        await grant_role(as_role(database), role, password=None)


async def test_the_doctor_finds_the_grants_neither_too_wide_nor_too_narrow(database: str) -> None:
    conn = await asyncpg.connect(as_role(database))
    try:
        assert await broken_promises(conn, None, at_rest=False) == []
    finally:
        await conn.close()


@pytest.mark.parametrize("right", LISTED, ids=lambda r: f"{r.privilege}-{r.table}-{r.column}".rstrip("-"))
async def test_each_right_is_needed(shared: asyncpg.Connection, right: Right) -> None:
    """Without it, a statement of ours is refused: the list has nothing to spare."""
    column = f" ({quoted(right.column)})" if right.column else ""
    async with Undone(shared):
        await shared.execute(f"revoke {right.privilege}{column} on {quoted(right.table)} from {ROLE}")
        await shared.execute(f"set local role {ROLE}")
        assert await anext(_refusals(shared, right.table), None) is not None


async def test_each_right_in_our_own_schema_is_needed_somewhere(shared: asyncpg.Connection) -> None:
    """By table; where a table is never updated, say, the right to is one of the three that all tables get."""
    for right in await own_rights(shared):
        if right.privilege == "select":
            async with Undone(shared):
                await shared.execute(f"revoke all on grace.{right.table} from {ROLE}")
                await shared.execute(f"set local role {ROLE}")
                refused = await anext(_refusals(shared, right.table), None)
                assert refused is not None or right.table == "migrations"


async def test_with_all_of_them_nothing_is_refused(shared: asyncpg.Connection) -> None:
    async with Undone(shared):
        await shared.execute(f"set local role {ROLE}")
        assert [name async for name in _refusals(shared)] == []


async def test_a_process_says_what_it_may_not(shop: Shop, settings: Settings) -> None:
    await shop.conn.execute(f'revoke update on "order" from {ROLE}; revoke update (status) on "order" from {ROLE}')
    with pytest.raises(
        SchemaMismatch, match=r'(?s)migrate --grants.*column "order".status: permission denied to update it'
    ):
        async with opened(settings):
            pytest.fail("it started")
    await shop.conn.execute(f"revoke usage on schema grace from {ROLE}")
    with pytest.raises(NotReady, match=r"cannot use schema grace .*: run medusa-grace migrate --grants ROLE"):
        async with opened(settings):
            pytest.fail("it started")


async def _waits(conn: asyncpg.Connection) -> bool:
    return bool(await conn.fetchval("select count(*) from pg_locks where not granted"))


class Undone:
    """A transaction that is rolled back."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._transaction = conn.transaction()

    async def __aenter__(self) -> None:
        await self._transaction.start()

    async def __aexit__(self, *_: object) -> None:
        await self._transaction.rollback()


@pytest.fixture(scope="module")
async def shared(postgres: Postgres, shop_template: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for tests that leave no trace, to a shop with an order."""
    async with copied(postgres, shop_template, prefix="grants") as dsn, connected(dsn) as conn:
        await place_order(conn, payments=(Payment(provider_id=SYSTEM),))
        yield conn


_OF_FUNCTIONS: Final = {
    "read_order_v1": 'select grace.read_order_v1(id) from "order"',
    "placed_at_v1": 'select grace.placed_at_v1(id, 1, now(), now()) from "order"',
    "claim_job_v1": """select grace.claim_job_v1('', '', '', id, 1, interval '1 s', true) from "order" """,
    "cancel_order_v1": """
        select grace.cancel_order_v1(
            o.id, (select mark from grace.read_order_v1(o.id) limit 1), '{}', '{}', 'token', null, 'request', null,
            '{void}', '{pay_1}', null, '{pay_1}', '{order_1}', '{2026-01-01}'
        ) from "order" as o""",
}
"""Calls: Postgres asks for the privileges of a function's statements when they are run."""


async def _refusals(conn: asyncpg.Connection, naming: str = "") -> AsyncIterator[str]:
    """Statements of ours that name a table, the doctor's included, and functions, that the present role may not run;
    locks are tried too."""
    for folder in (FOLDER, SQL):
        for name, text in read_statements(folder):
            if naming in text and await _is_refused(conn, partial(_plan, conn, text)):
                yield name
    for name, text in _OF_FUNCTIONS.items():
        if await _is_refused(conn, partial(conn.execute, text)):
            yield name


async def _plan(conn: asyncpg.Connection, text: str) -> None:
    prepared = await conn.prepare(text)
    await plan(conn, text, len(prepared.get_parameters()))


async def _is_refused(conn: asyncpg.Connection, act: Callable[[], Awaitable[object]]) -> bool:
    await conn.execute("savepoint trying")
    try:
        await act()
    except asyncpg.InsufficientPrivilegeError:
        return True
    finally:
        await conn.execute("rollback to savepoint trying")
    return False


async def test_powers_beside_the_grants_are_named(database: str, conn: asyncpg.Connection, role: str) -> None:
    """Attributes and memberships are an administrator's business: they are said, and not taken away."""
    await grant_role(database, role, password=None)
    await conn.execute(
        f"alter role {quoted(role)} createdb createrole bypassrls; grant pg_read_all_data to {quoted(role)}"
    )
    said = await grant_role(database, role, password=None)
    assert said == [
        f"-- too wide: {quoted(role)} has BYPASSRLS: alter role {quoted(role)} nobypassrls",
        f"-- too wide: {quoted(role)} has CREATEDB: alter role {quoted(role)} nocreatedb",
        f"-- too wide: {quoted(role)} has CREATEROLE: alter role {quoted(role)} nocreaterole",
        f"-- too wide: {quoted(role)} is a member of pg_read_all_data: revoke pg_read_all_data from {quoted(role)}",
    ]
    await conn.execute(f"set role {quoted(role)}")
    wide = [row["detail"] for row in await conn.fetch(_WIDE, *as_arguments())]
    await conn.execute("reset role")
    assert f"{quoted(role)} has CREATEDB" in wide
    assert f"{quoted(role)} is a member of pg_read_all_data" in wide


async def test_events_are_only_added(database: str, conn: asyncpg.Connection, role: str) -> None:
    await grant_role(database, role, password=None)
    await conn.execute(f"set role {quoted(role)}")
    await conn.execute("insert into grace.events (order_id, kind) values ('order_1', 'job_done')")
    for text in ("update grace.events set actor = 'x'", "delete from grace.events", "truncate grace.events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(text)
    await conn.execute("reset role")


_SECRETS = {
    "api_key": {"token", "salt", "redacted", "title", "created_by"},
    "order": {"email", "metadata", "shipping_address_id", "billing_address_id"},
    "payment": {"data", "metadata"},
    "payment_session": {"data", "metadata", "context"},
    "order_change": {"description", "internal_note", "created_by", "requested_by", "metadata"},
    "order_change_action": {"details", "internal_note"},
    "order_line_item": {"metadata"},
    "refund": {"note", "created_by", "metadata"},
}


async def test_no_table_of_the_shop_is_read_whole(database: str, conn: asyncpg.Connection, role: str) -> None:
    """Secrets, addresses and notes of people stand beside what is needed."""
    await grant_role(database, role, password=None)
    for table in READ:
        assert not await conn.fetchval("select has_table_privilege($1, quote_ident($2), 'select')", role, table), table
    for table, columns in _SECRETS.items():
        for column in columns:
            held = await conn.fetchval(
                "select has_column_privilege($1, quote_ident($2), $3, 'select')", role, table, column
            )
            assert held is False, f"{table}.{column}"
    await conn.execute(f"set role {quoted(role)}")
    for text in ("select * from api_key", 'select to_jsonb(o) from "order" as o', "select * from payment"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(text)
    await conn.execute("reset role")


async def test_processes_of_the_version_before_keep_what_they_read_until_they_are_gone(
    database: str, conn: asyncpg.Connection, role: str
) -> None:
    """23ee18c reads whole rows of orders and API keys: they are left, said, and taken away when it is asked for."""
    await conn.execute(f'create role {quoted(role)} login; grant select on "order", api_key to {quoted(role)}')
    first = await grant_role(database, role, password=None)
    assert not any(line.startswith("revoke") for line in first)
    left = [
        f'-- left: grant select on "public"."{table}" to {quoted(role)}: for processes of the version before; '
        "--revoke takes it away"
        for table in ("api_key", "order")
    ]
    assert await grant_role(database, role, password=None) == left
    await conn.execute(f"set role {quoted(role)}")
    await conn.execute('select to_jsonb(k), to_jsonb(o) from api_key as k cross join "order" as o')
    wide = [row["detail"] for row in await conn.fetch(_WIDE, *as_arguments())]
    await conn.execute("reset role")
    assert wide == [f"{quoted(role)} may read api_key", f"{quoted(role)} may read too much of order"]
    done = await grant_role(database, role, password=None, revoke=True)
    assert done[:2] == [f'revoke select on "public"."{t}" from {quoted(role)}' for t in ("api_key", "order")]
    assert await grant_role(database, role, password=None) == []
    assert await conn.fetchval("select has_column_privilege($1, quote_ident('order'), 'id', 'select')", role)
    assert not await conn.fetchval("select has_any_column_privilege($1, 'api_key', 'select')", role)


async def test_columns_that_an_older_medusa_lacks_are_not_granted(
    database: str, conn: asyncpg.Connection, role: str
) -> None:
    """Its statements do without: the order's own number, and keys that are deleted."""
    await conn.execute('alter table "order" drop column custom_display_id; alter table api_key drop column deleted_at')
    await conn.execute(
        "insert into api_key (id, token, salt, redacted, title, type, created_by) "
        "values ('apk_1', 'pk_1', '', '', '', 'publishable', '')"
    )
    await conn.execute("insert into \"order\" (id, display_id, currency_code) values ('order_1', 7, 'eur')")
    await grant_role(database, role, password=None)
    await conn.execute(f"set role {quoted(role)}")
    assert await conn.fetchval(statement("read_with_key"), "pk_1", None) is True
    sheet = await conn.fetchrow(statement("order_sheet"), "order_1")
    await conn.execute("reset role")
    assert sheet is not None
    assert sheet["display_id"] == "7"


async def test_what_public_may_do_is_named(database: str, conn: asyncpg.Connection, role: str) -> None:
    """By migrate and by the doctor: each role may do it. It is the shop's own, and not taken away."""
    await grant_role(database, role, password=None)
    await conn.execute(
        "grant create on schema public to public; grant usage on schema grace to public; "
        "grant select on customer, grace.jobs to public; grant update (email) on customer to public"
    )
    named = [
        "PUBLIC has create on schema public: revoke create on schema public from public",
        "PUBLIC has usage on schema grace: revoke usage on schema grace from public",
        "PUBLIC has select on grace.jobs, public.customer: revoke select on grace.jobs, public.customer from public",
        "PUBLIC has update (email) on public.customer: revoke update (email) on public.customer from public",
    ]
    assert await grant_role(database, role, password=None) == [f"-- too wide: {line}" for line in named]
    found = [finding.detail for finding in await broken_promises(conn, None, at_rest=False)]
    assert [line for line in named if line not in found] == []
    for line in named:
        await conn.execute(line.partition(": ")[2])
    assert await grant_role(database, role, password=None) == []


OF_EACH_KIND = """
    create table public.parted (id text, note text) partition by list (id);
    create view public.seen as select 1 as id, 2 as note;
    create materialized view public.kept as select 1 as id, 2 as note;
    create foreign data wrapper nobodys;
    create server here foreign data wrapper nobodys;
    create foreign table public.far (id text, note text) server here;
"""


async def test_grants_on_relations_of_each_kind_are_seen(database: str, conn: asyncpg.Connection, role: str) -> None:
    """The role's are taken away, those of PUBLIC are said."""
    await grant_role(database, role, password=None)
    await conn.execute(OF_EACH_KIND)
    for name in ("parted", "seen", "kept", "far", "customer"):
        await conn.execute(f"grant select, update (id) on public.{name} to {quoted(role)}")
    done = set(await grant_role(database, role, password=None))
    for name in ("parted", "seen", "kept", "far", "customer"):
        assert f'revoke select on "public"."{name}" from {quoted(role)}' in done
        assert f'revoke update ("id") on "public"."{name}" from {quoted(role)}' in done
    assert await grant_role(database, role, password=None) == []
    await conn.execute("grant select on public.parted, public.seen, public.kept, public.far to public")
    await conn.execute("grant update (id, note) on public.parted, public.seen to public")
    said = [line.removeprefix("-- too wide: ") for line in await grant_role(database, role, password=None)]
    assert [line.partition(": ")[0] for line in said] == [
        "PUBLIC has select on public.far, public.kept, public.parted, public.seen",
        "PUBLIC has update (id, note) on public.parted, public.seen",
    ]


async def test_what_is_printed_says_what_the_role_should_be(database: str, role: str) -> None:
    assert (await print_grants(database, role))[-1] == (
        f"-- expected of the role: alter role {quoted(role)} "
        "login nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
    )


_READABLE: Final = """
select format('select to_jsonb(t.%I)::text from %I.%I as t', a.attname, n.nspname, c.relname)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace and n.nspname in ('public', 'grace')
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p', 'v', 'm') and has_column_privilege(c.oid, a.attnum, 'select')
"""
_CALLS: Final = {
    "payment_intent": "select {name}(t.id)::text from payment as t",
    "payment_intent_id": "select {name}(t.id)::text from payment as t",
    "session_intent": "select {name}(t.id)::text from payment_session as t",
    "email_changed": "select {name}(t.id)::text from order_change_action as t",
    "payments_of_intents": "select f::text from {name}(array['pi_of_session', 'pi_of_payment']) as f",
    "orders_of_email": "select f::text from {name}('old@shoppers.test', 100) as f",
    "is_publishable_key": "select {name}('SECRET of an admin')::text",
    "linked_orders": 'select {name}(t.id)::text from "order" as t',
    "note_session_refund": "select {name}(t.id, 1)::text from payment_session as t",
}


async def _hide_secrets(shop: Shop) -> PlacedOrder:
    """Put the word SECRET wherever Medusa keeps one beside what the processes need."""
    order = await shop.place()
    intent = {"id": "pi_of_session", "status": "processing", "client_secret": "SECRET of a session"}
    await open_session(shop.conn, order, intent, amount=order.total)
    await request_transfer(shop.conn, order)
    await change_email(shop.conn, order, "SECRET@shoppers.test")
    for text in (
        """update payment_session set metadata = '{"note": "SECRET of a shop"}', context = '{"ip": "SECRET"}'""",
        """update payment set data = data || '{"id": "pi_of_payment", "client_secret": "SECRET of a payment"}'""",
        """update order_change_action set details = details || '{"token": "SECRET of a transfer"}'""",
        """insert into api_key (id, token, salt, redacted, title, type, created_by)
        values ('apk_1', 'SECRET of an admin', 'SECRET', 'SECRET', '', 'secret', '')""",
    ):
        await shop.conn.execute(text)
    return order


async def test_no_secret_is_in_what_the_role_can_obtain(shop: Shop, database: str) -> None:
    """Read each readable column, Postgres' statistics of it, and each definer for each row."""
    await _hide_secrets(shop)
    await shop.conn.execute("analyze")
    seen: dict[str, str] = {}
    async with connected(as_role(database)) as conn:
        texts = [row[0] for row in await conn.fetch(_READABLE)]
        texts += [text.format(name=f"grace.{name}_v1") for name, text in _CALLS.items()]
        for text in [*texts, "select s::text from pg_stats as s"]:
            seen[text] = repr(await conn.fetch(text))
    assert [text for text, found in seen.items() if "secret" in found.lower()] == []
    assert "pi_of_payment" in seen[_CALLS["payment_intent"].format(name="grace.payment_intent_v1")]


async def test_what_is_written_is_not_read(shop: Shop, database: str) -> None:
    """The role writes Stripe's answers; neither that nor an error shows what was there before."""
    order = await _hide_secrets(shop)
    async with connected(as_role(database)) as conn:
        for text in (
            "update payment set data = data || '{}'",
            "update payment set updated_at = now() where data ->> 'client_secret' = 'SECRET of a payment'",
            "update payment set data = null returning data",
            "update payment_session set metadata = '{}'",
            "update payment_session set data = '{}' where id is not null returning data",
            "select 1 from order_change_action where details ->> 'token' = 'SECRET of a transfer'",
            "select 1 from \"order\" where email like 's%'",
            "select 1 from api_key",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(text)
        refunded = "grace.note_session_refund_v1"
        await conn.execute(f"select {refunded}(id, 5) from payment_session")
    metadata = await shop.conn.fetchval("select metadata from payment_session where data ->> 'id' = 'pi_of_session'")
    assert json.loads(metadata) == {"note": "SECRET of a shop", "grace_refunded": "5"}
    assert await shop.status(order) == "pending"


@pytest.mark.parametrize("name", _CALLS)
async def test_each_definer_is_needed(shared: asyncpg.Connection, name: str) -> None:
    """Without the right to call it, a statement of ours is refused; and only the role has the right."""
    function = f"grace.{name}_v1"
    async with Undone(shared):
        await shared.execute(f"revoke execute on function {function} from {ROLE}")
        await shared.execute(f"set local role {ROLE}")
        assert await anext(_refusals(shared, function), None) is not None
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await shared.execute(_CALLS[name].format(name=function))


async def test_a_definer_that_everybody_may_call_is_named(database: str, conn: asyncpg.Connection, role: str) -> None:
    function = "grace.payment_intent_v1"
    await grant_role(database, role, password=None)
    await conn.execute(f"grant execute on function {function} to public")
    line = f"PUBLIC has execute on function {function}: revoke execute on function {function} from public"
    assert await grant_role(database, role, password=None) == [f"-- too wide: {line}"]
    assert line in [finding.detail for finding in await broken_promises(conn, None, at_rest=False)]
    await conn.execute(line.partition(": ")[2])
    assert await grant_role(database, role, password=None) == []


async def test_those_who_may_not_read_cannot_migrate(database: str, conn: asyncpg.Connection, role: str) -> None:
    """Definers run as the role that migrates."""
    await conn.execute(
        f"create role {quoted(role)} login password '{PASSWORD}'; grant select on \"order\" to {quoted(role)}"
    )
    with pytest.raises(NoShop, match=r"may not read api_key.revoked_at, .* payment.data, .*: migrate as the owner"):
        await check_shop(as_role(database, quote(role), PASSWORD))
    await check_shop(database)


async def test_one_role_may_do_everything(
    postgres: Postgres, conn: asyncpg.Connection, role: str, shop: Shop, settings: Settings
) -> None:
    """A shop whose owner's role is everybody's, and no superuser: there is nothing to grant."""
    name = f"of_one_role_{os.getpid()}"
    await conn.execute(f"create role {quoted(role)} login password '{PASSWORD}'")
    admin = await asyncpg.connect(postgres.dsn())
    dsn = as_role(postgres.dsn(name), quote(role), PASSWORD)
    try:
        await admin.execute(f"create database {name} owner {quoted(role)}")
        async with connected(dsn) as mine:
            await create_tables(mine)
            await check_shop(dsn)
            await migrate(dsn)
            own = Shop(mine, shop.sandbox, await create_publishable_key(mine))
            async with opened(structs.replace(settings, database_url=dsn)) as services:
                hand = Hand(services, own)
                order = await own.place()
                assert isinstance(await hand.cancel(order), Canceled)
                await hand.run(order, JobKind.VOID)
            assert (await own.payment(order))["canceled_at"] is not None
    finally:
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.close()
