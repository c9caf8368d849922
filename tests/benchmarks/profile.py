"""Where the time goes: ``python -m tests.benchmarks.profile cancel`` (or ``capture``) [--flame FILE].

Prints the round trips of one cancel, and what each statement cost Postgres (pg_stat_statements) under load; with
``--inside`` those that functions run, too; and what of a core each program took. With
``--flame`` py-spy samples the busiest process of the sidecar meanwhile and writes a flame graph.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from tests.benchmarks import load
from tests.benchmarks.cancels import furnish
from tests.benchmarks.captures import drain_once
from tests.benchmarks.figures import say
from tests.benchmarks.statements import record_cancel
from tests.benchmarks.testbed import ROLE, SHOP, Program, Testbed


def main() -> int:
    """Read the arguments, work, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["cancel", "capture"])
    parser.add_argument("--count", type=int, default=2000, help="how many (default %(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="of cancels, at once (default %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="for captures (default %(default)s)")
    parser.add_argument("--inside", action="store_true", help="the statements inside functions, too")
    parser.add_argument("--flame", type=Path, metavar="FILE", help="an SVG; FILE.raw has the stacks to count")
    given = parser.parse_args()
    with Testbed() as testbed:
        testbed.renew()
        asyncio.run(_track(testbed, "all"))
        (_cancel if given.what == "cancel" else _capture)(testbed, given)
    return 0


def _cancel(testbed: Testbed, given: argparse.Namespace) -> None:
    say(f"{given.count} orders")
    batch = asyncio.run(furnish(testbed, given.count + 200))
    for number, trip in enumerate(asyncio.run(record_cancel(testbed, batch, list(batch.numbers[:4]))), 1):
        sys.stdout.write(f"{number:3}  {' '.join(trip.text.split())[:150]}\n")
    with testbed.serve(VOID_WAIT_SECONDS="0") as program:
        ids = [batch.order_id(n) for n in batch.numbers[4:]]
        requests = load.cancels(ids, testbed.keys[SHOP], testbed.secret)
        load.run(program.port, requests[:196], given.clients)
        asyncio.run(_forget(testbed))
        with _Spy(given.flame, [program]), _cores(given.count):
            done = load.run(program.port, requests[196:], given.clients)
    say(f"{done.rate:.0f} cancels a second, median {done.median_ms:.1f} ms, {dict(done.statuses)}")
    asyncio.run(_tell(testbed, given.count, inside=given.inside))


def _capture(testbed: Testbed, given: argparse.Namespace) -> None:
    with testbed.workers(given.workers) as programs:
        asyncio.run(drain_once(testbed, min(given.count, 200), 0.0, first=1, limit=60))
        asyncio.run(_forget(testbed))
        with _Spy(given.flame, programs), _cores(given.count):
            rate = asyncio.run(drain_once(testbed, given.count, 0.0, first=1_000_000, limit=60))
    say(f"{rate:.0f} captures a second")
    asyncio.run(_tell(testbed, given.count, inside=given.inside))


@contextmanager
def _cores(count: int) -> Iterator[None]:
    """Says what each program took of a core for each of so many things done."""
    before = _by_program()
    yield
    rose = {name: after - before.get(name, 0) for name, after in _by_program().items()}
    told = ", ".join(f"{name} {ms / count:.2f} ms" for name, ms in sorted(rose.items(), key=lambda i: -i[1]) if ms > 50)
    say(f"of a core, each: {told}")


def _by_program() -> dict[str, int]:
    """Processor time in milliseconds of what runs on this machine, by name."""
    sums: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            name = next((w for w in words if w in {"serve", "worker", "sandbox"}), Path(words[0].split(":")[0]).name)
            sums[name] = sums.get(name, 0) + _cpu(int(folder.name))
    return sums


class _Spy:
    """py-spy on the busiest process, for as long as the block takes."""

    def __init__(self, flame: Path | None, programs: list[Program]) -> None:
        self._flame, self._programs = flame, programs
        self._children: list[subprocess.Popen[bytes]] = []
        self._start = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._start.start()

    def _watch(self) -> None:
        if self._flame is None:
            return
        program = shutil.which("py-spy") or str(Path(sys.executable).with_name("py-spy"))
        before = {pid: _cpu(pid) for p in self._programs for pid in p.pids()}
        time.sleep(0.5)  # until it is seen who has the work: granian's own process has none
        pid = max(before, key=lambda pid: _cpu(pid) - before[pid])
        for kind, target in (("flamegraph", self._flame), ("raw", self._flame.with_suffix(".raw"))):
            argv = [program, "record", "--nonblocking", "--rate=200", f"--format={kind}", f"--pid={pid}", "-o", target]
            self._children.append(subprocess.Popen(list(map(str, argv)), stdout=subprocess.DEVNULL))

    def __exit__(self, *_: object) -> None:
        self._start.join()
        for child in self._children:
            child.send_signal(2)
            child.wait(30)


def _cpu(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


async def _track(testbed: Testbed, which: str) -> None:
    await _owner(testbed, f"alter role {ROLE} set pg_stat_statements.track = '{which}'")


async def _forget(testbed: Testbed) -> None:
    await _owner(testbed, "select pg_stat_statements_reset()")


async def _tell(testbed: Testbed, count: int, *, inside: bool) -> None:
    rows = await _owner(
        testbed,
        "select calls, total_exec_time as ms, shared_blks_hit + shared_blks_read as blocks, query "
        f"from pg_stat_statements where toplevel or {inside} order by total_exec_time desc limit 40",
    )
    calls = sum(row["calls"] for row in rows)
    sys.stdout.write(f"\n{calls / count:.1f} statements each\n   calls   ms each  ms in all  blocks  statement\n")
    for row in rows:
        text = " ".join(line for line in row["query"].splitlines() if not line.startswith("--"))
        each = row["ms"] / row["calls"]
        blocks = row["blocks"] / row["calls"]
        sys.stdout.write(
            f"{row['calls']:8}  {each:8.3f}  {row['ms']:9.0f}  {blocks:6.0f}  {' '.join(text.split())[:140]}\n"
        )


async def _owner(testbed: Testbed, statement: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(testbed.dsn())
    try:
        return list(await conn.fetch(statement))
    finally:
        await conn.close()


if __name__ == "__main__":
    sys.exit(main())
