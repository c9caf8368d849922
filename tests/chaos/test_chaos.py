"""The same command as by hand: in a process of its own, whose main thread may start and kill what it likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _run(seconds: int, seed: int, *, within: int) -> None:
    argv = [sys.executable, "-m", "tests.chaos", f"--seconds={seconds}", f"--seed={seed}"]
    done = subprocess.run(
        argv, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within, check=False
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, "the report is below"


@pytest.mark.tools
def test_no_promise_breaks_when_each_thing_fails_once() -> None:
    """Of this seed what costs a lease comes early: its work is back before the last shopper has left."""
    _run(20, 1678, within=300)


@pytest.mark.long
def test_no_promise_breaks_in_two_minutes_of_faults() -> None:
    _run(120, 11, within=500)
