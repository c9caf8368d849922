"""``medusa-grace uninstall``: hand over what is open, then remove schema ``grace`` and its role."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from app.domain.unseen_characters import visible
from app.ports import Connection
from app.store import cursors, grants, session, turns, uninstall
from app.store.grants import GrantError
from app.store.uninstall import OpenWork, UninstallError
from app.usecases.schedule_captures import START
from app.usecases.track_payments import OVERLAP
from plugins.medusa_bridge import BridgeConfig, MedusaBridge, needed_rights

_AT_MOST: Final = 1_000_000
"""Authorizations without a capture job: all of them, where no worker ran for weeks."""
_PAUSE: Final = 0.5
"""Seconds between looks at running jobs."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator asked for."""

    confirmed: bool
    """``--yes``: without it nothing is changed."""
    role: str | None = None
    json_file: Path | None = None
    wait: timedelta = timedelta(minutes=1)
    """How long jobs that end soon are waited for."""
    abandon_open_work: bool = False


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization that no other program would capture. ``amount`` is in major units of ``currency``."""

    order_id: str
    payment_id: str
    intent_id: str | None
    amount: Decimal
    currency: str
    due_at: datetime | None
    """When a worker would have captured it; ``None`` for one that none has seen yet."""
    last_error: str | None


class HandOver(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` writes: what is the shop's to do once the sidecar is gone."""

    database: str
    authorizations: list[Authorization]
    open_work: list[OpenWork]
    """Jobs and open incidents."""


async def run_uninstall(dsn: str, plan: Plan) -> int:
    """Print what is handed over, and with ``plan.confirmed`` remove schema and role. Return the exit code.

    Raises ``UninstallError`` where it may not be removed; then nothing is changed.
    """
    conn = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "medusa-grace-uninstall"})
    try:
        await session.state(conn, timeouts=False)
        if not await uninstall.is_installed(conn):
            print("nothing to remove: the database has no schema grace")  # noqa: T201
            return 0
        if plan.role is not None:
            await _check_role(conn, plan.role)
        async with MedusaBridge.open(BridgeConfig()) as bridge:
            if plan.confirmed:
                await _wait(conn, plan.wait)
                await _remove_in_turns(conn, bridge, plan)
            else:
                async with conn.transaction(readonly=True):
                    hand_over = await _read(conn, bridge)
                _report(hand_over, plan)
                _refuse_open_work(hand_over, plan)
                print(f"dry run: nothing was changed. --yes removes {_removed(hand_over, plan)}")  # noqa: T201
    finally:
        await conn.close()
    return 0


async def _check_role(conn: Connection, role: str) -> None:
    if await conn.fetchval("select 1 from pg_roles where rolname = $1", role) is None:
        raise UninstallError(f"--role: there is no role {role}")
    if not await grants.is_granted_schema(conn, role):
        raise UninstallError(f"--role: {role} has no grant on schema grace: expected the role of serve and worker")


async def _wait(conn: Connection, patience: timedelta) -> None:
    """Wait until no job runs or is due, as long as ``patience`` lasts."""
    deadline = time.monotonic() + patience.total_seconds()
    said = False
    while number := sum(work.ends_soon for work in await uninstall.open_work(conn)):
        if time.monotonic() >= deadline:
            return
        if not said:
            print(f"waiting for {number} job(s) to end, {patience.total_seconds():.0f} s at most")  # noqa: T201
            said = True
        await asyncio.sleep(_PAUSE)


async def _remove_in_turns(conn: Connection, bridge: MedusaBridge, plan: Plan) -> None:
    try:
        await turns.in_turns("uninstall", lambda: _remove(conn, bridge, plan), turns.PATIENCE)
    except turns.KeptWaitingError as error:
        message = (
            f"a table of schema grace is locked for more than {turns.PATIENCE:.0f} s ({error}); nothing was removed. "
            "Stop serve and worker, look for a long transaction in pg_stat_activity, then run this again"
        )
        raise UninstallError(message) from error
    except GrantError as error:
        raise UninstallError(f"{error}. Nothing was removed; without --role the schema is") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise UninstallError(f"{error}. Nothing was removed: run this as the role that migrates") from error


