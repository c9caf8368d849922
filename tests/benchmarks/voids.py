"""(b) A cancel to ``voided``, workers and Stripe in the loop, against Medusa's own admin cancel.

Fair, since both cancel copies of the same orders, which a real Medusa sold, in the same database and with the same
Stripe (answering at once, or after 150 ms), in turns in the same run. Medusa's cancel voids, releases stock and tells
subscribers before it answers. The product's answer waits for the void alone, so its throughput is also shown until
nothing of all that is left to do. Not even: the product is two processes, an API and a worker, and Medusa the one that
``medusa start`` is in production, so that on two cores we compute on both and Medusa on one. Without Node there is no
Medusa, and its half is left out.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from app.roles import grant_role
from app.store.migrate import migrate
from tests.benchmarks import load
from tests.benchmarks.cancels import Orders, place_templates
from tests.benchmarks.figures import Figure, say
from tests.benchmarks.orders import Batch, copy_orders, make_holds
from tests.benchmarks.proof import prove
from tests.benchmarks.scale import Scale
from tests.benchmarks.testbed import ROLE, SHOP, Testbed
from tests.medusa.lab import Lab, Surroundings, start_lab
from tests.medusa.orders import Medusa
from tests.medusa.packages import installed_packages, node_is_missing

MEDUSA = "medusa"
PATIENCE = 60.0
WARM_CANCELS = 20
"""Of Medusa, at 8 clients: enough for its pools and for V8 to have compiled what a cancel runs."""


@dataclass
class Series:
    """Of one contestant, at one number of clients and one latency of Stripe."""

    rates: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    refused: int = 0
    """Answers 409: Medusa's own lock had waited too long. They are no cancels; the median has their latency."""


def measure(scale: Scale, testbed: Testbed) -> list[Figure]:
    """Run it all."""
    with ExitStack() as stack:
        why_not = node_is_missing() if scale.b_medusa else "the smoke test leaves it out"
        if why_not:
            say(f"b: Medusa's half is left out: {why_not}")
            return _Contest(testbed, scale, SHOP, None).run()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="grace-bench-")))
        lab = _start_medusa(testbed, folder)
        stack.callback(lab.process.stop)
        return _Contest(testbed, scale, MEDUSA, lab).run()


def _start_medusa(testbed: Testbed, folder: Path) -> Lab:
    packages = installed_packages(lambda words: say(f"b: {words}"))
    asyncio.run(testbed.create_database(MEDUSA))
    around = Surroundings(testbed.dsn(MEDUSA), testbed.valkey.url(1), testbed.stripe, testbed.stripe_key)
    lab = start_lab(around, packages, folder, lambda words: say(f"b: {words}"))
    asyncio.run(migrate(testbed.dsn(MEDUSA)))
    asyncio.run(grant_role(testbed.dsn(MEDUSA), ROLE, password=testbed.secret))
    testbed.keys[MEDUSA] = lab.shop.publishable_key
    return lab


