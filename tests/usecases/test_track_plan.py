"""Looking for new holds costs a look at the new ones, not at every order the shop ever had."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from plugins.medusa_bridge.ids import payment_id_at
from plugins.medusa_bridge.sqlfile import statement
from tests.world import Shop

ORDERS = 20_000

_HISTORY = """
with n as (select i, now() - interval '400 days' + i * interval '15 minutes' as at from generate_series(1, $1::int) i),
orders as (
    insert into "order" (id, status, email, currency_code, created_at, version, is_draft_order)
    select 'order_' || i, 'completed', 'old@shoppers.test', 'eur', at, 1, false from n
),
collections as (
    insert into payment_collection (id, currency_code, amount, raw_amount, status)
    select 'pay_col_' || i, 'eur', 10, '{"value": "10"}', 'completed' from n
),
items as (
    insert into order_item (id, order_id, version, item_id, quantity, raw_quantity, fulfilled_quantity,
        shipped_quantity, return_requested_quantity, return_received_quantity, return_dismissed_quantity,
        written_off_quantity)
    select 'orditem_' || i, 'order_' || i, 1, 'ordli_' || i, 1, '{"value": "1"}', 1, 1, 0, 0, 0, 0 from n
),
links as (
    insert into order_payment_collection (order_id, payment_collection_id, id)
    select 'order_' || i, 'pay_col_' || i, 'ordpay_' || i from n
)
insert into payment (id, amount, raw_amount, currency_code, provider_id, data, payment_collection_id,
    payment_session_id, captured_at)
select 'pay_01' || lpad(i::text, 24, '0'), 10, '{"value": "10"}', 'eur', 'pp_stripe_stripe', '{}', 'pay_col_' || i,
    'payses_' || i, case when i % 10 > 0 then at end
from n
"""


@pytest.fixture
async def history(conn: asyncpg.Connection) -> None:
    """A shop that has run for years; a tenth of its payments was never captured."""
    await conn.execute("set session_replication_role = replica")
    await conn.execute(_HISTORY, ORDERS)
    await conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at) select 'capture', 'order_' || i, "
        "'pay_01' || lpad(i::text, 24, '0'), 'done', now() from generate_series(1, $1) as i",
        ORDERS,
    )
    await conn.execute("reset session_replication_role")
    await conn.execute("analyze")


@pytest.mark.usefixtures("history")
async def test_new_authorizations_reads_no_table_from_end_to_end(shop: Shop) -> None:
    order = await shop.place()
    start = payment_id_at(datetime.now(UTC) - timedelta(minutes=2))
    plan = await _plan(shop, statement("new_authorizations"), start, 500)
    scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
    assert scanned.isdisjoint({"payment", "order", "order_payment_collection", "jobs"}), scanned
    read = sum(node["Actual Rows"] * node["Actual Loops"] for node in plan if node.get("Relation Name") == "payment")
    assert read == len(order.payment_ids)


@pytest.mark.usefixtures("history")
async def test_an_order_and_the_newest_payment_are_read_by_their_indexes(shop: Shop) -> None:
    order = await shop.place()
    assert not [node for node in await _plan(shop, statement("newest_payment")) if node["Node Type"] == "Seq Scan"]
    one: Any = dict.fromkeys(("lock_order_row", "lock_payment_rows", "order_facts", "live_reservations"), order.id)
    for name, argument in {**one, "touched_after_cancel": [order.id]}.items():
        plan = await _plan(shop, statement(name), argument)
        scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
        assert scanned.isdisjoint({"payment", "order", "order_item", "order_payment_collection"}), f"{name}: {scanned}"


async def _plan(shop: Shop, text: str, *arguments: Any) -> list[dict[str, Any]]:
    explained = await shop.conn.fetchval(f"explain (analyze, format json) {text}", *arguments)
    return list(_nodes(json.loads(explained)[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)
