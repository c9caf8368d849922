"""Orders for schedules: one is made by the real code, the others are copies of its rows under new ids."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import asyncpg

from app.domain.jobs import JobKind, JobRef
from app.domain.money import to_minor_units
from app.embedded.shop import STRIPE, Payment, PlacedOrder, place_order
from app.ports import Policy
from tests.races.explorer.redis_seam import Shelf
from tests.races.explorer.stripe_seam import Account
from tests.world import ref_of

TABLES: Final = (
    '"order"', "order_line_item", "order_item", "order_summary", "order_shipping", "payment_collection",
    "order_payment_collection", "payment_session", "payment", "inventory_item", "inventory_level", "reservation_item",
    "order_credit_line", "order_change", "capture", "grace.cancellations", "grace.jobs",
)  # fmt: skip
"""Where an order leaves rows, parents first."""

_ULID: Final = re.compile(r"(?:(?<=_)01[0-9A-HJKMNP-TV-Z]{14}|(?<=SHIRT-))[0-9A-HJKMNP-TV-Z]{10}")
_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_numbers = itertools.count(1)


@dataclass
class Case:
    """One order, its Stripe account and its two Redis servers."""

    order_id: str
    payment_ids: tuple[str, ...]
    intent_ids: tuple[str, ...]
    session_ids: tuple[str, ...]
    line_item_ids: tuple[str, ...]
    item_id: str
    account: Account
    installation: str
    """Whose order it is."""
    jobs: dict[tuple[JobKind, str], JobRef] = field(default_factory=dict)
    """Messages of its queued jobs, by kind and subject."""
    ours: Shelf = field(default_factory=Shelf)
    medusas: Shelf = field(default_factory=Shelf)

    def ref(self, kind: JobKind, number: int = 0) -> JobRef:
        """The message of a queued job about a payment, or about the order."""
        if kind is JobKind.RELEASE:
            return self.jobs[kind, self.order_id]
        payment = kind, self.payment_ids[number]
        return self.jobs[payment if payment in self.jobs else (kind, self.session_ids[number])]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How things stand before anybody moves."""

    name: str
    amounts: tuple[str, ...] = ("29.7381",)
    make: Callable[[asyncpg.Connection, PlacedOrder], Awaitable[None]]
    """Brings the first order to where the scenario begins, in its rows."""
    policy: Policy
    stripe: Callable[[Case], None] = lambda case: None
    """Brings a copy's account there."""


@dataclass
class Nursery:
    """Copies of a scenario's first order."""

    scenario: Scenario
    first: PlacedOrder
    rows: dict[str, str]

    @classmethod
    async def of(cls, conn: asyncpg.Connection, scenario: Scenario) -> Nursery:
        """Make the first order in a database without any, and take it out again."""
        account = Account()
        payments = [
            Payment(amount=Decimal(amount), provider_id=STRIPE, intent=_hold(account, amount))
            for amount in scenario.amounts
        ]
        first = await place_order(conn, payments=payments, total=None if payments else Decimal(0))
        await scenario.make(conn, first)
        rows = {
            table: await conn.fetchval(f"select coalesce(json_agg(t order by ctid), '[]')::text from {table} as t")
            for table in TABLES
        }
        await clear(conn)
        return cls(scenario, first, rows)

    async def copies(self, conn: asyncpg.Connection, number: int) -> list[Case]:
        """So many orders, ready to be raced over."""
        cases, tables = [], {table: list[str]() for table in TABLES}
        installation: str = await conn.fetchval("select id from grace.installation")
        for _ in range(number):
            account = Account()
            intents = [_hold(account, amount) for amount in self.scenario.amounts]
            copy = _Copy(self.first, [intent["id"] for intent in intents])
            for table, text in self.rows.items():
                if text != "[]":
                    tables[table].append(copy.of(text)[1:-1])
            cases.append(copy.case(account, installation))
        for table, texts in tables.items():
            if texts:
                await _insert(conn, table, f"[{','.join(texts)}]")
        await conn.execute(
            "update grace.jobs set updated_at = now() + interval '1 day'"
        )  # nobody's sweep may take them
        by_order = {case.order_id: case for case in cases}
        query = "select i.id as installation, j.* from grace.jobs as j cross join grace.installation as i"
        for row in await conn.fetch(query):
            if row["order_id"] in by_order:
                by_order[row["order_id"]].jobs[JobKind(row["kind"]), row["subject"]] = ref_of(row)
        for case in cases:
            self.scenario.stripe(case)
        return cases


class _Copy:
    """New ids for old ones. The beginning stays, so that they sort as before."""

    def __init__(self, first: PlacedOrder, intent_ids: Sequence[str]) -> None:
        self._first = first
        self._suffix = _spelled(next(_numbers))
        self._intents = dict(zip(first.intent_ids, intent_ids, strict=True))

    def of(self, text: str) -> str:
        for old, new in self._intents.items():
            text = text.replace(old, new)
        return _ULID.sub(self._new, text)

    def _new(self, found: re.Match[str]) -> str:
        old = found[0]
        if "JSHP" in old:  # the shop's own region, channel and location
            return old
        return old[:-6] + self._suffix

    def case(self, account: Account, installation: str) -> Case:
        first = self._first
        return Case(
            order_id=self.of(first.id),
            payment_ids=tuple(map(self.of, first.payment_ids)),
            intent_ids=tuple(self._intents.values()),
            session_ids=tuple(map(self.of, first.session_ids)),
            line_item_ids=tuple(map(self.of, first.line_item_ids)),
            item_id=self.of(first.inventory_item_ids[0]),
            account=account,
            installation=installation,
        )


async def clear(conn: asyncpg.Connection) -> None:
    """A shop without orders."""
    names = await conn.fetchval(
        "select string_agg(format('%I.%I', schemaname, tablename), ', ') from pg_tables "
        "where schemaname in ('public', 'grace') and tablename not in ('migrations', 'installation')"
    )
    await conn.execute(f"truncate {names} cascade")


async def _insert(conn: asyncpg.Connection, table: str, rows: str) -> None:
    overriding = ""
    columns = "*"
    if table == "grace.jobs":  # the ids are the database's
        names = [name for name in json.loads(rows)[0] if name not in {"id", "ulid"}]
        columns = ", ".join(names)
        overriding = f"({columns})"
    await conn.execute(
        f"insert into {table} {overriding} select {columns} "
        f"from jsonb_populate_recordset(null::{table}, $1::text::jsonb)",
        rows,
    )


def _hold(account: Account, amount: str) -> dict[str, Any]:
    form = {"amount": str(to_minor_units(Decimal(amount), "eur")), "currency": "eur", "capture_method": "manual"}
    return account.post("/v1/payment_intents", {**form, "confirm": "true", "payment_method": "pm_card_visa"})


def _spelled(number: int) -> str:
    letters = ""
    for _ in range(6):
        number, digit = divmod(number, 32)
        letters = _DIGITS[digit] + letters
    return letters
