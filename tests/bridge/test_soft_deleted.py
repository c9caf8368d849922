"""Medusa deletes softly: to every statement of the bridge, a row with ``deleted_at`` is as good as gone.

Each statement runs on a shop where rows of one table are deleted softly, and on the same shop without those rows: both
must come to the same. Each ``deleted_at is null`` is then taken out once, and must be missed.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import asyncpg
import pytest

from app.embedded.shop import Line, PlacedOrder, create_publishable_key
from app.embedded.shop_acts import capture_by_medusa, open_order_change, refund_by_medusa
from app.embedded.shop_drafts import convert_draft
from app.embedded.shop_parcels import fulfill
from app.embedded.shop_rows import add_transaction, next_version, now_ms
from app.embedded.shop_sessions import book_session, open_session, share_collection
from app.embedded.shop_transfers import accept_transfer, change_email, request_transfer
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.gateways.stripe_gateway import StripeGateway
from app.sql_files import read_statements
from app.store.migrate import FOLDER as MIGRATIONS
from plugins.medusa_bridge.sqlfile import FOLDER
from tests.databases import one_database_a_file
from tests.doctor.clinic import SYSTEM, Clinic
from tests.doctor.healthy import HEALTHY
from tests.doctor.seeds import SEEDS
from tests.leftovers import connected
from tests.usecases.hand import Hand, opened
from tests.world import Shop, settings_for

_FUNCTION: Final = re.compile(
    r"^create (?:or replace )?function grace\.(\w+_v\d+) .*?^\$function\$", re.MULTILINE | re.DOTALL
)
FUNCTIONS: Final = {
    found[1]: found[0].replace("%1$s", "public").replace("create function", "create or replace function")
    for _, text in read_statements(MIGRATIONS)
    for found in _FUNCTION.finditer(text)
}
_LOCKS: Final = re.findall(r"perform (1\n.*?);", FUNCTIONS["lock_order_rows_v1"], re.DOTALL)
LOCKS: Final = {
    f"lock_order_rows_v1 {what}": f"-- $1 order_id\nselect {text.replace('the_order', '$1')}"
    for what, text in zip(("order", "payments"), _LOCKS, strict=True)
}
"""The statements of a function that returns nothing, each by itself."""
STATEMENTS: Final = {
    **{name: text for name, text in FUNCTIONS.items() if name != "lock_order_rows_v1"},
    **LOCKS,
    **dict(read_statements(FOLDER)),
}
CALLS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("read_order_v1", "placed_at_v1", "has_money_v1", "linked_orders_v1"), "read_order"),
    "lock_order_v1": "lock_order",
    "note_session_refund_v1": "note_session_refund",
    "is_publishable_key_v1": "read_with_key",
}
"""The statement that calls a function."""
CANCEL: Final = """-- $1 order_id, $2 ids of the payments, $3 ids of the payment collections that live orders share
select grace.cancel_order_v1(
    $1, (select mark from grace.read_order_v1($1) limit 1), $2, $3, 'token', null, 'request', null, '{}', '{}', null,
    '{}', '{}', '{}'
)
"""
PREDICATE: Final = re.compile(r"(?:to_jsonb\(\w+\) ->> '|(?<!\w)(?:\w+\.)?)deleted_at'? is null")
GUARDS: Final = [(name, n) for name, text in STATEMENTS.items() for n, _ in enumerate(PREDICATE.finditer(text))]
ON_PURPOSE: Final[Mapping[tuple[str, str], str]] = {
    ("cancel_order_v1", "order"): "by the id of an order that lock_order has just read",
    ("cancel_order_v1", "payment"): "by the ids of payments that lock_order has just read",
    ("canceled_elsewhere", "order"): "lock_order has the last word on each",
    ("canceled_elsewhere", "payment"): "lock_order has the last word on each",
    ("canceled_with_money", "order"): "walks past them",
    ("captures_without_transaction", "payment"): "by the id of a payment that lock_order has just read",
    ("drift_of_payment", "payment"): "by the id of a payment that lock_order has just read",
    ("drift_of_payment", "payment_collection"): "by the id of a payment that lock_order has just read",
    ("drift_of_payment", "order"): "by the id of an order that lock_order has just read",
    ("find_drifted_levels", "order_item"): "names the order of a line of any version, those that an edit replaced too",
    ("find_drifted_levels", "reservation_item"): "names the order that once reserved there",
    ("find_numbers_unlike_raw", "order"): "rows of a deleted order are compared as well",
    ("find_numbers_unlike_raw", "payment"): "captures of a deleted payment are compared as well",
    (
        "find_numbers_unlike_raw",
        "order_item",
    ): "names the order of a line of any version, those that an edit replaced too",
    ("find_orphan_reservations", "order_item"): "a line of any version, those that an edit replaced too",
    ("find_stock_of_canceled_orders", "order_item"): "a line of any version, those that an edit replaced too",
    ("live_reservations", "order_item"): "the line of an edit that was undone keeps its reservation",
    ("lock_levels", "reservation_item"): "locks more rather than less; release_reservations decides",
    ("order_window", "order"): "walks past them",
    ("overpaid_orders", "order"): "walks past them",
    ("recount_collection", "payment_collection"): "by the id of a collection that lock_order has just read",
    ("release_hold", "payment"): "by the id of a payment that lock_order has just read",
    ("release_hold", "payment_collection"): "by the id of a collection that lock_order has just read",
    ("release_rest", "payment"): "by the id of a payment that lock_order has just read",
    ("release_rest", "payment_collection"): "by the id of a collection that lock_order has just read",
    ("touched_after_cancel", "order"): "lock_order has the last word on each",
}
"""Tables whose softly deleted rows a statement reads as well, and why."""

REDUNDANT: Final[Mapping[tuple[str, int], str]] = {
    ("note_session_refund_v1", 0): "leaves updated_at alone; test_definers deletes a session and reads its metadata",
    ("find_unbooked_money", 2): "rows and transactions are compared as the same order's with and without it",
    ("read_order_v1", 7): "the link that leads to the other order, save where orders share two collections",
    ("lock_order_rows_v1 payments", 0): "asked again of a row that was waited for; the rows were chosen by the same",
    ("lock_order_rows_v1 payments", 1): "leads to Medusa's partial index; asked again once the row is locked",
    ("new_money_of_canceled", 2): "leads to Medusa's partial index; a closed payment of the scene has no such capture",
    ("providers_of_payments", 1): "the index by provider is partial, and would not be used for the next one",
}
"""Predicates that nothing can tell from none, and why they stay."""

NOT_A_SHOP: Final = {"column_dropped", "index_dropped", "never_noticed"}
WRITES: Final = re.compile(r"^\s*(update|insert|delete)\b", re.MULTILINE)

PARAMETERS: Final[Mapping[str, Any]] = {
    "order_id": lambda row: row["order_id"],
    "payment_id": lambda row: row["payment_id"],
    "payment_collection_id": lambda row: row["collection_id"],
    "payment_session_id": lambda row: row["session_id"],
    "intent_id": lambda row: row["intent_id"],
    "version": lambda row: row["version"],
    "token": lambda row: row["token"],
    "an id of an order, payment or PaymentIntent": lambda row: row["payment_id"],
    "order_ids": lambda row: row["order_ids"],
    "ids of the payments": lambda row: row["payment_ids"],
    "ids of the payment collections that live orders share": lambda row: [],
    "reservation_ids": lambda row: row["reservation_ids"],
    "intent ids": lambda row: row["intent_ids"],
    "whether": lambda row: True,
    "how far back": lambda row: timedelta(minutes=10),  # all orders are older
    "how long": lambda row: timedelta(0),
    "window": lambda row: 10_000,
    "limit": lambda row: 10_000,
    "last job looked at": lambda row: 0,
    "last order looked at": lambda row: "",
    "since when money counts": lambda row: datetime(2000, 1, 1, tzinfo=UTC),
    "payment session id to start after": lambda row: "payses_",
    "how many of each": lambda row: 10_000,
    "the intent as Stripe answered": lambda row: '{"status": "canceled"}',
    "what was refunded": lambda row: 1,
    "decimal digits": lambda row: 2,
    "paid": lambda row: 5,
    "refunded": lambda row: 3,
    "the same as a display number": lambda row: None,
    "payment id to start after": lambda row: "pay_",
    "newest payment id": lambda row: "pay_z",
    "newest order id": lambda row: "order_z",
}
"""What a statement's parameter is, by how its first line begins to explain it; ``row`` is a payment with its order."""

