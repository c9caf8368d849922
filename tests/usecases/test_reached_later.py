"""Kinds and states that an order comes to later, or by another way than the usual one: its work goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

import asyncpg
import pytest

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.embedded.shop import Payment, PlacedOrder
from app.embedded.shop_acts import archive, cancel_by_medusa, capture_by_medusa, complete, refund_by_medusa
from app.store import incidents, jobs
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.heal_incidents import heal_incidents
from app.usecases.recheck_canceled import recheck_canceled
from tests.usecases.hand import Hand
from tests.world import Shop

LATER: Final[dict[str, Callable[[asyncpg.Connection, PlacedOrder], Awaitable[None]]]] = {
    "archived": archive,
    "completed": complete,
}
OTHER: Final = "pp_paypal_paypal"
REFUNDED: Final = "select refunded_amount from payment_collection where id = $1"


@pytest.mark.parametrize("later", LATER)
async def test_an_order_that_is_archived_or_completed_after_its_cancel_is_worked_on(
    hand: Hand, shop: Shop, later: str
) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await LATER[later](shop.conn, order)
    for kind in (JobKind.VOID, JobKind.RELEASE, JobKind.PUBLISH):
        assert (await hand.run(order, kind))["state"] == "done"
    assert await hand.ops(order) == ["cancel"]
    assert await hand.payment_action(order) == "voided"
    assert await shop.conn.fetchval("select reserved_quantity from inventory_level") == 0
    assert await shop.incidents(order, open_only=False) == []


@pytest.mark.parametrize("later", LATER)
async def test_late_money_of_such_an_order_is_found_and_given_back(hand: Hand, shop: Shop, later: str) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="elsewhere")
    await LATER[later](shop.conn, order)
    refunding = hand.refunding()
    await refunding.run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["late_money"]
    assert (await refunding.run(order, JobKind.REFUND))["state"] == "done"
    assert await shop.incidents(order) == []
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].refunded == 2974


@pytest.mark.parametrize("later", LATER)
async def test_money_taken_beside_the_cancel_of_such_an_order_is_seen(hand: Hand, shop: Shop, later: str) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    await LATER[later](shop.conn, order)
    assert await recheck_canceled(hand.services) == 1
    assert await shop.incidents(order) == ["late_money"]


@pytest.mark.parametrize("later", LATER)
async def test_medusas_own_cancel_of_such_an_order_is_adopted(hand: Hand, shop: Shop, later: str) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)
    await LATER[later](shop.conn, order)
    assert await adopt_canceled(hand.services) == 1
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "removed"
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"


@pytest.mark.parametrize("provider", ["pp_stripe-bancontact_stripe", "pp_stripe-ideal_stripe", "pp_stripe_second"])
async def test_every_provider_of_medusas_stripe_package_is_captured_and_voided(
    hand: Hand, shop: Shop, provider: str
) -> None:
    kept, canceled = await shop.place(), await shop.place()
    await shop.conn.execute("update payment set provider_id = $1", provider)
    await hand.schedule(kept, JobKind.CAPTURE)
    assert (await hand.run(kept, JobKind.CAPTURE))["state"] == "done"
    await hand.cancel(canceled)
    assert (await hand.run(canceled, JobKind.VOID))["state"] == "done"
    assert (await hand.ops(kept), await hand.ops(canceled)) == (["capture"], ["cancel"])
    assert await shop.conn.fetchval("select count(*) from grace.incidents") == 0


async def test_the_hold_of_another_provider_on_a_canceled_order_stays_an_incident(hand: Hand, shop: Shop) -> None:
    """No row shows that its hold was released: only a person can say so."""
    order = await shop.place(payments=[Payment(provider_id=OTHER)])
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    for _ in range(2):
        await heal_incidents(hand.services)
        assert await shop.incidents(order) == ["unsupported_provider"]


@pytest.mark.parametrize("settled", ["captured", "canceled", "neither"])
async def test_the_hold_of_another_provider_on_an_open_order_is_settled_in_medusa(
    hand: Hand, shop: Shop, settled: str
) -> None:
    order = await shop.place(payments=[Payment(provider_id=OTHER)])
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.run(order, JobKind.CAPTURE)
    assert await shop.incidents(order) == ["unsupported_provider"]
    if settled == "captured":
        await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    elif settled == "canceled":
        await shop.conn.execute("update payment set canceled_at = now()")
    await heal_incidents(hand.services)
    assert await shop.incidents(order) == (["unsupported_provider"] if settled == "neither" else [])


@pytest.mark.parametrize("first", ["adopt", "capture"])
async def test_a_capture_that_failed_is_no_incident_once_the_admin_cancels(hand: Hand, shop: Shop, first: str) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.sandbox.fault("payment_intents.capture", "error", times=3, status=500)
    for _ in range(3):
        await hand.run(order, JobKind.CAPTURE)
    assert await shop.incidents(order) == ["capture_failed"]
    await cancel_by_medusa(shop.conn, order)
    if first == "adopt":
        await adopt_canceled(hand.services)
    else:
        await hand.run(order, JobKind.CAPTURE)
    assert await shop.incidents(order) == []
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "removed"


async def test_a_refund_that_is_taken_up_again_has_a_new_key(hand: Hand, shop: Shop) -> None:
    """Under the old one Stripe would replay its old answer, and nothing would be given back."""
    order = await _late(hand, shop)
    await hand.services.gateway.refund(order.intent_ids[0], amount=974, key="by-hand")
    refunding = hand.refunding()
    await refunding.run(order, JobKind.REFUND)
    before = await hand.keys(order, "refunds.create")
    await jobs.again(shop.conn, JobKind.REFUND, order.id, order.payment_ids[0])
    job = await hand.job(order, JobKind.REFUND)
    assert (job["state"], job["key_number"]) == ("scheduled", 2)
    await refunding.run(order, JobKind.REFUND)
    assert await hand.keys(order, "refunds.create") == before, "Stripe owes nothing"


@pytest.mark.parametrize("state", ["dead", "scheduled"])
async def test_what_a_person_retries_has_a_new_key_only_after_a_definite_outcome(
    hand: Hand, shop: Shop, state: str
) -> None:
    order = await _late(hand, shop)
    await hand.schedule(order, JobKind.REFUND)
    await shop.conn.execute(
        "update grace.jobs set state = $1, failures = 3, failing_since = now() where kind = 'refund'", state
    )
    before = await hand.job(order, JobKind.REFUND)
    assert await jobs.retry(shop.conn, order.id, JobKind.REFUND) == 1
    after = await hand.job(order, JobKind.REFUND)
    assert (after["state"], after["key_number"] - before["key_number"]) == ("scheduled", int(state == "dead"))


async def test_rows_that_say_refunded_where_stripe_gave_less_are_an_incident(hand: Hand, shop: Shop) -> None:
    order = await _late(hand, shop)
    await refund_by_medusa(shop.conn, order, order.payment_ids[0])
    await hand.services.gateway.refund(order.intent_ids[0], amount=1000, key="by-hand")
    await hand.schedule(order, JobKind.LOOK)
    await hand.run(order, JobKind.LOOK)
    assert "refund_failed" in await shop.incidents(order)


async def test_a_refund_of_ours_goes_by_stripe_and_not_by_the_rows(hand: Hand, shop: Shop) -> None:
    """The rows say that all was given back; a comparison comes later, when Medusa's own refund is over for certain."""
    order = await _late(hand, shop)
    await refund_by_medusa(shop.conn, order, order.payment_ids[0])
    await hand.services.gateway.refund(order.intent_ids[0], amount=1000, key="by-hand")
    assert (await hand.refunding().run(order, JobKind.REFUND))["state"] == "done"
    assert (await shop.sandbox.ledger())[order.intent_ids[0]].refunded == 2974
    looks = [subject for kind, subject in await hand.jobs(order) if kind == "look"]
    assert looks == [f"{order.payment_ids[0]}:after-refund"]


@pytest.mark.parametrize("given", [Decimal("29.7381"), Decimal(10)])
async def test_late_money_is_settled_by_all_that_was_taken(hand: Hand, shop: Shop, given: Decimal) -> None:
    order = await shop.place()
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now()")
    await incidents.open_(shop.conn, order.id, IncidentKind.LATE_MONEY, "")
    await refund_by_medusa(shop.conn, order, order.payment_ids[0], given)
    await shop.conn.execute("update refund set created_at = now() - interval '6 minutes'")
    await heal_incidents(hand.services)
    assert (await shop.incidents(order) == []) is (given > 10)


async def _late(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="elsewhere")
    await hand.cancel(order)
    await hand.refunding().run(order, JobKind.VOID)
    return order
