"""What must hold of every schedule: as it was played, and once everything is at rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import asyncpg

from app.domain.cancellation import Refused
from app.domain.findings import Defect, IntentFacts
from app.domain.jobs import JobKind
from app.domain.money import to_minor_units
from app.ports import Examination
from app.usecases.cancel_order import Canceled, NotFound
from app.usecases.check_promises import check_promises
from tests.races.explorer.cast import MEDUSAS
from tests.races.explorer.postgres_seam import CANCELS, Transaction
from tests.races.explorer.records import Record

_MEDUSAS_OWN: Final = {
    Defect.SUMMARY_DRIFT,
    Defect.TRANSACTION_DRIFT,
    Defect.COLLECTION_DRIFT,
    Defect.TWIN_DRIFT,
}
"""What two of Medusa's own acts do to each other's rows; only judged where Medusa did nothing."""

_LEFT_BY_MEDUSA: Final = {Defect.SUMS_DIFFER, Defect.CAPTURED_WITHOUT_ROWS, Defect.PAYMENT_DRIFT}
"""What Medusa leaves on an open order when it is interrupted between its row and Stripe's answer."""

_STATE: Final = """
select o.id, o.status::text as status, o.canceled_at is not null as canceled,
    array(select i.kind from grace.incidents as i where i.order_id = o.id and i.closed_at is null) as incidents,
    array(
        select r.id from reservation_item as r
        where r.deleted_at is null and r.line_item_id in (select i.item_id from order_item as i where i.order_id = o.id)
    ) as reservations,
    exists (select from grace.cancellations as c where c.order_id = o.id) as ours,
    (
        select min((s.totals -> 'raw_current_order_total' ->> 'value')::numeric)
        from order_summary as s
        where s.order_id = o.id and s.version = o.version
    ) as total
from "order" as o
where o.id = any($1::text[])
"""
_STOCK: Final = """
select l.inventory_item_id as item_id, l.reserved_quantity,
    (
        select coalesce(sum(r.quantity), 0) from reservation_item as r
        where r.inventory_item_id = l.inventory_item_id and r.deleted_at is null
    ) as reserved
from inventory_level as l
"""


async def judge(conn: asyncpg.Connection, examination: Examination, records: Sequence[Record]) -> None:
    """Write down what is wrong with each record."""
    ids = [record.case.order_id for record in records]
    rows = {row["id"]: dict(row) for row in await conn.fetch(_STATE, ids)}
    stock = {row["item_id"]: dict(row) for row in await conn.fetch(_STOCK)}
    facts: dict[str, IntentFacts] = {}
    for record in records:
        facts |= record.case.account.facts()
    for record in records:
        record.findings += _as_played(record)
        record.findings += _at_rest(record, rows[record.case.order_id], stock[record.case.item_id], facts)
    by_order = {record.case.order_id: record for record in records}
    for finding in await check_promises(conn, examination, stripe=facts, at_rest=True):
        found = by_order.get(finding.order_id or "")
        if found is not None and not _excused(found, finding.defect):
            found.findings.append(f"{finding.defect.value}: {finding.detail}")


def _excused(record: Record, defect: Defect) -> bool:
    medusas = {actor.letter for actor in record.actors if actor.name in MEDUSAS}
    interrupted = any(turn.fate and turn.letter in medusas for turn in record.plan.turns)
    return (defect in _MEDUSAS_OWN and bool(medusas)) or (defect in _LEFT_BY_MEDUSA and interrupted)


def _as_played(record: Record) -> Iterator[str]:
    if record.played.deadlock:
        yield "deadlock: the actors waited for each other's rows"
    for actor in record.actors:
        if actor.error is not None:
            yield f"crash: {actor.name} raised {type(actor.error).__name__}: {actor.error}"
    for transaction in record.committed:
        if transaction.name == "job.crashed":
            yield f"crash: a job of {transaction.letter} raised: {[row['last_error'] for row in record.left]}"
    yield from _cancels(record)
    yield from _messages(record)
    yield from _stripe(record)


def _cancels(record: Record) -> Iterator[str]:
    """200 means canceled, once; a refusal has written nothing; no capture is waved through."""
    made = []
    for actor in record.actors:
        if actor.name != "cancel":
            continue
        own = [one for one in record.committed if one.letter == actor.letter and one.name == "cancel"]
        wrote = [statement for one in own for statement in one.writes]
        if isinstance(actor.result, Refused | NotFound) and wrote:
            yield f"refusal wrote: {actor.letter} was refused and committed {wrote}"
        if isinstance(actor.result, Canceled) and not actor.result.already:
            made.append(actor.letter)
            if CANCELS not in wrote:
                yield f"no cancel: {actor.letter} answered canceled and committed {wrote}"
    if made and record.plan.scenario.startswith("doubt") and record.case.account.calls[0].letter == "-":
        yield from _past_a_doubt(record)
    if len(made) > 1:
        yield f"canceled twice: {' and '.join(made)} both say that they canceled the order"
    canceled = next((i for i, one in enumerate(record.committed) if CANCELS in one.writes), None)
    if canceled is None:
        return
    waiting = [row["state"] for row in record.left if row["kind"] == "capture" and row["state"] in _WAITING]
    if waiting:
        yield f"capture left: the order is canceled, and its capture job is {waiting[0]}"
    captures = {ref.id for (kind, _), ref in record.case.jobs.items() if kind is JobKind.CAPTURE}
    for one in record.committed[canceled + 1 :]:
        if captures & {job.id for job, _ in one.taken}:
            yield f"capture taken: {one.letter} took a capture job after the cancel was committed"
    if claims := _open_claims(record.committed[:canceled], captures):
        yield f"past a claim: the cancel was committed although {claims} had a capture job"
    in_flight = 0
    for one in record.committed[:canceled]:
        in_flight += (one.name == "medusa.capture.row") - (one.name == "medusa.capture.drop")
    if in_flight > 0:
        yield "past a capture: the cancel was committed although a capture row of Medusa's stood there"