_ROWS: Final = """
select o.id as order_id, o.version, p.id as payment_id, p.payment_collection_id as collection_id,
    coalesce(p.payment_session_id, s.id) as session_id, coalesce(p.data, s.data) ->> 'id' as intent_id,
    (select array_agg(id) from "order") as order_ids, (select array_agg(id) from payment) as payment_ids,
    (select array_agg(id) from reservation_item) as reservation_ids,
    (select array_agg(data ->> 'id') from payment) as intent_ids,
    (select token from api_key limit 1) as token
from "order" as o
left join order_payment_collection as l on l.order_id = o.id
left join payment as p on p.payment_collection_id = l.payment_collection_id
left join payment_session as s on s.payment_collection_id = l.payment_collection_id and p.id is null
where o.id = any($1::text[])
order by p.id
"""
_SOFT_TABLES: Final = (
    "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'deleted_at'"
)
_AS_READ: Final = {"read_at", "status", "order_canceled_at", "mark"}
_CHOSEN: Final = {"all of them": "true", "every other one": "rank % 2 = 0", "the others": "rank % 2 = 1"}

database = one_database_a_file()


@pytest.fixture(scope="module")
async def scene(database: str, sandbox_url: str, valkey: Valkey) -> AsyncIterator[Scene]:
    """A shop with an order in every state, sound or not."""
    sandbox = Sandbox(sandbox_url, "sk_test_of_soft_deletes")
    settings = settings_for(database, valkey.url(9), sandbox, VOID_WAIT_SECONDS="0")
    gateway = StripeGateway.open(sandbox.key, sandbox.url)
    async with connected(database) as conn, opened(settings) as services:
        shop = Shop(conn, sandbox, await create_publishable_key(conn))
        clinic = Clinic(shop, Hand(services, shop), gateway)
        for name, act in {**HEALTHY, **SEEDS}.items():
            if name not in NOT_A_SHOP:
                await act(clinic)
        focus = await _focus(clinic)
        await clinic.let_an_hour_pass()
        await conn.execute("set session_replication_role = replica")  # rows may go without those that refer to them
        tables = {row["table_name"] for row in await conn.fetch(_SOFT_TABLES)}
        rows = [dict(row) for row in await conn.fetch(_ROWS, focus)]
        async with conn.transaction():  # of which every now() is the same
            yield Scene(conn, tables, rows)
    await gateway.close()


