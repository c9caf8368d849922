"""How much of everything: the full run, a quick one, and the smoke test's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes by part."""

    kinds: int = 20
    """Things that the shop sells."""
    repetitions: int = 5
    a_orders: int = 400_000
    a_clients: tuple[int, ...] = (1, 8, 32)
    a_processes: tuple[int, ...] = (1, 2)
    a_seconds: float = 3.0
    a_least: int = 300
    b_medusa: bool = True
    b_orders: int = 12_000
    b_clients: tuple[int, ...] = (1, 8)
    b_stripe_ms: tuple[int, ...] = (0, 150)
    b_least: int = 60
    """A client."""
    b_medusa_least: int = 15
    """Medusa, which takes long, gets so many of one client, and six times as many of several together."""
    repetitions_b: int = 3
    c_jobs: int = 10_000
    c_workers: tuple[int, ...] = (1, 2, 4)
    c_seconds: float = 20.0
    """Of work at 150 ms a call, at the configured concurrency: 10,000 would take minutes and say the same."""
    c_repetitions: int = 3
    c_limit: float = 30.0
    """Seconds after which a drain is called off: what was done by then tells its pace."""
    d_small: int = 10_000
    d_large: int = 1_000_000
    d_rounds: int = 12
    d_cancels: int = 60
    d_polls: int = 40
    e_waiting: int = 100_000
    e_seconds: float = 15.0
    e_storm: float = 15.0
    """Seconds that the crowd is there."""
    e_turns: int = 3
    e_overload: int = 3_000
    e_orders: int = 100_000
    f_captures: int = 10_000
    f_cancels: int = 60
    f_turns: int = 5


FULL: Final = Scale()
QUICK: Final = Scale(
    repetitions=2, a_orders=60_000, a_processes=(1,), a_seconds=1.5, c_jobs=3_000, c_workers=(1, 2), c_seconds=8,
    c_repetitions=1, c_limit=15, d_large=100_000, d_rounds=6, e_waiting=20_000, e_seconds=6, e_storm=6, e_orders=30_000,
    e_overload=1_500, b_orders=4_000, b_least=30, b_medusa_least=8, repetitions_b=1, f_captures=3_000,
    f_turns=2,
)  # fmt: skip
SMOKE: Final = Scale(
    kinds=2, repetitions=1, a_orders=2_000, a_clients=(1, 8), a_processes=(1,), a_seconds=0.2, a_least=40, c_jobs=100,
    c_workers=(1,), c_seconds=0.5, c_repetitions=1, b_medusa=False, b_orders=200, b_stripe_ms=(0,), b_least=5,
    repetitions_b=1,
    c_limit=20, d_small=200, d_large=2_000, d_rounds=1, d_cancels=10, d_polls=3, e_waiting=3_000, e_seconds=0.8,
    e_storm=4.0, e_turns=1, e_overload=150, e_orders=8_000,
    f_captures=400, f_cancels=5, f_turns=1,
)  # fmt: skip
