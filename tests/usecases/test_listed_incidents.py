"""What an operator sees of incidents: their money, what a press on "Refund" gives back, and which comes first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.incidents import IncidentKind
from app.domain.order import Payment, PaymentSession, Provider
from app.domain.risk import SeenOrder, SeenPayment, Sort
from app.store import incidents
from app.store.incidents import Seen
from app.usecases.list_incidents import Listed, list_incidents, money_at_risk, with_money
from tests.domain import builders as a

CONN: Any = None
LATE, LOST, RELEASE = IncidentKind.LATE_MONEY, IncidentKind.AUTHORIZATION_LOST, IncidentKind.RELEASE_FAILED


def incident(number: int, order_id: str, kind: IncidentKind = LATE, closed_at: datetime | None = None) -> Seen:
    return Seen(
        id=number,
        order_id=order_id,
        kind=kind,
        detail="",
        opened_at=a.PLACED_AT,
        closed_at=closed_at,
        closed_by=None,
        note=None,
    )


def order(
    id_: str, *payments: Payment, currency: str = "eur", canceled: bool = True, days: int = 0, **facts: Any
) -> SeenOrder:
    seen = tuple(SeenPayment(payment=one, authorized_at=a.PLACED_AT + timedelta(days=days)) for one in payments)
    return SeenOrder(
        id=id_,
        display_id=1,
        currency=currency,
        placed_at=a.PLACED_AT,
        canceled=canceled,
        canceled_at=None,
        payments=seen,
        **facts,
    )


class Office:
    """A shop's orders; notes which were asked for."""

    def __init__(self, *orders: SeenOrder) -> None:
        self.orders = {one.id: one for one in orders}
        self.asked: list[Sequence[str]] = []

    async def see_orders(self, conn: object, order_ids: Sequence[str]) -> dict[str, SeenOrder]:
        self.asked.append(order_ids)
        return {id_: self.orders[id_] for id_ in order_ids if id_ in self.orders}


async def listed(seen: Sequence[Seen], *orders: SeenOrder) -> list[Listed]:
    office: Any = Office(*orders)
    return await with_money(CONN, office, seen)


REFUNDABLE: dict[str, tuple[tuple[Payment, ...], tuple[PaymentSession, ...], str]] = {
    "captured": ((a.captured(),), (), "10"),
    "captured, a part given back": ((a.captured(refunded=Decimal(4)),), (), "6"),
    "captured by Medusa's own provider": ((a.captured(provider=Provider.SYSTEM),), (), "10"),
    "captured by another provider": ((a.captured(provider=Provider.OTHER),), (), "0"),
    "a paid session": ((), (a.session("succeeded"),), "10"),
    "both, and one of another provider": (
        (a.captured(), a.captured(provider=Provider.OTHER)),
        (a.session("succeeded", refunded=Decimal(1)),),
        "19",
    ),
    "held": ((a.held(),), (a.session("processing"),), "0"),
}


@pytest.mark.parametrize(("payments", "sessions", "sum_"), REFUNDABLE.values(), ids=REFUNDABLE.keys())
async def test_what_a_press_on_refund_gives_back(
    payments: tuple[Payment, ...], sessions: tuple[PaymentSession, ...], sum_: str
) -> None:
    one = order("order_1", *payments, sessions=sessions)
    assert [row.refundable for row in await listed([incident(1, "order_1")], one)] == [Decimal(sum_)]


@pytest.mark.parametrize(
    ("seen", "canceled"),
    [
        (incident(1, "order_1", LOST), True),
        (incident(1, "order_1", closed_at=a.PLACED_AT), True),
        (incident(1, "order_1"), False),
    ],
)
async def test_only_open_late_money_of_a_canceled_order_is_refunded(seen: Seen, canceled: bool) -> None:
    (row,) = await listed([seen], order("order_1", a.captured(), canceled=canceled))
    assert row.refundable == 0


async def test_what_is_at_risk_and_when_its_hold_lapses() -> None:
    held = order("order_1", a.held())
    lapse = a.PLACED_AT + timedelta(days=7)
    open_, closed, stock = await listed(
        [incident(1, "order_1"), incident(2, "order_1", closed_at=a.PLACED_AT), incident(3, "order_1", RELEASE)], held
    )
    assert (open_.at_risk, open_.lapses_at) == (Decimal(10), lapse)
    for none in (closed, stock):
        assert (none.at_risk, none.lapses_at) == (Decimal(0), None)