class _Contest:
    def __init__(self, testbed: Testbed, scale: Scale, database: str, lab: Lab | None) -> None:
        self._testbed, self._scale, self._database, self._lab = testbed, scale, database, lab
        self._ours: dict[tuple[int, int], Series] = {}
        self._theirs: dict[tuple[int, int], Series] = {}
        self._by_medusa = self._by_us = 0

    def run(self) -> list[Figure]:
        scale = self._scale
        batch, bearer = asyncio.run(self._furnish())
        orders = Orders(batch)
        settings: dict[str, Any] = {"VOID_WAIT_SECONDS": "20", "MEDUSA_EVENTS": "redis"}
        with (
            self._testbed.serve(database=self._database, **settings) as api,
            self._testbed.workers(database=self._database, **settings),
        ):
            self._product(api.port, orders, 8, scale.b_least, Series())
            if self._lab is not None:
                self._medusa(orders, bearer, 8, WARM_CANCELS, Series())
            for repetition in range(scale.repetitions_b):
                for milliseconds in scale.b_stripe_ms:
                    asyncio.run(self._testbed.sandbox.latency(milliseconds / 1000))
                    for clients in scale.b_clients:
                        key = (clients, milliseconds)
                        self._product(
                            api.port, orders, clients, scale.b_least * clients, self._ours.setdefault(key, Series())
                        )
                        if self._lab is not None:
                            count = scale.b_medusa_least * (1 if clients == 1 else 6)  # some idle at the end
                            self._medusa(orders, bearer, clients, count, self._theirs.setdefault(key, Series()))
                        told = f"{self._ours[key].rates[-1]:.0f}/s, {self._ours[key].medians[-1]:.0f} ms"
                        if key in self._theirs:
                            told += (
                                f"; Medusa {self._theirs[key].rates[-1]:.1f}/s, {self._theirs[key].medians[-1]:.0f} ms"
                            )
                        say(
                            f"b: {repetition + 1}/{scale.repetitions_b}, {clients} clients, "
                            f"Stripe {milliseconds} ms: {told}"
                        )
        asyncio.run(self._prove())
        return list(self._figures())

    def _figures(self) -> Iterator[Figure]:
        for (clients, milliseconds), ours in self._ours.items():
            label = f"{clients} client{'s' * (clients > 1)}, Stripe at {milliseconds} ms"
            behind: dict[str, float] = {
                "voided a second": median(ours.rates),
                "all done a second": median(ours.whole),
                "median ms": median(ours.medians),
            }
            theirs = self._theirs.get((clients, milliseconds))
            if theirs is None:
                yield Figure("b", f"to voided, median ms, {label} (no Medusa)", tuple(ours.medians), "", "ms", behind)
                continue
            behind |= {
                "our processes": 2,
                "Medusa a second": median(theirs.rates),
                "its median ms": median(theirs.medians),
                "its answers 409": theirs.refused,
                "Medusa's processes": 1,
            }
            at_once = milliseconds == 0
            target = ">= 50" if at_once and clients == 8 else ""
            yield Figure(
                "b", f"voided / Medusa's cancels, {label}", _ratios(ours.rates, theirs.rates), target, "x", behind
            )
            whole = _ratios(ours.whole, theirs.rates)
            yield Figure("b", f"released and told, too / Medusa's cancels, {label}", whole, target)
            target = "<= 0.1" if at_once and clients == 1 else ""
            yield Figure("b", f"median / Medusa's, {label}", _ratios(ours.medians, theirs.medians), target)

    def _product(self, port: int, orders: Orders, clients: int, count: int, series: Series) -> None:
        ids = [orders.batch.order_id(number) for number in orders.take(count)]
        requests = load.cancels(ids, self._testbed.keys[self._database], self._testbed.secret)
        began = time.perf_counter()
        done = load.run(port, requests, clients, count_body=b'"payment_action":"voided"')
        assert done.statuses == {200: count}, f"{done.statuses}: {done.bodies.most_common(2)}"
        assert done.counted >= 0.95 * count, f"{count - done.counted} of {count} were not voided within the wait"
        self._by_us += count
        asyncio.run(self._rest())
        series.rates.append(done.rate)
        series.whole.append(count / (time.perf_counter() - began))
        series.medians.append(done.median_ms)

    def _medusa(self, orders: Orders, bearer: str, clients: int, count: int, series: Series) -> None:
        assert self._lab is not None
        numbers = orders.take(count)
        requests = [
            f"POST /admin/orders/{orders.batch.order_id(number)}/cancel HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: {bearer}\r\ncontent-length: 0\r\n\r\n".encode()
            for number in numbers
        ]
        done = load.run(int(self._lab.url.rpartition(":")[2]), requests, clients)
        assert set(done.statuses) <= {200, 409}, f"{done.statuses}: {done.bodies.most_common(2)}"
        assert done.statuses[200] > count / 2, f"{done.statuses}: {done.bodies.most_common(2)}"
        self._by_medusa += done.statuses[200]
        series.refused += done.statuses[409]
        series.rates.append(done.statuses[200] / done.seconds)
        series.medians.append(done.median_ms)

    async def _furnish(self) -> tuple[Batch, str]:
        count, bearer = self._scale.b_orders, ""
        conn = await asyncpg.connect(self._testbed.dsn(self._database))
        try:
            if self._lab is None:
                templates = await place_templates(self._testbed, conn)
            else:
                say("b: a few orders through Medusa's store API, to copy from")
                async with AsyncExitStack() as stack:
                    medusa = await Medusa.connect(self._lab, stack)
                    bearer = medusa.admin.headers["authorization"]
                    skus = await _stock(medusa)
                    templates = [(await medusa.place_order(skus=(sku,))).id for sku in skus]
            say(f"b: {count} copies with holds of their own")
            intents = await make_holds(self._testbed.sandbox, count)
            now = datetime.now(UTC).replace(microsecond=0)
            batch = await copy_orders(conn, templates, first=1, count=count, placed_at=now, intents=intents)
            await conn.execute("vacuum analyze")
            await conn.execute("checkpoint")
            return batch, bearer
        finally:
            await conn.close()

    async def _rest(self) -> None:
        """Return once nothing is left to void, to release or to tell."""
        conn = await asyncpg.connect(self._testbed.dsn(self._database))
        try:
            deadline = time.monotonic() + PATIENCE
            while left := await conn.fetchval(
                "select count(*) from grace.jobs where kind in ('void', 'release', 'publish') "
                "and state in ('scheduled', 'queued', 'running')"
            ):
                assert time.monotonic() < deadline, f"{left} jobs still wait after {PATIENCE:.0f} s"
                await asyncio.sleep(0.02)
        finally:
            await conn.close()

    async def _prove(self) -> None:
        """Whoever canceled an order did the whole job: rows, stock and Stripe, once."""
        ledger = await self._testbed.sandbox.ledger()
        conn = await asyncpg.connect(self._testbed.dsn(self._database))
        try:
            rows = await conn.fetch(
                "select o.id, p.canceled_at, p.data ->> 'id' as intent, (select count(*) from reservation_item as r "
                "join order_item as i on i.item_id = r.line_item_id where i.order_id = o.id and r.deleted_at is null) "
                'as reserved from "order" as o join order_payment_collection as l on l.order_id = o.id '
                "join payment as p on p.payment_collection_id = l.payment_collection_id where o.status = 'canceled'"
            )
        finally:
            await conn.close()
        bad = [r["id"] for r in rows if r["canceled_at"] is None or r["reserved"] or ledger[r["intent"]].voids != 1]
        assert not bad, f"{len(bad)} of {len(rows)} canceled orders are not canceled in full, such as {bad[0]}"
        claimed = self._by_medusa + self._by_us
        assert len(rows) == claimed, f"{len(rows)} orders are canceled, and {claimed} cancels were answered with 200"
        await prove(self._testbed, self._database, with_stripe=True)
        say(f"b: {len(rows)} orders are canceled in full, {self._by_medusa} of them by Medusa")


