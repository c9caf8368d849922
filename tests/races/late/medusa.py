"""Medusa's capture as its 2.21 makes it: by its admin, or by its own webhook of Stripe's.

Each block is a transaction of its own and what was read before it is not read again. The one lock it takes is that of
the payment row, while its capture row is written. It sums up, looks for order transactions, and adds to the summary
from what it has read, without any lock: what others write in between is overwritten, or written twice.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg

from app.domain.findings import Defect
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import drop_capture
from app.embedded.shop_rows import insert, new_id, now_ms, raw, twins
from app.ports import Answered, PaymentGateway
from tests.world import fetch_one

MINOR = 2974

_SUMS = """
select
    (select coalesce(sum(x.amount), 0) from capture as x join payment as p on p.id = x.payment_id
        where p.payment_collection_id = $1 and x.deleted_at is null) as captured,
    (select coalesce(sum(x.amount), 0) from refund as x join payment as p on p.id = x.payment_id
        where p.payment_collection_id = $1 and x.deleted_at is null) as refunded
"""
_UNBOOKED = """
select c.id, c.amount from capture as c
where c.payment_id = $2 and c.deleted_at is null
    and not exists (select from order_transaction as t where t.order_id = $1 and t.reference_id = c.id)
"""


@dataclass
class Medusa:
    """One order's captures in Medusa, and what became of them."""

    pool: asyncpg.Pool
    gateway: PaymentGateway
    order: PlacedOrder
    dice: random.Random
    fate: str = "never came to it"
    booked: list[tuple[str, Decimal]] = field(default_factory=list)
    """Captures with the amount of the transaction that it wrote for each."""
    cut_short: bool = False
    """It stopped between its rows, or two of its captures wrote them at once."""
    at_work: int = 0

    async def capture(self, taken: Callable[[], object], *, amount: Decimal | None = None) -> None:
        """Capture, in full. ``taken`` is called once Stripe has captured; ``amount`` is what a webhook says."""
        self.cut_short |= self.at_work > 0
        self.at_work += 1
        try:
            await self._capture(taken, amount)
        except asyncpg.LockNotAvailableError:
            self.fate = "waited too long for the payment's row"
        finally:
            self.at_work -= 1

    async def _capture(self, taken: Callable[[], object], amount: Decimal | None) -> None:
        (payment_id,) = self.order.payment_ids
        payment = await fetch_one(
            self.pool, "select amount, canceled_at, captured_at from payment where id = $1", payment_id
        )
        if payment["canceled_at"]:
            self.fate = "refused"
            return
        await self.pause(25)
        if not payment["captured_at"]:
            capture_id = await self._insert(payment_id, payment["amount"] if amount is None else amount)
            if capture_id is None or not await self._take(taken, payment_id, capture_id):
                return
        self.fate = "captured"
        await self.pause(self.dice.choice((0, 10, 60)))
        if self._crashes(0.05, "crashed before it summed up"):
            return
        await self._sum_up()
        await self.pause(10)
        if self._crashes(0.05, "crashed before it booked"):
            return
        await self._book(payment_id, amount)

    async def _take(self, taken: Callable[[], object], payment_id: str, capture_id: str) -> bool:
        """Ask Stripe, and keep its answer."""
        await self.pause(self.dice.choice((5, 25, 250)))
        outcome = await self.gateway.capture(self.order.intent_ids[0], amount=MINOR, key=capture_id)
        done = isinstance(outcome, Answered)
        if done:
            taken()
            if self._crashes(0.1, "crashed after Stripe had captured"):
                return False
        await self.pause(10)
        if not done or self.dice.random() < 0.1:
            self.fate = "lost the answer" if done else "was declined"
            async with self.pool.acquire() as conn:
                await drop_capture(conn, capture_id)
            return False
        await self.pool.execute(
            'update payment set captured_at = now(), data = data || \'{"status": "succeeded"}\' where id = $1',
            payment_id,
        )
        return True

    async def pause(self, most_ms: float) -> None:
        """Some time, up to ``most_ms``."""
        await asyncio.sleep(self.dice.random() * most_ms / 1000)

    def excuses(self, defect: Defect, *, canceled: bool) -> bool:
        """Rows that contradict one another by its own doing alone, and that nobody else may mend."""
        sums = {Defect.TRANSACTION_DRIFT, Defect.SUMMARY_DRIFT, Defect.COLLECTION_DRIFT}
        if canceled:
            captures = [capture_id for capture_id, _ in self.booked]
            twice = len(captures) > len(set(captures))
            return defect is Defect.TRANSACTION_DRIFT and (twice or any(sum_ == ROUNDED for _, sum_ in self.booked))
        return defect in sums and self.cut_short

    def _crashes(self, chance: float, how: str) -> bool:
        if self.dice.random() >= chance:
            return False
        self.fate, self.cut_short = how, True
        return True

    async def _insert(self, payment_id: str, amount: Decimal) -> str | None:
        moment = now_ms()
        capture_id = new_id("capt", moment)
        async with self.pool.acquire() as conn, conn.transaction():
            await conn.execute("set local lock_timeout = '3s'")
            await conn.execute("select id from payment where id = $1 for update", payment_id)
            if await conn.fetchval("select count(*) from capture where payment_id = $1", payment_id):
                return None  # "You cannot capture more than the authorized amount."
            row = {"id": capture_id, "payment_id": payment_id, **twins(amount=amount)}
            await insert(conn, "capture", {**row, "created_at": moment, "updated_at": moment})
        return capture_id

    async def _sum_up(self) -> None:
        (collection_id,) = self.order.collection_ids
        sums = await fetch_one(self.pool, _SUMS, collection_id)
        await self.pause(self.dice.choice((0, 5, 40)))
        await self.pool.execute(
            "update payment_collection set captured_amount = $2, raw_captured_amount = $3::text::jsonb, "
            "refunded_amount = $4, raw_refunded_amount = $5::text::jsonb, status = 'completed', completed_at = now(), "
            "updated_at = now() where id = $1",
            collection_id,
            sums["captured"],
            json.dumps(raw(sums["captured"])),
            sums["refunded"],
            json.dumps(raw(sums["refunded"])),
        )

    async def _book(self, payment_id: str, amount: Decimal | None) -> None:
        order_id = self.order.id
        missing = await self.pool.fetch(_UNBOOKED, order_id, payment_id)
        if not missing:
            return
        await self.pause(self.dice.choice((0, 5, 40)))
        moment = now_ms()
        async with self.pool.acquire() as conn, conn.transaction():
            version = await conn.fetchval('select version from "order" where id = $1', order_id)
            summary = await fetch_one(
                conn,
                "select id, totals::text as totals from order_summary where order_id = $1 and version = $2",
                order_id,
                version,
            )
            totals = json.loads(summary["totals"], parse_float=Decimal)
            about = {"order_id": order_id, "version": version, "currency_code": "eur", "reference": "capture"}
            for row in missing:
                booked = row["amount"] if amount is None else amount
                line = {"id": new_id("ordtrx", moment), **about, "reference_id": row["id"], **twins(amount=booked)}
                await insert(conn, "order_transaction", {**line, "created_at": moment, "updated_at": moment})
                _add(totals, booked)
                self.booked.append((row["id"], booked))
            await self.pause(self.dice.choice((0, 5, 40)))
            await conn.execute(
                "update order_summary set totals = $2::text::jsonb, updated_at = now() where id = $1",
                summary["id"],
                json.dumps(totals, default=float),
            )


ROUNDED = Decimal(MINOR) / 100
"""What Stripe's webhook says was captured; Medusa then books that instead of its capture row's amount."""


def _add(totals: dict[str, Any], amount: Decimal) -> None:
    for name, move in (("paid_total", amount), ("transaction_total", amount), ("pending_difference", -amount)):
        total = Decimal(str(totals[f"raw_{name}"]["value"])) + move
        totals[name], totals[f"raw_{name}"] = total, raw(total)
