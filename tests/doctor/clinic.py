"""Ways to bring an order into a state: sound ones by the real use cases, broken ones by force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from app.domain.findings import Finding
from app.domain.jobs import JobKind
from app.domain.money import to_minor_units
from app.embedded.shop import Payment, PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa
from app.embedded.shop_parcels import release
from app.embedded.shop_rows import now_ms
from app.gateways.stripe_gateway import StripeGateway
from app.store import jobs
from tests.usecases.hand import Hand
from tests.world import Shop

PASSWORD = "reader-password-0123456789"
SYSTEM = (Payment(),)
TOTAL = Decimal("29.7381")

_MEDUSAS = "select table_name from information_schema.columns where table_schema = 'public' and column_name = $1"


@dataclass(frozen=True)
class Clinic:
    """A shop, its Stripe account, and a hand that runs jobs."""

    shop: Shop
    hand: Hand
    gateway: StripeGateway

    @property
    def conn(self) -> asyncpg.Connection:
        """The superuser's connection."""
        return self.shop.conn

    async def place(self, **options: Any) -> PlacedOrder:
        """An open order, its hold at Stripe unless ``payments`` says otherwise."""
        return await self.shop.place(**options)

    async def watched(self, **options: Any) -> PlacedOrder:
        """An open order whose captures wait for the end of the grace period."""
        order = await self.place(**options)
        later = datetime.now(UTC) + timedelta(hours=1)
        await jobs.schedule(self.conn, JobKind.CAPTURE, order.id, order.payment_ids, run_at=later)
        return order

    async def canceled(self, **options: Any) -> PlacedOrder:
        """Canceled by the shopper; the work that follows still waits."""
        order = await self.watched(**options)
        await self.hand.cancel(order)
        return order

    async def finish(self, order: PlacedOrder) -> None:
        """Run the order's waiting jobs until none waits, as a worker would; captures included."""
        for _ in range(12):
            waiting = await self.conn.fetch(
                "select kind, subject from grace.jobs where order_id = $1 and state = 'scheduled'", order.id
            )
            if not waiting:
                return
            for job in waiting:
                await self.hand.run(order, JobKind(job["kind"]), job["subject"])
        raise AssertionError(f"{order.id} does not come to rest")

    async def take(self, order: PlacedOrder, amount: int | None = None) -> None:
        """Capture at Stripe, and nowhere else."""
        whole = to_minor_units(order.total, order.currency)
        await self.gateway.capture(order.intent_ids[0], amount=amount or whole, key=f"take-{order.id}")

    async def let_go(self, order: PlacedOrder) -> None:
        """Void at Stripe, and nowhere else."""
        await self.gateway.void(order.intent_ids[0], key=f"void-{order.id}")

    async def give_back(self, order: PlacedOrder, amount: int) -> None:
        """Refund at Stripe, and nowhere else."""
        await self.gateway.refund(order.intent_ids[0], amount=amount, key=f"refund-{order.id}-{amount}")

    async def captured(self, **options: Any) -> PlacedOrder:
        """Captured by Medusa, at Stripe and in the rows."""
        order = await self.place(**options)
        if order.intent_ids:
            await self.take(order)
        await capture_by_medusa(self.conn, order, order.payment_ids[0])
        return order

    async def canceled_by_medusa(self, **options: Any) -> PlacedOrder:
        """Canceled and voided by Medusa's admin, at Stripe and in the rows."""
        order = await self.place(**options)
        if order.intent_ids:
            await self.let_go(order)
        await cancel_by_medusa(self.conn, order)
        return order

    async def mark_canceled(self, order: PlacedOrder) -> None:
        """The order's row and its stock, and nothing about its money."""
        await self.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", order.id)
        await release(self.conn, order, now_ms())

    async def job(self, order: PlacedOrder, kind: str, subject: str, state: str, **columns: Any) -> None:
        """A row of ``grace.jobs`` as it may be found; columns by their SQL."""
        values = {
            "run_at": "now()",
            "lease_until": "now() + interval '10 seconds'" if state == "running" else "null",
            **columns,
        }
        await self.conn.execute(
            f"insert into grace.jobs (kind, order_id, subject, state, {', '.join(values)}) "
            f"values ($1, $2, $3, $4, {', '.join(map(str, values.values()))})",
            kind,
            order.id,
            subject,
            state,
        )

    async def incident(self, order: PlacedOrder, kind: str, *, closed: bool = False) -> None:
        """An incident that somebody opened, and perhaps closed."""
        await self.conn.execute(
            "insert into grace.incidents (order_id, kind, detail, closed_at) "
            "values ($1, $2, 'of the test', case when $3 then now() end)",
            order.id,
            kind,
            closed,
        )

    async def let_an_hour_pass(self) -> None:
        """Medusa's rows were all written an hour earlier: nothing is young any more."""
        for column in ("updated_at", "created_at"):
            for row in await self.conn.fetch(_MEDUSAS, column):
                await self.conn.execute(f"update \"{row['table_name']}\" set {column} = {column} - interval '1 hour'")


def named(findings: list[Finding]) -> set[tuple[str, str | None]]:
    """Which defects, of which orders."""
    return {(finding.defect.value, finding.order_id) for finding in findings}