async def _stock(medusa: Medusa) -> list[str]:
    """Eight things to buy, so that as many of Medusa's cancels need not wait for one another's inventory lock."""
    skus = [f"SOCKS-{number}" for number in range(8)]
    profiles = (await medusa.admin.get("/admin/shipping-profiles")).json()["shipping_profiles"]
    variant = {"manage_inventory": True, "prices": [{"currency_code": "eur", "amount": 19.99}]}
    body = {
        "title": "Socks",
        "status": "published",
        "shipping_profile_id": next(p["id"] for p in profiles if p["name"] == "Parcels"),
        "sales_channels": [{"id": medusa.shop.sales_channel}],
        "options": [{"title": "Kind", "values": skus}],
        "variants": [{"title": sku, "sku": sku, "options": {"Kind": sku}, **variant} for sku in skus],
    }
    product = (await medusa.admin_post("/admin/products", body))["product"]
    medusa.shop.variants.update({made["sku"]: made["id"] for made in product["variants"]})
    items = (await medusa.admin.get("/admin/inventory-items?limit=50&q=SOCKS")).json()["inventory_items"]
    for item in items:
        level = {"location_id": medusa.shop.stock_location, "stocked_quantity": 1000}
        await medusa.admin_post(f"/admin/inventory-items/{item['id']}/location-levels", level)
    return skus


def _ratios(ours: list[float], theirs: list[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(ours, theirs, strict=True))
