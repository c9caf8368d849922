"""New holds are found once, however late they come and whatever the clocks of Medusa's hosts say."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import Payment, PlacedOrder, place_order
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa, complete, soft_delete
from app.usecases.track_payments import BATCH, CURSOR, start_tracking, track_payments, track_stragglers
from tests.usecases.hand import Hand
from tests.world import Shop


@pytest.fixture
async def tracking(hand: Hand) -> Hand:
    """Tracking has begun."""
    await start_tracking(hand.services, datetime.now(UTC))
    return hand


async def test_a_new_hold_is_found_once_and_due_after_grace_period_and_delay(tracking: Hand, shop: Shop) -> None:
    order = await _placed(shop)
    assert await track_payments(tracking.services) == 1
    assert await track_payments(tracking.services) == 0
    job = await tracking.job(order, JobKind.CAPTURE)
    assert (job["subject"], job["state"], job["generation"]) == (order.payment_ids[0], "scheduled", 0)
    assert job["run_at"] == order.created_at + timedelta(hours=1, seconds=30)


async def test_grace_period_and_delay_are_the_shops_choice(tracking: Hand, shop: Shop) -> None:
    order = await _placed(shop)
    hand = tracking.with_policy(grace_period=timedelta(minutes=5), capture_delay=timedelta(seconds=7))
    await track_payments(hand.services)
    assert (await hand.job(order, JobKind.CAPTURE))["run_at"] == order.created_at + timedelta(minutes=5, seconds=7)


async def test_every_payment_of_an_order_is_found(tracking: Hand, shop: Shop) -> None:
    providers = ["pp_system_default", "pp_stripe_stripe", "pp_stripe-bancontact_stripe"]
    order = await _placed(shop, payments=[Payment(amount=Decimal(5), provider_id=provider) for provider in providers])
    assert await track_payments(tracking.services) == 3
    assert set(await tracking.jobs(order)) == {("capture", payment_id) for payment_id in order.payment_ids}


@pytest.mark.parametrize("provider", ["pp_paypal_paypal", "pp_stripey_x", "pp_systematic_x", "stripe"])
async def test_payments_of_other_providers_are_left_to_the_shop(tracking: Hand, shop: Shop, provider: str) -> None:
    await _placed(shop, payments=[Payment(provider_id=provider)])
    assert await track_payments(tracking.services) == 0


async def test_a_hold_that_medusas_cancel_failed_to_void_is_found_and_voided(tracking: Hand, shop: Shop) -> None:
    order = await shop.place()
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)
    assert await track_payments(tracking.services) == 1
    await tracking.run(order, JobKind.CAPTURE)
    assert (await tracking.run(order, JobKind.VOID))["state"] == "done"


async def test_what_needs_no_capture_is_not_found(tracking: Hand, shop: Shop) -> None:
    await _placed(shop, is_draft=True)
    canceled, captured, deleted = [await _placed(shop) for _ in range(3)]
    await cancel_by_medusa(shop.conn, canceled)
    await capture_by_medusa(shop.conn, captured, captured.payment_ids[0])
    await soft_delete(shop.conn, deleted)
    free = await _placed(shop)
    await shop.conn.execute("update payment set amount = 0 where id = $1", free.payment_ids[0])
    unlinked = await _placed(shop)
    await shop.conn.execute("update order_payment_collection set deleted_at = now() where order_id = $1", unlinked.id)
    gone = await _placed(shop)
    await shop.conn.execute("update payment set deleted_at = now() where id = $1", gone.payment_ids[0])

    assert await track_payments(tracking.services) == 0
    assert await shop.conn.fetchval("select count(*) from grace.jobs") == 0


async def test_a_completed_order_whose_hold_stands_is_captured_all_the_same(tracking: Hand, shop: Shop) -> None:
    order = await _placed(shop)
    await complete(shop.conn, order)
    assert await track_payments(tracking.services) == 1


async def test_the_first_start_leaves_older_holds_alone_and_takes_those_that_can_be_canceled(
    hand: Hand, shop: Shop
) -> None:
    old = await _placed(shop, placed_ago=timedelta(hours=1, minutes=5))
    young = await _placed(shop, placed_ago=timedelta(minutes=59))
    await start_tracking(hand.services, datetime.now(UTC))
    assert await track_payments(hand.services) == 1
    assert await track_stragglers(hand.services) == 0
    assert await hand.jobs(old) == {}
    assert len(await hand.jobs(young)) == 1


async def test_a_later_start_goes_on_where_tracking_ended(tracking: Hand, shop: Shop) -> None:
    """Workers were down for half a day: what was placed meanwhile is still captured."""
    await shop.conn.execute(
        "update grace.cursors set position = $1",
        tracking.services.discovery.cursor_at(datetime.now(UTC) - timedelta(hours=12)),
    )
    order = await _placed(shop, placed_ago=timedelta(hours=11))
    await start_tracking(tracking.services, datetime.now(UTC))
    assert await track_payments(tracking.services) == 1
    assert (await tracking.job(order, JobKind.CAPTURE))["run_at"] < datetime.now(UTC)


async def test_a_payment_that_is_committed_after_a_younger_one_is_found(
    tracking: Hand, shop: Shop, database: str
) -> None:
    other = await asyncpg.connect(database)
    slow = other.transaction()
    await slow.start()
    late = await place_order(other, placed_ago=timedelta(seconds=30))
    young = await _placed(shop)
    assert late.payment_ids[0] < young.payment_ids[0]
    assert await track_payments(tracking.services) == 1

    await slow.commit()
    await other.close()
    assert await track_payments(tracking.services) == 1
    assert len(await tracking.jobs(late)) == 1


async def test_a_payment_that_belongs_to_an_order_only_later_is_found(tracking: Hand, shop: Shop) -> None:
    """A checkout is several transactions: the link to the order may come after the payment."""
    order = await _placed(shop)
    await shop.conn.execute("update order_payment_collection set deleted_at = now() where order_id = $1", order.id)
    await _placed(shop)
    assert await track_payments(tracking.services) == 1
    await shop.conn.execute("update order_payment_collection set deleted_at = null where order_id = $1", order.id)
    assert await track_payments(tracking.services) == 1


async def test_a_clock_that_runs_ahead_blinds_nobody(tracking: Hand, shop: Shop) -> None:
    """One of Medusa's hosts is a day ahead: its payment is found, and those of the others after it."""
    ahead = await _placed(shop, placed_ago=timedelta(days=-1))
    assert await track_payments(tracking.services) == 1
    order = await _placed(shop)
    assert await track_payments(tracking.services) == 1
    assert len(await tracking.jobs(order)) == len(await tracking.jobs(ahead)) == 1
    assert await track_payments(tracking.services) == 0


