"""``medusa-grace demo``: the main job before the reader's eyes, on embedded servers."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import asyncpg
import httpx
import msgspec

from app.domain.money import to_minor_units
from app.embedded.hasten import hasten_captures
from app.embedded.narrator import Narrator, Verdict
from app.embedded.shop import STRIPE, Payment, PlacedOrder, place_order
from app.embedded.shop_acts import capture_by_medusa
from app.embedded.stage import Stage
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.stripe_sandbox.facts import facts_of
from app.embedded.stripe_sandbox.ledger import LedgerLine
from app.http.tokens import mint
from app.settings_table import LEAST_CAPTURE_DELAY
from app.usecases.check_promises import check_promises
from plugins.medusa_bridge import BridgeConfig, MedusaBridge

GRACE: Final = timedelta(seconds=6)
CAPTURE_DELAY: Final = timedelta(seconds=1)
"""A shop's is half a minute or more: captures are brought forward in their rows."""
TOTAL: Final = Decimal("29.7381")
"""What a shirt and its shipping cost with tax, in euros: Medusa does not round its totals."""
_NEXT: Final = """
Next:
  uv run medusa-grace up     the same servers, to cancel orders yourself with curl
  docs/install.md            beside your own Medusa, in five steps
  docs/storefront.md         the button in your storefront"""


def run_demo() -> int:
    """Play the six orders and print what became of them. 0 when each came out as promised, else 1."""
    say = Narrator(sys.stdout)
    with Stage({"GRACE_PERIOD_SECONDS": str(GRACE.seconds)}, say.step) as stage:
        say.line(f"Up. The grace period is {GRACE.seconds} s here; a shop's is an hour.")
        code = asyncio.run(_play(stage, say))
    say.plain(_NEXT)
    return code


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an order: at Stripe, in Medusa's rows, in ours."""

    order: str
    payment: str
    stripe: str
    reserved: int
    incidents: str


class Act(msgspec.Struct, frozen=True):
    """One order of the demo: what was answered, and how it must end."""

    title: str
    order: PlacedOrder
    answers: tuple[str, ...]
    promised_answers: tuple[str, ...]
    promised_end: Ended


_VOIDED: Final = Ended(order="canceled", payment="canceled", stripe="canceled, 1 void", reserved=0, incidents="-")
_CAPTURED: Final = Ended(order="pending", payment="captured", stripe="29.74 EUR captured", reserved=1, incidents="-")


async def _play(stage: Stage, say: Narrator) -> int:
    conn = await asyncpg.connect(stage.dsn)
    await hasten_captures(conn, timedelta(seconds=float(LEAST_CAPTURE_DELAY)) - CAPTURE_DELAY)
    async with httpx.AsyncClient(base_url=stage.api, timeout=30, trust_env=False) as client:
        shopper = _Shopper(stage, conn, client)
        try:
            acts = await _acts(shopper, say)
            good = await _final_table(shopper, acts, say)
            return 0 if await _nothing_broken(shopper, conn, say) and good else 1
        finally:
            await conn.close()


async def _acts(shopper: _Shopper, say: Narrator) -> list[Act]:
    nobody = await shopper.order()
    say.line(f"1 Nobody cancels {nobody.id}: its capture is due in {(GRACE + CAPTURE_DELAY).seconds} s.")

    order = await shopper.order()
    say.line("2 One cancel.")
    canceled = Act("canceled", order, (await shopper.cancel(order, say),), ("200 voided",), _VOIDED)

    order = await shopper.order()
    say.line("3 A double click: two cancels at once.")
    both = sorted(await asyncio.gather(shopper.cancel(order, say), shopper.cancel(order, say)))
    twice = Act("canceled twice", order, tuple(both), ("200 voided", "200 voided, Already canceled"), _VOIDED)

    order = await shopper.order(placed_ago=GRACE)
    say.line("4 A cancel when the grace period is over.")
    late = Act("too late", order, (await shopper.cancel(order, say),), ("409 late_cancel",), _CAPTURED)

    order = await shopper.order()
    await shopper.capture_part(order)
    say.line(f"5 An operator has captured 10.00 EUR of {TOTAL} EUR.")
    end = Ended(
        order="pending", payment="partly captured", stripe="10.00 EUR captured", reserved=1, incidents="partial_capture"
    )
    answer = await shopper.cancel(order, say)
    part = Act("partially captured", order, (answer,), ("422 partial_capture",), end)

    order = await shopper.order()
    await shopper.sandbox.fault("payment_intents.cancel", "error", times=None, object_id=order.intent_ids[0])
    say.line("6 Stripe fails the void.")
    answer = await shopper.cancel(order, say)
    told = await shopper.critical_line(order)
    say.line(f"  CRITICAL {told}" if told else "  no CRITICAL line was logged")
    say.line("  Stripe is mended; the void heals by itself.")
    await shopper.sandbox.clear_faults()
    zombie = Act("failed void", order, (answer,), ("200 void_failed",), _VOIDED)

    await shopper.settle([nobody, canceled.order, twice.order, late.order, part.order, zombie.order], say)
    captured = Act("nobody canceled", nobody, (), (), _CAPTURED)
    return [canceled, twice, late, part, zombie, captured]


async def _final_table(shopper: _Shopper, acts: list[Act], say: Narrator) -> bool:
    ledger = await shopper.sandbox.ledger()
    verdicts = []
    for act in acts:
        end = await shopper.ended(act.order, ledger)
        kept = end == act.promised_end and act.answers == act.promised_answers
        medusa = f"order {end.order}, payment {end.payment}"
        verdicts.append(Verdict(act.title, act.answers, medusa, end.stripe, end.reserved, end.incidents, kept))
        if not kept:
            say.line(f"{act.title}: promised were {act.promised_answers} and {act.promised_end}")
    say.table(verdicts)
    good = all(verdict.kept for verdict in verdicts)
    say.result("Each came out as promised." if good else "NOT as promised: see the table.", good=good)
    return good


