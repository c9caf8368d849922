"""The timeline has what a job asked Stripe, also where its record failed or the job is another worker's by then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
import structlog

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.ports import LateMoney, Payments, Unavailable
from tests.usecases.hand import Hand
from tests.usecases.test_sessions import placed
from tests.world import Shop, stepping_in


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


@pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.REFUND, JobKind.LOOK])
async def test_each_kind_of_job_keeps_its_calls_about_a_session(hand: Hand, shop: Shop, kind: JobKind) -> None:
    hand = hand.with_policy(late_money=LateMoney.REFUND)
    order, session = await placed(shop, "processing" if kind is JobKind.REFUND else "requires_action")
    asked = {JobKind.VOID: ["void"], JobKind.REFUND: ["void", "look", "refund", "look"], JobKind.LOOK: ["look"]}
    if kind is JobKind.LOOK:
        await hand.schedule(order, kind, [f"{session.id}:evt_1"])
    else:
        await hand.cancel(order)
    if kind is JobKind.REFUND:
        await shop.sandbox.settle(session.intent_id)
        await hand.run(order, JobKind.VOID)
    await hand.run(order, kind)
    assert [verb for verb, _ in await calls(shop, order)] == asked[kind]


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), Unavailable("locked")], ids=["a mistake", "a lock"])
@pytest.mark.parametrize("lost", [("job.calls",), ("job.calls", "job.crashed")], ids=["the calls", "all"])
async def test_a_database_that_does_not_take_the_calls_either_hides_no_failure(
    hand: Hand, shop: Shop, error: Exception, lost: tuple[str, ...]
) -> None:
    """The run ends with its own failure, and the lease brings the job back."""
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)

    async def away(transaction: str) -> None:
        if transaction in lost:
            raise Unavailable("away")

    payments: Any = _Failing(hand.services.payments, {"record_capture": error})
    services = stepping_in(away)(msgspec.structs.replace(hand.services, payments=payments))
    with structlog.testing.capture_logs() as logs:
        job = await replace(hand, services=services).run(order, JobKind.CAPTURE)

    said = [entry["event"] for entry in logs if entry["event"].startswith("job.")]
    assert said == ["job.calls_lost", "job.interrupted" if isinstance(error, Unavailable) else "job.crashed"]
    assert await calls(shop, order) == []
    recorded = not isinstance(error, Unavailable) and lost == ("job.calls",)
    assert (job["state"], job["failures"]) == (("scheduled", 1) if recorded else ("running", 0))

    await shop.conn.execute("update grace.jobs set run_at = now() where order_id = $1", order.id)
    await hand.bury()
    assert (await hand.run(order, JobKind.CAPTURE))["state"] == "done"


async def test_a_mistake_in_the_record_of_a_crash_is_said_and_ends_the_run(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)

    async def broken(transaction: str) -> None:
        if transaction == "job.crashed":
            raise KeyError("ours, too")

    payments: Any = _Failing(hand.services.payments, {"record_capture": ZeroDivisionError("ours")})
    services = stepping_in(broken)(msgspec.structs.replace(hand.services, payments=payments))
    with structlog.testing.capture_logs() as logs:
        job = await replace(hand, services=services).run(order, JobKind.CAPTURE)
    assert [entry["event"] for entry in logs if entry["event"].startswith("job.")] == [
        "job.crashed",
        "job.crash_unrecorded",
    ]
    assert job["state"] == "running"
