"""What was over comes up once more, or another ended it: it is told once, and nothing is left out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.domain.cancellation import Refused
from app.domain.jobs import JobKind
from app.embedded.shop_acts import add_credit_line, capture_by_medusa, soft_delete
from app.embedded.shop_rows import next_version, now_ms
from app.usecases.cancel_order import Canceled
from app.usecases.recheck_canceled import recheck_canceled
from tests.usecases.hand import Hand, nobody_is_told
from tests.world import Shop


@pytest.mark.parametrize("state", ["captured", "canceled"])
async def test_a_payment_that_is_over_needs_nobody_though_its_order_is_gone(hand: Hand, shop: Shop, state: str) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    if state == "captured":
        await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    else:
        await shop.conn.execute("update payment set canceled_at = now() where id = $1", order.payment_ids[0])
    await soft_delete(shop.conn, order)

    job = await hand.run(order, JobKind.CAPTURE)

    assert (job["state"], job["last_error"]) == ("removed", "the order or its payment no longer exists")
    assert await nobody_is_told(hand, order)
    assert await hand.ops(order) == []


async def test_a_hold_that_is_not_owed_for_the_second_time_is_voided_all_the_same(hand: Hand, shop: Shop) -> None:
    """Its void made way for a capture in between, and is over."""
    order = await shop.place(amounts=("30",))
    await hand.schedule(order, JobKind.CAPTURE)
    await add_credit_line(shop.conn, order, Decimal(30))
    await hand.run(order, JobKind.CAPTURE)
    await next_version(shop.conn, order.id, now_ms(), credit=Decimal(-12))
    assert (await hand.run(order, JobKind.VOID))["state"] == "removed"
    await add_credit_line(shop.conn, order, Decimal(12))

    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "removed"
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"

    assert (await shop.sandbox.intent(order.intent_ids[0]))["status"] == "canceled"
    assert await shop.incidents(order) == []


@pytest.mark.parametrize("state", ["canceled", "captured"])
async def test_a_look_at_an_open_order_leaves_a_payment_that_is_over_to_its_own_job(
    hand: Hand, shop: Shop, state: str
) -> None:
    """Stripe tells of a canceled intent, and the rows of the payment say already what became of it."""
    order = await shop.place()
    if state == "captured":
        await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    else:
        await shop.conn.execute("update payment set canceled_at = now() where id = $1", order.payment_ids[0])
    await hand.services.gateway.void(order.intent_ids[0], key="elsewhere")
    before = await shop.payment(order)
    subject = f"{order.payment_ids[0]}:evt_1"
    await hand.schedule(order, JobKind.LOOK, [subject])
    assert (await hand.run(order, JobKind.LOOK, subject))["state"] == "done"
    assert await shop.payment(order) == before
    assert await nobody_is_told(hand, order)


async def test_each_cancel_of_an_order_that_was_opened_again_is_an_event_of_its_own(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    subjects: list[set[str]] = []
    for _ in range(3):
        assert isinstance(await hand.cancel(order), Canceled)
        subjects.append({subject for kind, subject in await hand.jobs(order) if kind == "publish"})
        await shop.conn.execute("update \"order\" set status = 'pending', canceled_at = null where id = $1", order.id)
        await shop.conn.execute("update payment set canceled_at = null where id = any($1)", order.payment_ids)
    assert [len(found) for found in subjects] == [1, 2, 3]
    assert subjects[0] == {f"order.canceled:{order.id}"}


class _Broken:
    """A port, in whose implementation a mistake of ours is made."""

    def __init__(self, inner: object, *names: str) -> None:
        self._inner, self._names = inner, names

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            raise ZeroDivisionError
        return getattr(self._inner, name)


@pytest.mark.parametrize(
    ("port", "broken", "in_doubt"),
    [("orders", "take_with_order", False), ("payments", "record_capture", True)],
    ids=["while it was claimed", "after Stripe was asked"],
)
async def test_a_mistake_of_ours_leaves_a_doubt_only_where_stripe_may_have_been_asked(
    hand: Hand, shop: Shop, port: str, broken: str, in_doubt: bool
) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    failing = {port: _Broken(getattr(hand.services, port), broken)}
    services = msgspec.structs.replace(hand.services, **failing)
    job = await Hand(services, shop).run(order, JobKind.CAPTURE)
    assert (job["state"], job["failures"], job["in_doubt"]) == ("scheduled", 1, in_doubt)
    assert "ZeroDivisionError" in job["last_error"]
    assert isinstance(await hand.cancel(order), Refused if in_doubt else Canceled)


async def test_a_hold_that_appears_on_an_order_a_moment_after_its_cancel_is_voided_by_the_next_recheck(
    hand: Hand, shop: Shop
) -> None:
    """Nothing else happened to the order: its stock is released, and nothing was packed."""
    order = await shop.place()
    await hand.cancel(order)
    for kind in (JobKind.VOID, JobKind.RELEASE):
        await hand.run(order, kind)
    assert await recheck_canceled(hand.services) == 0
    await shop.conn.execute("update payment set canceled_at = null where id = $1", order.payment_ids[0])
    assert await recheck_canceled(hand.services) == 1
    assert (await hand.run(order, JobKind.VOID))["state"] == "done"
    assert (await shop.payment(order))["canceled_at"] is not None
    assert await recheck_canceled(hand.services) == 0