async def _nothing_broken(shopper: _Shopper, conn: asyncpg.Connection[asyncpg.Record], say: Narrator) -> bool:
    """The same look as ``medusa-grace doctor``, and sterner: nothing more is to happen here."""
    facts = facts_of(await shopper.sandbox.ledger())
    examination = MedusaBridge(BridgeConfig(), None, None).examination
    findings = await check_promises(conn, examination, stripe=facts, at_rest=True)
    for finding in findings:
        say.result(f"Broken promise: {finding.defect.value} {finding.order_id}: {finding.detail}", good=False)
    if not findings:
        say.result("Checked rows, jobs, stock and Stripe's ledger of all orders: no promise is broken.", good=True)
    return not findings


class _Shopper:
    """Places orders, cancels them, and looks at what became of them."""

    def __init__(self, stage: Stage, conn: asyncpg.Connection[asyncpg.Record], client: httpx.AsyncClient) -> None:
        self._stage = stage
        self._conn = conn
        self._client = client
        self.sandbox: Sandbox = stage.sandbox

    async def order(self, *, placed_ago: timedelta = timedelta(0)) -> PlacedOrder:
        intent = await self.sandbox.authorize(to_minor_units(TOTAL, "eur"), "eur")
        payment = Payment(amount=TOTAL, provider_id=STRIPE, intent=intent)
        return await place_order(self._conn, payments=[payment], placed_ago=placed_ago)

    async def capture_part(self, order: PlacedOrder) -> None:
        async with httpx.AsyncClient(base_url=self._stage.stripe, trust_env=False) as stripe:
            answer = await stripe.post(
                f"/v1/payment_intents/{order.intent_ids[0]}/capture",
                data={"amount_to_capture": "1000"},
                headers={"authorization": f"Bearer {self._stage.stripe_key}"},
            )
            answer.raise_for_status()
        await capture_by_medusa(self._conn, order, order.payment_ids[0], Decimal(10))

    async def cancel(self, order: PlacedOrder, say: Narrator) -> str:
        answer = await self._client.post(
            f"/store/orders/{order.id}/cancel",
            headers={
                "x-publishable-api-key": self._stage.publishable_key,
                "x-modification-token": mint(order.id, self._stage.secret, valid_for=timedelta(minutes=5)),
            },
        )
        say.line(f"  {answer.status_code} {answer.text}")
        body = answer.json()
        words = [str(body.get("payment_action") or body.get("code"))]
        if answer.is_success and "message" in body:
            words.append(body["message"])
        return f"{answer.status_code} {', '.join(words)}"

    async def critical_line(self, order: PlacedOrder) -> str | None:
        """What the worker logged about the order for the people on call."""
        log = self._stage.logs / "worker.log"

        async def found() -> str | None:
            entries = [msgspec.json.decode(line) for line in log.read_text().splitlines() if line.startswith("{")]
            critical = [e["event"] for e in entries if e.get("level") == "critical" and e.get("order_id") == order.id]
            return critical[0] if critical else None

        line: str | None = await _within(5, found)
        return line

    async def settle(self, orders: list[PlacedOrder], say: Narrator) -> None:
        """Wait until nothing is left to do for the orders."""

        async def at_rest() -> bool:
            waiting = await self._conn.fetchval(
                "select count(*) from grace.jobs where order_id = any($1)"
                " and state in ('scheduled', 'queued', 'running')",
                [order.id for order in orders],
            )
            tracked = await self._conn.fetchval(
                "select count(distinct order_id) from grace.jobs where order_id = any($1)",
                [order.id for order in orders],
            )
            return bool(waiting == 0 and tracked == len(orders))

        say.line("7 Waiting for the captures that are due ...")
        if not await _within(30, at_rest):
            say.line("  still not at rest after 30 s")

    async def ended(self, order: PlacedOrder, ledger: dict[str, LedgerLine]) -> Ended:
        row: Any = await self._conn.fetchrow(
            """
            select o.status, p.captured_at, p.canceled_at,
                (select coalesce(sum(c.amount), 0) from capture as c where c.payment_id = p.id) as captured,
                (select sum(l.reserved_quantity) from inventory_level as l where l.id = any($3)) as reserved,
                (select string_agg(i.kind, ', ') from grace.incidents as i
                 where i.order_id = o.id and i.closed_at is null) as incidents
            from "order" as o, payment as p
            where o.id = $1 and p.id = $2
            """,
            order.id,
            order.payment_ids[0],
            list(order.level_ids),
        )
        payment = "captured" if row["captured_at"] else "canceled" if row["canceled_at"] else "held"
        if payment == "held" and row["captured"]:
            payment = "partly captured"
        return Ended(
            order=row["status"],
            payment=payment,
            stripe=_at_stripe(ledger[order.intent_ids[0]]),
            reserved=int(row["reserved"]),
            incidents=row["incidents"] or "-",
        )


def _at_stripe(line: LedgerLine) -> str:
    if line.captured:
        return f"{Decimal(line.captured).scaleb(-2)} {line.currency.upper()} captured"
    if line.voids:
        return f"{line.status}, {line.voids} void{'s' if line.voids > 1 else ''}"
    return line.status


async def _within(seconds: float, ask: Callable[[], Awaitable[Any]]) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := await ask()) and time.monotonic() < deadline:  # noqa: ASYNC110 (other processes act)
        await asyncio.sleep(0.05)
    return value