async def _focus(clinic: Clinic) -> list[str]:
    """Orders that statements about one order are tried on: something of everything hangs on each."""
    orders = [await clinic.canceled(amounts=("20", "9.7381"), lines=[Line(quantity=2), Line()])]
    orders += [await clinic.watched(lines=[Line(), Line(quantity=3)]), await clinic.captured()]
    orders.append(await clinic.place(payments=SYSTEM))
    await capture_by_medusa(clinic.conn, orders[-1], orders[-1].payment_ids[0], in_flight=True)
    orders.append(await HEALTHY["partly_refunded"](clinic))
    orders += [await _refund_failed(clinic), await _void_waits(clinic)]
    orders.append(await clinic.place(amounts=("20", "9.7381"), same_collection=False))
    orders += await _with_sessions(clinic)
    orders += await _paid_twice(clinic)
    for order in orders[1:3]:
        await fulfill(clinic.conn, order)
        await open_order_change(clinic.conn, order)
    await accept_transfer(clinic.conn, orders[1], await request_transfer(clinic.conn, orders[1]))
    await change_email(clinic.conn, orders[2], "another@shoppers.test")
    await request_transfer(clinic.conn, orders[3])
    for line, taxed in ((Line(), False), (Line(managed=False), True)):
        draft = await clinic.place(is_draft=True, lines=[line], payments=SYSTEM, placed_ago=timedelta(hours=3))
        await convert_draft(clinic.conn, draft, [line], taxed=taxed, ago=timedelta(hours=2))
        await change_email(clinic.conn, draft, "another@shoppers.test")
        orders.append(draft)
    return [order.id for order in orders]