@pytest.mark.parametrize(
    "strange",
    [
        "pay_01m82mgpyyhgsm41xbr1gmbmvj",
        "PAY_01M82MGPYYHGSM41XBR1GMBMVJ",
        "pay_7zzzzzzzzzzzzzzzzzzzzzzzzz",
        "pay_zzzz",
        "pay_7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "pay_~",
        "payé",
    ],
)
async def test_an_id_that_is_no_ulid_blinds_nobody(tracking: Hand, shop: Shop, strange: str) -> None:
    odd = await _placed(shop)
    await shop.conn.execute("update payment set id = $2 where id = $1", odd.payment_ids[0], strange)
    assert await track_payments(tracking.services) == (1 if strange > "pay" else 0)
    for _ in range(2):
        order = await _placed(shop)
        assert await track_payments(tracking.services) == 1
        assert len(await tracking.jobs(order)) == 1


async def test_an_id_that_is_no_ulid_and_stays_the_newest_holds_up_nothing(tracking: Hand, shop: Shop) -> None:
    """Else each look would read all payments since, in the end all of the shop's."""
    odd = await _placed(shop)
    await shop.conn.execute("update payment set id = 'pay_zzzz' where id = $1", odd.payment_ids[0])
    assert await track_payments(tracking.services) == 1
    before = tracking.services.discovery.cursor_at(datetime.now(UTC) - timedelta(minutes=11))
    assert await shop.conn.fetchval("select position from grace.cursors where name = $1", CURSOR) > before


