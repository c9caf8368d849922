"""``serve`` and ``worker`` as processes of their own, to be stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.embedded.processes import HOST, await_ready, end, free_port
from app.settings import Settings
from tests.world import SECRET

PATIENCE = 40.0
"""Seconds that a stop may take on a slow machine; a stop that hangs ends in a SIGKILL, and not with 0."""


class Program:
    """A running ``medusa-grace``."""

    def __init__(
        self, settings: Settings, directory: Path, *arguments: str, within: Sequence[str] = (), **changes: str
    ) -> None:
        """``within`` is a command that runs commands, such as ``ip netns exec``."""
        self.log = directory / f"{arguments[0]}-{time.monotonic_ns()}.log"
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "MEDUSA_REDIS_URL": settings.medusa_redis_url or "",
            "MEDUSA_LOCKING": "redis",
            "STRIPE_API_KEY": settings.stripe_api_key or "",
            "STRIPE_API_BASE": settings.stripe_api_base or "",
            "MODIFICATION_TOKEN_SECRET": SECRET,
            "RATE_LIMIT_PER_ADDRESS": "0",
            **changes,
        }
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*within, sys.executable, "-m", "app.cli", *arguments],
                env=environ,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def await_words(self, words: str) -> None:
        """Return once the log has them."""
        await_ready(self.process, lambda: words in self.said(), name=words, log=self.log)

    def said(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    @property
    def has_children(self) -> bool:
        """Whether it has forked."""
        return bool(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())

    def terminate(self) -> None:
        """SIGTERM, to the process alone, as a process manager does."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Whatever is left of it and its children."""
        end(self.process, signal.SIGTERM, patience=PATIENCE)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


@contextmanager
def running(settings: Settings, directory: Path, *arguments: str, **changes: str) -> Iterator[Program]:
    """A program that is gone afterwards."""
    program = Program(settings, directory, *arguments, **changes)
    try:
        yield program
    finally:
        program.kill()


@contextmanager
def running_api(settings: Settings, directory: Path, **changes: str) -> Iterator[tuple[Program, str]]:
    """``serve``, ready, and its address."""
    port = free_port()
    with running(settings, directory, "serve", "--port", str(port), **changes) as program:
        url = f"http://{HOST}:{port}"
        await_ready(program.process, lambda: _answers(url), name="serve", log=program.log)
        yield program, url


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        time.sleep(0.05)
        return False
