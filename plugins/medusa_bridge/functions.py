"""What ``medusa-grace migrate`` puts into schema ``grace`` for the bridge."""

from __future__ import annotations

from typing import Final

from app.store.functions import Function
from plugins.medusa_bridge.at_once import CANCEL_AS_SEEN, FINISH_CAPTURE, FINISH_VOID, TAKE_WITH_ORDER
from plugins.medusa_bridge.orders import LOCK_ORDER
from plugins.medusa_bridge.payments import BOOK_CAPTURE
from plugins.medusa_bridge.stock import FINISH_RELEASE

FUNCTIONS: Final[tuple[Function, ...]] = (
    LOCK_ORDER,
    BOOK_CAPTURE,
    TAKE_WITH_ORDER,
    FINISH_CAPTURE,
    FINISH_VOID,
    FINISH_RELEASE,
    CANCEL_AS_SEEN,
)

TRIALS: Final = {
    LOCK_ORDER: f"select * from {LOCK_ORDER.name}('')",  # noqa: S608 - a name of ours
    BOOK_CAPTURE: f"select {BOOK_CAPTURE.name}('', 1, '', '', 2, 'capt_', 0, null, false)",
    TAKE_WITH_ORDER: f"select * from {TAKE_WITH_ORDER.name}('', '', '', '', 0, interval '1 second')",  # noqa: S608
    FINISH_CAPTURE: f"select {FINISH_CAPTURE.name}('', '', '', '', 0, 1, '', '', 2, 'capt_', 0, null, false, '', null, "
    "null, null, '{}', '{}')",
    FINISH_VOID: f"select {FINISH_VOID.name}('', '', '', '', 0, '', null, '', '{{}}', '{{}}')",
    FINISH_RELEASE: f"select {FINISH_RELEASE.name}('', '', '', 0, '{{}}', '{{}}', '')",
    CANCEL_AS_SEEN: f"select {CANCEL_AS_SEEN.name}('', '', '{{}}', '', null, '', null, '{{}}', '{{}}', null)",
}
"""A call of each for nobody's order: Postgres does not look into a function before it is called."""
