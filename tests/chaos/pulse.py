"""A finger on the machine's pulse: when it ran nothing at all, nobody was late."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self

from tests.chaos.records import Fault

BEAT: Final = 0.1
STALL: Final = 0.2
"""A beat this late is no matter of our own threads: the whole machine was stopped, or starved."""


class Pulse:
    """Sleeps a tenth of a second again and again, and keeps when that took far too long."""

    def __init__(self) -> None:
        self.stalls: list[Fault] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        before = time.time()
        while not self._over.wait(BEAT):
            now = time.time()
            if now - before - BEAT > STALL:
                self.stalls.append(Fault("stall", before, now))
            before = now
