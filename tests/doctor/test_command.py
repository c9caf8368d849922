"""``medusa-grace doctor``: what it prints, how it ends, and that it writes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from app.doctor import AT_ONCE, _as_text, _report, run_doctor
from app.domain.findings import Defect, Finding
from app.domain.jobs import JobKind
from app.embedded.processes import free_port
from app.embedded.shop_acts import cancel_by_medusa, refund_by_medusa
from app.embedded.shop_sessions import open_session
from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.stripe_gateway import StripeGateway
from app.ports import Answered, Unseen
from app.store import session
from tests.doctor.clinic import PASSWORD, Clinic
from tests.doctor.healthy import HEALTHY
from tests.doctor.seeds import SEEDS

TABLES = """
select format('%I.%I', table_schema, table_name) from information_schema.tables
where table_schema in ('public', 'grace') order by 1
"""


class Doctor:
    """Runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], environ: dict[str, str]) -> None:
        self._capsys = capsys
        self.environ = environ
        self.out = self.err = ""

    async def __call__(self, *, stripe: bool | None = None, as_json: bool = False, **changes: str) -> int:
        """The exit code; what was printed is in ``out`` and ``err``."""
        self._capsys.readouterr()
        environ = {**self.environ, **changes}
        code = await asyncio.to_thread(run_doctor, environ, ask_stripe=stripe, as_json=as_json)
        self.out, self.err = self._capsys.readouterr()
        for secret in (PASSWORD, environ["STRIPE_API_KEY"] or PASSWORD):
            assert secret not in self.out + self.err
        return code

    async def report(self, **options: Any) -> dict[str, Any]:
        """What ``--json`` prints."""
        await self(as_json=True, **options)
        report: dict[str, Any] = json.loads(self.out)
        return report


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], dsn: str, sandbox: Sandbox) -> Doctor:
    environ = {"DATABASE_URL": dsn, "STRIPE_API_KEY": sandbox.key, "STRIPE_API_BASE": sandbox.url}
    return Doctor(capsys, environ)


async def test_a_sound_shop(doctor: Doctor, clinic: Clinic) -> None:
    for state in HEALTHY.values():
        await state(clinic)
    assert await doctor() == 0
    assert doctor.out.startswith("Nothing found.\n")
    assert "incidents are open" in doctor.out, "they are no findings, and counted"
    report = await doctor.report()
    assert {name: report[name] for name in ("findings", "trapped", "stripe")} == {
        "findings": [],
        "trapped": {},
        "stripe": {"asked": _asked_about(doctor), "unknown": 0, "unanswered": 0},
    }
    assert report["open_incidents"] > 0
    assert await doctor(stripe=False) == 0
    assert "the rows are believed" in doctor.err


def _asked_about(doctor: Doctor) -> int:
    """How many intents the command said that it asks about."""
    return int(doctor.err.split("Asking Stripe about ")[1].split()[0])


async def test_every_defect_and_nothing_written(doctor: Doctor, clinic: Clinic, conn: asyncpg.Connection) -> None:
    expected = set()
    for name, seed in SEEDS.items():
        if name != "never_noticed":
            expected |= await seed(clinic)
    await clinic.let_an_hour_pass()
    before, asked_before = await _all_rows(conn), await _writes_at_stripe(clinic)

    report = await doctor.report()
    assert {(finding["defect"], finding["order_id"]) for finding in report["findings"]} == expected
    assert await doctor() == 1
    for defect, order_id in expected:
        assert any(defect in line and (order_id or "-") in line for line in doctor.out.splitlines())
    assert f"{len(report['findings'])} found." in doctor.out
    assert await doctor(stripe=False) == 1

    assert await _all_rows(conn) == before
    assert await _writes_at_stripe(clinic) == asked_before


async def test_trapped_money_by_currency(doctor: Doctor, clinic: Clinic) -> None:
    for options in ({}, {}, {"amounts": ("3500",), "currency": "jpy"}):
        order = await clinic.place(**options)
        await clinic.mark_canceled(order)
    assert (await doctor.report())["trapped"] == {"eur": "59.4762", "jpy": "3500"}
    assert (await doctor.report(stripe=False))["trapped"] == {"eur": "59.4762", "jpy": "3500"}
    await doctor()
    assert "Trapped: 59.4762 EUR\nTrapped: 3500 JPY\n" in doctor.out


async def test_stripe_is_asked_about_canceled_and_recent_orders_alone(doctor: Doctor, clinic: Clinic) -> None:
    await clinic.watched()
    await clinic.canceled()
    old = await clinic.captured(placed_ago=timedelta(days=9))
    old_and_canceled = await clinic.canceled_by_medusa(placed_ago=timedelta(days=30))
    asked_before = len(await clinic.shop.sandbox.requests("payment_intents.retrieve"))
    report = await doctor.report()
    assert report["stripe"]["asked"] == 3
    asked = {r["object_id"] for r in (await clinic.shop.sandbox.requests("payment_intents.retrieve"))[asked_before:]}
    assert old_and_canceled.intent_ids[0] in asked
    assert old.intent_ids[0] not in asked


