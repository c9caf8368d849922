"""What the catalogue tells: missing columns and indexes, grants that are too wide."""

from __future__ import annotations

import asyncpg
import pytest

from app.store.migrate import index_names
from tests.doctor.clinic import Clinic, named
from tests.promises import broken_promises

INDEXES = {
    "IDX_order_item_order_id, IDX_order_item_order_id_version": "order_item (order_id)",
    "IDX_order_item_item_id": "order_item (item_id)",
    "IDX_order_change_order_id, IDX_order_change_order_id_version, IDX_order_change_version": "order_change (order_id)",
    "IDX_order_transaction_order_id, IDX_order_transaction_order_id_version": "order_transaction (order_id)",
    "IDX_order_summary_order_id_version": "order_summary (order_id)",
    "IDX_payment_collection_id_f42b9949": "order_payment_collection (payment_collection_id)",
    "IDX_payment_payment_collection_id": "payment (payment_collection_id)",
    "IDX_payment_payment_session_id_unique, IDX_payment_payment_session_id": "payment (payment_session_id)",
    "IDX_capture_payment_id": "capture (payment_id)",
    "IDX_refund_payment_id": "refund (payment_id)",
    "IDX_reservation_item_line_item_id": "reservation_item (line_item_id)",
    "IDX_inventory_level_location_id_inventory_item_id, IDX_inventory_level_inventory_item_id": (
        "inventory_level (inventory_item_id)"
    ),
    "IDX_api_key_token_unique": "api_key (token)",
}


@pytest.mark.parametrize("names", INDEXES)
async def test_an_index_of_medusas_is_missed(conn: asyncpg.Connection, reader: asyncpg.Connection, names: str) -> None:
    listed = [f'"{name}"' for name in names.split(", ")]
    await conn.execute(f"drop index {', '.join(listed)}")
    found = await broken_promises(reader, None, at_rest=False)
    assert [(f.defect, f.detail) for f in found] == [("missing_index", INDEXES[names])]


@pytest.mark.parametrize("names", [names for names in INDEXES if ", " in names])
async def test_one_of_two_will_do(conn: asyncpg.Connection, reader: asyncpg.Connection, names: str) -> None:
    await conn.execute(f'drop index "{names.partition(", ")[0]}"')
    assert await broken_promises(reader, None, at_rest=False) == []


async def test_an_index_of_another_kind_of_rows_will_not_do(
    conn: asyncpg.Connection, reader: asyncpg.Connection
) -> None:
    await conn.execute('drop index "IDX_refund_payment_id"')
    await conn.execute("create index on refund (payment_id) where deleted_at is not null")
    assert named(await broken_promises(reader, None, at_rest=False)) == {("missing_index", None)}
    await conn.execute("create index on refund (payment_id)")
    assert await broken_promises(reader, None, at_rest=False) == []


async def test_our_own_indexes_are_missed(conn: asyncpg.Connection, reader: asyncpg.Connection) -> None:
    names = index_names()
    assert {"jobs_order", "incidents_one_open"} <= set(names)
    for name in names:
        await conn.execute(f"drop index grace.{name}")
    found = await broken_promises(reader, None, at_rest=False)
    assert sorted(f.detail for f in found) == sorted(f"grace.{name}" for name in names)


async def test_a_missing_column_is_named_once_with_the_statements_that_miss_it(
    clinic: Clinic, reader: asyncpg.Connection
) -> None:
    order = await clinic.captured()
    await clinic.conn.execute('update inventory_level set raw_reserved_quantity = \'{"value": "7"}\'')
    await clinic.conn.execute("alter table order_fulfillment drop column deleted_at cascade")
    found = await broken_promises(reader, clinic.shop.sandbox, at_rest=False)
    missing = [finding for finding in found if finding.defect == "missing_table_or_column"]
    assert len(missing) == 1
    assert "l.deleted_at" in missing[0].detail
    assert "find_parcels_of_canceled_orders" in missing[0].detail
    assert "read_order_v1" in missing[0].detail
    rest = [finding for finding in found if finding not in missing]
    assert {finding.defect.value for finding in rest} == {"number_differs_from_raw"}
    assert order.id not in {finding.order_id for finding in rest}


async def test_the_grants_of_migrate_are_not_too_wide(reader: asyncpg.Connection) -> None:
    assert await broken_promises(reader, None, at_rest=False) == []


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        ("grant delete on payment, refund to {role}", "may delete from payment, refund"),
        ("grant truncate on customer to {role}", "may truncate customer"),
        ("grant create on schema public to {role}", "may create in schema public"),
        ("alter table capture owner to {role}", "owns capture"),
        ("alter role {role} superuser", "is a superuser"),
    ],
)
async def test_grants_that_are_too_wide(
    conn: asyncpg.Connection, reader: asyncpg.Connection, role: str, grant: str, said: str
) -> None:
    await conn.execute(grant.format(role=role))
    try:
        found = await broken_promises(reader, None, at_rest=False)
        assert [(finding.defect, finding.detail) for finding in found] == [("grant_too_wide", f"{role} {said}")]
    finally:
        await conn.execute(f"alter table capture owner to current_user; alter role {role} nosuperuser")


async def test_many_tables_are_counted(conn: asyncpg.Connection, reader: asyncpg.Connection, role: str) -> None:
    await conn.execute(f"grant delete on all tables in schema public to {role}")
    (finding,) = await broken_promises(reader, None, at_rest=False)
    assert finding.detail.startswith(f"{role} may delete from api_key, capture, cart_payment_collection, customer,")
    assert "more" in finding.detail
