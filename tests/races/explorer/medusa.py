"""What Medusa 2.21 does when its admin captures or cancels and when a shopper checks out, step by step.

As observed on a real one: each block below is a transaction of its own, what was read before it is not read again,
provider errors of a cancel are swallowed, and stock is read, added up in JavaScript and written back.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import asyncpg
import msgspec
from redis.exceptions import RedisError

from app.embedded.shop_rows import add_change, insert, new_id, next_version, now_ms, raw, twins
from tests.races.explorer.cases import Case
from tests.races.explorer.postgres_seam import Wire, WiredConnection
from tests.races.explorer.redis_seam import RedisLine
from tests.races.explorer.stripe_seam import KEY, StripeLine

_GONE: Final = (asyncpg.PostgresError, RedisError)


class Refused400(Exception):
    """Medusa answers 400 and writes nothing more."""


class Failed500(Exception):
    """Medusa answers 500."""


class Medusa:
    """A Medusa process."""

    def __init__(self, wire: Wire, redis: RedisLine, stripe: StripeLine) -> None:
        self._wire = wire
        self._redis = redis
        self._stripe = stripe
        self._conn: Any = WiredConnection(wire)

    async def write(self, statement: str, *args: Any) -> None:
        """One statement of a Medusa process, committed by itself."""
        await self._conn.execute(statement, *args)

    async def capture(self, case: Case, number: int = 0) -> str:
        """``POST /admin/payments/:id/capture``. What it answers."""
        payment_id = case.payment_ids[number]
        try:
            return await self._capture(case, payment_id)
        except Refused400 as refusal:
            return f"400 {refusal}"
        except (Failed500, *_GONE) as failure:
            return f"500 {failure}"

    async def _capture(self, case: Case, payment_id: str) -> str:
        conn, moment = self._conn, now_ms()
        self._called("medusa.capture")
        payment = await conn.fetchrow(
            "select amount, canceled_at, captured_at, payment_collection_id, data ->> 'id' as intent_id from payment "
            "where id = $1",
            payment_id,
        )
        if payment["canceled_at"] is not None:
            raise Refused400(f"The payment: {payment_id} has been canceled.")
        if payment["captured_at"] is not None:
            return "200"
        capture_id = new_id("capt", moment)
        self._called("medusa.capture.row")
        async with conn.transaction():
            await conn.execute("select id from payment where id = $1 for update", payment_id)
            taken = await conn.fetchval(
                "select coalesce(sum(amount), 0) from capture where payment_id = $1 and deleted_at is null", payment_id
            )
            if taken + payment["amount"] > payment["amount"]:
                raise Refused400("You cannot capture more than the authorized amount.")
            row = {"id": capture_id, "payment_id": payment_id, **twins(amount=payment["amount"])}
            await insert(conn, "capture", {**row, "created_at": moment, "updated_at": moment})
        self._called("medusa.capture")
        intent = await self._ask(f"/v1/payment_intents/{payment['intent_id']}/capture", capture_id, "succeeded")
        if intent is None:
            self._called("medusa.capture.drop")
            await conn.execute("delete from capture where id = $1", capture_id)
            raise Failed500("An unknown error occurred.")
        await conn.execute(
            "update payment set captured_at = $2, data = $3::text::jsonb, updated_at = $2 where id = $1",
            payment_id, now_ms(), json.dumps(intent),
        )  # fmt: skip
        await self._sum_up(payment["payment_collection_id"])
        await self._book(case, payment_id, "capture")
        return "200"

    async def credit(self, case: Case) -> str:
        """``POST /admin/orders/:id/credit-lines`` of ten: a confirmed change, all of it in one transaction."""
        try:
            self._called("medusa.credit")
            async with self._conn.transaction():
                status = await self._conn.fetchval('select status::text from "order" where id = $1', case.order_id)
                if status == "canceled":
                    raise Refused400(f"Order with id {case.order_id} has been canceled.")
                await next_version(self._conn, case.order_id, now_ms(), credit=Decimal(10))
        except Refused400 as refusal:
            return f"400 {refusal}"
        except _GONE as failure:
            return f"500 {failure}"
        return "200"

    async def book_session(self, case: Case, *, captured: bool) -> str:
        """Stripe's webhook about a session without a payment, which is inserted; ``captured``: the bank has paid."""
        try:
            return await self._book_session(case, captured=captured)
        except Refused400 as refusal:
            return f"400 {refusal}"
        except _GONE as failure:
            return f"500 {failure}"

    async def _book_session(self, case: Case, *, captured: bool) -> str:
        conn, moment, intent_id = self._conn, now_ms(), case.intent_ids[0]
        if captured:
            intent = await self._ask(f"/v1/payment_intents/{intent_id}/capture", f"bank_{intent_id}", "succeeded")
        else:
            intent = case.account.world.ledger.intent(intent_id)
        if intent is None or intent["status"] not in {"requires_capture", "succeeded"}:
            raise Refused400("Session was not authorized with the provider.")
        data, payment_id = json.dumps(intent), case.payment_ids[0]
        self._called("medusa.payment")
        async with conn.transaction():
            session = await conn.fetchrow(
                "update payment_session set data = $2::text::jsonb, status = 'authorized', authorized_at = $3 "
                "where id = $1 returning amount, currency_code, provider_id, payment_collection_id",
                case.session_ids[0], data, moment,
            )  # fmt: skip
            row = {"id": payment_id, "data": json.loads(data), "payment_session_id": case.session_ids[0]}
            row |= {name: session[name] for name in ("currency_code", "provider_id", "payment_collection_id")}
            row |= {**twins(amount=session["amount"]), "created_at": moment, "updated_at": moment}
            await insert(conn, "payment", row)
        if not captured:
            return "200"
        self._called("medusa.payment.capture")
        async with conn.transaction():
            row = {"id": new_id("capt", moment), "payment_id": payment_id, **twins(amount=session["amount"])}
            await insert(conn, "capture", {**row, "created_at": moment, "updated_at": moment})
        self._called("medusa.payment")
        await conn.execute("update payment set captured_at = $2, updated_at = $2 where id = $1", payment_id, now_ms())
        await self._sum_up(session["payment_collection_id"])
        await self._book(case, payment_id, "capture")
        return "200"

    async def cancel(self, case: Case) -> str:
        """``POST /admin/orders/:id/cancel``. What it answers."""
        try:
            return await self._cancel(case)
        except Refused400 as refusal:
            return f"400 {refusal}"
        except _GONE as failure:
            return f"500 {failure}"

    async def _cancel(self, case: Case) -> str:
        conn = self._conn
        self._called("medusa.cancel")
        order = await conn.fetchrow('select status::text as status from "order" where id = $1', case.order_id)
        payments = await conn.fetch(
            "select p.id, p.payment_collection_id, p.data ->> 'id' as intent_id, "
            "(select coalesce(sum(c.amount), 0) from capture as c where c.payment_id = p.id) as captured, "
            "(select coalesce(sum(r.amount), 0) from refund as r where r.payment_id = p.id) as refunded "
            "from payment as p where p.id = any($1::text[]) order by p.id",
            list(case.payment_ids),
        )
        if order["status"] == "canceled":
            raise Refused400(f"Order with id {case.order_id} has been canceled.")
        given = Decimal(0)
        for payment in payments:
            if payment["captured"] > 0:
                given += await self._refund(case, payment)
        await self._release(case)
        for payment in payments:
            if payment["captured"] == 0:
                await self._void(payment)
        self._called("medusa.credit")
        async with conn.transaction():
            moment = now_ms()
            pending = "select 1 from order_change where order_id = $1 and status in ('pending', 'requested')"
            if await conn.fetchval(pending, case.order_id):
                raise Refused400(f"Order ({case.order_id}) already has an existing active order change")
            collection_id = payments[0]["payment_collection_id"]
            await next_version(conn, case.order_id, moment, credit=given, collection_id=collection_id)
            await add_change(conn, case.order_id, moment, version=2, status="confirmed", change_type="credit_line")
        self._called("medusa.cancel")
        collections = list({payment["payment_collection_id"] for payment in payments})
        await conn.execute(
            "update payment_collection set status = 'canceled', updated_at = now() where id = any($1)", collections
        )
        await conn.execute(
            "update \"order\" set status = 'canceled', canceled_at = now(), updated_at = now() where id = $1",
            case.order_id,
        )
        return "200"

    async def check_out(self, case: Case) -> str:
        """A cart is completed that reserves one more of the order's item. What it answers."""
        try:
            return await self._check_out(case)
        except _GONE as failure:
            return f"500 {failure}"

    async def _check_out(self, case: Case) -> str:
        token = f"execute:{uuid.uuid4()}".encode()
        key = f"medusa_lock:{case.item_id}"
        if not await self._redis.set(key, token, nx=True, ex=60):
            return "409"
        self._called("medusa.reserve")
        await self._move_stock(case, Decimal(1))
        await self._redis.evalsha("", 1, key, token)
        return "200"

    async def _void(self, payment: Any) -> None:
        intent = await self._ask(f"/v1/payment_intents/{payment['intent_id']}/cancel", payment["id"], "canceled")
        self._called("medusa.void")
        if intent is not None:  # an error is logged and forgotten
            await self._conn.execute(
                "update payment set canceled_at = $2, data = $3::text::jsonb, updated_at = $2 where id = $1",
                payment["id"], now_ms(), json.dumps(intent),
            )  # fmt: skip

    async def _refund(self, case: Case, payment: Any) -> Decimal:
        owed: Decimal = payment["captured"] - payment["refunded"]
        moment, refund_id = now_ms(), new_id("ref", now_ms())
        row = {"id": refund_id, "payment_id": payment["id"], **twins(amount=owed)}
        self._called("medusa.refund")
        await insert(self._conn, "refund", {**row, "created_at": moment, "updated_at": moment})
        form = {"payment_intent": payment["intent_id"]}
        if await self._ask("/v1/refunds", refund_id, "succeeded", form) is None:
            self._called("medusa.refund.drop")
            await self._conn.execute("delete from refund where id = $1", refund_id)
        await self._sum_up(payment["payment_collection_id"])
        await self._book(case, payment["id"], "refund", -owed)  # whether the refund was made or not
        return owed

    async def _release(self, case: Case) -> None:
        token = f"execute:{uuid.uuid4()}".encode()
        key = f"medusa_lock:{case.item_id}"
        if not await self._redis.set(key, token, nx=True, ex=60):
            raise Refused400("conflict: the item is locked")
        self._called("medusa.release")
        await self._move_stock(case, None)
        await self._redis.evalsha("", 1, key, token)

    async def _move_stock(self, case: Case, reserve: Decimal | None) -> None:
        """Reserve for another order, or release this order's. Read, add, write: the lock in Redis is all the guard."""
        conn, moment = self._conn, now_ms()
        async with conn.transaction():
            level = await conn.fetchrow(
                "select id, reserved_quantity, location_id from inventory_level where inventory_item_id = $1",
                case.item_id,
            )
            change = reserve
            if reserve is not None:
                place = {"location_id": level["location_id"], "inventory_item_id": case.item_id}
                row = {"id": new_id("resitem", moment), **place, **twins(quantity=reserve)}
                await insert(conn, "reservation_item", {**row, "created_at": moment, "updated_at": moment})
            else:
                gone = await conn.fetch(
                    "update reservation_item set deleted_at = now() where line_item_id = any($1::text[]) "
                    "and deleted_at is null returning quantity",
                    list(case.line_item_ids),
                )
                change = -sum((row["quantity"] for row in gone), Decimal(0))
            reserved = level["reserved_quantity"] + change
            await conn.execute(
                "update inventory_level set reserved_quantity = $2, raw_reserved_quantity = $3::text::jsonb "
                "where id = $1",
                level["id"], reserved, json.dumps(raw(reserved)),
            )  # fmt: skip

    async def _ask(self, path: str, key: str, wanted: str, form: dict[str, str] | None = None) -> dict[str, Any] | None:
        """Medusa's provider: "it is so already" counts as done, any other error as failed."""
        body = "&".join(f"{name}={value}" for name, value in (form or {}).items()).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": key}
        reply = await self._stripe.send("POST", path, headers, body)
        if reply is None:
            return None
        answer: dict[str, Any] = msgspec.json.decode(reply.body)
        if reply.status == 200:
            return answer
        intent = answer["error"].get("payment_intent")
        return intent if intent is not None and intent["status"] == wanted else None

    async def _sum_up(self, collection_id: str) -> None:
        self._called("medusa.sums")
        await self._conn.execute(_SUM_UP, collection_id, now_ms())

    async def _book(self, case: Case, payment_id: str, reference: str, amount: Decimal | None = None) -> None:
        """The order module: a transaction, and sums that are read, added to and written back."""
        conn, moment = self._conn, now_ms()
        self._called("medusa.book")
        async with conn.transaction():
            order = await conn.fetchrow('select version from "order" where id = $1', case.order_id)
            summary = await conn.fetchrow(
                "select id, totals::text as totals from order_summary where order_id = $1 and version = $2",
                case.order_id,
                order["version"],
            )
            if amount is not None:
                booked = [(payment_id, amount)]
            else:
                booked = [(row["id"], row["amount"]) for row in await conn.fetch(_UNBOOKED, case.order_id, payment_id)]
            totals = json.loads(summary["totals"], parse_float=Decimal)
            for reference_id, sum_ in booked:
                await self._insert_transaction(case, order["version"], sum_, (reference, reference_id), moment)
                _add(totals, sum_)
            await conn.execute(
                "update order_summary set totals = $2::text::jsonb where id = $1",
                summary["id"],
                json.dumps(totals, default=float),
            )

    async def _insert_transaction(
        self, case: Case, version: int, amount: Decimal, about: tuple[str, str], moment: datetime
    ) -> None:
        row = {"id": new_id("ordtrx", moment), "order_id": case.order_id, "version": version, "currency_code": "eur"}
        row |= {"reference": about[0], "reference_id": about[1], **twins(amount=amount)}
        await insert(self._conn, "order_transaction", {**row, "created_at": moment, "updated_at": moment})

    def _called(self, name: str) -> None:
        self._wire.name_next(name)


