"""``python -m tests.races.explorer --schedules 10000 --seed 1 --processes 2``, or ``--replay NAME``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

import asyncpg

from app.embedded.postgres import Postgres
from app.embedded.shop import create_tables
from app.logs import configure_logs
from app.store.migrate import migrate
from tests.races.explorer.crew import LANES, Share, explore, explore_in_processes, make_databases, replay
from tests.races.explorer.explore import Tally
from tests.races.explorer.mutants import MUTANTS
from tests.races.explorer.plans import parse

_SHOWN = 30


def main() -> int:
    """1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.races.explorer", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--replay", metavar="NAME", help="run one schedule, and show it step by step")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with --replay: on code that lacks this guard")
    given = parser.parse_args()
    configure_logs("CRITICAL")
    with Postgres.start(durable=False) as postgres:
        return asyncio.run(_run(given, postgres))


async def _run(given: argparse.Namespace, postgres: Postgres) -> int:
    admin = await asyncpg.connect(postgres.dsn())
    await admin.execute("create database template_shop")
    await admin.close()
    shop = await asyncpg.connect(postgres.dsn("template_shop"))
    await create_tables(shop)
    await shop.close()
    await migrate(postgres.dsn("template_shop"))
    if given.replay:
        return await _replay(postgres, given.replay, given.mutant)
    began = time.monotonic()
    dsns = [await make_databases(postgres, "template_shop", f"part{part}", LANES) for part in range(given.processes)]
    if given.processes > 1:
        tally = await explore_in_processes(dsns, given.schedules, given.seed)
    else:
        tally = await explore(dsns[0], Share(given.schedules, given.seed), _progress)
    return _report(tally, time.monotonic() - began)


async def _replay(postgres: Postgres, name: str, mutant: str | None) -> int:
    [dsn] = await make_databases(postgres, "template_shop", "replay", 1)
    if mutant is None:
        record = await replay(dsn, parse(name))
    else:
        with MUTANTS[mutant].applied():
            record = await replay(dsn, parse(name))
    for letter, name in zip(record.plan.letters, record.plan.actors, strict=True):
        _say(f"{letter} is {name}")
    for number, step in enumerate(record.played.steps):
        _say(f"{number:4} {step}")
    for actor in record.actors:
        _say(f"{actor.letter} ended: {'dead' if actor.dead else actor.error or actor.result}")
    for row in record.left:
        _say(f"left: {row['kind']} {row['state']} {row['last_error'] or ''}")
    for finding in record.findings:
        _say(f"FOUND {finding}")
    return bool(record.findings)


def _report(tally: Tally, seconds: float) -> int:
    _say("")
    for title, counts in (("scenario", tally.schedules), ("kind", tally.kinds)):
        _say(f"{title:36} schedules")
        for name, number in sorted(counts.items()):
            _say(f"  {name:34} {number:9}")
    _say(f"{tally.total} schedules in {seconds:.0f} s, {tally.total / seconds:.0f} a second")
    _say(f"{len(tally.findings)} findings")
    for name, finding in tally.findings[:_SHOWN]:
        _say(f"  --replay '{name}'\n      {finding}")
    return bool(tally.findings)


def _progress(done: int, found: int) -> None:
    sys.stderr.write(f"\r{done} schedules, {found} findings")
    sys.stderr.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