async def _with_sessions(clinic: Clinic) -> list[PlacedOrder]:
    """A session alone, a payment alone, and each of them in a collection that the cart alone leads to."""
    intent = {"id": "pi_of_a_session", "object": "payment_intent", "status": "processing"}
    orders = [await clinic.place(payments=()) for _ in range(4)] + [await clinic.place()]
    sessions = [
        await open_session(clinic.conn, order, intent, amount=Decimal(9), through_cart=number > 0)
        for number, order in enumerate(orders[:4])
    ]
    alone = await book_session(clinic.conn, orders[2], sessions[2], intent)
    closed = await book_session(clinic.conn, orders[3], sessions[3], intent)
    await clinic.conn.execute("update payment set canceled_at = now() where id = $1", closed.payment_ids[0])
    beside = await clinic.place(payments=())
    await add_transaction(clinic.conn, beside.id, beside.total, "cash", "cash_1", beside.created_at)
    shared = await clinic.place(amounts=("90",), total=Decimal(30))
    partner = await clinic.place(payments=(), total=Decimal(9))
    waiting = await clinic.place()
    other = await clinic.place(amounts=("20", "10"), total=Decimal(60), same_collection=False)
    await share_collection(clinic.conn, partner, waiting)
    await clinic.place()  # of each pair of orders, and of links, one is deleted without the other
    await share_collection(clinic.conn, other, shared)
    await capture_by_medusa(clinic.conn, other, other.payment_ids[0], Decimal(12))
    await refund_by_medusa(clinic.conn, other, other.payment_ids[0], Decimal(4))
    await clinic.mark_canceled(waiting)
    await clinic.job(waiting, "void", waiting.payment_ids[0], "scheduled")
    orders += [shared, waiting, partner]
    voided = await clinic.place(payments=())
    session = await open_session(clinic.conn, voided, {**intent, "id": "pi_of_a_void"}, amount=Decimal(9))
    await clinic.mark_canceled(voided)
    await clinic.job(voided, "void", session.id, "scheduled")
    orders.append(voided)
    needed, needing = await clinic.place(payments=()), await clinic.place(payments=(), total=Decimal(9))
    session = await open_session(clinic.conn, needed, {**intent, "id": "pi_of_two"}, amount=Decimal(9))
    await share_collection(clinic.conn, needing, replace(needed, collection_ids=(session.collection_id,)))
    await clinic.mark_canceled(needed)
    await clinic.job(needed, "void", session.id, "scheduled")
    gone = [*alone.session_ids, *orders[4].session_ids]
    await clinic.conn.execute("delete from payment_session where id = any($1::text[])", gone)
    return orders


