"""What the product sends to Postgres for one cancel, as Postgres itself logged it, turned into a pgbench script.

Nothing is written down by hand here, so the comparison follows the product: each log line is one round trip, a line of
several statements becomes a pipeline (one round trip too), parameters are the recorded ones, and where they name the
order they are made from pgbench's own order number. The order's mark is passed on from the look to the write,
as the product passes it on.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import asyncpg

from app.embedded.postgres import find_binaries
from app.embedded.processes import HOST
from tests.benchmarks import load
from tests.benchmarks.orders import Batch
from tests.benchmarks.testbed import ROLE, SHOP, Testbed

_EXECUTE: Final = re.compile(r"execute [^:]+: (.*)", re.DOTALL)
_PARAMETER: Final = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")
_PLACE: Final = re.compile(r"\$(\d+)\b")
_MARK: Final = re.compile(r"[0-9a-f]{32}")
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-]\d\d|[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{32,64}|(?<=:)\d{10}\.\d+"
)
"""Times and request ids: they differ from request to request and decide nothing."""

WARM: Final = 6
"""Transactions of a client that are not counted: one prepares, five more are planned one by one."""

YARDSTICK: Final = """\
begin;
select status, version from "order" where id = {order} for update;
update "order" set status = 'canceled', canceled_at = now() where id = {order};
update payment set canceled_at = now() where id = {payment};
insert into grace.cancellations (order_id, canceled_by, canceled_at) values ({order}, 'pgbench', now());
commit;
"""
"""The same cancel-shaped transaction whatever the product sends: to compare versions of the product by."""


@dataclass(frozen=True)
class Sent:
    """One round trip."""

    text: str
    parameters: tuple[str | None, ...]


@dataclass(frozen=True)
class Timing:
    """A run of pgbench."""

    transactions: int
    rate: float
    median_ms: float


async def record_cancel(testbed: Testbed, batch: Batch, numbers: list[int], database: str = SHOP) -> list[Sent]:
    """Cancel the last two of the orders through a warm ``serve`` and give what was sent for the very last.

    Refuses what varies from order to order in a way that a script could not follow.
    """
    owner = await asyncpg.connect(testbed.dsn(database))
    try:
        await owner.execute(f"alter role {ROLE} in database {database} set log_statement = 'all'")
        try:
            told = []
            with testbed.serve(database=database, VOID_WAIT_SECONDS="0") as program:
                for number in numbers:
                    before = len(await _log(owner))
                    request = load.cancels([batch.order_id(number)], testbed.keys[database], testbed.secret)
                    done = load.run(program.port, request, 1)
                    assert done.statuses == {200: 1}, done.bodies
                    told.append(_parse((await _log(owner))[before:]))
        finally:
            await owner.execute(f"alter role {ROLE} in database {database} reset log_statement")
    finally:
        await owner.close()
    _same_shape(told[-2], told[-1], batch, numbers[-2], numbers[-1])
    return told[-1]


async def _log(owner: asyncpg.Connection) -> list[str]:
    """The server's own log, of the sidecar's role."""
    folder = Path(await owner.fetchval("show data_directory")) / await owner.fetchval(
        "select pg_current_logfile('jsonlog')"
    )
    lines = (json.loads(line) for line in folder.read_text().splitlines() if line.startswith("{"))
    return [json.dumps(line) for line in lines if line.get("user") == ROLE and line["error_severity"] == "LOG"]


def _parse(lines: list[str]) -> list[Sent]:
    sent = []
    for line in map(json.loads, lines):
        message = line["message"]
        if message.startswith("statement: "):
            text, parameters = message.removeprefix("statement: "), {}
        elif match := _EXECUTE.fullmatch(message):
            text = match[1]
            parameters = {
                int(n): None if v == "NULL" else v[1:-1].replace("''", "'")
                for n, v in _PARAMETER.findall(line.get("detail", ""))
            }
        else:
            continue
        if "RESET ALL" in text or "UNLISTEN" in text:
            continue
        sent.append(Sent(text.strip(), tuple(parameters[n] for n in sorted(parameters))))
    return sent


def _same_shape(one: list[Sent], two: list[Sent], batch: Batch, first: int, second: int) -> None:
    assert [s.text for s in one] == [s.text for s in two], "two cancels of like orders sent different statements"
    for a, b in zip(one, two, strict=True):
        for x, y in zip(a.parameters, b.parameters, strict=True):
            like = [
                None if v is None else _TIME.sub("?", v.replace(f"{batch.stamp}{n:014d}", "#"))
                for v, n in ((x, first), (y, second))
            ]
            assert like[0] == like[1], f"a parameter differs by more than the order: {x!r} and {y!r} of {a.text[:80]}"


async def as_script(conn: asyncpg.Connection, sent: list[Sent], batch: Batch, number: int) -> str:
    """The recorded round trips as a pgbench script; ``:n`` is the order's number."""
    made = ["\\set n :base + :client_id * :stride + :done", "\\set done :done + 1"]
    for trip in sent:
        parts = [part.strip() for part in trip.text.split(";") if part.strip()] if not trip.parameters else [trip.text]
        lines = [f"{await _with_values(conn, part, trip.parameters, batch, number)};" for part in parts]
        if "grace.read_order_v1(" in lines[-1]:
            lines[-1] = lines[-1].removesuffix(";") + " \\gset seen_"
        made += ["\\startpipeline", *lines, "\\endpipeline"] if len(lines) > 1 else lines
    return "\n".join(made) + "\n"


