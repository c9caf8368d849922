"""Orders made from a draft: their grace period begins when they became orders, however old the draft is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.cancellation import Refusal, Refused
from app.domain.jobs import JobKind
from app.embedded.shop import Line, PlacedOrder
from app.embedded.shop_drafts import convert_draft
from app.embedded.shop_transfers import change_email
from app.usecases.cancel_order import Canceled
from app.usecases.track_payments import start_tracking, track_payments
from plugins.medusa_bridge import MedusaBridge
from tests.http.helpers import one_database_a_file
from tests.usecases.ground import Hand
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
    commerce = hand.services.commerce
    assert isinstance(commerce, MedusaBridge)
    seen, locked = await commerce.read_order(shop.conn, order.id), await commerce.lock_order(shop.conn, order.id)
    assert seen is not None
    assert locked is not None
    found, _ = await commerce.find_new_authorizations(
        shop.conn, after=commerce.cursor_at(datetime.now(UTC) - 2 * OLD), overlap=timedelta(0), limit=500
    )
    [new] = [new for new in found if new.order_id == order.id]
    [shown] = (await commerce.see_orders(shop.conn, [order.id])).values()
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