async def _remove(conn: Connection, bridge: MedusaBridge, plan: Plan) -> None:
    """Read, write the list and drop in one transaction: no job is claimed and no order is canceled meanwhile."""
    async with conn.transaction():
        await conn.execute(f"set local lock_timeout = '{turns.LOCK_TIMEOUT}'")
        await uninstall.lock(conn)
        hand_over = await _read(conn, bridge)
        schemas = {right.schema for right in await needed_rights(conn)}
        _report(hand_over, plan)
        _refuse_open_work(hand_over, plan)
        await uninstall.drop_schema(conn)
        if plan.role is not None:
            await grants.drop_role(conn, plan.role, schemas)
    print(f"removed {_removed(hand_over, plan)}")  # noqa: T201


async def _read(conn: Connection, bridge: MedusaBridge) -> HandOver:
    planned = {capture.payment_id: capture for capture in await uninstall.open_captures(conn)}
    orders = {payment_id: capture.order_id for payment_id, capture in planned.items()}
    open_work = list(await uninstall.open_work(conn))
    start = await cursors.peek(conn, START)
    if start is not None:
        found, _ = await bridge.discovery.find_new_authorizations(conn, after=start, overlap=OVERLAP, limit=_AT_MOST)
        orders |= {new.payment_id: new.order_id for new in found if not new.is_canceled}
        open_work += [
            OpenWork(order_id=new.order_id, detail=f"void of {new.payment_id} is not scheduled yet", ends_soon=True)
            for new in found
            if new.is_canceled
        ]
    authorizations = []
    for payment_id, order_id in orders.items():
        payment = await bridge.payments.read_payment(conn, payment_id)
        if payment is None or not payment.is_open:  # captured or voided in Medusa meanwhile
            continue
        capture = planned.get(payment_id)
        authorizations.append(
            Authorization(
                order_id=order_id,
                payment_id=payment_id,
                intent_id=payment.intent_id,
                amount=payment.amount,
                currency=payment.currency,
                due_at=None if capture is None else capture.due_at,
                last_error=None if capture is None else capture.last_error,
            )
        )
    return HandOver(
        database=await conn.fetchval("select current_database()"), authorizations=authorizations, open_work=open_work
    )


def _report(hand_over: HandOver, plan: Plan) -> None:
    """Print the list, and write it to a file where one is named. Raises ``UninstallError`` where it cannot be."""
    for line in _lines(hand_over):
        print(visible(line))  # noqa: T201
    if plan.json_file is not None:
        try:
            plan.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(hand_over)) + b"\n")
        except OSError as error:
            raise UninstallError(f"--json: cannot write {plan.json_file}: {error}; nothing was removed") from error


def _lines(hand_over: HandOver) -> Iterator[str]:
    if hand_over.authorizations:
        yield "authorizations that no other program would capture; capture or cancel each in Medusa's admin:"
    else:
        yield "no authorization waits for a capture"
    for held in hand_over.authorizations:
        due = "not scheduled yet" if held.due_at is None else f"due {held.due_at:%Y-%m-%d %H:%M:%S} UTC"
        error = "" if held.last_error is None else f"  {held.last_error}"
        yield f"  {held.order_id}  {held.payment_id}  {held.amount:f} {held.currency}  {due}{error}"
    if hand_over.open_work:
        yield "open work, of which some is money in doubt:"
    for work in hand_over.open_work:
        yield f"  {work.order_id}  {work.detail}"


def _refuse_open_work(hand_over: HandOver, plan: Plan) -> None:
    if hand_over.open_work and not plan.abandon_open_work:
        message = (
            f"{len(hand_over.open_work)} job(s) or incident(s) are open (see above); nothing was removed. Let a worker "
            "end the jobs and settle the incidents, or leave all of them to yourself with --abandon-open-work"
        )
        raise UninstallError(message)


def _removed(hand_over: HandOver, plan: Plan) -> str:
    role = "" if plan.role is None else f" and role {plan.role}"
    return f"schema grace of database {hand_over.database}{role}"
