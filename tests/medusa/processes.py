"""Child processes that end with the tests, however those end, and whose last words are shown."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class ChildError(RuntimeError):
    """A child process ended or never became ready; the message ends with its log."""


class Child:
    """A running program with a log of its own."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
        on_our_death: int = signal.SIGKILL,
    ):
        """Start it. The kernel signals it when the thread that runs this ends: call from the main thread.

        A program with children of its own needs ``SIGTERM``, or those would outlive it.
        """
        self.name, self.log = name, log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid(), on_our_death),
            )

    @property
    def ended(self) -> bool:
        """Whether it has ended, well or not."""
        return self._process.poll() is not None

    def finish(self, *, seconds: float) -> None:
        """Wait for a program that ends by itself; anything but success raises."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise ChildError(f"{self.name} took longer than {seconds:.0f} s\n{self.tail()}") from None
        if code:
            raise ChildError(f"{self.name} ended with code {code}\n{self.tail()}")

    def await_ok(self, url: str, *, seconds: float) -> None:
        """Return once ``url`` answers 200."""
        self.await_(lambda: _answers_ok(url), seconds=seconds, what=url)

    def await_(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Return once ``ready`` says so; raise when the child ends first or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.ended:
                raise ChildError(f"{self.name} ended with code {self._process.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise ChildError(f"{self.name}: no {what} after {seconds:.0f} s\n{self.tail()}")
            time.sleep(0.05)

    def stop(self, *, patience: float = 15) -> int:
        """Ask it to end, then make it end; its exit code (negative for a signal)."""
        if not self.ended:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def has_said(self, words: str) -> bool:
        """Whether its log has these words."""
        return words in self.log.read_text(errors="replace")

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        found = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- the end of {self.log.name} ---", *found])


def environment(**more: str) -> dict[str, str]:
    """A clean environment: what any program needs, and ``more``."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | more


def _answers_ok(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _die_with(parent: int, number: int) -> Callable[[], None]:
    def arm() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return arm
