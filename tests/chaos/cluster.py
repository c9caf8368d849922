"""The processes: Postgres, Valkey, the Stripe sandbox, and an API and two workers for each installation. All keep their
ports over restarts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import redis

from app.embedded.postgres import Postgres
from app.embedded.processes import HOST, Held, await_ready, end, scratch, spawn
from app.embedded.valkey import Valkey
from tests.chaos.installations import Installation


class Cluster:
    """Starts, kills and restarts everything. Use it from the main thread alone: children die with their thread."""

    def __init__(self, installations: int, settings: Mapping[str, str]) -> None:
        """``settings`` of the sidecar's processes, beside those that every run has."""
        self._number, self._settings = installations, settings
        self.installations: list[Installation] = []
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._meant_to_run: set[str] = set()
        self._scratch: Held | None = None
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self.armed_at = 0.0
        """When Stripe was last told to fail."""
        self.deserters: list[str] = []
        """Processes of the sidecar that ended although nobody killed them."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def apis(self) -> list[str]:
        """Every installation's API process."""
        return [installation.serve for installation in self.installations]

    @property
    def workers(self) -> list[str]:
        """Every installation's workers."""
        return [name for installation in self.installations for name in installation.workers]

    @property
    def postgres(self) -> Postgres:
        """The database server."""
        assert self._postgres is not None
        return self._postgres

    @property
    def valkey(self) -> Valkey:
        """The Redis of all sidecars and Medusas."""
        assert self._valkey is not None
        return self._valkey

    @property
    def logs(self) -> Path:
        """Where the processes write, until ``stop()``."""
        assert self._scratch is not None
        return self._scratch.directory

    def start(self, *names: str) -> None:
        """Start sidecar processes and return once all are ready."""
        ready = {name: self._readiness(name) for name in names}
        for name in names:
            self._children[name] = self._spawn(name)
            self._meant_to_run.add(name)
        for name in names:
            await_ready(self._children[name], ready[name], name=name, log=self.logs / f"{name}.log")

    def kill(self, *names: str) -> None:
        """SIGKILL, the whole group: granian serves from a child of its own."""
        for name in names:
            self._notice(name)
            self._meant_to_run.discard(name)
            child = self._children[name]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(10)

    def kill_serving_processes(self) -> None:
        """SIGKILL the children that granian serves from, and leave granian to make of it what it does."""
        for name in self.apis:
            self._notice(name)
            self._meant_to_run.discard(name)
            found = subprocess.run(
                ["pgrep", "-P", str(self._children[name].pid)], capture_output=True, text=True, check=False
            )
            for pid in map(int, found.stdout.split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def restore_apis(self) -> None:
        """Start the APIs again that ended, as a process manager would; return once they answer."""
        for name in self.apis:
            try:
                self._children[name].wait(2)
            except subprocess.TimeoutExpired:
                self._meant_to_run.add(name)
                await_ready(self._children[name], self._readiness(name), name=name, log=self.logs / f"{name}.log")
            else:
                self.start(name)

    def revive_deserters(self) -> None:
        """What ended by itself is noted, and started again as a process manager would."""
        for name in sorted(self._meant_to_run):
            if self._notice(name):
                self.kill(name)
                self.start(name)

    def flush(self) -> None:
        """Valkey forgets everything."""
        with redis.Redis.from_url(self.valkey.url()) as client:
            client.flushall()

    def keep_logs(self, target: Path) -> None:
        """Copy the logs out of the directory that goes with ``stop()``."""
        target.mkdir(parents=True, exist_ok=True)
        for log in self.logs.glob("*.log"):
            shutil.copy(log, target / log.name)

    def stop(self) -> None:
        """Stop everything and remove every trace. Safe to call twice."""
        self._meant_to_run.clear()
        for child in reversed(self._children.values()):
            end(child, signal.SIGTERM, patience=5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        self._children.clear()
        for server in (self._valkey, self._postgres):
            if server is not None:
                server.stop()
        self._valkey = self._postgres = None
        if self._scratch is not None:
            self._scratch.release(remove=True)
            self._scratch = None

    def _start(self) -> None:
        self._scratch = scratch("chaos", None)
        self._postgres = Postgres.start(durable=False)
        self._valkey = Valkey.start()
        port_file = self.logs / "stripe.port"
        argv = [sys.executable, "-m", "app.embedded.stripe_sandbox", "--port-file", str(port_file)]
        log = self.logs / "stripe.log"
        self._children["stripe"] = spawn(argv, account=None, log=log, on_our_death=signal.SIGTERM)
        await_ready(self._children["stripe"], port_file.exists, name="the Stripe sandbox", log=log)
        stripe = f"http://{HOST}:{port_file.read_text()}"
        for number in range(1, self._number + 1):
            installation = Installation(number, self.postgres, self.valkey, stripe)
            installation.furnish()
            self.installations.append(installation)
        self.start(*self.apis, *self.workers)

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        own = self._of(name)
        verb = ["serve", "--host", HOST, "--port", str(own.port)] if name == own.serve else ["worker"]
        return spawn(
            [sys.executable, "-m", "app.cli", *verb],
            account=None,
            log=self.logs / f"{name}.log",
            on_our_death=signal.SIGKILL,
            settings=own.settings | dict(self._settings),
        )

    def _readiness(self, name: str) -> Callable[[], bool]:
        own = self._of(name)
        if name == own.serve:
            return lambda: _answers(own.api)
        log = self.logs / f"{name}.log"
        before = _count_ready(log)
        return lambda: _count_ready(log) > before

    def _notice(self, name: str) -> bool:
        """Whether a process that should run does not."""
        code = self._children[name].poll()
        if name not in self._meant_to_run or code is None:
            return False
        self.deserters.append(f"{name} ended by itself with code {code} at {time.time():.1f}")
        return True

    def _of(self, name: str) -> Installation:
        (own,) = [one for one in self.installations if name in one.processes]
        return own


def _answers(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health/ready", timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        time.sleep(0.05)
        return False


def _count_ready(log: Path) -> int:
    return log.read_text(errors="replace").count("worker.ready") if log.exists() else 0
