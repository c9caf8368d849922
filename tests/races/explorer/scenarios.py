"""How things may stand when the actors begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import asyncpg
import msgspec

from app.domain.cancellation import NewCancellation
from app.domain.jobs import JobKind
from app.domain.order import Order
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import add_credit_line
from app.embedded.stripe_sandbox.faults import Action, Fault
from app.environment import Environment
from app.ports import LateMoney
from app.settings import read_policy
from app.store import jobs
from plugins.medusa_bridge import order_rows
from plugins.medusa_bridge.orders import MedusaOrders
from plugins.medusa_bridge.providers import ServedProviders
from tests.races.explorer.cases import Case, Scenario
from tests.races.explorer.stripe_seam import Call

_POLICY: Final = read_policy(Environment({"VOID_WAIT_SECONDS": "0", "MEDUSA_EVENTS": "off"}))
_REFUNDING: Final = msgspec.structs.replace(_POLICY, late_money=LateMoney.REFUND)


async def _open(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    """The capture is queued: its message is on its way, and an older one of it too."""
    await jobs.schedule(conn, JobKind.CAPTURE, order.id, order.payment_ids)
    await _queue(conn)


async def _canceled(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    """Canceled by us; void and release are queued, the capture is removed."""
    await jobs.schedule(conn, JobKind.CAPTURE, order.id, order.payment_ids)
    locked = await order_rows.read(conn, order.id, lock=True)
    assert locked is not None
    await _cancel(conn, locked, order.payment_ids)
    await _queue(conn)


async def _cancel(conn: asyncpg.Connection, order: Order, subjects: Sequence[str]) -> None:
    voids = [(JobKind.VOID, subject) for subject in subjects]
    new = NewCancellation(
        canceled_by="token", reason=None, reason_label=None, request_id="before",
        jobs=(*voids, (JobKind.RELEASE, order.id)),
    )  # fmt: skip
    assert await MedusaOrders(ServedProviders()).cancel_if_unchanged(conn, order, new)


async def _deferred(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    """Canceled by us while its money was a session alone, whose void is queued."""
    await conn.execute("delete from payment where id = any($1::text[])", order.payment_ids)
    locked = await order_rows.read(conn, order.id, lock=True)
    assert locked is not None
    await _cancel(conn, locked, order.session_ids)
    await _queue(conn)


async def _in_doubt(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    """A worker died in the capture, and its job is queued again."""
    await _open(conn, order)
    await conn.execute("update grace.jobs set in_doubt = true, attempts = 1")


async def _queue(conn: asyncpg.Connection) -> None:
    await conn.execute("update grace.jobs set state = 'queued', generation = 2 where state = 'scheduled'")


async def _of_another_provider(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    """Canceled by us; the hold is not Stripe's, and a person has to release it."""
    foreign = "update payment set provider_id = 'pp_paypal_paypal', data = '{}' where id = any($1)"
    await conn.execute(foreign, order.payment_ids)
    await _canceled(conn, order)


async def _credited(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    """The shop's operator gave a credit line of ten: the holds are more than is owed."""
    await add_credit_line(conn, order, Decimal(10))
    await _open(conn, order)


async def _given(conn: asyncpg.Connection, order: PlacedOrder) -> None:
    """A credit line of the whole total: nothing is owed."""
    await add_credit_line(conn, order, order.total)
    await _open(conn, order)


def _captured_at_stripe(case: Case) -> None:
    """By somebody whose rows never came to be."""
    case.account.post(f"/v1/payment_intents/{case.intent_ids[0]}/capture", {}, "capt_of_somebody")


def _asked_before_and_blind(case: Case) -> None:
    """Stripe captured, nobody heard of it, and the next retrieve fails."""
    _asked_before(case, done=True)
    case.account.world.faults.orders.append(Fault(op="payment_intents.retrieve", action=Action.ERROR, status=500))


def _asked_before(case: Case, *, done: bool) -> None:
    key = f"grace-capture-{case.payment_ids[0]}-1"
    case.account.calls.append(Call("-", "capture", case.intent_ids[0], key))
    if done:
        case.account.post(f"/v1/payment_intents/{case.intent_ids[0]}/capture", {"amount_to_capture": "2974"}, key)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="open", make=_open, policy=_POLICY),
        Scenario(name="canceled", make=_canceled, policy=_POLICY),
        Scenario(name="refunding", make=_open, policy=_REFUNDING),
        Scenario(name="free", make=_open, amounts=(), policy=_POLICY),  # nothing was to be paid
        Scenario(name="late", make=_canceled, stripe=_captured_at_stripe, policy=_REFUNDING),
        Scenario(name="other", make=_of_another_provider, policy=_POLICY),
        Scenario(name="deferred", make=_deferred, policy=_REFUNDING),
        Scenario(name="two", make=_open, amounts=("10", "19.7381"), policy=_POLICY),
        Scenario(name="credited", make=_credited, policy=_POLICY),
        Scenario(name="credited-two", make=_credited, amounts=("10", "19.7381"), policy=_POLICY),
        Scenario(name="given", make=_given, policy=_POLICY),
        Scenario(name="doubt-blind", make=_in_doubt, stripe=_asked_before_and_blind, policy=_POLICY),
        Scenario(name="doubt-done", make=_in_doubt, stripe=lambda case: _asked_before(case, done=True), policy=_POLICY),
        Scenario(name="doubt-not", make=_in_doubt, stripe=lambda case: _asked_before(case, done=False), policy=_POLICY),
    )
}
