"""``medusa-grace up``: everything, embedded, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Final

import asyncpg

from app.domain.money import to_minor_units
from app.embedded.narrator import Narrator
from app.embedded.shop import STRIPE, Payment, PlacedOrder, place_order
from app.embedded.stage import Stage
from app.http.tokens import mint
from app.settings_table import Role, settings_of

TOTAL: Final = Decimal("29.7381")
ORDERS: Final = 3


def run_up() -> int:
    """Start everything, print how to cancel an order, and stay until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what has been started is stopped, and no more is
    choices = {row.name: os.environ[row.name] for row in settings_of(Role.UP) if os.environ.get(row.name)}
    with Stage(choices, Narrator(sys.stdout).step) as stage:
        orders = asyncio.run(_place_orders(stage))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        sys.stdout.write(_manual(stage, orders))
        sys.stdout.flush()
        while not stop.wait(0.5):
            pass
        sys.stdout.write("\nStopping ...\n")
    return 0


async def _place_orders(stage: Stage) -> list[PlacedOrder]:
    conn = await asyncpg.connect(stage.dsn)
    try:
        orders = []
        for _ in range(ORDERS):
            intent = await stage.sandbox.authorize(to_minor_units(TOTAL, "eur"), "eur")
            orders.append(await place_order(conn, payments=[Payment(amount=TOTAL, provider_id=STRIPE, intent=intent)]))
        return orders
    finally:
        await conn.close()


def _manual(stage: Stage, orders: list[PlacedOrder]) -> str:
    first, *others = orders
    token = mint(first.id, stage.secret, valid_for=timedelta(hours=1))
    more = "\n".join(f"  {order.id}" for order in others)
    return f"""
Up, until Ctrl-C. This cancels an order as it stands (with GET for POST it tells what a cancel would do):

curl -i -X POST {stage.api}/store/orders/{first.id}/cancel \\
  -H 'x-publishable-api-key: {stage.publishable_key}' \\
  -H 'x-modification-token: {token}'

More orders:
{more}
A token for one of them:
  MODIFICATION_TOKEN_SECRET={stage.secret} uv run medusa-grace token ORDER_ID
The receipt of what was canceled, signed with a key that ends with this shop, and whether it is genuine:
  curl -s {stage.api}/store/orders/{first.id}/cancellation -o receipt.json \\
    -H 'x-publishable-api-key: {stage.publishable_key}' \\
    -H 'x-modification-token: {token}'
  curl -s {stage.api}/store/cancellation-keys -o keys.json
  uv run medusa-grace verify-receipt receipt.json --key keys.json
Whether anything is wrong, as the role of the processes:
  DATABASE_URL='{stage.environment["DATABASE_URL"]}' \\
    STRIPE_API_KEY={stage.stripe_key} STRIPE_API_BASE={stage.stripe} uv run medusa-grace doctor
The shop's database (schemas public and grace), as its superuser:
  psql '{stage.dsn}'
What happened at Stripe:
  curl -s {stage.stripe}/_sandbox/ledger -H 'authorization: Bearer {stage.stripe_key}'
Logs of the processes:
  {stage.logs}
"""