async def _paid_twice(clinic: Clinic) -> list[PlacedOrder]:
    """By two payments; by two of which one is refunded; by a session beside a payment; and by two that are owed."""
    totals = [Decimal(30)] * 3 + [Decimal(20), Decimal(30)]
    orders = [await clinic.place(amounts=("30",), payments=SYSTEM, total=total) for total in totals]
    await next_version(clinic.conn, orders[4].id, now_ms(), credit=Decimal(-30))
    paid = {"object": "payment_intent", "status": "succeeded", "currency": "eur", "amount_received": 3000}
    for number, order in enumerate(orders):
        await capture_by_medusa(clinic.conn, order, order.payment_ids[0])
        intent = {**paid, "id": f"pi_of_two_{number}"}
        session = await open_session(clinic.conn, order, intent, amount=Decimal(30))
        if number != 2:
            booked = await book_session(clinic.conn, order, session, intent, captured=True)
            if number == 1:
                await refund_by_medusa(clinic.conn, booked, booked.payment_ids[1])
    return orders


async def _refund_failed(clinic: Clinic) -> PlacedOrder:
    """Captured by us, canceled by Medusa, which only logs that its refund failed."""
    order = await clinic.watched()
    await clinic.finish(order)
    await clinic.mark_canceled(order)
    return order


async def _void_waits(clinic: Clinic) -> PlacedOrder:
    """Captured and given back in part, canceled, and not voided yet."""
    order = await clinic.place(payments=SYSTEM)
    await capture_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(10))
    await refund_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(4))
    await clinic.mark_canceled(order)
    await clinic.job(order, "void", order.payment_ids[0], "scheduled")
    return order


class Scene:
    """The shop, and what statements come to in it."""

    def __init__(self, conn: asyncpg.Connection, tables: set[str], rows: list[dict[str, Any]]) -> None:
        self._conn = conn
        self._rows = rows
        self.tables = tables
        self._known: dict[tuple[str, str, str], Any] = {}

    def tables_of(self, text: str) -> list[str]:
        """Tables that the statement names and whose rows are deleted softly."""
        return sorted(self.tables & set(re.findall(r"\b(?:from|join|update)\s+(?:public\.)?\"?(\w+)\"?", text)))

    async def after(self, name: str, text: str, table: str, chosen: str, *, soft: bool) -> Any:
        """What the statement, or the function, comes to with this text when these rows are deleted."""
        async with self._undone():
            if name in FUNCTIONS and text != FUNCTIONS[name]:
                await self._conn.execute(text)
            ranked = f'select id, row_number() over (order by id) as rank from "{table}"'
            found = await self._conn.fetch(f"select id from ({ranked}) as r where {_CHOSEN[chosen]}")
            doomed = [row["id"] for row in found]
            act = f'update "{table}" set deleted_at = now()' if soft else f'delete from "{table}"'
            await self._conn.execute(f"{act} where id = any($1::text[])", doomed)
            return await self._outcome(_called(name, text), table, set(doomed), writes=bool(WRITES.search(text)))

    async def changed(self, name: str, text: str, change: str) -> Any:
        """What the statement, or the function, comes to with this text after a change of the rows."""
        async with self._undone():
            await self._conn.execute(change)
            if name in FUNCTIONS and text != FUNCTIONS[name]:
                await self._conn.execute(text)
            return await self._outcome(_called(name, text), "order", set(), writes=bool(WRITES.search(text)))

    async def gone(self, name: str, table: str, chosen: str) -> Any:
        """What it comes to when the rows are no longer there."""
        key = (name, table, chosen)
        if key not in self._known:
            self._known[key] = await self.after(name, STATEMENTS[name], table, chosen, soft=False)
        return self._known[key]

    async def _outcome(self, text: str, table: str, doomed: set[str], *, writes: bool) -> Any:
        outcomes = []
        for arguments in self._arguments(text):
            async with self._undone():
                rows = await self._conn.fetch(text, *arguments)
                outcomes.append(sorted(_comparable(row) for row in rows))
                if writes:
                    outcomes.append(await self._written(table, doomed))
        return outcomes

    async def _written(self, table: str, doomed: set[str]) -> list[str]:
        """A digest of each table's rows, save those that are to be gone: a change of these is shown."""
        changed = "id <> all($1::text[]) or updated_at >= now() - interval '1 minute'"
        parts = [
            f"select '{name}', md5(string_agg(to_jsonb(t)::text, ',' order by id)) from \"{name}\" as t"
            f" where {changed if name == table else 'true'}"
            for name in sorted(self.tables)
        ]
        rows = await self._conn.fetch(" union all ".join(parts), *([list(doomed)] if table in self.tables else []))
        return sorted(str(tuple(row)) for row in rows)

    def _arguments(self, text: str) -> list[tuple[Any, ...]]:
        named = _parameters(text)
        if not named:
            return [()]
        found: dict[str, tuple[Any, ...]] = {}
        for row in self._rows:
            arguments = tuple(PARAMETERS[name](row) for name in named)
            found.setdefault(repr(arguments), arguments)
        return list(found.values())

    @asynccontextmanager
    async def _undone(self) -> AsyncIterator[None]:
        transaction = self._conn.transaction()
        await transaction.start()
        try:
            yield
        finally:
            await transaction.rollback()