async def test_odd_ids_at_the_end_of_a_full_batch_blind_nobody(
    tracking: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of a batch is where the search goes on."""
    monkeypatch.setattr("app.usecases.track_payments.BATCH", 2)
    for strange in ("pay_zzzy", "pay_zzzz"):
        odd = await _placed(shop)
        await shop.conn.execute("update payment set id = $2 where id = $1", odd.payment_ids[0], strange)
    assert await track_payments(tracking.services) == 2
    orders = [await _placed(shop) for _ in range(5)]
    assert [await track_payments(tracking.services) for _ in range(4)] == [2, 2, 1, 0]
    for order in orders:
        assert len(await tracking.jobs(order)) == 1


async def test_an_odd_id_amid_a_backlog_hides_nothing_behind_it(
    tracking: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no time to go on from: a cursor at it would begin anew a little before now."""
    monkeypatch.setattr("app.usecases.track_payments.BATCH", 2)
    began = tracking.services.discovery.cursor_at(datetime.now(UTC) - timedelta(hours=12))
    await shop.conn.execute("update grace.cursors set position = $1", began)
    orders = [await _placed(shop, placed_ago=timedelta(hours=hours)) for hours in (11, 10, 9, 8)]
    odd = orders[1].payment_ids[0]
    await shop.conn.execute("update payment set id = $2 where id = $1", odd, f"{odd[:14]}-by-hand")
    assert [await track_payments(tracking.services) for _ in range(3)] == [2, 2, 0]
    for order in orders:
        assert len(await tracking.jobs(order)) == 1


async def test_a_clock_that_runs_behind_is_caught_by_the_search_for_stragglers(tracking: Hand, shop: Shop) -> None:
    await _placed(shop)
    await track_payments(tracking.services)
    order = await _placed(shop, placed_ago=timedelta(minutes=40))
    assert await track_payments(tracking.services) == 0
    assert await track_stragglers(tracking.services) == 1
    assert await track_stragglers(tracking.services) == 0
    assert len(await tracking.jobs(order)) == 1


async def test_more_holds_than_a_batch_are_all_found(tracking: Hand, shop: Shop) -> None:
    many = BATCH + 20
    await _many(shop, many - 1, placed_ago=timedelta(minutes=50))
    await _many(shop, 1)
    counts = [await track_payments(tracking.services) for _ in range(3)]
    assert counts == [BATCH, 20, 0]
    assert await shop.conn.fetchval("select count(distinct subject) from grace.jobs") == many
    order = await _placed(shop)
    assert await track_payments(tracking.services) == 1
    assert len(await tracking.jobs(order)) == 1


async def test_two_workers_track_at_once_and_find_each_hold_once(tracking: Hand, shop: Shop) -> None:
    await _many(shop, 50)
    counts = await asyncio.gather(*(track_payments(tracking.services) for _ in range(4)))
    assert sum(counts) == 50
    assert await shop.conn.fetchval("select count(*) from grace.jobs") == 50


async def test_no_tracking_before_the_first_start(hand: Hand, shop: Shop) -> None:
    await _placed(shop)
    assert await track_payments(hand.services) == 0
    assert await track_stragglers(hand.services) == 0


async def _placed(shop: Shop, **options: object) -> PlacedOrder:
    return await place_order(shop.conn, **options)  # type: ignore[arg-type]


async def _many(shop: Shop, count: int, **options: timedelta) -> None:
    for _ in range(count):
        await _placed(shop, lines=[], **options)
