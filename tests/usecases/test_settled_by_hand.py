"""What a person has settled stays closed until something new is learned, and jobs go on."""

from __future__ import annotations

from app.domain.findings import Defect
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.store import incidents
from app.usecases.heal_incidents import heal_incidents
from app.usecases.operator_acts import Acted, ActRequest
from app.usecases.recheck_canceled import recheck_canceled
from app.usecases.settle_incident import settle_incident
from tests.promises import broken_promises
from tests.usecases.hand import Hand
from tests.world import Shop

VOID = "payment_intents.cancel"


async def settle(hand: Hand, order: PlacedOrder, kind: str, token: str = "01J00000000000000000000001") -> Acted:
    number = await hand.shop.conn.fetchval(
        "select id from grace.incidents where order_id = $1 and kind = $2 and closed_at is null", order.id, kind
    )
    request = ActRequest(incident_id=number, actor="ada@shop.test", token=token)
    return await settle_incident(hand.services, request, name="Ada", note="done in the dashboard")


async def late(hand: Hand, shop: Shop) -> PlacedOrder:
    order = await shop.place()
    await hand.services.gateway.capture(order.intent_ids[0], amount=2974, key="by-hand")
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["late_money"]
    return order


async def test_late_money_that_was_settled_is_not_raised_in_a_loop(hand: Hand, shop: Shop) -> None:
    order = await late(hand, shop)
    assert await settle(hand, order, "late_money") is Acted.DONE
    for _ in range(3):
        await heal_incidents(hand.services)
        await recheck_canceled(hand.services)
    assert await shop.incidents(order) == []
    assert len(await shop.incidents(order, open_only=False)) == 1
    defects = {finding.defect for finding in await broken_promises(shop, shop.sandbox)}
    assert Defect.CAPTURED_AT_STRIPE in defects, "the doctor still says what the money is"


async def test_something_new_opens_it_again(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await shop.sandbox.fault(VOID, "error", times=5, status=500)
    await hand.cancel(order)
    for _ in range(3):
        await hand.run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["void_failed"]
    await settle(hand, order, "void_failed")
    await hand.run(order, JobKind.VOID)
    assert await shop.incidents(order) == [], "the very same error is no news"
    await shop.sandbox.clear_faults()
    await shop.sandbox.fault(VOID, "error", times=1, status=429)
    await hand.run(order, JobKind.VOID)
    assert await shop.incidents(order) == ["void_failed"]
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert await shop.incidents(order) == []
    await hand.run(order, JobKind.RELEASE)
    await hand.run(order, JobKind.PUBLISH)
    assert await broken_promises(shop, shop.sandbox) == []


async def test_once_it_is_over_the_same_trouble_is_news_again(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    kind = IncidentKind.LOOK_FAILED
    await incidents.open_(shop.conn, order.id, kind, "no answer")
    await settle(hand, order, kind.value)
    await incidents.open_(shop.conn, order.id, kind, "no answer")
    assert await shop.incidents(order) == []
    await incidents.close(shop.conn, order.id, kind)
    await incidents.open_(shop.conn, order.id, kind, "no answer")
    assert await shop.incidents(order) == [kind.value]


async def test_the_person_may_have_been_right(hand: Hand, shop: Shop) -> None:
    """The void was made by hand at Stripe: the job's next try sees it and ends."""
    order = await shop.place()
    await shop.sandbox.fault(VOID, "error", times=3, status=500)
    await hand.cancel(order)
    for _ in range(3):
        await hand.run(order, JobKind.VOID)
    await hand.services.gateway.void(order.intent_ids[0], key="by-hand")
    await settle(hand, order, "void_failed")
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    await hand.run(order, JobKind.RELEASE)
    await hand.run(order, JobKind.PUBLISH)
    assert await broken_promises(shop, shop.sandbox) == []