async def test_no_more_than_so_many_questions_at_once(
    doctor: Doctor, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(AT_ONCE * 3):
        await clinic.place()
    now = most = 0

    async def look(self: object, intent_id: str) -> Unseen:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return Unseen(f"resource_missing {intent_id}")

    monkeypatch.setattr("app.doctor.StripeGateway.look", look)
    monkeypatch.setattr("app.doctor.EVERY", 10)
    assert await doctor() == 0
    assert most == AT_ONCE
    assert "  20 of 24\n" in doctor.err
    assert "knows nothing of 24 intents" in doctor.err


async def test_what_changed_since_stripe_was_asked_is_asked_again(
    doctor: Doctor, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captured by a worker between the question to Stripe and the look at the rows: no defect."""
    order = await clinic.place()
    await clinic.captured()
    stale = await clinic.gateway.look(order.intent_ids[0])
    assert isinstance(stale, Answered)
    await clinic.hand.schedule(order, JobKind.CAPTURE)
    await clinic.finish(order)
    await clinic.let_an_hour_pass()
    look, seen = StripeGateway.look, []

    async def first_stale(self: StripeGateway, intent_id: str) -> Answered | Unseen:
        seen.append(intent_id)
        if intent_id == order.intent_ids[0] and seen.count(intent_id) == 1:
            return stale
        return await look(self, intent_id)

    monkeypatch.setattr("app.doctor.StripeGateway.look", first_stale)
    assert await doctor() == 0
    assert seen.count(order.intent_ids[0]) == 2, "once more, and the other not"
    assert len(seen) == 3


async def _voided(clinic: Clinic) -> tuple[str, Answered | Unseen]:
    """A hold, before its void was made."""
    order = await clinic.canceled()
    stale = await clinic.gateway.look(order.intent_ids[0])
    await clinic.finish(order)
    return order.intent_ids[0], stale


async def _voided_session(clinic: Clinic) -> tuple[str, Answered | Unseen]:
    """An intent that could still be paid, before it was canceled in Stripe's dashboard."""
    order = await clinic.place(payments=())
    card = "pm_card_authenticationRequired"
    intent = await clinic.shop.sandbox.authorize(2974, "eur", "automatic", payment_method=card)
    await open_session(clinic.conn, order, intent, amount=order.total)
    stale = await clinic.gateway.look(intent["id"])
    await clinic.gateway.void(intent["id"], key="by-hand")
    await clinic.mark_canceled(order)
    return intent["id"], stale


async def _given_back(clinic: Clinic) -> tuple[str, Answered | Unseen]:
    """Money of a canceled order, before it was given back."""
    order = await clinic.captured()
    stale = await clinic.gateway.look(order.intent_ids[0])
    await clinic.give_back(order, 2974)
    await cancel_by_medusa(clinic.conn, order)
    return order.intent_ids[0], stale


async def _given_back_in_part(clinic: Clinic) -> tuple[str, Answered | Unseen]:
    """Money of an open order, before a part of it was given back."""
    order = await clinic.captured()
    stale = await clinic.gateway.look(order.intent_ids[0])
    await clinic.give_back(order, 1000)
    await refund_by_medusa(clinic.conn, order, order.payment_ids[0], Decimal(10))
    return order.intent_ids[0], stale


@pytest.mark.parametrize("change", [_voided, _voided_session, _given_back, _given_back_in_part])
async def test_an_answer_of_stripes_that_is_behind_the_rows_is_asked_for_once_more(
    doctor: Doctor,
    clinic: Clinic,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Clinic], Awaitable[tuple[str, Answered | Unseen]]],
) -> None:
    behind, stale = await change(clinic)
    await clinic.let_an_hour_pass()
    look = StripeGateway.look
    seen: list[str] = []
    times = 1

    async def stale_at_first(self: StripeGateway, intent_id: str) -> Answered | Unseen:
        seen.append(intent_id)
        return stale if seen.count(intent_id) <= times else await look(self, intent_id)

    monkeypatch.setattr("app.doctor.StripeGateway.look", stale_at_first)
    assert await doctor() == 0
    assert seen == [behind, behind]
    seen.clear()
    times = 2
    assert await doctor() == 1, "what it says twice is so"


async def test_a_stripe_that_does_not_answer_is_no_clean_bill(
    doctor: Doctor, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.doctor.AGAIN_AFTER", 0.0)
    order = await clinic.watched()
    await clinic.shop.sandbox.fault("payment_intents.retrieve", "error", times=1)
    assert await doctor() == 0, "a second question is answered"
    await clinic.shop.sandbox.fault("payment_intents.retrieve", "error", times=None)
    assert await doctor() == 2
    assert "did not answer about 1 intents" in doctor.err
    await clinic.job(order, "publish", "x", "dead")
    assert await doctor() == 1, "what was found is found"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL is missing"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL is not a URL that begins with postgres:// or postgresql://"),
        ({"DATABASE_URL": f"postgres://reader:{PASSWORD}@127.0.0.1:{free_port()}/shop"}, "cannot connect"),
        ({"DATABASE_URL": f"postgres://reader:x#{PASSWORD}@127.0.0.1/shop"}, "DATABASE_URL cannot be read: percent"),
        ({"DATABASE_URL": f"postgres://reader:y@127.0.0.1:{PASSWORD}/shop"}, "DATABASE_URL names a port that is no"),
        ({"STRIPE_API_BASE": "sandbox"}, "STRIPE_API_BASE is not a URL"),
    ],
)
async def test_it_could_not_look(doctor: Doctor, changes: dict[str, Any], said: str) -> None:
    assert await doctor(**changes) == 2
    assert said in doctor.err
    assert doctor.out == ""