async def test_an_order_that_the_shop_lost() -> None:
    office: Any = Office()
    (row,) = await with_money(CONN, office, [incident(1, "order_gone")])
    assert (row.order, row.at_risk, row.lapses_at, row.refundable) == (None, Decimal(0), None, Decimal(0))
    assert await with_money(CONN, office, []) == []
    assert office.asked == [["order_gone"]], "nothing is asked about nothing"


async def test_an_order_with_several_incidents_is_asked_about_and_counted_once() -> None:
    office: Any = Office(order("order_2", a.captured()), order("order_1", a.held()))
    seen = [
        incident(1, "order_2"),
        incident(2, "order_1", LOST),
        incident(3, "order_2", IncidentKind.FULFILLED),
        incident(4, "order_1", RELEASE),
    ]
    rows = await with_money(CONN, office, seen)
    assert [row.incident.id for row in rows] == [1, 2, 3, 4], "as they were given"
    assert office.asked == [["order_1", "order_2"]]
    assert money_at_risk(rows) == {"eur": Decimal(20)}


async def test_of_several_incidents_of_an_order_the_largest_sum_counts() -> None:
    part = order("order_1", a.captured(refunded=Decimal(9)))
    rows = await listed([incident(1, "order_1"), incident(2, "order_1", IncidentKind.FULFILLED)], part)
    assert [int(row.at_risk) for row in rows] == [1, 10]
    assert money_at_risk(rows) == money_at_risk(rows[::-1]) == {"eur": Decimal(10)}


async def test_sums_of_currencies_are_apart_and_sorted() -> None:
    orders = [order(f"order_{n}", a.held(), currency=code) for n, code in enumerate(["usd", "eur", "usd"])]
    rows = await listed([incident(n, f"order_{n}") for n in range(3)] + [incident(3, "order_gone")], *orders)
    assert list(money_at_risk(rows).items()) == [("eur", Decimal(10)), ("usd", Decimal(20))]
    assert money_at_risk([]) == {}


ORDERS = [
    order("small", a.held(amount=Decimal(1))),
    order("large", a.held(amount=Decimal(50)), days=2),
    order("large too", a.held(amount=Decimal(50)), days=1),
    order("dollars", a.held(amount=Decimal(900)), currency="usd", days=-3),
    order("nothing", a.canceled()),
    order("captured", a.captured(amount=Decimal(50), captured=Decimal(50))),
]


@pytest.mark.parametrize(
    ("sort", "open_only", "expected"),
    [
        (Sort.MONEY, True, ["large too", "large", "captured", "small", "dollars", "nothing", "lost"]),
        (Sort.LAPSE, True, ["dollars", "small", "large too", "large", "captured", "nothing", "lost"]),
        (Sort.MONEY, False, ["lost", "nothing", "captured", "small", "large", "large too", "dollars"]),
    ],
)
async def test_which_comes_first(
    monkeypatch: pytest.MonkeyPatch, sort: Sort, open_only: bool, expected: list[str]
) -> None:
    """By money: sums of the currency of most incidents, then of others, then what is no money. By lapse: what has
    none comes last. What is closed comes as the rows have it."""
    seen = [
        incident(n, id_)
        for n, id_ in enumerate(["lost", "nothing", "captured", "small", "large", "large too", "dollars"])
    ]
    asked: list[dict[str, Any]] = []

    async def rows(conn: object, **given: Any) -> list[Seen]:
        asked.append(given)
        return seen

    @asynccontextmanager
    async def transaction(name: str) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(incidents, "listed", rows)
    db = SimpleNamespace(transaction=transaction, read=transaction)
    services: Any = SimpleNamespace(db=db, back_office=Office(*ORDERS))
    found = await list_incidents(services, sort=sort, kind=LATE, open_only=open_only)
    assert [row.incident.order_id for row in found] == expected
    assert asked == [{"open_only": open_only, "kind": LATE}]
