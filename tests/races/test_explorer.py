"""Schedules of cancels, captures, voids, releases and Medusa's own acts: all that two can do to each other.

A finding names its schedule: ``python -m tests.races.explorer --replay NAME`` shows it step by step.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from app.embedded.postgres import Postgres
from app.ports import Unavailable
from tests.races.explorer.crew import LANES, Share, explore, explore_in_processes, make_databases, replay
from tests.races.explorer.explore import Setup, every_order
from tests.races.explorer.lane import Lane
from tests.races.explorer.mutants import MUTANTS
from tests.races.explorer.plans import Plan, RedisState, parse
from tests.races.explorer.records import Record

SEED = 34


@pytest.mark.tools
async def test_a_thousand_schedules(postgres: Postgres, shop_template: str) -> None:
    """The pairs that everything stands or falls with, and samples of all others."""
    dsns = await make_databases(postgres, shop_template, f"explorer_{os.getpid()}", LANES)
    tally = await explore(dsns, Share(1_000, SEED))
    assert tally.findings == []
    assert tally.total >= 1_000


@pytest.mark.long
async def test_ten_thousand_schedules(postgres: Postgres, shop_template: str) -> None:
    """Every order of every pair with up to two preemptions, every death and dropped line, and samples of trios."""
    prefixes = [f"explorer_{os.getpid()}_{part}" for part in range(min(os.cpu_count() or 1, 4))]
    dsns = [await make_databases(postgres, shop_template, prefix, LANES) for prefix in prefixes]
    tally = await explore_in_processes(dsns, 12_000, SEED)
    assert tally.findings == []
    assert tally.total >= 10_000


@pytest.mark.parametrize("other", ["cancel", "admin-cancel", "capture"])
async def test_a_cancel_needs_two_rounds_at_most(postgres: Postgres, shop_template: str, other: str) -> None:
    """However another cancel, Medusa's own or a claim comes in between: what was decided is written, or decided again
    and written, or refused by what was read last."""
    [dsn] = await make_databases(postgres, shop_template, f"rounds_{os.getpid()}_{other[:2]}_{len(other)}", 1)
    reads: Counter[int] = Counter()
    writes: Counter[int] = Counter()
    async with Lane.of(dsn) as lane:

        async def play(plan: Plan) -> Record:
            record = await lane.play(plan)
            for actor in record.actors:
                if actor.name == "cancel":
                    reads[_count(record, actor.letter, "cancel.look: read_order")] += 1
                    writes[_count(record, actor.letter, "cancel: lock_order_rows: lock order")] += 1
                    assert not isinstance(actor.result, Unavailable), record.plan
            return record

        await every_order(play, Setup("open", ("cancel", other), RedisState.DOWN))
        await lane.finish()
        assert [finding for record in lane.judged() for finding in record.findings] == []
    assert max(writes) <= 2, writes
    # Medusa's own cancel commits the payment, then the order: a cancel that met both reads "canceled".
    assert max(reads) == (3 if other == "admin-cancel" else 2), reads
    assert reads[2] > 1, "nothing ever came in between"


def _count(record: Record, letter: str, label: str) -> int:
    return sum((step.letter, step.label) == (letter, label) for step in record.played.steps)


@pytest.mark.tools
async def test_a_name_replays_its_schedule(postgres: Postgres, shop_template: str) -> None:
    """Twice the same steps, and on broken code twice the same finding."""
    [dsn] = await make_databases(postgres, shop_template, f"replayed_{os.getpid()}", 1)
    plan = parse("canceled/release+checkout/wait/b3a99")
    with MUTANTS["inventory-lock"].applied():
        first, second = [await replay(dsn, plan) for _ in range(2)]
    sound = await replay(dsn, plan)

    assert [str(step) for step in first.played.steps] == [str(step) for step in second.played.steps]
    assert _kinds(first) == _kinds(second) != []
    assert sound.findings == []


def _kinds(record: Record) -> list[str]:
    """What was found, without the ids."""
    return [finding.partition(":")[0] for finding in record.findings]


@pytest.mark.tools
def test_a_plan_is_its_name() -> None:
    name = "open/cancel+capture/down/a3b5!a0?b2~"
    assert str(parse(name)) == name
    with pytest.raises(ValueError, match="no turns"):
        parse("open/cancel+capture/down/a3x")
