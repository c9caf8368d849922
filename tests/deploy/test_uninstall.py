"""``medusa-grace uninstall``: what it hands over, what it refuses, and what is left of the shop."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.embedded.stripe_sandbox.client import Sandbox
from app.operator_error import OperatorError
from app.roles import grant_role
from app.settings import Settings
from app.store import turns
from app.store.migrate import migrate
from app.uninstall import Plan, run_uninstall
from app.usecases.track_payments import start_tracking, track_payments
from tests.leftovers import connected
from tests.usecases.hand import Hand, Killed, opened
from tests.world import Shop, eventually, settings_for

_numbers = itertools.count(1)
GO = Plan(confirmed=True, wait=timedelta(0))


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Nobody works here unless the test does."""
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", MEDUSA_EVENTS="off")


@pytest.fixture
async def hand(settings: Settings, shop: Shop) -> AsyncIterator[Hand]:
    """Runs jobs one by one."""
    async with opened(settings, checked=False) as services:
        yield Hand(services, shop)


@pytest.fixture
async def role(database: str, conn: asyncpg.Connection) -> AsyncIterator[str]:
    """A role of processes, whose name is no plain word."""
    name = f'gr"ace {os.getpid()} {next(_numbers)}'
    await grant_role(database, name, password=None)
    yield name
    if await _role_is_there(conn, name):
        quoted = _quoted(name)
        await conn.execute(f"drop owned by {quoted}; drop role {quoted}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _role_is_there(conn: asyncpg.Connection, role: str) -> bool:
    return bool(await conn.fetchval("select 1 from pg_roles where rolname = $1", role))


async def _schema_is_there(conn: asyncpg.Connection) -> bool:
    return await conn.fetchval("select to_regnamespace('grace')") is not None


async def _shops_rows(conn: asyncpg.Connection) -> dict[str, Any]:
    """Every row of Medusa's tables."""
    tables = await conn.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind='r'"
    )
    found = {}
    for (name,) in tables:
        found[name] = await conn.fetchval(
            f"select coalesce(json_agg(t order by t::text), '[]')::text from \"{name}\" as t"
        )
    return found


