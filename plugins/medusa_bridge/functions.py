"""What ``medusa-grace migrate`` puts into schema ``grace`` for the bridge."""

from __future__ import annotations

from typing import Final

from app.store.functions import Function
from plugins.medusa_bridge.at_once import CANCEL_IF_UNCHANGED, TAKE_WITH_ORDER
from plugins.medusa_bridge.orders import LOCK_ORDER
from plugins.medusa_bridge.payments import BOOK_CAPTURE
from plugins.medusa_bridge.sqlfile import definer

_PAYMENT_INTENT, _PAYMENT_INTENT_ID = definer("payment_intent"), definer("payment_intent_id")
_SESSION_INTENT = definer("session_intent")
_PAYMENTS_OF_INTENTS, _ORDERS_OF_EMAIL = definer("payments_of_intents"), definer("orders_of_email")
_EMAIL_CHANGED, _IS_PUBLISHABLE_KEY = definer("email_changed"), definer("is_publishable_key")
_NOTE_SESSION_REFUND, _LINKED_ORDERS = definer("note_session_refund"), definer("linked_orders")

FUNCTIONS: Final[tuple[Function, ...]] = (
    _PAYMENT_INTENT,
    _PAYMENT_INTENT_ID,
    _SESSION_INTENT,
    _PAYMENTS_OF_INTENTS,
    _ORDERS_OF_EMAIL,
    _EMAIL_CHANGED,
    _IS_PUBLISHABLE_KEY,
    _NOTE_SESSION_REFUND,
    _LINKED_ORDERS,
    LOCK_ORDER,
    BOOK_CAPTURE,
    TAKE_WITH_ORDER,
    CANCEL_IF_UNCHANGED,
)

READING_TRIALS: Final = {
    _PAYMENT_INTENT: f"select {_PAYMENT_INTENT.name}('')",
    _PAYMENT_INTENT_ID: f"select {_PAYMENT_INTENT_ID.name}('')",
    _SESSION_INTENT: f"select {_SESSION_INTENT.name}('')",
    _PAYMENTS_OF_INTENTS: f"select {_PAYMENTS_OF_INTENTS.name}('{{}}')",
    _ORDERS_OF_EMAIL: f"select {_ORDERS_OF_EMAIL.name}('', 0)",
    _EMAIL_CHANGED: f"select {_EMAIL_CHANGED.name}('')",
    _LINKED_ORDERS: f"select {_LINKED_ORDERS.name}('')",
    _IS_PUBLISHABLE_KEY: f"select {_IS_PUBLISHABLE_KEY.name}('')",
}
"""A call of each definer that writes nothing, for no row."""

TRIALS: Final = {
    **READING_TRIALS,
    _NOTE_SESSION_REFUND: f"select {_NOTE_SESSION_REFUND.name}('', 0)",
    LOCK_ORDER: f"select * from {LOCK_ORDER.name}('')",  # noqa: S608 - a name of ours
    BOOK_CAPTURE: f"select {BOOK_CAPTURE.name}('', 1, '', '', 2, 'capt_', 0, null, false)",
    TAKE_WITH_ORDER: f"select * from {TAKE_WITH_ORDER.name}('', '', '', '', 0, interval '1 second')",  # noqa: S608
    CANCEL_IF_UNCHANGED: f"select {CANCEL_IF_UNCHANGED.name}('', '', '{{}}', '{{}}', '', null, '', null, '{{}}', "
    "'{}', null, '{}', '{}', '{}')",
}
"""A call of each for nobody's order: Postgres does not look into a function before it is called."""
