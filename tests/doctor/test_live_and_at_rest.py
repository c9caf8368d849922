"""A live shop is given time; a shop at rest is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from app.domain.jobs import JobKind
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa, refund_by_medusa
from app.usecases.check_promises import check_promises
from plugins.medusa_bridge import BridgeConfig, MedusaBridge
from tests.doctor.clinic import Clinic, named
from tests.promises import broken_promises, stripe_facts


async def test_work_after_a_cancel_is_no_defect_of_a_live_shop(clinic: Clinic, reader: asyncpg.Connection) -> None:
    order = await clinic.canceled()
    assert await broken_promises(reader, clinic.shop.sandbox, at_rest=False) == []
    assert await broken_promises(reader, None, at_rest=False) == []
    found = await broken_promises(reader, clinic.shop.sandbox)
    assert named(found) == {
        (defect, order.id) for defect in ("held_at_stripe_after_cancel", "stock_of_canceled_order", "job_unfinished")
    }
    assert len(found) == 5, "void, release and publish, each by itself"
    await clinic.finish(order)
    assert await broken_promises(reader, clinic.shop.sandbox) == []


async def test_without_stripe_the_void_that_was_not_recorded_is_told_by_the_row(clinic: Clinic) -> None:
    order = await clinic.canceled()
    await clinic.conn.execute("delete from grace.jobs where kind = 'void'")
    await clinic.hand.run(order, JobKind.RELEASE)
    await clinic.hand.run(order, JobKind.PUBLISH)
    assert named(await broken_promises(clinic.shop, None)) == {("live_payment_on_canceled_order", order.id)}


@pytest.mark.parametrize(
    ("kind", "excuses"),
    [("void_failed", True), ("unsupported_provider", True), ("release_failed", False), ("capture_failed", False)],
)
async def test_an_open_incident_excuses_what_it_tells_of(
    clinic: Clinic, reader: asyncpg.Connection, kind: str, excuses: bool
) -> None:
    order = await clinic.place()
    await cancel_by_medusa(clinic.conn, order)
    await clinic.incident(order, kind)
    found = await broken_promises(reader, clinic.shop.sandbox, at_rest=False)
    assert named(found) == (set() if excuses else {("held_at_stripe_after_cancel", order.id)})
    await clinic.conn.execute("update grace.incidents set closed_at = now()")
    found = await broken_promises(reader, clinic.shop.sandbox, at_rest=False)
    assert named(found) == {("held_at_stripe_after_cancel", order.id)}


async def test_a_capture_of_medusas_in_flight_is_given_a_minute(clinic: Clinic, reader: asyncpg.Connection) -> None:
    order = await clinic.watched()
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], in_flight=True)
    await clinic.take(order)
    assert await broken_promises(reader, clinic.shop.sandbox, at_rest=False) == []
    assert named(await broken_promises(reader, clinic.shop.sandbox)) == {("payment_differs_from_captures", order.id)}
    await clinic.let_an_hour_pass()
    found = await broken_promises(reader, clinic.shop.sandbox, at_rest=False)
    assert named(found) == {("payment_differs_from_captures", order.id)}


@pytest.mark.parametrize("state", ["scheduled", "queued", "running"])
async def test_at_rest_no_job_waits(clinic: Clinic, state: str) -> None:
    order = await clinic.captured()
    await clinic.job(order, "publish", f"x:{order.id}", state)
    assert named(await broken_promises(clinic.shop, clinic.shop.sandbox)) == {("job_unfinished", order.id)}


async def test_a_capture_that_waits_for_its_time_is_at_rest_unless_its_order_is_canceled(clinic: Clinic) -> None:
    order = await clinic.watched()
    assert await broken_promises(clinic.shop, clinic.shop.sandbox) == []
    await clinic.let_go(order)
    await cancel_by_medusa(clinic.conn, order)
    assert named(await broken_promises(clinic.shop, clinic.shop.sandbox)) == {("job_unfinished", order.id)}


@pytest.mark.parametrize(
    "kind",
    [
        "void_failed",
        "capture_failed",
        "authorization_lost",
        "late_money",
        "partial_capture",
        "refund_failed",
        "release_failed",
        "publish_failed",
        "look_failed",
    ],
)
async def test_at_rest_no_incident_is_open_whose_trouble_is_over(clinic: Clinic, kind: str) -> None:
    for order in (await clinic.captured(), await clinic.canceled_by_medusa()):
        await clinic.incident(order, kind)
        for truth in (clinic.shop.sandbox, None):
            assert named(await broken_promises(clinic.shop, truth)) == {("incident_without_trouble", order.id)}
        assert not [
            finding
            for finding in await broken_promises(clinic.shop, clinic.shop.sandbox, at_rest=False)
            if finding.order_id
        ]
        await clinic.conn.execute("update grace.incidents set closed_at = now()")


async def test_refunded_in_rows_and_not_at_stripe_keeps_its_incident(clinic: Clinic) -> None:
    order = await clinic.captured()
    await clinic.mark_canceled(order)
    await refund_by_medusa(clinic.conn, order, order.payment_ids[0])
    await clinic.incident(order, "late_money")
    assert await broken_promises(clinic.shop, clinic.shop.sandbox) == []
    assert named(await broken_promises(clinic.shop, None)) == {("incident_without_trouble", order.id)}


async def test_pending_migrations_are_named_and_the_rest_is_looked_at(
    clinic: Clinic, reader: asyncpg.Connection
) -> None:
    order = await clinic.captured()
    await clinic.conn.execute("update order_transaction set reference_id = 'capt_x'")
    await clinic.conn.execute("update grace.migrations set name = '0000_' || name")
    await clinic.let_an_hour_pass()
    found = await broken_promises(reader, clinic.shop.sandbox, at_rest=False)
    assert named(found) == {("pending_migration", None), ("transactions_differ_from_rows", order.id)}


async def test_before_the_first_migrate(clinic: Clinic, reader: asyncpg.Connection) -> None:
    await clinic.captured()
    await clinic.conn.execute("drop schema grace cascade")
    found = await broken_promises(reader, clinic.shop.sandbox, at_rest=False)
    assert {finding.defect for finding in found} == {"pending_migration"}


async def test_one_snapshot(clinic: Clinic, reader: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens during the look is not seen by half."""
    order = await clinic.captured()
    examination = MedusaBridge(BridgeConfig(), None, None).examination
    look = examination.find_defects

    async def meanwhile(conn: asyncpg.Connection, *, at_rest: bool) -> list[Any]:
        await clinic.conn.execute("update order_transaction set reference_id = 'capt_x'")
        assert await conn.fetchval("show transaction_isolation") == "repeatable read"
        assert await conn.fetchval("show transaction_read_only") == "on"
        return await look(conn, at_rest=at_rest)

    monkeypatch.setattr(examination, "find_defects", meanwhile)
    facts = await stripe_facts(clinic.shop.sandbox)
    assert await check_promises(reader, examination, stripe=facts, at_rest=True) == []
    monkeypatch.undo()
    assert named(await check_promises(reader, examination, stripe=facts, at_rest=True)) == {
        ("transactions_differ_from_rows", order.id)
    }


async def test_the_caller_s_own_transaction_is_looked_through(clinic: Clinic) -> None:
    order = await clinic.place(payments=())
    async with clinic.conn.transaction():
        await clinic.conn.execute('update order_summary set totals = totals || \'{"raw_paid_total": {"value": 1}}\'')
        found = await broken_promises(clinic.shop, None)
    assert {finding.order_id for finding in found} == {order.id}


async def test_amounts_are_what_is_trapped(clinic: Clinic) -> None:
    order = await clinic.captured()
    await clinic.give_back(order, 1000)
    await refund_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(10))
    await clinic.mark_canceled(order)
    for truth, amount in ((clinic.shop.sandbox, Decimal("19.74")), (None, Decimal("19.7381"))):
        (finding,) = await broken_promises(clinic.shop, truth)
        assert (finding.amount, finding.currency) == (amount, "eur")
