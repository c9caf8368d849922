"""Orders made from a draft: their grace period begins when they became orders, however old the draft is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.cancellation import Refusal, Refused
from app.domain.jobs import JobKind
from app.embedded.shop import Line, PlacedOrder
from app.embedded.shop_drafts import convert_draft, new_version
from app.embedded.shop_transfers import change_email
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.cancel_order import Canceled
from app.usecases.track_payments import start_tracking, track_payments
from tests.databases import one_database_a_file
from tests.usecases.hand import Hand, nobody_is_told
from tests.world import Shop

database = one_database_a_file()

OLD = timedelta(days=3)
STOCKED, UNSTOCKED = Line(), Line(managed=False)
KINDS: dict[str, tuple[Sequence[Line], bool]] = {
    "stocked and taxed": ((STOCKED,), True),
    "stocked": ((STOCKED,), False),
    "taxed": ((UNSTOCKED,), True),
    "some of each": ((UNSTOCKED, STOCKED), False),
    "neither": ((UNSTOCKED,), False),
}


async def placed_by_everybody(hand: Hand, shop: Shop, order: PlacedOrder) -> set[datetime]:
    """When the order was placed, as each of those says who ask for it."""
    services = hand.services
    seen = await services.orders.read_order(shop.conn, order.id)
    locked = await services.orders.lock_order(shop.conn, order.id)
    assert seen is not None
    assert locked is not None
    found, _ = await services.discovery.find_new_authorizations(
        shop.conn, after=services.discovery.cursor_at(datetime.now(UTC) - 2 * OLD), overlap=timedelta(0), limit=500
    )
    [new] = [new for new in found if new.order_id == order.id]
    [shown] = (await services.back_office.see_orders(shop.conn, [order.id])).values()
    return {seen.placed_at, locked.placed_at, new.placed_at, shown.placed_at}


@pytest.mark.parametrize(("lines", "taxed"), KINDS.values(), ids=KINDS.keys())
async def test_placed_when_it_was_converted(hand: Hand, shop: Shop, lines: Sequence[Line], taxed: bool) -> None:
    draft = await shop.place(is_draft=True, lines=lines, placed_ago=OLD)
    moment = await convert_draft(shop.conn, draft, lines, taxed=taxed, ago=timedelta(minutes=20))

    assert await placed_by_everybody(hand, shop, draft) == {moment}

    await change_email(shop.conn, draft, "another@shoppers.test")
    [later] = await placed_by_everybody(hand, shop, draft)
    if taxed or STOCKED in lines:
        assert later == moment, "what touches the order later does not move it"
    else:
        assert later > moment, "no row tells it, and the shopper has the benefit of it"


async def test_the_first_of_what_the_conversion_made_counts(hand: Hand, shop: Shop) -> None:
    """Reservations of later lines, and tax lines that an edit made anew, are no conversions."""
    lines = (STOCKED, STOCKED)
    draft = await shop.place(is_draft=True, lines=lines, placed_ago=OLD)
    moment = await convert_draft(shop.conn, draft, lines, ago=timedelta(minutes=20))
    await shop.conn.execute(
        "update order_line_item_tax_line set created_at = now() where item_id = any($1)", draft.line_item_ids
    )
    await shop.conn.execute(
        "update reservation_item set created_at = now() where line_item_id = $1", draft.line_item_ids[1]
    )
    assert await placed_by_everybody(hand, shop, draft) == {moment}


@pytest.mark.parametrize("ago", [timedelta(0), OLD], ids=["new", "old"])
async def test_an_order_of_a_checkout_is_placed_when_it_was_created(hand: Hand, shop: Shop, ago: timedelta) -> None:
    order = await shop.place(placed_ago=ago)
    await shop.conn.execute('update "order" set updated_at = now() where id = $1', order.id)
    await shop.conn.execute(
        "update reservation_item set created_at = now() where line_item_id = any($1)", order.line_item_ids
    )
    assert await placed_by_everybody(hand, shop, order) == {order.created_at}


async def test_never_before_it_was_created(hand: Hand, shop: Shop) -> None:
    draft = await shop.place(is_draft=True)
    await convert_draft(shop.conn, draft, ago=timedelta(minutes=1))
    assert await placed_by_everybody(hand, shop, draft) == {draft.created_at}


@pytest.mark.parametrize(
    ("ago", "late"), [(timedelta(minutes=59), False), (timedelta(hours=1, seconds=1), True)], ids=["in time", "late"]
)
async def test_the_shopper_has_the_whole_period(hand: Hand, shop: Shop, ago: timedelta, late: bool) -> None:
    draft = await shop.place(is_draft=True, placed_ago=OLD)
    await convert_draft(shop.conn, draft, ago=ago)
    outcome = await hand.cancel(draft)
    if late:
        assert isinstance(outcome, Refused)
        assert outcome.reason is Refusal.GRACE_PERIOD_OVER
    else:
        assert isinstance(outcome, Canceled)


async def test_its_hold_is_captured_when_the_period_is_over(hand: Hand, shop: Shop) -> None:
    draft = await shop.place(is_draft=True, placed_ago=timedelta(minutes=30))
    moment = await convert_draft(shop.conn, draft)
    await start_tracking(hand.services, datetime.now(UTC))
    await track_payments(hand.services)
    policy = hand.services.policy
    assert (await hand.job(draft, JobKind.CAPTURE))["run_at"] == moment + policy.grace_period + policy.capture_delay


async def _track_drafts(hand: Hand) -> None:
    """Tracking began long ago, and has come past the holds that are there."""
    await start_tracking(hand.services, datetime.now(UTC) - 2 * OLD)
    while await track_payments(hand.services):
        pass


def _due(hand: Hand, moment: datetime) -> datetime:
    return moment + hand.services.policy.grace_period + hand.services.policy.capture_delay


@pytest.mark.parametrize(("lines", "taxed"), KINDS.values(), ids=KINDS.keys())
async def test_a_hold_as_old_as_the_draft_is_tracked_once_it_is_an_order(
    hand: Hand, shop: Shop, lines: Sequence[Line], taxed: bool
) -> None:
    draft = await shop.place(is_draft=True, lines=lines, placed_ago=OLD, amounts=("20", "9.50"))
    await _track_drafts(hand)
    assert await hand.jobs(draft) == {}

    moment = await convert_draft(shop.conn, draft, lines, taxed=taxed, ago=timedelta(minutes=20))
    assert await track_payments(hand.services) == 2
    for payment in draft.payment_ids:
        assert (await hand.job(draft, JobKind.CAPTURE, payment))["run_at"] == _due(hand, moment)
    assert await track_payments(hand.services) == 0


async def test_a_hold_from_before_the_first_start_is_tracked_where_the_order_can_still_be_canceled(
    hand: Hand, shop: Shop
) -> None:
    young, old = [await shop.place(is_draft=True, placed_ago=OLD) for _ in range(2)]
    await convert_draft(shop.conn, old, ago=timedelta(hours=1, minutes=5))
    moment = await convert_draft(shop.conn, young, ago=timedelta(minutes=55))
    await start_tracking(hand.services, datetime.now(UTC))
    assert await track_payments(hand.services) == 1
    assert (await hand.job(young, JobKind.CAPTURE))["run_at"] == _due(hand, moment)
    assert await hand.jobs(old) == {}


async def test_every_converted_draft_has_its_turn(hand: Hand, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.usecases.track_conversions.WINDOW", 2)
    drafts = [await shop.place(is_draft=True, lines=[], placed_ago=OLD) for _ in range(5)]
    await _track_drafts(hand)
    for draft in drafts:
        await convert_draft(shop.conn, draft, [], ago=timedelta(minutes=5))
    await _walk_round(hand, shop)
    for draft in drafts:
        assert len(await hand.jobs(draft)) == 1
    late = await shop.place(is_draft=True, lines=[], placed_ago=2 * OLD)
    await convert_draft(shop.conn, late, [])
    await _walk_round(hand, shop)
    assert len(await hand.jobs(late)) == 1


async def _walk_round(hand: Hand, shop: Shop) -> None:
    """As often as reading two orders at a time needs, from anywhere back to there."""
    for _ in range(await shop.conn.fetchval('select count(*) from "order"') // 2 + 2):
        await track_payments(hand.services)


NOT_OURS: dict[str, str] = {
    "captured": "update payment set captured_at = now()",
    "canceled": "update payment set canceled_at = now()",
    "deleted payment": "update payment set deleted_at = now()",
    "nothing held": "update payment set amount = 0",
    "another provider": "update payment set provider_id = 'pp_adyen_adyen'",
    "unlinked": "update order_payment_collection set deleted_at = now()",
    "canceled order": "update \"order\" set status = 'canceled', canceled_at = now()",
    "canceled and archived": "update \"order\" set status = 'archived', canceled_at = now()",
    "canceled without its moment": "update \"order\" set status = 'canceled'",
    "deleted order": 'update "order" set deleted_at = now()',
    "a draft by its flag": 'update "order" set is_draft_order = true',
    "a draft by its status": "update \"order\" set status = 'draft'",
}


@pytest.mark.parametrize("change", NOT_OURS.values(), ids=NOT_OURS.keys())
async def test_what_needs_no_capture_is_left(hand: Hand, shop: Shop, change: str) -> None:
    draft = await shop.place(is_draft=True, placed_ago=OLD)
    await _track_drafts(hand)
    await convert_draft(shop.conn, draft, ago=timedelta(minutes=5))
    await shop.conn.execute(change)
    assert await track_payments(hand.services) == 0
    assert await hand.jobs(draft) == {}


GONE: dict[str, str] = {
    "softly": "update {table} set deleted_at = now()",
    "for good": "delete from {table}",
    "made again": "update {table} set created_at = now()",
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE.keys())
@pytest.mark.parametrize(("lines", "taxed"), KINDS.values(), ids=KINDS.keys())
async def test_the_period_never_begins_again(
    hand: Hand, shop: Shop, lines: Sequence[Line], taxed: bool, gone: str
) -> None:
    """Reservations go with a parcel or by hand, tax lines with an address; each change of an order touches it."""
    draft = await shop.place(is_draft=True, lines=lines, placed_ago=OLD)
    await _track_drafts(hand)
    moment = await convert_draft(shop.conn, draft, lines, taxed=taxed, ago=timedelta(minutes=20))
    await track_payments(hand.services)
    await shop.conn.execute("delete from grace.jobs")

    for table in ("reservation_item", "order_line_item_tax_line"):
        await shop.conn.execute(gone.format(table=table))
    await change_email(shop.conn, draft, "another@shoppers.test")
    assert await placed_by_everybody(hand, shop, draft) == {moment}


async def test_an_order_without_a_hold_keeps_its_begin_too(hand: Hand, shop: Shop) -> None:
    draft = await shop.place(is_draft=True, lines=[UNSTOCKED], payments=(), placed_ago=OLD)
    await _track_drafts(hand)
    moment = await convert_draft(shop.conn, draft, [UNSTOCKED], taxed=False, ago=timedelta(minutes=20))
    await track_payments(hand.services)
    await change_email(shop.conn, draft, "another@shoppers.test")
    seen = await hand.services.orders.read_order(shop.conn, draft.id)
    assert seen is not None
    assert seen.placed_at == moment


async def test_a_line_that_was_removed_from_the_draft_begins_nothing(hand: Hand, shop: Shop) -> None:
    """Its tax lines stay as old as the draft: Medusa makes those of the current version again."""
    lines = (UNSTOCKED, UNSTOCKED)
    draft = await shop.place(is_draft=True, lines=lines, placed_ago=OLD)
    moment = await convert_draft(shop.conn, draft, lines, ago=timedelta(minutes=20))
    await shop.conn.execute(
        "update order_line_item_tax_line set created_at = now() - $2::interval where item_id = $1",
        draft.line_item_ids[0],
        OLD,
    )
    await new_version(shop.conn, draft, draft.line_item_ids[1:])
    assert await placed_by_everybody(hand, shop, draft) == {moment}


async def test_reservations_tell_more_than_tax_lines(hand: Hand, shop: Shop) -> None:
    """Without automatic taxes a conversion leaves the tax lines as old as the draft."""
    draft = await shop.place(is_draft=True, placed_ago=OLD)
    moment = await convert_draft(shop.conn, draft, ago=timedelta(minutes=20))
    await shop.conn.execute("update order_line_item_tax_line set created_at = now() - $1::interval", OLD)
    assert await placed_by_everybody(hand, shop, draft) == {moment}


async def test_a_conversion_that_medusa_took_back_begins_nothing(hand: Hand, shop: Shop) -> None:
    """Its event could not be emitted: the order was one for a moment. The next conversion counts."""
    draft = await shop.place(is_draft=True, placed_ago=OLD)
    await _track_drafts(hand)
    await convert_draft(shop.conn, draft)
    await track_payments(hand.services)
    await shop.conn.execute("delete from reservation_item")
    await shop.conn.execute("update \"order\" set status = 'draft', is_draft_order = true")
    job = await hand.run(draft, JobKind.CAPTURE)
    assert job["state"] == "removed"
    assert await nobody_is_told(hand, draft)

    await shop.conn.execute("update \"order\" set created_at = created_at - interval '1 day'")
    await asyncio.sleep(0.01)
    moment = await convert_draft(shop.conn, draft)
    for _ in range(2):
        await track_payments(hand.services)
        await adopt_canceled(hand.services)
    job = await hand.job(draft, JobKind.CAPTURE)
    assert (job["state"], job["run_at"]) == ("scheduled", _due(hand, moment))