def _add(totals: dict[str, Any], amount: Decimal) -> None:
    moves = {"transaction_total": amount, "pending_difference": -amount}
    moves["paid_total" if amount > 0 else "refunded_total"] = abs(amount)
    for name, move in moves.items():
        total = Decimal(str(totals[f"raw_{name}"]["value"])) + move
        totals[name], totals[f"raw_{name}"] = total, raw(total)


_UNBOOKED = """
select c.id, c.amount from capture as c
where c.payment_id = $2 and c.deleted_at is null
    and not exists (select from order_transaction as t where t.order_id = $1 and t.reference_id = c.id)
"""
_SUM_UP = """
with sums as (
    select
        (select coalesce(sum(c.amount), 0) from capture as c join payment as p on p.id = c.payment_id
            where p.payment_collection_id = $1 and c.deleted_at is null) as captured,
        (select coalesce(sum(r.amount), 0) from refund as r join payment as p on p.id = r.payment_id
            where p.payment_collection_id = $1 and r.deleted_at is null) as refunded
)
update payment_collection as c
set captured_amount = s.captured, refunded_amount = s.refunded,
    raw_captured_amount = jsonb_build_object('value', trim_scale(s.captured)::text, 'precision', 20),
    raw_refunded_amount = jsonb_build_object('value', trim_scale(s.refunded)::text, 'precision', 20),
    status = case when s.captured >= round(c.amount, 2) then 'completed' else 'authorized' end,
    completed_at = case when s.captured >= round(c.amount, 2) then $2 else c.completed_at end, updated_at = $2
from sums as s
where c.id = $1
"""
