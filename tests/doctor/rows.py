"""Shops whose rows are changed one at a time, and taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from app.domain.findings import Finding
from app.embedded.shop import PlacedOrder


class Scene(msgspec.Struct, frozen=True):
    """A shop whose rows agree, all of them an hour old."""

    conn: asyncpg.Connection
    names: dict[str, str]

    @asynccontextmanager
    async def after(self, change: str) -> AsyncIterator[asyncpg.Connection]:
        """The connection, with a change of the rows that is taken back."""
        transaction = self.conn.transaction()
        await transaction.start()
        try:
            await self.conn.execute(self.filled(change))
            yield self.conn
        finally:
            await transaction.rollback()

    def filled(self, text: str) -> str:
        """``<paid.pay>`` and the like replaced by the ids."""
        for name, id_ in self.names.items():
            text = text.replace(f"<{name}>", id_)
        return text

    def name_of(self, order_id: str | None) -> str:
        """The name of an order by its id."""
        return next((name for name, id_ in self.names.items() if id_ == order_id), "-")

    def named(self, found: list[Finding]) -> list[str]:
        """Defect and order, as the cases spell them."""
        return sorted(f"{finding.defect.value} {self.name_of(finding.order_id)}" for finding in found)


def ids_of(name: str, order: PlacedOrder) -> dict[str, str]:
    """The ids of an order by their names in a change."""
    listed = {
        "pay": order.payment_ids,
        "ses": order.session_ids,
        "col": order.collection_ids,
        "pi": order.intent_ids,
        "line": order.line_item_ids,
        "item": order.inventory_item_ids,
        "level": order.level_ids,
        "res": order.reservation_ids,
    }
    found = {name: order.id}
    for kind, ids in listed.items():
        found |= {f"{name}.{kind}{number or ''}": id_ for number, id_ in enumerate(ids)}
    return found


AN_HOUR_LATER = """
do $$ declare t record; begin
    for t in select table_name as name, column_name as stamp from information_schema.columns
        where table_schema = 'public' and column_name in ('created_at', 'updated_at')
    loop execute format('update %I set %I = %I - interval ''1 hour''', t.name, t.stamp, t.stamp); end loop;
end $$
"""


def scene_of(conn: asyncpg.Connection, orders: dict[str, PlacedOrder]) -> Scene:
    """The scene of orders by their names."""
    names: dict[str, str] = {}
    for name, order in orders.items():
        names |= ids_of(name, order)
    return Scene(conn, names)


def young(table: str, where: str) -> str:
    """Rows that were just written."""
    return f"; update {table} set updated_at = now() where {where}"


def total(of: str, name: str, to: object) -> str:
    """Both forms of one of an order's totals."""
    return (
        f"update order_summary set totals = totals || jsonb_build_object('{name}', {to}, "
        f"'raw_{name}', jsonb_build_object('value', '{to}')) where order_id = '<{of}>'"
    )


def job(of: str, kind: str, subject: str, state: str, **columns: str) -> str:
    """A row of ``grace.jobs``, columns by their SQL."""
    columns = {"run_at": "now()", "lease_until": "now()" if state == "running" else "null", **columns}
    return (
        f"; insert into grace.jobs (kind, order_id, subject, state, {', '.join(columns)}) "
        f"values ('{kind}', '{of}', '{subject}', '{state}', {', '.join(columns.values())})"
    )


def incident(of: str, kind: str, closed: str = "null") -> str:
    """A row of ``grace.incidents``, open unless it says when it closed."""
    return f"; insert into grace.incidents (order_id, kind, detail, closed_at) values ('{of}', '{kind}', 'x', {closed})"


def amount(table: str, to: object, where: str, more: str = "") -> str:
    """Both forms of ``amount``."""
    return f"update {table} set amount = {to}, raw_amount = jsonb_build_object('value', '{to}'){more} where {where}"


CANCEL = "update \"order\" set status = 'canceled' where id = '<{}>'".format
CANCEL_BY_DATE = "update \"order\" set status = 'archived', canceled_at = now() where id = '<{}>'".format
