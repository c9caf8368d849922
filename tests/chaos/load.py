"""Shoppers: they order, cancel, cancel twice, cancel late, or do nothing, and try again as a browser's user would."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import asyncpg
import httpx

from app.domain.money import to_minor_units
from app.embedded.shop import STRIPE, Line, Payment, PlacedOrder, place_order
from app.http.tokens import mint
from tests.chaos.installations import Installation
from tests.chaos.records import DELAY_SECONDS, GRACE_SECONDS, Attempt, Plan
from tests.chaos.watch import LockWatch

ANSWER_SECONDS: Final = 20.0
"""How long a shopper's browser waits; what takes longer than the promise allows is still measured."""

GIVE_UP_SECONDS: Final = 45.0
STOCK_ITEMS: Final = 6
"""Kinds of shirt that all orders share, so that releases meet each other and new orders on one row."""

AT_CHECKOUT: Final = 24
AT_THE_BUTTON: Final = 60
"""Shoppers at once beyond whom the next ones stay away: a slow machine gets fewer orders, not a growing queue."""

_NO_DATABASE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


_SHARES: Final = {Plan.KEEP: 35, Plan.CANCEL: 30, Plan.DOUBLE: 15, Plan.LATE: 20}


class LoadGenerator:
    """Places orders at a rate and plays their shoppers. Runs on a loop of its own, in a thread of its own."""

    def __init__(self, installation: Installation, rng: random.Random, per_second: float) -> None:
        self._installation = installation
        self._rng = rng
        self._pause = 1 / per_second
        self._stock: list[str] = []
        self._pool: asyncpg.Pool
        self._http: httpx.AsyncClient
        self.placed: dict[str, Plan] = {}
        self.attempts: list[Attempt] = []
        self.gave_up: list[str] = []
        self.stayed_away = 0
        """Shoppers who were not let in, because the machine could not serve those who were."""
        self._at_checkout = 0
        self._at_the_button = 0
        self.locks = LockWatch(installation.valkey.url(1))

    async def shop(self, over: threading.Event) -> None:
        """Place orders until it is over, and return when the last shopper has an answer."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        sandbox = self._installation.sandbox
        watching = asyncio.create_task(self.locks.look_for_ever())
        async with (
            asyncpg.create_pool(self._installation.dsn, min_size=0, max_size=8, timeout=5) as self._pool,
            httpx.AsyncClient(
                base_url=self._installation.api, limits=limits, timeout=ANSWER_SECONDS, trust_env=False
            ) as self._http,
            asyncio.TaskGroup() as shoppers,
        ):
            while not over.is_set():
                now = time.monotonic()
                plan = self._rng.choices(list(_SHARES), list(_SHARES.values()))[0]
                rng = random.Random(self._rng.random())
                if self._at_checkout < AT_CHECKOUT and self._at_the_button < AT_THE_BUTTON:
                    shoppers.create_task(self._live(sandbox, plan, rng))
                else:
                    self.stayed_away += 1
                await asyncio.sleep(max(0.0, self._pause * self._rng.uniform(0.5, 1.5) - (time.monotonic() - now)))
        while not watching.done():  # more than once: a cancellation can be lost in a library
            watching.cancel()
            await asyncio.wait([watching], timeout=0.5)

    async def _live(self, sandbox: Any, plan: Plan, rng: random.Random) -> None:
        self._at_checkout += 1
        try:
            amount = Decimal(rng.randint(100, 99_999)) / 100
            intent = await sandbox.authorize(to_minor_units(amount, "eur"), "eur")
            order_id, since = await self._check_out(Payment(amount=amount, provider_id=STRIPE, intent=intent), rng)
        finally:
            self._at_checkout -= 1
        self.placed[order_id] = plan
        match plan:
            case Plan.KEEP:
                return
            case Plan.LATE:
                wait = rng.uniform(GRACE_SECONDS - 0.5, GRACE_SECONDS + DELAY_SECONDS + 1.5)
            case _:
                wait = rng.uniform(0, GRACE_SECONDS - 0.5)
        await asyncio.sleep(max(0.0, wait - (time.time() - since)))
        clicks = rng.choice([2, 3]) if plan is Plan.DOUBLE else 1
        async with asyncio.TaskGroup() as fingers:
            for number in range(clicks):
                fingers.create_task(self._click(order_id, plan, after=number * rng.choice([0.0, 0.05, 0.4])))

    async def _check_out(self, payment: Payment, rng: random.Random) -> tuple[str, float]:
        """Place the order once, through a database that comes and goes. Its id and creation time."""
        kinds = rng.sample(self._stock, rng.choice([1, 2])) if len(self._stock) >= STOCK_ITEMS else [None]
        lines = [Line(quantity=rng.randint(1, 3), inventory_item_id=kind) for kind in sorted(kinds, key=str)]
        found = None
        for tries in itertools.count():
            try:
                async with self._pool.acquire(timeout=5) as conn:
                    if tries:
                        found = await _order_of(conn, str(payment.intent and payment.intent["id"]))
                    if found is None:
                        placed = await place_order(conn, payments=[payment], lines=lines)
                        self._learn(placed)
                        found = placed.id, placed.created_at.timestamp()
                    return found
            except _NO_DATABASE:
                await asyncio.sleep(0.2)
        raise AssertionError("unreachable")

    def _learn(self, placed: PlacedOrder) -> None:
        if len(self._stock) < STOCK_ITEMS:
            self._stock += placed.inventory_item_ids

    async def _click(self, order_id: str, plan: Plan, after: float) -> None:
        """Press the button until there is an answer that a person would accept."""
        await asyncio.sleep(after)
        until = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < until:
            attempt = await self._ask(order_id, plan)
            self.attempts.append(attempt)
            if attempt.status is not None and attempt.status < 500:
                return
            await asyncio.sleep(0.25 if attempt.status is None else 2)
        self.gave_up.append(order_id)

    async def _ask(self, order_id: str, plan: Plan) -> Attempt:
        headers = {
            "x-publishable-api-key": self._installation.publishable_key,
            "x-modification-token": mint(order_id, self._installation.secret, valid_for=timedelta(hours=1)),
        }
        attempt = Attempt(order_id, plan, time.time(), 0)
        self._at_the_button += 1
        try:
            answer = await self._http.post(f"/store/orders/{order_id}/cancel", headers=headers)
            attempt.status, attempt.request_id = answer.status_code, answer.headers.get("x-request-id")
            attempt.body = answer.json()
        except httpx.TransportError as error:
            attempt.error = type(error).__name__
        except ValueError:
            attempt.error = "not JSON"
        finally:
            self._at_the_button -= 1
        attempt.answered = time.time()
        return attempt


async def _order_of(conn: Any, intent_id: str) -> tuple[str, float] | None:
    """The order of an earlier try whose commit was made although its answer was lost."""
    row = await conn.fetchrow(
        "select o.id, o.created_at from payment p join order_payment_collection using (payment_collection_id) "
        'join "order" o on o.id = order_id where p.data @> $1::jsonb',
        f'{{"id": "{intent_id}"}}',
    )
    return None if row is None else (row["id"], row["created_at"].timestamp())
