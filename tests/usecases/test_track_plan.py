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
async def test_the_look_reads_what_is_new_and_searches_the_jobs_once(shop: Shop) -> None:
    """By the plan that serves every position: one made for this position would be made anew each second."""
    orders = [await shop.place() for _ in range(3)]
    scheduled = orders[0].payment_ids[0]
    await shop.conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at) "
        "values ('capture', $1, $2, 'scheduled', now())",
        orders[0].id,
        scheduled,
    )
    start = payment_id_at(datetime.now(UTC) - timedelta(minutes=2))
    async with shop.conn.transaction():
        newest = await shop.row(statement("newest_payment"))
        await shop.conn.execute(f"prepare look (text, int, text) as {statement('new_authorizations')}")
        look = f"execute look ('{start}', 500, '{newest['id']}')"
        found = [row["payment_id"] for row in await shop.conn.fetch(look)]
        plan = await _plan(shop, look)
    assert await shop.conn.fetchval("show plan_cache_mode") == "auto"
    assert found == sorted(payment for order in orders for payment in order.payment_ids if payment != scheduled)
    assert "$1" in json.dumps(plan), "planned for this position"
    scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
    assert scanned.isdisjoint({"payment", "order", "order_payment_collection", "jobs"}), scanned
    reads = {
        table: [(node["Actual Loops"], node["Actual Rows"]) for node in plan if node.get("Relation Name") == table]
        for table in ("jobs", "payment")
    }
    assert reads["jobs"] == [(1, 1)]
    assert (1, len(found) + 1) in reads["payment"]


@pytest.mark.usefixtures("history")
async def test_an_order_and_the_newest_payment_are_read_by_their_indexes(shop: Shop) -> None:
    order = await shop.place()
    assert not [node for node in await _plan(shop, statement("newest_payment")) if node["Node Type"] == "Seq Scan"]
    one: Any = dict.fromkeys(("read_order", "lock_order", "live_reservations"), order.id)
    for name, argument in {**one, "touched_after_cancel": [order.id]}.items():
        plan = await _plan(shop, statement(name), argument)
        scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
        assert scanned.isdisjoint({"payment", "order", "order_item", "order_payment_collection"}), f"{name}: {scanned}"


@pytest.mark.usefixtures("history")
async def test_a_window_of_captures_is_looked_at_without_reading_every_order(shop: Shop) -> None:
    """A join would be planned for a tenth of all jobs, for which Postgres takes a limit that it does not know."""
    await shop.conn.execute("set plan_cache_mode = force_generic_plan")
    plan = await _plan(shop, statement("canceled_elsewhere"), 0, 2000)
    scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
    assert scanned.isdisjoint({"order", "order_payment_collection", "payment_collection"}), scanned


async def _plan(shop: Shop, text: str, *arguments: Any) -> list[dict[str, Any]]:
    explained = await shop.conn.fetchval(f"explain (analyze, format json) {text}", *arguments)
    return list(_nodes(json.loads(explained)[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)
