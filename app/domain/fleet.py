"""How the whole fleet stands, as the rows tell it."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """One look at what is unfinished. Nothing that is over is counted."""

    jobs: dict[tuple[str, ...], float] = {}
    """By kind and state."""
    oldest_due: dict[tuple[str, ...], float] = {}
    """Seconds, by kind."""
    incidents: dict[tuple[str, ...], float] = {}
    """Open ones, by kind."""
    alerts: dict[tuple[str, ...], float] = {}
    """Not delivered, by channel."""
    oldest_alert: dict[tuple[str, ...], float] = {}
    """Seconds, by channel."""
    money_at_risk: dict[tuple[str, str], Decimal] = {}
    """Major units, by currency and reason."""
    worker_seen: float | None = None
    """Seconds since any worker was at work; ``None`` when none ever was."""
