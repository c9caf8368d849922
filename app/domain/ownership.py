"""Whose an order is: the right that a request shows for it, against the order as it is now."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from app.domain.order import Order


class Ownership(StrEnum):
    """What a request is to the order that it names."""

    OWNER = "owner"
    FORMER_OWNER = "former_owner"
    """Holds a token from before the order changed hands."""
    NONE = "none"


def ownership(order: Order | None, *, customer_id: str | None, token_issued_at: datetime | None) -> Ownership:
    """Compare the request's right with the owner of the order, which may be none at all.

    ``customer_id`` is the signed-in customer; ``None`` stands for a modification token for this order, which says that
    it was issued at ``token_issued_at``, or does not say when.
    """
    if order is None:
        return Ownership.NONE
    if customer_id is not None:
        return Ownership.OWNER if customer_id == order.customer_id else Ownership.NONE
    if order.handed_over_at is None:
        return Ownership.OWNER
    if token_issued_at is None or not _is_later(token_issued_at, order.handed_over_at):
        return Ownership.FORMER_OWNER
    return Ownership.OWNER


def _is_later(token_issued_at: datetime, handed_over_at: datetime) -> bool:
    """Tell whether the token was issued in a later second. Tokens tell whole seconds: one of the same second may be
    older."""
    return token_issued_at.replace(microsecond=0) > handed_over_at.replace(microsecond=0)
