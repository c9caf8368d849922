"""What happens to one thing more than once is done, and published, once for each time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from bullmq import Queue

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import cancel_by_medusa
from app.ports import Event
from app.usecases.adopt_canceled import adopt_canceled
from app.usecases.recheck_canceled import recheck_canceled
from tests.usecases.canned import answering, intent_of
from tests.usecases.hand import Hand
from tests.world import Shop


async def _events(shop: Shop, order: PlacedOrder, name: str) -> list[Event]:
    rows = await shop.conn.fetch(
        "select subject from grace.jobs where order_id = $1 and kind = 'publish' order by id", order.id
    )
    return [event for event in (Event.parse(row["subject"]) for row in rows) if event.name == name]


async def _opened_again(shop: Shop, order: PlacedOrder, *, hold: bool = False) -> None:
    """What a workflow of the shop does that takes a cancel back."""
    await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)
    if hold:
        await shop.conn.execute("update payment set canceled_at = null where id = any($1)", order.payment_ids)
        await shop.conn.execute(
            "update payment_collection set status = 'authorized' where id = any($1)", order.collection_ids
        )


async def _look(hand: Hand, order: PlacedOrder, event: str, refunded: int) -> None:
    subject = f"{order.payment_ids[0]}:{event}"
    seen = intent_of(order, "succeeded", 3000, refunded=refunded)
    await hand.schedule(order, JobKind.LOOK, [subject])
    await answering(hand, look=seen).run(order, JobKind.LOOK, subject)


async def test_two_refunds_of_one_late_payment_are_two_events(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    await answering(hand, void=intent_of(order, "succeeded", 3000)).run(order, JobKind.VOID)

    await _look(hand, order, "evt_1", 1000)
    await _look(hand, order, "evt_2", 1000)
    assert len(await _events(shop, order, "payment.refunded")) == 1, "the same refund, said twice"
    await _look(hand, order, "evt_3", 3000)

    events = await _events(shop, order, "payment.refunded")
    refunds = [row["id"] for row in await shop.conn.fetch("select id from refund order by created_at, id")]
    assert len(events) == len(refunds) == 2
    assert {event.id for event in events} == {order.payment_ids[0]}
    assert [event.occurrence for event in events] == [None, refunds[1]]


async def test_canceled_twice_is_published_and_released_and_voided_twice(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.cancel(order)
    for kind in (JobKind.VOID, JobKind.RELEASE):
        await hand.run(order, kind)
    await _opened_again(shop, order, hold=True)
    await shop.conn.execute("update reservation_item set deleted_at = null where id = any($1)", order.reservation_ids)
    await shop.conn.execute("update inventory_level set reserved_quantity = reserved_quantity + 1")

    await hand.cancel(order)
    for kind in (JobKind.VOID, JobKind.RELEASE):
        assert (await hand.run(order, kind))["state"] == "done"

    assert len(await _events(shop, order, "order.canceled")) == 2
    assert (await hand.job(order, JobKind.VOID))["key_number"] == 2
    live = "select count(*) from reservation_item where deleted_at is null and id = any($1)"
    assert await shop.conn.fetchval(live, order.reservation_ids) == 0


async def test_the_same_cancel_is_published_once(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))

    await hand.cancel(order)
    await hand.cancel(order)

    assert await _events(shop, order, "order.canceled") == [Event("order.canceled", order.id)]


async def test_canceled_the_second_time_in_medusas_admin(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.cancel(order)
    await hand.run(order, JobKind.VOID)
    await _opened_again(shop, order, hold=True)
    await cancel_by_medusa(shop.conn, order, void_succeeded=False)

    await recheck_canceled(hand.services)

    assert (await hand.job(order, JobKind.VOID))["state"] == "scheduled"


async def test_opened_again_before_the_void(hand: Hand, shop: Shop) -> None:
    """The order owes its hold: it is captured, and not voided."""
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)
    await hand.cancel(order)
    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "removed"
    await _opened_again(shop, order, hold=True)

    void = await hand.run(order, JobKind.VOID)
    capture = await hand.run(order, JobKind.CAPTURE)

    assert (void["state"], capture["state"]) == ("removed", "done")
    assert await shop.incidents(order) == []


async def test_opened_again_after_its_capture_was_taken_out(hand: Hand, shop: Shop) -> None:
    """A shop that opens an order and holds its money anew on the same payment: somebody must capture it."""
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set state = 'removed' where kind = 'capture'")

    await adopt_canceled(hand.services)

    assert (await hand.job(order, JobKind.CAPTURE))["state"] == "scheduled"


async def test_each_refund_of_medusas_beside_ours_is_looked_at_again(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.LOOK, [f"{order.payment_ids[0]}:after-refund"])
    await shop.conn.execute("update grace.jobs set state = 'done' where kind = 'look'")
    await hand.cancel(order)
    await answering(hand.refunding(), void=intent_of(order, "succeeded", 3000)).run(order, JobKind.VOID)
    await shop.conn.execute(
        "insert into refund (id, amount, raw_amount, payment_id) values ('ref_theirs', 30, '{}', $1)",
        order.payment_ids[0],
    )
    part = intent_of(order, "succeeded", 3000, refunded=3000)

    await answering(hand, look=part).run(order, JobKind.REFUND)

    assert (await hand.job(order, JobKind.LOOK))["state"] == "scheduled"


@pytest.mark.parametrize(
    ("subject", "event"),
    [
        ("order.canceled:order_1", Event("order.canceled", "order_1")),
        ("payment.refunded:pay_1:ref_2", Event("payment.refunded", "pay_1", "ref_2")),
    ],
)
def test_subjects(subject: str, event: Event) -> None:
    assert Event.parse(subject) == event
    assert event.subject == subject


async def test_each_occurrence_is_a_job_of_medusas_bus(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[tuple[str, str]] = []

    async def add(_: Queue, name: str, body: Mapping[str, Mapping[str, str]], options: Mapping[str, str]) -> None:
        added.append((body["data"]["id"], options["jobId"]))

    monkeypatch.setattr(Queue, "add", add)

    for occurrence in (None, "ref_2"):
        await hand.services.events.publish(Event("payment.refunded", "pay_1", occurrence))

    assert added == [("pay_1", "grace-payment.refunded-pay_1"), ("pay_1", "grace-payment.refunded-pay_1-ref_2")]


async def test_a_sum_that_is_captured_in_two_steps_is_two_events(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)
    await answering(hand, capture=intent_of(order, "succeeded", 1000)).run(order, JobKind.CAPTURE)

    subject = f"{order.payment_ids[0]}:evt_1"
    await hand.schedule(order, JobKind.LOOK, [subject])
    await answering(hand, look=intent_of(order, "succeeded", 3000)).run(order, JobKind.LOOK, subject)

    assert len(await _events(shop, order, "payment.captured")) == 2
    taken = await shop.conn.fetchval("select sum(amount) from capture where payment_id = $1", order.payment_ids[0])
    assert taken == Decimal(30)
