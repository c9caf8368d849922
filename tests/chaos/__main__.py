"""``python -m tests.chaos --seconds 120 --seed 7``: load, faults, rest, a report; ends with 1 if a promise broke."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.cluster import Cluster
from tests.chaos.faults import KINDS, make_plan, play
from tests.chaos.installations import Installation
from tests.chaos.load import LoadGenerator
from tests.chaos.pulse import Pulse
from tests.chaos.records import Heard
from tests.chaos.report import nothing_tried, write_report
from tests.chaos.verdict import Verdict, judge


def main() -> int:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long shoppers order (default %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of faults and shoppers (default %(default)s)")
    parser.add_argument(
        "--orders-per-second", type=float, default=6, help="of all installations together (default %(default)s)"
    )
    parser.add_argument("--installations", type=int, default=2, help="shops that share one Redis (default %(default)s)")
    parser.add_argument("--only", default="", metavar="WORD", help="only faults whose name has it, such as postgres")
    parser.add_argument("--logs", type=Path, help="keep the logs here (default: only when a promise broke, in /tmp)")
    parser.add_argument(
        "--stripe-requests-per-second",
        type=int,
        default=80,
        metavar="NUMBER",
        help="the budget of each installation's workers; few make captures wait (default %(default)s)",
    )
    given = parser.parse_args()
    if not any(given.only in kind for kind in KINDS):
        parser.error(f"--only {given.only}: no such fault among {', '.join(KINDS)}")
    if given.installations < 1:
        parser.error(f"--installations {given.installations}: expected 1 or more")
    if given.stripe_requests_per_second < 1:
        parser.error(f"--stripe-requests-per-second {given.stripe_requests_per_second}: expected 1 or more")
    settings = {"STRIPE_REQUESTS_PER_SECOND": str(given.stripe_requests_per_second)}
    shops = given.installations
    return run(given.seconds, given.seed, given.orders_per_second, given.only, given.logs, shops, settings)


def run(
    seconds: float,
    seed: int,
    per_second: float,
    only: str,
    logs: Path | None,
    installations: int,
    settings: Mapping[str, str],
) -> int:
    """One run: 0 when every promise held, in every installation.

    Takes ``seconds``, a start of some 10 s, and a rest of at most 90 s for each installation.

    A machine on which not every fault has come by then takes the time that it needs for them.
    """
    began = time.monotonic()
    _tell(f"seed {seed}: {seconds:.0f} s, {per_second:g} orders a second, {installations} installation(s)")
    broken = 0
    with Cluster(installations, settings) as cluster, Pulse() as pulse:
        loads = [
            LoadGenerator(one, random.Random(f"{seed} shoppers {one.number}"), per_second / installations)
            for one in cluster.installations
        ]
        plan = make_plan(random.Random(f"{seed} faults"), seconds, only)
        over = threading.Event()
        with ThreadPoolExecutor(installations) as threads:
            shopping = [threads.submit(_shop, load, over) for load in loads]
            try:
                faults = play(cluster, plan, time.monotonic() + seconds, _tell)
            finally:
                over.set()
            _tell("all is well again; shoppers finish, jobs come to rest")
            for one in shopping:
                one.result()
        for installation, load in zip(cluster.installations, loads, strict=True):
            own = [words for words in cluster.deserters if words.split()[0] in installation.processes]
            heard = Heard(load.attempts, faults, list(load.placed), load.gave_up, own, pulse.stalls)
            verdict, requests = asyncio.run(_judge(installation, heard))
            verdict.broken += nothing_tried(heard, verdict.orders, requests)
            own_logs = [cluster.logs / f"{name}.log" for name in installation.processes]
            report = write_report(load, heard, verdict, requests, own_logs)
            sys.stdout.write(f"\n=== installation {installation.number} of {installations}\n{report}\n")
            broken += len(verdict.broken)
        if broken or logs:
            kept = logs or Path(tempfile.mkdtemp(prefix=f"chaos-seed-{seed}-"))
            cluster.keep_logs(kept)
            sys.stdout.write(f"logs: {kept}\n")
    sys.stdout.write(f"seed {seed}, {time.monotonic() - began:.0f} s in all\n")
    sys.stdout.flush()
    return 1 if broken else 0


def _shop(load: LoadGenerator, over: threading.Event) -> None:
    asyncio.run(load.shop(over))


async def _judge(installation: Installation, heard: Heard) -> tuple[Verdict, list[dict[str, Any]]]:
    conn = await asyncpg.connect(installation.dsn)
    try:
        return await judge(conn, installation.sandbox, heard), await installation.sandbox.requests()
    finally:
        await conn.close()


def _tell(words: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S}  {words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
