"""The timeline has what a job asked Stripe, also where its record failed or the job is another worker's by then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.ports import Payments, Unavailable
from tests.usecases.hand import Hand
from tests.world import Shop


class _Failing:
    """The shop, whose tables cannot be written at the end of a job."""

    def __init__(self, inner: Payments, failures: dict[str, Exception]) -> None:
        self._inner, self._failures = inner, failures

    def __getattr__(self, name: str) -> Any:
        if name in self._failures:
            raise self._failures[name]
        return getattr(self._inner, name)


async def calls(shop: Shop, order: PlacedOrder) -> list[tuple[str, str]]:
    """Verb and outcome of the calls in the order's timeline, in order."""
    rows = await shop.conn.fetch(
        "select detail::jsonb ->> 'verb', detail::jsonb ->> 'outcome' from grace.events "
        "where order_id = $1 and kind = 'stripe_call' order by at",
        order.id,
    )
    return [(verb, outcome) for verb, outcome in rows]


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), Unavailable("locked")], ids=["a mistake", "a lock"])
async def test_a_call_is_kept_though_its_record_fails(hand: Hand, shop: Shop, error: Exception) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    payments: Any = _Failing(hand.services.payments, {"record_capture": error})
    failing = replace(hand, services=msgspec.structs.replace(hand.services, payments=payments))
    await failing.run(order, JobKind.CAPTURE)
    assert await calls(shop, order) == [("capture", "answered")]

    await hand.bury()
    await hand.run(order, JobKind.CAPTURE)
    assert await calls(shop, order) == [("capture", "answered"), ("look", "answered")]


async def test_a_call_is_kept_of_a_worker_that_lost_the_job(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    late = hand.before("capture.record", hand.bury)
    assert (await late.run(order, JobKind.CAPTURE))["state"] == "scheduled"
    assert await calls(shop, order) == [("capture", "answered")]


@pytest.mark.parametrize("kind", [JobKind.CAPTURE, JobKind.VOID, JobKind.REFUND, JobKind.LOOK])
async def test_each_kind_of_job_keeps_its_calls(hand: Hand, shop: Shop, kind: JobKind) -> None:
    order = await shop.place()
    subject = f"{order.payment_ids[0]}:evt_1" if kind is JobKind.LOOK else order.payment_ids[0]
    asked = {JobKind.LOOK: ["look"], JobKind.REFUND: ["look"]}.get(kind, [kind.value])
    if kind in {JobKind.VOID, JobKind.REFUND}:
        await hand.cancel(order)
    if kind is not JobKind.VOID:
        await hand.schedule(order, kind, [subject])
    await hand.run(order, kind)
    assert [verb for verb, _ in await calls(shop, order)] == asked
