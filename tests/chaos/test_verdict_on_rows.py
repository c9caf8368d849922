"""The verdict can fail: one thing is wrong in a shop at rest, and it is named with its order, alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import msgspec
import pytest

from app.domain.findings import Defect, IntentFacts
from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import capture_by_medusa
from app.embedded.stripe_sandbox.client import Sandbox
from tests import promises
from tests.chaos.records import DELAY_SECONDS, GRACE_SECONDS, Attempt, Fault, Heard, Plan
from tests.chaos.verdict import Verdict, judge
from tests.doctor.clinic import Clinic

pytestmark = pytest.mark.tools


JUST_DUE = timedelta(seconds=GRACE_SECONDS + DELAY_SECONDS)
Mutant = Callable[[Clinic, Heard], Awaitable[tuple[PlacedOrder, str]]]


async def _captured(clinic: Clinic, placed_ago: timedelta = JUST_DUE) -> PlacedOrder:
    """As a worker captures: now."""
    order = await clinic.watched(placed_ago=placed_ago)
    await clinic.finish(order)
    return order


async def _canceled(clinic: Clinic, *skipped: str) -> PlacedOrder:
    """As a shopper and a worker leave it; ``skipped`` jobs count as done, and nobody did them."""
    order = await clinic.canceled()
    await clinic.conn.execute(
        "update grace.jobs set state = 'done' where order_id = $1 and kind = any($2::text[])", order.id, skipped
    )
    await clinic.finish(order)
    return order


def _asked(order: PlacedOrder, status: int, *, ago: float = 0.0, **body: str) -> Attempt:
    """A request made ``ago`` seconds after the order."""
    sent = order.created_at.timestamp() + ago
    return Attempt(order.id, Plan.CANCEL, sent, sent + 0.1, status, "another", body)


async def capture_lost(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await clinic.place()
    await clinic.job(order, "capture", order.payment_ids[0], "done")
    return order, Defect.UNCAPTURED.value


async def capture_never_scheduled(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    return await clinic.place(), "not at rest after 0 s: 1 untracked"


async def capture_late(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _captured(clinic, JUST_DUE + timedelta(seconds=300))
    return order, "after it was due and every fault had ended"


async def capture_late_after_a_fault(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _captured(clinic, JUST_DUE + timedelta(seconds=300))
    due = order.created_at.timestamp() + GRACE_SECONDS + DELAY_SECONDS
    heard.faults = [Fault("all workers killed", due - 5, due + 100)]
    return order, "after it was due and every fault had ended"


async def captured_twice_in_rows(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _captured(clinic)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0])
    return order, Defect.CAPTURED_TWICE.value


async def hold_not_voided(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    return await _canceled(clinic, "void"), Defect.HELD_AT_STRIPE.value


async def captured_after_cancel(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _canceled(clinic, "void")
    await clinic.take(order)
    return order, Defect.CAPTURED_AT_STRIPE.value


async def captured_without_a_record(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await clinic.place()
    await clinic.take(order)
    await clinic.job(order, "capture", order.payment_ids[0], "done")
    return order, Defect.CAPTURED_WITHOUT_ROWS.value


async def stock_not_released(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    return await _canceled(clinic, "release"), Defect.STOCK_KEPT.value


async def stock_released_twice(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _canceled(clinic)
    await clinic.conn.execute(
        'update inventory_level set reserved_quantity = -1, raw_reserved_quantity = \'{"value": "-1"}\' where id = $1',
        order.level_ids[0],
    )
    return order, Defect.STOCK_DRIFT.value


async def job_still_waits(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    return await clinic.canceled(), "not at rest after 0 s: 3 jobs"


async def incident_still_open(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _canceled(clinic)
    await clinic.incident(order, "void_failed")
    return order, "not at rest after 0 s: 1 incidents"


async def canceled_in_words_alone(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _captured(clinic)
    heard.attempts = [_asked(order, 200, ago=1, payment_action="voided")]
    return order, "answered 200, and the order is pending"


async def five_hundred_for_want_of_redis(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _captured(clinic)
    heard.attempts = [one := _asked(order, 503, ago=1, code="service_unavailable")]
    heard.faults = [Fault("valkey stopped", one.sent - 1, one.answered + 1)]
    return order, "answered 5xx while Postgres was well (Redis was not)"


async def order_gone(clinic: Clinic, heard: Heard) -> tuple[PlacedOrder, str]:
    order = await _captured(clinic)
    heard.placed = [order.id, f"{order.id}, the next one"]
    return order, "the next one: was placed and is gone"


MUTANTS: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        capture_lost,
        capture_never_scheduled,
        capture_late,
        capture_late_after_a_fault,
        captured_twice_in_rows,
        hold_not_voided,
        captured_after_cancel,
        captured_without_a_record,
        stock_not_released,
        stock_released_twice,
        job_still_waits,
        incident_still_open,
        canceled_in_words_alone,
        five_hundred_for_want_of_redis,
        order_gone,
    )
}


async def _judged(clinic: Clinic, heard: Heard) -> Verdict:
    return await judge(clinic.conn, clinic.shop.sandbox, heard, rest_seconds=0)


async def _sound(clinic: Clinic) -> tuple[PlacedOrder, PlacedOrder]:
    return await _captured(clinic), await _canceled(clinic)


@pytest.mark.parametrize("name", MUTANTS)
async def test_one_broken_promise_is_named(clinic: Clinic, name: str) -> None:
    sound = await _sound(clinic)
    heard = Heard()
    order, words = await MUTANTS[name](clinic, heard)
    broken = (await _judged(clinic, heard)).broken
    assert any(words in line for line in broken), broken
    assert all(order.id in line or line.startswith("not at rest") for line in broken), broken
    assert not any(one.id in line for line in broken for one in sound), broken


async def test_two_captures_at_stripe_are_named(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox refuses the second one, as Stripe does; so its ledger is falsified."""
    captured, _ = await _sound(clinic)
    true_facts = promises.stripe_facts

    async def falsified(sandbox: Sandbox) -> dict[str, IntentFacts]:
        facts = dict(await true_facts(sandbox))
        facts[captured.intent_ids[0]] = msgspec.structs.replace(facts[captured.intent_ids[0]], captures=2)
        return facts

    monkeypatch.setattr(promises, "stripe_facts", falsified)
    broken = (await _judged(clinic, Heard())).broken
    assert len(broken) == 1, broken
    assert broken[0].startswith(f"{Defect.DONE_TWICE.value}: {captured.id}"), broken


async def test_a_sound_shop_is_not_accused(clinic: Clinic) -> None:
    captured, canceled = await _sound(clinic)
    first = _asked(canceled, 200, ago=1, payment_action="voided")
    again = _asked(canceled, 200, ago=2, payment_action="voided", message="Already canceled")
    late = _asked(captured, 409, ago=GRACE_SECONDS + 1, code="late_cancel", reason="grace_period_over")
    verdict = await _judged(clinic, Heard([first, again, late], placed=[captured.id, canceled.id]))
    assert verdict.broken == []
    assert verdict.orders[captured.id].captured_at is not None
    assert verdict.orders[captured.id].capture_attempts == 1
    assert verdict.orders[canceled.id].canceled_by == "test"
