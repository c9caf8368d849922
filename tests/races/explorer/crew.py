"""Several lanes in one process, and several processes, that share out what is to be tried."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Final

import asyncpg

from app.embedded.postgres import Postgres
from app.logs import configure_logs
from tests.races.explorer.explore import (
    CORE,
    PAIRS,
    TRIOS,
    Play,
    Setup,
    Tally,
    by_chance,
    by_lot,
    every_end,
    every_order,
)
from tests.races.explorer.lane import Lane
from tests.races.explorer.plans import Plan
from tests.races.explorer.records import Record

LANES: Final = 4
"""Per process: while one waits for Postgres, another one moves."""
THOROUGH: Final = 10_000
"""From so many schedules on, all pairs are tried; below, only the core of them."""
ALL_PAIRS: Final = 32_000
"""About so many schedules are all orders and all ends of all pairs."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Share:
    """What one process is to do."""

    schedules: int
    seed: int
    part: int = 0
    parts: int = 1


async def make_databases(postgres: Postgres, template: str, prefix: str, number: int) -> list[str]:
    """Databases for so many lanes, by their DSNs."""
    admin = await asyncpg.connect(postgres.dsn())
    try:
        for lane in range(number):
            await admin.execute(f"create database {prefix}_{lane} template {template}")
    finally:
        await admin.close()
    return [postgres.socket_dsn(f"{prefix}_{lane}") for lane in range(number)]


async def explore(dsns: Sequence[str], share: Share, progress: Progress = lambda done, found: None) -> Tally:
    """This share of the systematic schedules, and then samples up to the number. 39,000 hold all systematic ones."""
    tally = Tally()
    whole = share.schedules * share.parts
    pairs = (PAIRS if whole >= THOROUGH else CORE)[share.part :: share.parts]
    some = by_chance(share.seed, 0.75 * whole / ALL_PAIRS)

    def note(records: Sequence[Record]) -> None:
        tally.add(records)
        progress(tally.total, len(tally.findings))

    async def both(play: Play, setup: Setup) -> None:
        kept = {} if setup in CORE else {"kept": some}
        await every_order(play, setup, **kept)
        await every_end(play, setup, **kept)

    await _share_out(dsns, [partial(both, setup=setup) for setup in pairs], note)
    chance = random.Random(f"{share.seed}/{share.part}/{share.parts}")
    plans = [by_lot(chance.choice((*PAIRS, *TRIOS, *TRIOS)), chance) for _ in range(share.schedules - tally.total)]
    plans.sort(key=lambda plan: plan.scenario)
    parcels = [plans[start : start + 90] for start in range(0, len(plans), 90)]
    await _share_out(dsns, [partial(_each, plans=parcel) for parcel in parcels], note)
    return tally


async def replay(dsn: str, plan: Plan) -> Record:
    """One schedule, judged."""
    async with Lane.of(dsn, batch=1) as lane:
        await lane.play(plan)
        return lane.judged()[0]


async def explore_in_processes(dsns: Sequence[Sequence[str]], schedules: int, seed: int) -> Tally:
    """A process for each list of databases."""
    parts = len(dsns)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(parts, mp_context=get_context("spawn")) as pool:
        tallies = await asyncio.gather(
            *(
                loop.run_in_executor(pool, _in_a_process, own, Share(-(-schedules // parts), seed, part, parts))
                for part, own in enumerate(dsns)
            )
        )
    whole = Tally()
    for tally in tallies:
        whole.merge(tally)
    return whole


def _in_a_process(dsns: Sequence[str], share: Share) -> Tally:
    configure_logs("CRITICAL")
    return asyncio.run(explore(dsns, share))


async def _share_out(
    dsns: Sequence[str],
    tasks: Sequence[Callable[[Play], Awaitable[None]]],
    note: Callable[[Sequence[Record]], None],
) -> None:
    waiting = iter(tasks)

    async def work(dsn: str) -> None:
        async with Lane.of(dsn) as lane:
            for task in waiting:
                await task(lane.play)
                note(lane.judged())
            await lane.finish()
            note(lane.judged())

    async with asyncio.TaskGroup() as group:
        for dsn in dsns:
            group.create_task(work(dsn))


async def _each(play: Play, plans: Sequence[Plan]) -> None:
    for plan in plans:
        await play(plan)
