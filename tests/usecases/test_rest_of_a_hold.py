"""Of a hold that was captured in part, a further attempt asks for the rest alone (multicapture)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.jobs import JobKind
from app.embedded.shop_acts import add_credit_line
from tests.usecases.canned import answering, intent_of
from tests.usecases.hand import Hand
from tests.world import Shop

CAPTURE = "payment_intents.capture"


@pytest.mark.parametrize(
    ("credit", "received", "asked"), [("0", 1000, 2000), ("0", 2999, 1), ("5", 1000, 1500), ("20", 999, 1)]
)
async def test_only_what_is_owed_beyond_what_was_received_is_asked_for(
    hand: Hand, shop: Shop, credit: str, received: int, asked: int
) -> None:
    order = await shop.place(amounts=("30",))
    if Decimal(credit):
        await add_credit_line(shop.conn, order, Decimal(credit))
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.sandbox.fault(CAPTURE, "error", status=500)
    await hand.run(order, JobKind.CAPTURE)
    partly = intent_of(order, "requires_capture", received, amount_capturable=3000 - received)
    await answering(hand, look=partly).run(order, JobKind.CAPTURE)
    amounts = [int(one["params"]["amount_to_capture"]) for one in await shop.sandbox.requests(CAPTURE)]
    assert amounts[1:] == [asked]
