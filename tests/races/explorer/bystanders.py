"""Actors besides shoppers, workers and the admin: the relay's reconcilers, and what Medusa's rows do late."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from typing import Any

import asyncpg

from app.domain.incidents import IncidentKind
from app.domain.money import to_minor_units
from app.embedded.shop_rows import new_id, now_ms
from app.usecases import adopt_canceled, heal_incidents, recheck_canceled
from app.usecases.one_by_one import one_by_one
from tests.races.explorer.cases import Case
from tests.races.explorer.seats import Seat

_OPEN = "select kind from grace.incidents where order_id = $1 and closed_at is null order by kind"
_COPY = """
insert into payment
select p.* from payment as q
cross join lateral jsonb_populate_record(q, $2::text::jsonb) as p
where q.id = $1
"""


_VANISH = """
with gone as (update payment set deleted_at = now() where id = $1 returning payment_session_id)
update payment_session as s set deleted_at = now() from gone where s.id = gone.payment_session_id
"""
_CAPTURED = f"""
with booked as ({_COPY} returning id, amount, raw_amount)
insert into capture (id, amount, raw_amount, payment_id)
select 'capt' || substr(id, 4), amount, raw_amount, id from booked
"""


async def recheck(seat: Seat, case: Case, letter: str) -> None:
    """The relay looks at the order again because it was canceled a moment ago."""
    act = partial(recheck_canceled._recheck, seat.services)
    await one_by_one(seat.services, "recheck", [case.order_id], act)


async def adopt(seat: Seat, case: Case, letter: str) -> None:
    """The relay comes by the order's capture on its round."""
    act = partial(adopt_canceled._adopt, seat.services)
    await one_by_one(seat.services, "adopt", [case.order_id], act)


async def heal(seat: Seat, case: Case, letter: str) -> None:
    """The relay looks at the order's open incidents."""
    for row in await seat.wire.raw.fetch(_OPEN, case.order_id):
        kind = IncidentKind(row["kind"])
        settled = heal_incidents._SETTLED.get(kind)
        if settled is not None:
            act = partial(heal_incidents._heal, seat.services, kind, settled)
            await one_by_one(seat.services, "heal", [case.order_id], act)


async def book_held(seat: Seat, case: Case, letter: str) -> None:
    """Medusa books a payment of the order late: a second hold."""
    await _book(seat, case, captured=False)


async def book_captured(seat: Seat, case: Case, letter: str) -> None:
    """Medusa books a payment of the order late: money that is taken already."""
    await _book(seat, case, captured=True)


async def vanish(seat: Seat, case: Case, letter: str) -> None:
    """The order's payment and its session are deleted softly."""
    seat.wire.name_next("medusa.vanish")
    with suppress(asyncpg.PostgresError):
        await seat.medusa.write(_VANISH, case.payment_ids[0])


async def _book(seat: Seat, case: Case, *, captured: bool) -> None:
    account, moment = case.account, now_ms()
    row = await seat.wire.raw.fetchrow("select amount, currency_code from payment where id = $1", case.payment_ids[0])
    assert row is not None
    minor = str(to_minor_units(row["amount"], row["currency_code"]))
    form = {"amount": minor, "currency": "eur", "capture_method": "manual", "confirm": "true"}
    intent: dict[str, Any] = account.post("/v1/payment_intents", {**form, "payment_method": "pm_card_visa"})
    if captured:
        intent = account.post(f"/v1/payment_intents/{intent['id']}/capture", {})
    payment_id = new_id("pay", moment)
    changes = {
        "id": payment_id,
        "payment_session_id": new_id("payses", moment),
        "data": intent,
        "captured_at": moment.isoformat() if captured else None,
        "canceled_at": None,
        "deleted_at": None,
        "created_at": moment.isoformat(),
        "updated_at": moment.isoformat(),
    }
    seat.wire.name_next("medusa.book")
    with suppress(asyncpg.PostgresError):
        await seat.medusa.write(_CAPTURED if captured else _COPY, case.payment_ids[0], json.dumps(changes))
