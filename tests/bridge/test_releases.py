"""The release of Medusa is told by its tables, and one that is not supported is said to be so."""

from __future__ import annotations

import re

import asyncpg
import pytest
from structlog.testing import capture_logs

from plugins.medusa_bridge.releases import find_release
from plugins.medusa_bridge.schema import recognise

# Backwards through Medusa's migrations: what each release brought is taken away again.
BACKWARDS = (
    ("select 1", "2.20 to 2.21"),
    ("alter table inventory_item drop column unit_of_measure", "2.19"),
    ("alter table order_change drop column no_notification", "2.18"),
    ("drop table order_line_item_tax_line cascade", "2.14 to 2.17"),
    ("drop table order_shipping_method_adjustment cascade", "2.12 to 2.13"),
    ('alter table "order" drop column custom_display_id, drop column locale', "2.11"),
    ("alter table order_credit_line drop column version", "2.8.8 to 2.10"),
    ("alter table order_line_item_adjustment drop column is_tax_inclusive", "2.7 to 2.8.7"),
    ("alter table order_line_item drop column is_giftcard", "2.4 to 2.6"),
    ("alter table order_address drop column deleted_at; alter table payment add column order_id text", "2.1.3 to 2.3"),
    ("drop table order_credit_line cascade", "2.0.2 to 2.1.2"),
    ("alter table order_line_item drop column product_type_id", "2.0.0 to 2.0.1"),
    ('drop table "order" cascade', "none"),
)
# Tables that the small shop does without.
NOT_IN_THE_SHOP = """
create table if not exists order_address (id text, deleted_at timestamptz);
create table if not exists order_line_item_tax_line (id text, metadata jsonb);
create table if not exists order_shipping_method_adjustment (id text, version integer);
"""
_UP_TO_2_13 = "; ".join(change for change, _ in BACKWARDS[:5])


async def test_each_release_is_told_by_what_its_migrations_left(conn: asyncpg.Connection) -> None:
    await conn.execute(NOT_IN_THE_SHOP)
    for change, name in BACKWARDS:
        await conn.execute(change)
        release = await find_release(conn)
        assert release.name == name
        assert (release.unsupported is None) == (name in {"2.20 to 2.21", "2.19", "2.18", "2.14 to 2.17", "none"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "alter table payment add column surcharge numeric",
            r"newer than 2\.21\.2, .* does not have payment\.surcharge",
        ),
        (_UP_TO_2_13, r"older than 2\.14"),
    ],
)
async def test_a_release_that_is_not_supported_is_named_in_the_log_and_not_refused(
    conn: asyncpg.Connection, change: str, why: str
) -> None:
    await conn.execute(NOT_IN_THE_SHOP)
    await conn.execute(change)
    with capture_logs() as log:
        name = await recognise(conn)
    recognised, warning = log
    assert (recognised["event"], recognised["medusa"], recognised["log_level"]) == ("medusa.recognised", name, "info")
    assert (warning["event"], warning["medusa"], warning["log_level"]) == ("medusa.not_supported", name, "warning")
    assert re.match(why, warning["because"])