def _parameters(text: str) -> list[str]:
    """Names of ``PARAMETERS``, in the order of ``$1``, ``$2``, as the statement's first lines explain them."""
    comments = " ".join(line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--"))
    count = max((int(number) for number in re.findall(r"\$(\d)", text)), default=0)
    names = []
    for number in range(1, count + 1):
        explained = re.search(rf"\${number} ([^$]+)", comments)
        assert explained, f"what is ${number}? Say so in the statement's first line: {text}"
        fitting = [name for name in PARAMETERS if re.match(rf"{re.escape(name)}\b", explained[1])]
        assert fitting, f"PARAMETERS does not know {explained[1]!r} (${number}) of: {text}"
        names.append(max(fitting, key=len))
    return names


def _called(name: str, text: str) -> str:
    """The statement itself, or the one that calls the function."""
    if name not in FUNCTIONS:
        return text
    return CANCEL if name == "cancel_order_v1" else STATEMENTS[CALLS[name]]


def _comparable(row: asyncpg.Record) -> str:
    """Without the moment at which it was read, and the columns that the rules read an order's state from."""
    return repr([(name, value) for name, value in row.items() if name not in _AS_READ])


def _without(text: str, number: int) -> str:
    """The statement, which has lost its predicate of that number."""
    found = list(PREDICATE.finditer(text))[number]
    return f"{text[: found.start()]}true{text[found.end() :]}"


def _cases(scene: Scene, text: str) -> Iterator[tuple[str, str]]:
    return ((table, chosen) for table in scene.tables_of(text) for chosen in _CHOSEN)


@pytest.mark.parametrize(
    "chosen", [pytest.param(name, marks=() if name == "all of them" else pytest.mark.tools) for name in _CHOSEN]
)
@pytest.mark.parametrize("name", sorted({name for name, _ in GUARDS}))
async def test_a_row_that_is_deleted_softly_is_as_good_as_gone(scene: Scene, name: str, chosen: str) -> None:
    text = STATEMENTS[name]
    for table in scene.tables_of(text):
        if (name, table) in ON_PURPOSE:
            continue
        seen = await scene.after(name, text, table, chosen, soft=True)
        assert seen == await scene.gone(name, table, chosen), f"{chosen} of {table}"


@pytest.mark.tools
@pytest.mark.parametrize(("name", "number"), GUARDS)
async def test_each_predicate_would_be_missed(scene: Scene, name: str, number: int) -> None:
    text = _without(STATEMENTS[name], number)
    missed = False
    for table, chosen in _cases(scene, text):
        if await scene.after(name, text, table, chosen, soft=True) != await scene.gone(name, table, chosen):
            missed = True
            break
    assert missed != ((name, number) in REDUNDANT), STATEMENTS[name]


def test_what_is_read_on_purpose_is_named_by_its_statement() -> None:
    assert len(GUARDS) > 100
    for name, table in ON_PURPOSE:
        assert re.search(rf"\b{table}\b", STATEMENTS[name]), f"{name} does not name {table} any more"
    assert set(REDUNDANT) <= set(GUARDS)
