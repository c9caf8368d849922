"""How a draft becomes an order in Medusa, as the rows it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from app.embedded.shop import Line, PlacedOrder, Written, reserve
from app.embedded.shop_rows import insert, new_id, now_ms, twins

if TYPE_CHECKING:
    from app.embedded.shop_rows import Connection


async def convert_draft(
    conn: Connection,
    draft: PlacedOrder,
    lines: Sequence[Line] = (Line(),),
    *,
    taxed: bool = True,
    ago: timedelta = timedelta(0),
) -> datetime:
    """Convert a draft with these lines, ``ago`` before now, and give the moment. Its row says nothing of it but
    ``updated_at``; tax lines are created again, and stock is reserved as at a checkout."""
    moment = now_ms() - ago
    stamps = {"created_at": moment, "updated_at": moment}
    written = Written(moment, stamps)
    async with conn.transaction():
        await conn.execute("DELETE FROM order_line_item_tax_line WHERE item_id = ANY($1)", draft.line_item_ids)
        for line, line_item_id in zip(lines, draft.line_item_ids, strict=True):
            if taxed:
                await insert(conn, "order_line_item_tax_line", _tax_line(line_item_id, moment))
            if line.managed:
                await reserve(conn, written, line, line_item_id, draft.location_id)
        await conn.execute(
            "UPDATE \"order\" SET status = 'pending', is_draft_order = false, updated_at = $2 WHERE id = $1",
            draft.id,
            moment,
        )
    return moment


async def new_version(conn: Connection, order: PlacedOrder, line_item_ids: Sequence[str]) -> None:
    """Confirm an edit that keeps these lines only: every kept line has a row of the new version, the old rows stay."""
    async with conn.transaction():
        rows = await conn.fetch(
            'SELECT i.* FROM order_item AS i JOIN "order" AS o ON o.id = i.order_id AND o.version = i.version '
            "WHERE o.id = $1 AND i.item_id = ANY($2)",
            order.id,
            line_item_ids,
        )
        for row in rows:
            await insert(conn, "order_item", {**row, "id": new_id("orditem", now_ms()), "version": row["version"] + 1})
        await conn.execute('UPDATE "order" SET version = version + 1 WHERE id = $1', order.id)


def _tax_line(line_item_id: str, moment: datetime) -> dict[str, object]:
    return {
        "id": new_id("ordlitxl", moment),
        "item_id": line_item_id,
        "code": "vat19",
        **twins(rate=Decimal(19)),
        "provider_id": "system",
        "created_at": moment,
        "updated_at": moment,
    }
