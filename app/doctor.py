"""``medusa-grace doctor``: look at a live shop for broken promises, and write nothing."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final, Literal

import asyncpg
import msgspec

from app import settings_table as table
from app.domain.findings import Defect, Finding, IntentFacts, trapped_money
from app.domain.unseen_characters import visible
from app.environment import Environment
from app.gateways.paced_stripe_gateway import PacedStripeGateway
from app.gateways.stripe_gateway import StripeGateway
from app.ports import Answered, Connection, Intent, IntentState, Unseen
from app.settings import read_medusa_settings, read_stripe_account
from app.settings_table import MedusaEvents
from app.store import session
from app.store.examine import backlog, unanalyzed
from app.usecases.check_promises import check_promises
from plugins.medusa_bridge import READ, BridgeConfig, MedusaBridge, NoShop

LOOK_BACK: Final = timedelta(days=8)
"""Stripe keeps a hold for seven days."""
LATE_AFTER: Final = timedelta(minutes=1)
AT_ONCE: Final = 8
"""Questions to Stripe at the same time: far below its limit of 100 a second."""
AGAIN_AFTER: Final = 1.0
EVERY: Final = 50

FOUND_NOTHING, FOUND_SOMETHING, COULD_NOT_LOOK = 0, 1, 2

_FROM_STRIPE: Final = frozenset(
    {
        Defect.LIVE_PAYMENT,
        Defect.HELD_AT_STRIPE,
        Defect.CAPTURED_AT_STRIPE,
        Defect.CAPTURED_WITHOUT_ROWS,
        Defect.LOST_HOLD,
        Defect.LIVE_SESSION,
        Defect.SUMS_DIFFER,
    }
)
"""What may only seem so because the shop went on between the question to Stripe and the look at its rows."""

_STATES: Final[Mapping[IntentState, Literal["held", "captured", "canceled", "other"]]] = {
    IntentState.HELD: "held",
    IntentState.CAPTURED: "captured",
    IntentState.CANCELED: "canceled",
    IntentState.PROCESSING: "other",
    IntentState.OTHER: "other",
}


class CannotLook(Exception):
    """Why the shop, or Stripe, could not be looked at."""


class AskedStripe(msgspec.Struct, frozen=True, kw_only=True):
    """How many intents Stripe was asked about, and how that went."""

    asked: int
    unknown: int
    """Stripe has no such intent: another account's, or of its test mode."""
    unanswered: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints."""

    findings: list[Finding]
    trapped: dict[str, Decimal]
    """Shoppers' money that is held or taken for nothing, by currency."""
    stripe: AskedStripe | None
    """``None`` when Stripe was not asked, and the rows were believed."""
    open_incidents: int = 0
    late_jobs: int = 0
    """Due, or failing, for longer than ``LATE_AFTER``."""
    unanalyzed: list[str] = []
    """Tables without statistics. Neither these nor open incidents nor late jobs change the exit code."""

    @property
    def exit_code(self) -> int:
        """0 for nothing found, 1 for something, 2 where nothing was found because Stripe did not answer."""
        if self.findings:
            return FOUND_SOMETHING
        return COULD_NOT_LOOK if self.stripe is not None and self.stripe.unanswered else FOUND_NOTHING


def run_doctor(environ: Mapping[str, str], *, ask_stripe: bool | None, as_json: bool) -> int:
    """Look, print what was found, and give the exit code. ``ask_stripe=None`` asks when a key is set."""
    try:
        report = asyncio.run(_look(environ, ask_stripe=ask_stripe))
    except CannotLook as error:
        for line in str(error).splitlines():
            _say(f"medusa-grace: {line}")
        return COULD_NOT_LOOK
    if report.unanalyzed:
        _say(f"Tables without statistics: {', '.join(report.unanalyzed)}. Run ANALYZE as their owner.")
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    else:
        sys.stdout.write(_as_text(report))
    return report.exit_code


async def _look(environ: Mapping[str, str], *, ask_stripe: bool | None) -> Report:
    environment = Environment(environ)
    database = environment.read(table.DATABASE_URL, need="Medusa's database")
    key, base = read_stripe_account(
        environment, need="a secret or restricted key that may read PaymentIntents" if ask_stripe else None
    )
    requests_per_second = environment.read(table.STRIPE_REQUESTS_PER_SECOND)
    events = environment.read(table.MEDUSA_EVENTS) is not MedusaEvents.OFF
    medusa = read_medusa_settings(environment, environment.read(table.MEDUSA_LOCKING))
    if database is None or environment.problems:
        raise CannotLook("\n".join(environment.problems))
    try:
        conn = await asyncpg.connect(
            database.url,
            timeout=10,
            statement_cache_size=0,  # a pooler may stand between
            server_settings={"application_name": "medusa-grace-doctor"},
        )
    except (OSError, asyncpg.PostgresError) as error:
        message = f"DATABASE_URL: cannot connect: {type(error).__name__}: {error}"
        raise CannotLook(message) from error
    except (ValueError, asyncpg.InterfaceError) as error:  # their words may repeat a password
        message = f"DATABASE_URL: cannot be read: {type(error).__name__}"
        raise CannotLook(message) from error
    try:
        await session.state(conn, timeouts=False)
        async with MedusaBridge.open(BridgeConfig.of(medusa)) as bridge:
            await bridge.require_shop(conn)
            unlike = await _survey(conn, bridge, events=events)
            if not key or ask_stripe is False:
                _say("Stripe is not asked: the rows are believed.")
                report = _report([*unlike, *await check_promises(conn, bridge.examination)], None)
            else:
                gateway = PacedStripeGateway.paced(key, base, requests_per_second)
                report = await _look_with_stripe(conn, bridge, gateway, unlike)
            async with conn.transaction(readonly=True):
                open_incidents, late_jobs = await backlog(conn, late_after=LATE_AFTER)
                without = await unanalyzed(conn, list(READ))
            return msgspec.structs.replace(
                report, open_incidents=open_incidents, late_jobs=late_jobs, unanalyzed=without
            )
    except NoShop as error:
        message = f"DATABASE_URL: {error}"
        raise CannotLook(message) from error
    except asyncpg.InsufficientPrivilegeError as error:
        message = (
            f"DATABASE_URL: this role may not look ({error}): run medusa-grace migrate --grants ROLE, or take another"
        )
        raise CannotLook(message) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        message = f"the database could not be read: {type(error).__name__}: {error}"
        raise CannotLook(message) from error
    finally:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            await conn.close(timeout=5)


