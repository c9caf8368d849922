"""The suite works, from end to end and in small: what the figures say is no matter here."""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.embedded.processes import HOST
from tests.benchmarks.crowd import Storm
from tests.benchmarks.figures import MARKS, Figure, into_page
from tests.benchmarks.plans import Plan, long_reads
from tests.benchmarks.statements import _timing

pytestmark = pytest.mark.tools


_ROOT = Path(__file__).parents[2]


def test_every_figure_comes_out_of_a_small_run_that_keeps_the_promises(tmp_path: Path) -> None:
    """Each part ends with an error when an order was not canceled once, or when the checker finds a broken promise."""
    written = tmp_path / "figures.json"
    argv = [sys.executable, "-m", "tests.benchmarks", "--smoke", "--json", str(written)]
    done = subprocess.run(
        argv, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, "what it said is below"
    figures = json.loads(written.read_text())["figures"]
    assert {figure["part"] for figure in figures} == {"a", "b", "c", "d", "e", "f"}
    scans = [figure for figure in figures if figure["what"].startswith("reads of a long")]
    assert [figure["median"] for figure in scans] == [0]
    assert all(figure["median"] > 0 for figure in figures if figure not in scans)
    assert sum(bool(figure["target"]) for figure in figures) > 10


def test_a_figure_is_met_by_its_median_alone() -> None:
    assert Figure("a", "ratio", (0.4, 0.6, 0.7), ">= 0.5").met
    assert Figure("a", "ratio", (0.4, 0.49, 0.7), ">= 0.5").met is False
    assert Figure("d", "growth", (1.1, 1.2, 2.0), "<= 1.2").met
    assert Figure("a", "ratio", (1.0,)).met is None


def test_the_table_replaces_what_stands_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    into_page(page, [Figure("a", "ratio", (0.4, 0.6, 0.7), ">= 0.5")])
    text = page.read_text()
    assert text.startswith(f"before\n{MARKS[0]}\n| ")
    assert text.endswith(f"{MARKS[1]}\nafter\n")
    assert "| a | ratio | 0.60 x | 0.40 to 0.70 | >= 0.5 met |" in text
    assert "old" not in text


def test_no_figure_has_more_digits_than_its_runs_agree_in(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(MARKS))
    made = {"a second": 43.7503, "bound": 53.3}
    into_page(page, [Figure("c", "captures, 1 worker", (1351.4,), made_of=made)])
    assert "| 1350 x |" in page.read_text()
    assert "about 160,000 by 1 worker." in page.read_text()


def test_the_table_is_not_replaced_by_a_part_of_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.benchmarks", "--page", str(tmp_path / "page.md"), "a"]
    done = subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "--page" in done.stderr) == (2, True)


def test_who_is_refused_comes_back_with_his_own_request_and_the_crowd_stays_as_large() -> None:
    asked = Counter[bytes]()

    class Door(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked[request := self.rfile.readline()] += 1
            answer = b"200 OK" if asked[request] == 3 else b"503 Later\r\nretry-after: 0.05"
            self.wfile.write(b"HTTP/1.1 " + answer + b"\r\ncontent-length: 0\r\n\r\n")

    with socketserver.ThreadingTCPServer((HOST, 0), Door) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            requests = [f"{number}\r\n".encode() for number in range(2000)]
            seen = Storm(server.server_address[1], requests, 0.6).rage(20)
        finally:
            server.shutdown()
    assert not seen.lost
    assert seen.count(200) == sum(times == 3 for times in asked.values())
    assert seen.count(503) == asked.total() - seen.count(200)
    assert 0 < seen.served_meanwhile <= seen.count(200)
    assert seen.unused == 2000 - len(asked) == 2000 - 20 - seen.served_meanwhile


def test_an_index_that_is_gone_through_from_end_to_end_is_a_table_read_whole() -> None:
    def scan(kind: str, rows: int, loops: int = 1, **more: str) -> dict[str, Any]:
        node = {"Node Type": kind, "Relation Name": "jobs", "Actual Rows": 0, "Actual Loops": loops}
        return node | {"Rows Removed by Filter": rows} | {key.replace("_", " "): value for key, value in more.items()}

    length = {"jobs": 1_000_000, "jobs_pkey": 1_000_000, "jobs_queued": 300}
    for node, bad, short in (
        (scan("Seq Scan", 0, loops=0), 1, set()),
        (scan("Index Scan", 1_000_000, Index_Name="jobs_pkey"), 1, set()),
        (scan("Index Scan", 0, loops=0, Index_Name="jobs_pkey"), 1, set()),
        (scan("Index Scan", 1_000_000, Index_Name="jobs_pkey", Index_Cond="(id > 0)"), 1, set()),
        (scan("Index Scan", 2, Index_Name="jobs_pkey", Index_Cond="(id = 1)"), 0, set()),
        (scan("Index Only Scan", 1, Index_Name="jobs_pkey"), 0, set()),
        (scan("Index Scan", 300, Index_Name="jobs_queued"), 0, {"jobs_queued"}),
    ):
        found = long_reads([Plan("select", (node,))], length)
        assert (len(found[0]), found[1]) == (bad, short), node


def test_pgbenchs_pace_is_that_of_the_time_in_which_all_its_clients_work_with_their_plans() -> None:
    """Two clients, a transaction of 10 ms each; the first takes a second to prepare and begins five seconds late."""
    late = [(0, 1_000_000, 6.0), *((0, 10_000, 6.0 + n / 100) for n in range(1, 101))]
    early = [(1, 10_000, 1 + n / 100) for n in range(1, 571)]
    timing = _timing([*late, *early])
    assert timing.transactions == 671
    assert 195 <= timing.rate <= 205
    assert timing.median_ms == 10
