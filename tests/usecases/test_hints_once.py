"""Each event of Stripe's is a look of its own; what cannot be this shop's is not kept."""

from __future__ import annotations

import pytest

from app.domain.jobs import JobKind
from app.ports import Hint
from app.usecases.take_hint import take_hint
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import placed
from tests.world import Shop


async def looks(shop: Shop) -> list[str]:
    rows = await shop.conn.fetch("select subject from grace.jobs where kind = 'look' order by id")
    return [row["subject"] for row in rows]


@pytest.mark.parametrize("type_", ["payment_intent.canceled", "charge.refunded"])
async def test_two_events_of_a_kind_are_two_looks_and_one_that_comes_twice_is_one(
    hand: Hand, shop: Shop, type_: str
) -> None:
    order = await shop.place()
    for name in ("evt_1", "evt_2", "evt_1"):
        hint = Hint(id=name, type=type_, intent_id=order.intent_ids[0], session=order.session_ids[0])
        await take_hint(hand.services, hint)
    assert await looks(shop) == [f"{order.payment_ids[0]}:evt_1", f"{order.payment_ids[0]}:evt_2"]
    assert await shop.conn.fetchval("select count(*) from grace.pending_stripe_events") == 0


async def test_an_event_about_a_session_names_the_session(hand: Hand, shop: Shop) -> None:
    order, session = await placed(shop, "requires_action")
    await take_hint(hand.services, Hint(id="evt_1", type="x", intent_id=session.intent_id, session=session.id))
    assert await looks(shop) == [f"{session.id}:evt_1"]
    assert (await hand.run(order, JobKind.LOOK))["state"] == "done"


@pytest.mark.parametrize(("session", "kept"), [("payses_of_later", 1), ("", 0)])
async def test_only_what_names_a_session_of_medusas_may_be_this_shops_yet(
    hand: Hand, shop: Shop, session: str, kept: int
) -> None:
    await take_hint(hand.services, Hint(id="evt_1", type="x", intent_id="pi_of_later", session=session))
    assert await looks(shop) == []
    assert await shop.conn.fetchval("select count(*) from grace.pending_stripe_events") == kept