async def _survey(conn: Connection, bridge: MedusaBridge, *, events: bool) -> list[Finding]:
    """Settings that do not fit the shop. What cannot be looked at is no finding."""
    problems = [*await bridge.survey(events=events), *await bridge.survey_providers(conn)]
    return [Finding(defect=Defect.SETTING, order_id=None, detail=problem) for problem in problems]


async def _look_with_stripe(
    conn: Connection, bridge: MedusaBridge, gateway: StripeGateway, unlike: list[Finding]
) -> Report:
    """No transaction is open while Stripe is asked. What looks wrong is asked about, and looked at, once more."""
    try:
        async with conn.transaction(readonly=True):
            order_of = await bridge.examination.intents_to_ask(conn, look_back=LOOK_BACK)
        facts, asked = await _ask(gateway, order_of)
        findings = await check_promises(conn, bridge.examination, stripe=facts)
        suspected = {(f.defect, f.order_id) for f in findings if f.defect in _FROM_STRIPE}
        orders = {order_id for _, order_id in suspected}
        again = [intent_id for intent_id, order_id in order_of.items() if order_id in orders]
        if again:
            newer, _ = await _ask(gateway, again)
            findings = [
                finding
                for finding in await check_promises(conn, bridge.examination, stripe={**facts, **newer})
                if finding.defect not in _FROM_STRIPE or (finding.defect, finding.order_id) in suspected
            ]
        return _report([*unlike, *findings], asked)
    finally:
        await gateway.close()


async def _ask(gateway: StripeGateway, intent_ids: Iterable[str]) -> tuple[dict[str, IntentFacts], AskedStripe]:
    """The truth about intents, as far as Stripe tells it."""
    wanted = list(intent_ids)
    _say(f"Asking Stripe about {len(wanted)} intents ...")
    gate = asyncio.Semaphore(AT_ONCE)
    facts: dict[str, IntentFacts] = {}
    problems: list[str] = []
    looked_at = 0

    async def look(intent_id: str) -> None:
        nonlocal looked_at
        async with gate:
            seen = await gateway.look(intent_id)
            if isinstance(seen, Unseen) and not _is_unknown(seen.error):
                await asyncio.sleep(AGAIN_AFTER)
                seen = await gateway.look(intent_id)
        if isinstance(seen, Answered):
            facts[intent_id] = _facts(seen.intent)
        else:
            problems.append(seen.error)
        looked_at += 1
        if looked_at % EVERY == 0:
            _say(f"  {looked_at} of {len(wanted)}")

    async with asyncio.TaskGroup() as looks:
        for intent_id in wanted:
            looks.create_task(look(intent_id))
    unanswered = [problem for problem in problems if not _is_unknown(problem)]
    unknown = len(problems) - len(unanswered)
    if unanswered:
        _say(f"Stripe did not answer about {len(unanswered)} intents: {unanswered[0].partition(':')[0]}")
    if unknown:
        _say(f"Stripe knows nothing of {unknown} intents: of another account, or of its test mode?")
    return facts, AskedStripe(asked=len(wanted), unknown=unknown, unanswered=len(unanswered))


def _is_unknown(error: str) -> bool:
    return "resource_missing" in error


def _facts(intent: Intent) -> IntentFacts:
    return IntentFacts(
        state=_STATES[intent.state],
        currency=intent.currency,
        received=intent.amount_received,
        refunded=intent.amount_refunded,
    )


def _report(findings: list[Finding], asked: AskedStripe | None) -> Report:
    return Report(findings=findings, trapped=trapped_money(findings), stripe=asked)


def _as_text(report: Report) -> str:
    lines = [("defect", "order", "amount", "detail")]
    for finding in report.findings:
        sum_ = "" if finding.amount is None else f"{finding.amount} {(finding.currency or '').upper()}"
        lines.append((finding.defect.value, finding.order_id or "-", sum_, " ".join(finding.detail.split())))
    text = ""
    lines = [(defect, visible(order_id), sum_, visible(detail)) for defect, order_id, sum_, detail in lines]
    if report.findings:
        widths = [max(len(line[column]) for line in lines) for column in range(3)]
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
            text += "  ".join([*cells, line[3]]).rstrip() + "\n"
        text += "\n"
    for currency, amount in report.trapped.items():
        text += f"Trapped: {amount} {currency.upper()}\n"
    number = len(report.findings)
    text += f"{number or 'Nothing'} found.\n"
    if report.open_incidents:
        text += f"{_counted(report.open_incidents, 'incident is', 'incidents are')} open: see the operator's page.\n"
    if report.late_jobs:
        late = _counted(report.late_jobs, "job is", "jobs are")
        text += f"{late} late, due or failing for more than {LATE_AFTER.seconds} s.\n"
    return text


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _say(line: str) -> None:
    sys.stderr.write(visible(line) + "\n")