def yardstick(batch: Batch) -> str:
    """``YARDSTICK`` over the orders of the batch."""
    order, payment = (f"'{p}_{batch.stamp}' || lpad(:n::text, 14, '0') || '00'" for p in ("order", "pay"))
    head = "\\set n :base + :client_id * :stride + :done\n\\set done :done + 1\n"
    return head + YARDSTICK.format(order=order, payment=payment)


async def _with_values(
    conn: asyncpg.Connection, text: str, parameters: tuple[str | None, ...], batch: Batch, number: int
) -> str:
    text = re.sub(r"--[^\n]*", "", text)
    if not parameters:
        return " ".join(text.split())
    types = [
        t.schema + "." + t.name if t.schema != "pg_catalog" else t.name
        for t in (await conn.prepare(text)).get_parameters()
    ]
    types = [t.removesuffix("[]") + "[]" if t.endswith("[]") else t for t in types]

    def value(match: re.Match[str]) -> str:
        given = parameters[int(match[1]) - 1]
        kind = types[int(match[1]) - 1]
        if given is None:
            return f"null::{kind}"
        if _MARK.fullmatch(given):
            return ":seen_mark"
        parts = given.split(f"{batch.stamp}{number:014d}")
        glue = f" || '{batch.stamp}' || lpad(:n::text, 14, '0') || "
        return f"({glue.join(_quoted(part) for part in parts)})::{kind}"

    return " ".join(_PLACE.sub(value, text).split())


def _quoted(text: str) -> str:
    # pgbench takes :word for a variable of its own, in a string too.
    return "'" + re.sub(r":(?=[A-Za-z])", "' || chr(58) || '", text.replace("'", "''")) + "'"


def pgbench(dsn: str, script: Path, *, clients: int, each: int, base: int) -> Timing:
    """Run the script ``each`` times by every client over connections to TCP, statements prepared."""
    per_transaction = script.with_suffix(".log")
    for old in script.parent.glob(f"{per_transaction.name}*"):
        old.unlink()
    argv = [find_binaries() / "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={clients}", "--jobs=1",
            f"--transactions={each}", f"--define=base={base}", f"--define=stride={each}", "--define=done=0",
            f"--file={script}", "--log", f"--log-prefix={per_transaction}", dsn]  # fmt: skip
    ended = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"pgbench on {HOST}: {ended.stderr}"
    lines = [
        line.split() for log in script.parent.glob(f"{per_transaction.name}*") for line in log.read_text().splitlines()
    ]
    return _timing([(int(client), int(took), int(at) + int(us) / 1e6) for client, _, took, _, at, us, *_ in lines])


def _timing(transactions: list[tuple[int, int, float]]) -> Timing:
    """Of the time in which every client is at work and has its plans: the first transactions prepare and plan."""
    by_client: dict[int, list[float]] = {}
    for client, _, ended_at in sorted(transactions, key=lambda t: t[2]):
        by_client.setdefault(client, []).append(ended_at)
    begin = max(ends[min(WARM, len(ends) // 2)] for ends in by_client.values())
    end = min(ends[-1] for ends in by_client.values())
    within = [took for _, took, ended_at in transactions if begin < ended_at <= end]
    if not within:  # a handful of transactions, in a smoke test
        begin, end = begin - sum(took for _, took, _ in transactions) / 1e6 / len(by_client), begin
        within = [took for _, took, _ in transactions]
    return Timing(len(transactions), len(within) / (end - begin), median(within) / 1000)
