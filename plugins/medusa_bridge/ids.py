"""Ids as Medusa makes them: a prefix and a ULID."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ulid import ULID

_BEHIND: Final = timedelta(minutes=10)


def new_id(prefix: str) -> str:
    """A new id such as ``capt_01M82MGQ2NK2DR0YDECT7VPP95``."""
    return f"{prefix}_{ULID()}"


def payment_id_at(moment: datetime) -> str:
    """Sorts before every payment id made at ``moment`` or later."""
    return f"pay_{str(ULID.from_datetime(moment))[:10]}"


def session_id_at(moment: datetime) -> str:
    """Sorts before every payment session id made at ``moment`` or later."""
    return f"payses_{str(ULID.from_datetime(moment))[:10]}"


def made_at(payment_id: str) -> datetime | None:
    """When a payment or session id was made, by its maker's clock; ``None`` when it is not a ULID."""
    time_part = payment_id.removeprefix("pay_").removeprefix("payses_")
    if len(time_part) < 10:
        return None
    try:
        return ULID.from_str(time_part.ljust(26, "0")).datetime
    except ValueError:
        return None


def earlier(payment_id: str, by: timedelta, not_after: datetime) -> str:
    """A cursor ``by`` before the id, or before ``not_after`` when a host's clock ran ahead of it."""
    moment = made_at(payment_id)
    return payment_id_at(min(moment or not_after, not_after) - by)


def passed(newest: str | None, now: datetime) -> str | None:
    """How far a look went that left nothing: to the newest id; to a little before now, as hosts' clocks may run behind,
    where that is no ULID and tells no time: it may stay the newest for ever, and the cursor must not stay with it."""
    return newest if newest is None or made_at(newest) is not None else payment_id_at(now - _BEHIND)


def later(cursor: str, newest: str | None, now: datetime) -> str:
    """The cursor moved on to the newest id, but never to one that is no ULID or lies in the future: it could not be
    passed any more."""
    limit = payment_id_at(now)
    candidates = [id_ for id_ in (cursor, newest) if id_ is not None and made_at(id_) is not None]
    return min(max(candidates, default=limit), limit)
