"""What ``medusa-grace migrate`` puts into schema ``grace`` for the bridge."""

from __future__ import annotations

from typing import Final

from app.store.functions import Function
from plugins.medusa_bridge.orders import LOCK_ORDER
from plugins.medusa_bridge.payments import BOOK_CAPTURE

FUNCTIONS: Final[tuple[Function, ...]] = (LOCK_ORDER, BOOK_CAPTURE)

TRIALS: Final = {
    LOCK_ORDER: f"select * from {LOCK_ORDER.name}('')",  # noqa: S608 - a name of ours
    BOOK_CAPTURE: f"select {BOOK_CAPTURE.name}('', 1, '', '', 2, 'capt_', 0, null, false)",
}
"""A call of each for nobody's order: Postgres does not look into a function before it is called."""
