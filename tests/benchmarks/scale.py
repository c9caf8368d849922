"""How much of everything: the full run, a quick one, and the smoke test's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes by part."""

    repetitions: int = 5
    a_orders: int = 400_000
    a_clients: tuple[int, ...] = (1, 8, 32)
    a_processes: tuple[int, ...] = (1, 2)
    a_seconds: float = 3.0
    a_least: int = 300
    c_jobs: int = 10_000
    c_workers: tuple[int, ...] = (1, 2, 4)
    c_seconds: float = 20.0
    """Of work at 150 ms a call, at the configured concurrency: 10,000 would take minutes and say the same."""
    c_repetitions: int = 3


FULL: Final = Scale()
QUICK: Final = Scale(
    repetitions=2, a_orders=60_000, a_processes=(1,), a_seconds=1.5, c_jobs=3_000, c_workers=(1, 2), c_seconds=8,
    c_repetitions=1,
)  # fmt: skip
SMOKE: Final = Scale(
    repetitions=1, a_orders=3_000, a_clients=(1, 8), a_processes=(1,), a_seconds=0.2, a_least=40, c_jobs=200,
    c_workers=(1,), c_seconds=1, c_repetitions=1,
)  # fmt: skip
