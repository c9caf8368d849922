"""``medusa-grace up``: what it prints is what a person runs next, line by line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[str]:
    """What it has printed, while it is up."""
    out = tmp_path / "printed"
    with out.open("w") as file:
        up = subprocess.Popen([sys.executable, "-m", "app.cli", "up"], stdout=file, stderr=file)
    try:
        until = time.monotonic() + 120
        while "Logs of the processes" not in out.read_text():
            assert up.poll() is None, out.read_text()
            assert time.monotonic() < until, out.read_text()
            time.sleep(0.1)
        yield out.read_text()
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0


def _commands(printed: str) -> list[str]:
    """The commands among the lines, those of several lines as one."""
    commands: list[str] = []
    going_on = False
    for line in map(str.strip, printed.splitlines()):
        if going_on:
            commands[-1] += f"\n{line}"
        elif line.startswith(("curl ", "uv run ", "DATABASE_URL=")):
            commands.append(line)
        going_on = line.endswith("\\")
    return commands


def _run(command: str, directory: Path) -> str:
    """As a person's shell does; ``uv run`` is this environment."""
    command = command.replace("uv run medusa-grace", f"{sys.executable} -m app.cli")
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, shell=True, cwd=directory, env=environ, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_what_is_printed_works(printed: str, tmp_path: Path) -> None:
    cancel, receipt, keys, verify, doctor, ledger = _commands(printed)
    assert '"status":"canceled"' in _run(cancel, tmp_path)
    _run(receipt, tmp_path)
    assert json.loads((tmp_path / "receipt.json").read_text())["receipt"], "it is signed"
    _run(keys, tmp_path)
    assert "valid: the above is what was attested" in _run(verify, tmp_path)
    until = time.monotonic() + 30
    while "without statistics" in (said := _run(doctor, tmp_path)) and time.monotonic() < until:
        time.sleep(1)
    assert "Nothing found." in said, "neither a superuser nor a table without statistics"
    assert "without statistics" not in said
    assert '"voids":1' in _run(ledger, tmp_path)


@pytest.mark.parametrize("after", [1.0, 4.0])
def test_a_stop_while_it_starts(tmp_path: Path, after: float) -> None:
    """It was obeyed when all had been started."""
    out = tmp_path / "printed"
    with out.open("w") as file:
        up = subprocess.Popen([sys.executable, "-m", "app.cli", "up"], stdout=file, stderr=file)
    until = time.monotonic() + 60
    while "Starting Postgres" not in out.read_text():
        assert time.monotonic() < until, out.read_text()
        time.sleep(0.05)
    time.sleep(after)
    began = time.monotonic()
    up.send_signal(signal.SIGTERM)
    assert up.wait(60) in {0, 130}
    assert time.monotonic() - began < 15
    assert "Traceback" not in out.read_text()
