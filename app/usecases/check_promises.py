"""Look for broken promises: in the shop's rows, in ours, and in what Stripe says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from app.domain.examination import judge, judge_session, judge_stranger
from app.domain.findings import Defect, Finding, IntentFacts, missing_schema
from app.domain.incidents import IncidentKind
from app.ports import Connection, Examination
from app.schema_checks import gaps, skipping_gaps
from app.store import examine
from app.store.grants import public_grants
from app.store.migrate import pending_in
from app.store.sql import SQL

_UNTIL_A_PERSON_SAYS: Final = frozenset(
    {IncidentKind.UNSUPPORTED_PROVIDER, IncidentKind.FULFILLED, IncidentKind.OVER_CAPTURED}
)
"""Nothing in the rows of a payment tells that such trouble is over."""


async def check_promises(
    conn: Connection,
    examination: Examination,
    *,
    stripe: Mapping[str, IntentFacts] | None = None,
    at_rest: bool = False,
) -> list[Finding]:
    """Every broken promise, by order. Reads one snapshot and writes nothing.

    ``stripe`` is the truth about intents, by id; without it the rows are believed. A live shop is given time:
    work that is due or begun, an open incident, and rows of the last minute excuse what they are about, and the
    house is looked at too (tables, indexes, grants, stuck jobs). ``at_rest`` is for a shop in which nothing more
    is to happen: what is unfinished is named, and so are incidents whose trouble is over.
    """
    async with _snapshot(conn):
        found = [] if at_rest else await _look_at_house(conn, examination)
        async with skipping_gaps(conn, lenient=not at_rest):
            found += await _look_at_money(conn, examination, stripe or {}, at_rest=at_rest)
        found += await examination.find_defects(conn, at_rest=at_rest)
        found += await examine.dead_jobs(conn, lenient=not at_rest)
    return sorted(found, key=lambda finding: (finding.order_id or "", list(Defect).index(finding.defect)))


@asynccontextmanager
async def _snapshot(conn: Connection) -> AsyncIterator[None]:
    if conn.is_in_transaction():
        yield
        return
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        yield


async def _look_at_house(conn: Connection, examination: Examination) -> list[Finding]:
    pending = [
        Finding(defect=Defect.PENDING_MIGRATION, order_id=None, detail=f"{name}: run medusa-grace migrate")
        for name in await pending_in(conn)
    ]
    schemas = {"grace", *filter(None, [await examination.schema_of_shop(conn)])}
    missing = await examination.find_gaps(conn) + missing_schema(await gaps(conn, SQL))
    missing += await examine.missing_indexes(conn)
    missing += [
        Finding(defect=Defect.WIDE_GRANT, order_id=None, detail=f"{power}: {remedy}")
        for power, remedy in await public_grants(conn, schemas)
    ]
    if pending:  # what a migration will make is not named once more
        missing = [
            finding for finding in missing if finding.defect is Defect.WIDE_GRANT or "grace" not in finding.detail
        ]
    return pending + missing + await examine.stuck_jobs(conn, lenient=True)


async def _look_at_money(
    conn: Connection, examination: Examination, stripe: Mapping[str, IntentFacts], *, at_rest: bool
) -> list[Finding]:
    examined = await examination.payments_in_question(conn, list(stripe))
    judged = [
        judgment
        for payment in examined
        for judgment in judge(payment, stripe.get(payment.payment.intent_id or ""), at_rest=at_rest)
    ]
    sessions = await examination.sessions_in_question(conn, list(stripe))
    judged += [
        judgment
        for one in sessions
        for judgment in judge_session(one, stripe.get(one.session.intent_id), at_rest=at_rest)
    ]
    found = [judgment.finding for judgment in judged if not judgment.excused]
    strangers = stripe.keys() - {payment.payment.intent_id for payment in examined}
    strangers -= {one.session.intent_id for one in sessions}
    for intent_id in await examination.unknown_intents(conn, sorted(strangers)) if strangers else ():
        found += judge_stranger(intent_id, stripe[intent_id])
    if at_rest:
        told = {(judgment.finding.order_id, kind) for judgment in judged for kind in judgment.told_by}
        found += [
            Finding(
                defect=Defect.STALE_INCIDENT,
                order_id=incident.order_id,
                detail=f"{incident.kind.value} is open: {incident.detail}",
            )
            for incident in await examine.open_incidents(conn)
            if not incident.worked_on
            and (incident.order_id, incident.kind) not in told
            and incident.kind not in _UNTIL_A_PERSON_SAYS
        ]
    return found