async def test_without_yes_nothing_changes(
    database: str, shop: Shop, hand: Hand, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    assert await run_uninstall(database, Plan(confirmed=False, role=role)) == 0
    shown = capsys.readouterr().out
    assert order.id in shown
    assert f"{order.payment_ids[0]}  29.7381 eur  due 2" in shown
    assert shown.endswith(f"and role {role}\n")
    assert "dry run: nothing was changed. --yes removes schema grace" in shown
    assert await _schema_is_there(shop.conn)
    assert await _role_is_there(shop.conn, role)


async def test_it_hands_the_list_over_and_leaves_the_shop_as_it_was(
    database: str, shop: Shop, hand: Hand, role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = await shop.conn.fetchval("select now()")
    await start_tracking(hand.services, now)
    planned, taken, canceled = await shop.place(), await shop.place(), await shop.place()
    await track_payments(hand.services)
    await hand.run(taken, JobKind.CAPTURE)
    await hand.cancel(canceled)
    await hand.run(canceled, JobKind.VOID)
    await hand.run(canceled, JobKind.RELEASE)
    by_hand = await shop.place()
    await shop.conn.execute("update payment set captured_at = now() where id = $1", by_hand.payment_ids[0])
    unseen = await shop.place()
    before = await _shops_rows(shop.conn)
    file = tmp_path / "open.json"
    assert await run_uninstall(database, Plan(confirmed=True, role=role, json_file=file, wait=timedelta(0))) == 0
    shown = capsys.readouterr().out
    assert shown.endswith(f"and role {role}\n")
    assert "removed schema grace of database" in shown
    written = json.loads(file.read_text())
    assert {(held["order_id"], held["payment_id"], held["intent_id"]) for held in written["authorizations"]} == {
        (order.id, order.payment_ids[0], order.intent_ids[0]) for order in (planned, unseen)
    }
    assert by_hand.id not in shown
    assert {held["due_at"] is None for held in written["authorizations"]} == {True, False}
    assert written["open_work"] == []
    assert not await _schema_is_there(shop.conn)
    assert not await _role_is_there(shop.conn, role)
    assert await _shops_rows(shop.conn) == before
    assert await run_uninstall(database, GO) == 0
    assert capsys.readouterr().out == "nothing to remove: the database has no schema grace\n"


async def test_it_can_be_installed_again(database: str, shop: Shop, role: str) -> None:
    await run_uninstall(database, Plan(confirmed=True, role=role, wait=timedelta(0)))
    assert await migrate(database)
    assert (await grant_role(database, role, password=None))[0] == f"create role {_quoted(role)} login"


@pytest.mark.parametrize("kind", [JobKind.VOID, JobKind.RELEASE, JobKind.REFUND, JobKind.PUBLISH, JobKind.LOOK])
async def test_an_open_job_keeps_it(database: str, shop: Shop, hand: Hand, kind: JobKind, tmp_path: Path) -> None:
    order = await shop.place()
    await hand.schedule(order, kind)
    with pytest.raises(OperatorError, match=r"1 job\(s\) or incident\(s\) are open .* --abandon-open-work"):
        await run_uninstall(database, GO)
    with pytest.raises(OperatorError, match=r"1 job\(s\) or incident\(s\) are open"):
        await run_uninstall(database, Plan(confirmed=False))
    assert await _schema_is_there(shop.conn)
    file = tmp_path / "open.json"
    plan = Plan(confirmed=True, wait=timedelta(0), abandon_open_work=True, json_file=file)
    assert await run_uninstall(database, plan) == 0
    (work,) = json.loads(file.read_text())["open_work"]
    assert (work["order_id"], work["detail"]) == (order.id, f"{kind} of {order.payment_ids[0]} is scheduled")
    assert not await _schema_is_there(shop.conn)


async def test_a_capture_that_may_have_reached_stripe_keeps_it(database: str, shop: Shop, hand: Hand) -> None:
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    with pytest.raises(Killed):
        await hand.dying_at("capture.record").run(order, JobKind.CAPTURE)
    for state in ("running", "scheduled"):
        assert (await hand.job(order, JobKind.CAPTURE))["state"] == state
        with pytest.raises(OperatorError, match=r"1 job\(s\) or incident\(s\) are open"):
            await run_uninstall(database, GO)
        await hand.bury()
    await hand.run(order, JobKind.CAPTURE)
    assert await run_uninstall(database, GO) == 0


@pytest.mark.parametrize("kind", list(IncidentKind))
async def test_an_open_incident_keeps_it(database: str, shop: Shop, kind: IncidentKind) -> None:
    order = await shop.place()
    await shop.conn.execute(
        "insert into grace.incidents (order_id, kind, detail) values ($1, $2, 'what happened')", order.id, kind.value
    )
    with pytest.raises(OperatorError, match="nothing was removed"):
        await run_uninstall(database, GO)
    await shop.conn.execute("update grace.incidents set closed_at = now()")
    assert await run_uninstall(database, GO) == 0


async def test_a_hold_on_a_canceled_order_that_no_worker_has_seen_keeps_it(
    database: str, shop: Shop, hand: Hand
) -> None:
    await start_tracking(hand.services, await shop.conn.fetchval("select now()"))
    order = await shop.place()
    await shop.conn.execute("update \"order\" set status = 'canceled', canceled_at = now() where id = $1", order.id)
    with pytest.raises(OperatorError, match=r"1 job\(s\) or incident\(s\) are open"):
        await run_uninstall(database, GO)


async def test_it_waits_for_a_job_that_runs(
    database: str, shop: Shop, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    order = await shop.place()
    await hand.cancel(order)
    removing = asyncio.create_task(run_uninstall(database, Plan(confirmed=True, wait=timedelta(minutes=1))))
    shown: list[str] = []

    async def says_so() -> bool:
        shown.append(capsys.readouterr().out)
        return "waiting for 2 job(s) to end, 60 s at most" in "".join(shown)

    await eventually(says_so)
    await hand.run(order, JobKind.VOID)
    assert not removing.done()
    await hand.run(order, JobKind.RELEASE)
    assert await asyncio.wait_for(removing, 30) == 0
    assert not await _schema_is_there(shop.conn)


async def test_a_job_that_is_claimed_meanwhile_keeps_it(
    database: str, shop: Shop, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction that removes the tables has the last look, with all of them locked."""
    monkeypatch.setattr(turns, "LOCK_TIMEOUT", "100ms")
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    async with connected(database) as worker, worker.transaction():
        await worker.execute(
            "update grace.jobs set state = 'running', lease_until = now() + interval '20 seconds', in_doubt = true"
        )
        removing = asyncio.create_task(run_uninstall(database, GO))
        waits = "select 1 from pg_stat_activity where application_name ~ 'uninstall' and wait_event = 'relation'"
        await eventually(lambda: shop.conn.fetchval(waits), within=30)
    with pytest.raises(OperatorError, match=r"1 job\(s\) or incident\(s\) are open"):
        await asyncio.wait_for(removing, 30)
    assert await _schema_is_there(shop.conn)


async def test_a_table_that_stays_locked_is_named(database: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(turns, "PATIENCE", 0.2)
    async with connected(database) as other, other.transaction():
        await other.execute("lock table grace.events")
        with pytest.raises(OperatorError, match=r"is locked for more than 0 s .*; nothing was removed"):
            await run_uninstall(database, GO)
    assert await _schema_is_there(shop.conn)


async def test_a_view_of_the_shop_is_not_dropped_with_it(database: str, shop: Shop) -> None:
    await shop.conn.execute("create view cancels as select order_id from grace.cancellations")
    with pytest.raises(OperatorError, match="cancels reads schema grace: drop the view first"):
        await run_uninstall(database, GO)
    await shop.conn.execute("drop view cancels")
    assert await run_uninstall(database, GO) == 0


async def test_a_role_that_owns_something_keeps_all(database: str, shop: Shop, role: str) -> None:
    """ "drop owned" would drop it."""
    await shop.conn.execute(f"create table report (); alter table report owner to {_quoted(role)}")
    with pytest.raises(OperatorError, match=r"is still needed: owner of table report.* Nothing was removed"):
        await run_uninstall(database, Plan(confirmed=True, role=role, wait=timedelta(0)))
    assert await _schema_is_there(shop.conn)
    assert await _role_is_there(shop.conn, role)


@pytest.mark.parametrize(
    ("role", "expected"),
    [("nobody_at_all", "there is no role nobody_at_all"), ("postgres", "postgres has no grant on schema grace")],
)
async def test_a_role_of_somebody_else(database: str, shop: Shop, role: str, expected: str) -> None:
    with pytest.raises(OperatorError, match=expected):
        await run_uninstall(database, Plan(confirmed=True, role=role, wait=timedelta(0)))
    assert await _schema_is_there(shop.conn)


async def test_a_schema_of_somebody_else_stays(database: str, shop: Shop) -> None:
    await shop.conn.execute("drop schema grace cascade; create schema grace; create table grace.of_others ()")
    with pytest.raises(OperatorError, match="it is not medusa-grace's"):
        await run_uninstall(database, GO)
    assert await _schema_is_there(shop.conn)


async def test_a_list_that_cannot_be_written_keeps_all(database: str, shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"--json: cannot write .*; nothing was removed"):
        await run_uninstall(database, Plan(confirmed=True, json_file=tmp_path / "no" / "such", wait=timedelta(0)))
    assert await _schema_is_there(shop.conn)
