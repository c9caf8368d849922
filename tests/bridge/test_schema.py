"""At start the bridge names every table and column that it misses; in the sources, no statement is left over."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from app.runtime import NotReady
from app.settings import Settings
from app.store.sql import SQL
from plugins.medusa_bridge import SchemaMismatch
from plugins.medusa_bridge.schema import verify_schema
from plugins.medusa_bridge.sqlfile import FOLDER
from tests.usecases.hand import opened

ROOT = Path(__file__).resolve().parents[2]


# what Medusa might rename, and which statements must complain
COLUMNS = [
    ('"order"', "canceled_at", ["cancel_order_v1", "read_order_v1"]),
    ('"order"', "version", ["read_order_v1"]),
    ('"order"', "is_draft_order", ["new_authorizations", "read_order_v1"]),
    ('"order"', "display_id", ["order_sheet"]),
    ("order_line_item", "title", ["order_lines"]),
    ("payment", "canceled_at", ["cancel_order_v1", "cancel_payment", "mark_payment_captured", "record_void"]),
    (
        "payment",
        "data",
        ["record_intent", "record_void", "definers"],
    ),
    ("payment_session", "data", ["record_session", "definers"]),
    ("order_change_action", "details", ["definers"]),
    ('"order"', "email", ["definers"]),
    ("payment_collection", "raw_captured_amount", ["recount_collection"]),
    ("payment_collection", "completed_at", ["recount_collection"]),
    ("capture", "raw_amount", ["insert_capture"]),
    ("refund", "note", ["insert_refund"]),
    ("order_transaction", "reference_id", ["captures_without_transaction", "insert_order_transaction"]),
    ("order_summary", "totals", ["add_to_summary"]),
    ("order_change", "status", ["read_order_v1"]),
    ("fulfillment", "canceled_at", ["read_order_v1", "touched_after_cancel"]),
    ("reservation_item", "line_item_id", ["live_reservations"]),
    ("inventory_level", "raw_reserved_quantity", ["release_reservations"]),
    ("api_key", "revoked_at", ["definers"]),
]


async def test_the_shops_tables_are_as_expected(conn: asyncpg.Connection) -> None:
    async with conn.transaction():
        await verify_schema(conn)


@pytest.mark.parametrize(("table", "column", "statements"), COLUMNS)
async def test_a_missing_column_is_named_with_every_statement_that_needs_it(
    conn: asyncpg.Connection, table: str, column: str, statements: list[str]
) -> None:
    await conn.execute(f"alter table {table} drop column {column} cascade")
    complaints = await _complaints(conn)
    for statement in statements:
        assert column in complaints.get(statement, ""), complaints


@pytest.mark.parametrize("table", ["order_payment_collection", "order_credit_line", "inventory_level", '"order"'])
async def test_a_missing_table_is_named(conn: asyncpg.Connection, table: str) -> None:
    needed = table != "order_credit_line"
    await conn.execute(f"drop table {table} cascade")
    async with conn.transaction():
        if not needed:
            await verify_schema(conn)
            return
        with pytest.raises(SchemaMismatch, match=f'relation "{table.strip(chr(34))}" does not exist'):
            await verify_schema(conn)


async def test_a_medusa_of_the_first_kind_is_refused(conn: asyncpg.Connection) -> None:
    await conn.execute('alter table "order" add column fulfillment_status text')
    async with conn.transaction():
        with pytest.raises(SchemaMismatch, match=r"Medusa 1.x: the bridge supports 2.x"):
            await verify_schema(conn)


async def test_a_column_of_another_type_is_named(conn: asyncpg.Connection) -> None:
    await conn.execute("alter table payment alter column data type text; alter table capture alter amount type text")
    assert {"read_order_v1", "definers"} <= set(await _complaints(conn))


async def test_everything_that_is_wrong_is_said_at_once(conn: asyncpg.Connection) -> None:
    await conn.execute("alter table capture drop column raw_amount; alter table refund drop column raw_amount")
    assert {"insert_capture", "insert_refund"} <= set(await _complaints(conn))


async def test_a_worker_does_not_start_beside_a_medusa_it_does_not_know(
    conn: asyncpg.Connection, settings: Settings
) -> None:
    await conn.execute("alter table reservation_item rename column line_item_id to item_id")
    with pytest.raises(SchemaMismatch, match=r"live_reservations.*: .*line_item_id"):
        async with opened(settings):
            pytest.fail("it started")


async def test_a_worker_does_not_start_without_its_own_tables(conn: asyncpg.Connection, settings: Settings) -> None:
    await conn.execute("drop schema grace cascade")
    with pytest.raises(NotReady, match=r"0001_jobs, .*: run medusa-grace migrate"):
        async with opened(settings):
            pytest.fail("it started")


@pytest.mark.parametrize(("folder", "sources"), [(FOLDER, "plugins"), (SQL, "app")], ids=["bridge", "store"])
def test_every_statement_is_used_and_every_used_one_is_there(folder: Path, sources: str) -> None:
    there = {path.stem for path in folder.glob("*.sql")}
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / sources).rglob("*.py"))
    used = set(re.findall(r'statement\("(\w+)"\)', text))
    assert there == used


@pytest.mark.parametrize("path", sorted([*FOLDER.glob("*.sql"), *SQL.glob("*.sql")]), ids=lambda path: path.stem)
def test_a_statement_names_its_parameters_in_order(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = {int(number) for number in re.findall(r"\$(\d+)", re.sub(r"--[^\n]*", "", text))}
    named = [int(number) for number in re.findall(r"\$(\d+) ", text.partition("\n")[0])]
    assert named == sorted(used) == list(range(1, len(used) + 1))


async def _complaints(conn: asyncpg.Connection) -> dict[str, str]:
    """What is wrong, by statement. Inside a transaction, as at start; afterwards the connection is usable."""
    async with conn.transaction():
        with pytest.raises(SchemaMismatch) as refused:
            await verify_schema(conn)
        assert await conn.fetchval("select 1") == 1
    first, *lines = str(refused.value).splitlines()
    assert first.startswith("this database does not have what the Medusa bridge needs")
    parted = [line.strip().partition(": ") for line in lines]
    return {statement: error for statements, _, error in parted for statement in statements.split(", ")}
