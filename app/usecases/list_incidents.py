"""What needs a person, the most pressing first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from app.domain.incidents import IncidentKind
from app.domain.order import Payment, PaymentSession, Provider
from app.domain.owed import kept_of
from app.domain.risk import SeenOrder, Sort, at_risk, currency_order, lapses_at
from app.ports import BackOffice, Connection, Services
from app.store import incidents
from app.store.incidents import Seen

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_REFUNDABLE: Final = frozenset({Provider.STRIPE, Provider.SYSTEM})


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An incident with its money. ``order`` is ``None`` when the shop has no such order any more."""

    incident: Seen
    order: SeenOrder | None
    at_risk: Decimal
    lapses_at: datetime | None
    """Of the first hold that the incident is about."""
    refundable: Decimal
    """What a press on "Refund" would give back now; 0 where there is no such button."""


async def list_incidents(
    services: Services,
    *,
    sort: Sort = Sort.MONEY,
    kind: IncidentKind | None = None,
    open_only: bool = True,
) -> list[Listed]:
    """Open incidents, or those closed within a week, newest first. Up to 500."""
    async with services.db.transaction("operator.list") as conn:
        seen = await incidents.listed(conn, open_only=open_only, kind=kind)
        listed = await with_money(conn, services.back_office, seen)
    if not open_only:
        return listed
    return _sorted(listed, sort)


async def with_money(conn: Connection, back_office: BackOffice, seen: Sequence[Seen]) -> list[Listed]:
    """The same incidents, in the same order, with the money that they are about."""
    orders = await back_office.see_orders(conn, sorted({one.order_id for one in seen})) if seen else {}
    return [_listed(one, orders.get(one.order_id)) for one in seen]


async def count_open_incidents(services: Services) -> Mapping[IncidentKind, int]:
    """How many incidents are open, by kind: all of them, however many are listed."""
    async with services.db.transaction("operator.count") as conn:
        return await incidents.count_open(conn)


def money_at_risk(listed: Sequence[Listed]) -> Mapping[str, Decimal]:
    """The sum of open incidents by currency; an order with several incidents counts once."""
    largest: dict[str, tuple[str, Decimal]] = {}
    for one in listed:
        if one.order is not None and one.at_risk > largest.get(one.order.id, ("", Decimal(0)))[1]:
            largest[one.order.id] = one.order.currency, one.at_risk
    sums: dict[str, Decimal] = {}
    for currency, amount in largest.values():
        sums[currency] = sums.get(currency, Decimal(0)) + amount
    return dict(sorted(sums.items()))


def _listed(incident: Seen, order: SeenOrder | None) -> Listed:
    if order is None:
        return Listed(incident=incident, order=None, at_risk=Decimal(0), lapses_at=None, refundable=Decimal(0))
    risk = at_risk(incident.kind, order) if incident.closed_at is None else Decimal(0)
    return Listed(
        incident=incident,
        order=order,
        at_risk=risk,
        lapses_at=lapses_at(order) if risk > 0 else None,
        refundable=_refundable(incident, order),
    )


def _refundable(incident: Seen, order: SeenOrder) -> Decimal:
    if incident.kind is not IncidentKind.LATE_MONEY or incident.closed_at is not None or not order.canceled:
        return Decimal(0)
    money: list[Payment | PaymentSession] = [*(seen.payment for seen in order.payments), *order.sessions]
    return sum((kept_of(one) for one in money if one.provider in _REFUNDABLE), Decimal(0))


def _sorted(listed: Sequence[Listed], sort: Sort) -> list[Listed]:
    rank = currency_order(one.order.currency for one in listed if one.order is not None and one.at_risk > 0)

    def by_money(one: Listed) -> tuple[object, ...]:
        currency = rank.get(one.order.currency, len(rank)) if one.order is not None else len(rank)
        return one.at_risk <= 0, currency, -one.at_risk, one.lapses_at or _NEVER, one.incident.id

    def by_lapse(one: Listed) -> tuple[object, ...]:
        return one.lapses_at or _NEVER, *by_money(one)

    return sorted(listed, key=by_lapse if sort is Sort.LAPSE else by_money)