def _open_claims(committed: Sequence[Transaction], captures: set[str]) -> str:
    """Who claimed a capture job and has written nothing since."""
    holders: dict[str, str] = {}
    for one in committed:
        holders = {job: letter for job, letter in holders.items() if letter != one.letter or not one.writes}
        holders |= {job.id: one.letter for job, _ in one.taken if job.id in captures}
    return " and ".join(sorted(holders.values()))


def _past_a_doubt(record: Record) -> Iterator[str]:
    """Stripe took the money before anybody moved, and no answer of it was recorded."""
    if any(fact.captures for fact in record.case.account.facts().values()) and record.plan.scenario in _TAKEN_BEFORE:
        yield "past a doubt: the cancel was accepted although our capture had taken the money"


def _owed(record: Record, row: Mapping[str, Any], facts: Mapping[str, IntentFacts]) -> Iterator[str]:
    """Taken is what is owed; more only where the total was lowered after the capture, or with an incident."""
    taken = sum(facts[intent_id].received - facts[intent_id].refunded for intent_id in record.case.intent_ids)
    owed = to_minor_units(max(row["total"], Decimal(0)), "eur")
    received = sum(facts[intent_id].received for intent_id in record.case.intent_ids)
    if record.case.intent_ids and received < owed and not row["incidents"]:  # an admin's refund shows in Medusa
        yield f"open and unpaid: {received} of {owed} taken, and nobody is told"
    lowered = [number for number, one in enumerate(record.committed) if one.name == "medusa.credit"]
    later = record.committed[lowered[-1] + 1 :] if lowered else record.committed
    judged = any(one.name in _JUDGING and one.writes for one in later)
    if taken > owed and judged and "over_captured" not in row["incidents"]:
        yield f"charged too much: {taken} of {owed} taken, and nobody is told"


_TAKEN_BEFORE: Final = {"doubt-done", "doubt-blind"}
_JUDGING: Final = {"capture.record", "capture.unwanted", "void.record"}
"""Transactions that compare what was taken with what is owed."""
_WAITING: Final = {"scheduled", "queued", "running"}


def _messages(record: Record) -> Iterator[str]:
    """Each dispatch of a job is taken once at most, and by its own message."""
    seen: set[tuple[str, int]] = set()
    for transaction in record.committed:
        for job, asked in transaction.taken:
            if job.generation != asked.generation:
                yield f"stale message: {transaction.letter} claimed generation {job.generation} with {asked}"
            elif job != asked or asked.installation != record.case.installation:
                yield f"foreign message: {transaction.letter} claimed {job} with {asked}"
            if (job.id, job.generation) in seen:
                yield f"taken twice: generation {job.generation} of a job, the second time by {transaction.letter}"
            seen.add((job.id, job.generation))


def _stripe(record: Record) -> Iterator[str]:
    """No call in a transaction, and one key for an operation as long as its outcome is unknown."""
    unknown: dict[tuple[str, str], str] = {}
    medusas = {actor.letter for actor in record.actors if actor.name in MEDUSAS}
    for call in record.case.account.calls:
        if call.in_transaction:
            yield f"in a transaction: {call.letter} asked Stripe to {call.verb}"
        if call.verb == "look" or call.letter in medusas:
            continue
        about = (call.verb, call.intent_id)
        if unknown.setdefault(about, call.key).split("-")[:4] != call.key.split("-")[:4]:  # then follows the amount
            yield f"new key: {call.verb} asked again under {call.key}, while {unknown[about]} may still be done"
        if call.seen:
            unknown.pop(about)


def _at_rest(
    record: Record, row: Mapping[str, Any], stock: Mapping[str, Any], facts: Mapping[str, IntentFacts]
) -> Iterator[str]:
    incidents = set(row["incidents"])
    if any(isinstance(actor.result, Canceled) for actor in record.actors) and not row["canceled"]:
        yield f"not canceled: a cancel was answered with 200, and the order is {row['status']}"
    for intent_id in record.case.intent_ids:
        fact = facts[intent_id]
        if (fact.captures or 0) > 1 or (fact.voids or 0) > 1:
            yield f"twice at Stripe: {fact.captures} captures, {fact.voids} voids"
        if row["canceled"]:
            if fact.received > fact.refunded and not incidents & {"late_money", "refund_failed"}:
                yield f"canceled and charged: {fact.received} taken, {fact.refunded} given back"
            if fact.state == "held" and not incidents & {"void_failed", "unsupported_provider"}:
                yield "canceled and held: Stripe still holds the money"
        elif fact.state == "held" and not incidents:
            yield "open and held: nobody captures or voids it, and nobody is told"
    if not row["canceled"]:
        yield from _owed(record, row, facts)
    if stock["reserved_quantity"] != stock["reserved"]:
        yield f"stock: reserved_quantity is {stock['reserved_quantity']}, live reservations are {stock['reserved']}"
    if row["ours"] and row["reservations"] and "release_failed" not in incidents:
        yield f"stock kept: {len(row['reservations'])} reservation(s) of a canceled order live on"