async def test_stripe_is_wanted_and_there_is_no_key(doctor: Doctor) -> None:
    assert await doctor(stripe=True, STRIPE_API_KEY="") == 2
    assert "STRIPE_API_KEY is missing" in doctor.err
    assert await doctor(STRIPE_API_KEY="") == 0


async def test_a_key_that_stripe_refuses(doctor: Doctor, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.doctor.AGAIN_AFTER", 0.0)
    await clinic.watched()
    assert await doctor(STRIPE_API_KEY="not_a_key_0123456789") == 2


async def test_a_role_that_may_not_read(doctor: Doctor, conn: asyncpg.Connection, role: str) -> None:
    await conn.execute(f"revoke select on refund from {role}")
    assert await doctor() == 2
    assert "permission denied for table refund" in doctor.err


async def test_the_command_itself(dsn: str, clinic: Clinic) -> None:
    order = await clinic.place()
    await clinic.mark_canceled(order)
    environ = {**os.environ, "DATABASE_URL": dsn, "STRIPE_API_KEY": "", "STRIPE_API_BASE": ""}

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "app.cli", "doctor", *arguments]
        return await asyncio.to_thread(
            subprocess.run, argv, env=environ, capture_output=True, text=True, timeout=180, check=False
        )

    table, as_json, told = await run("--no-stripe"), await run("--json"), await run("--help")
    assert (table.returncode, as_json.returncode, told.returncode) == (1, 1, 0)
    assert order.id in table.stdout
    (finding,) = json.loads(as_json.stdout)["findings"]
    assert (finding["defect"], Decimal(finding["amount"])) == ("live_payment_on_canceled_order", Decimal("29.7381"))
    assert "0 nothing found, 1 something found, 2 could not look" in " ".join(told.stdout.split())


async def _all_rows(conn: asyncpg.Connection) -> dict[str, str]:
    """A digest of every row of every table, and of what the server counts as written."""
    digests = {}
    for (table,) in await conn.fetch(TABLES):
        rows = [row[0] for row in await conn.fetch(f"select t::text from {table} as t order by 1")]
        digests[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    await conn.execute("select pg_stat_force_next_flush()")
    written = await conn.fetchrow(
        "select sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) from pg_stat_user_tables"  # an autovacuum writes, too
    )
    assert written is not None
    return {**digests, "written": str(tuple(written))}


async def _writes_at_stripe(clinic: Clinic) -> int:
    return len([r for r in await clinic.shop.sandbox.requests() if not r["op"].endswith(".retrieve")])


async def test_open_incidents_and_late_jobs_are_counted(doctor: Doctor, clinic: Clinic) -> None:
    order = await clinic.watched()
    await clinic.incident(order, "release_failed")
    await clinic.conn.execute(
        "update grace.jobs set run_at = now() - interval '90 seconds' where order_id = $1", order.id
    )
    assert await doctor() == 0
    assert "1 incident is open: see the operator's page.\n" in doctor.out
    assert "1 job is late, due or failing for more than 60 s.\n" in doctor.out
    report = await doctor.report()
    assert (report["open_incidents"], report["late_jobs"]) == (1, 1)
    await clinic.conn.execute("update grace.jobs set run_at = now() - interval '50 seconds'")
    assert (await doctor.report())["late_jobs"] == 0


async def test_tables_without_statistics_are_named(doctor: Doctor, clinic: Clinic) -> None:
    await clinic.watched()
    report = await doctor.report()
    assert {'"order"', "payment", "grace.jobs"} <= set(report["unanalyzed"])
    assert "Run ANALYZE as their owner." in doctor.err
    await clinic.conn.execute("analyze")
    assert (await doctor.report())["unanalyzed"] == []
    assert "ANALYZE" not in doctor.err


def test_a_terminal_obeys_nothing_of_what_is_found() -> None:
    found = Finding(defect=Defect.SETTING, order_id="order_\x9b31m", detail="said \x1b[31m\u202eevil")
    text = _as_text(_report([found], None))
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert "order_[U+009B]31m" in text
    assert "said [U+001B][31m[U+202E]evil" in text


def test_a_connection_that_breaks_in_a_way_of_its_drivers(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where ``transaction_timeout`` ends a session amid a statement: a traceback has the exit code of a finding."""

    async def broken(_: object, *, timeouts: bool) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12")

    monkeypatch.setattr(session, "state", broken)
    assert run_doctor({"DATABASE_URL": database}, ask_stripe=False, as_json=False) == 2
    assert "the database could not be read: InternalClientError" in capsys.readouterr().err
