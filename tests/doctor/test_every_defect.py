"""Every kind of defect is found, with its order, and nothing else is named."""

from __future__ import annotations

import asyncpg
import pytest

from app.domain.findings import Defect
from tests.doctor.clinic import Clinic, named
from tests.doctor.healthy import HEALTHY
from tests.doctor.seeds import FOR_THE_SANDBOX_ALONE, SEEDS
from tests.promises import broken_promises

ALL = {**SEEDS, **FOR_THE_SANDBOX_ALONE}


@pytest.mark.parametrize("seed", ALL)
async def test_it_is_found_and_nothing_else(clinic: Clinic, reader: asyncpg.Connection, seed: str) -> None:
    healthy = await clinic.watched()
    expected = await ALL[seed](clinic)
    await clinic.let_an_hour_pass()
    found = await broken_promises(reader, clinic.shop.sandbox, at_rest=False)
    assert named(found) == expected, found
    assert healthy.id not in {finding.order_id for finding in found}


async def test_no_sound_state_is_named(clinic: Clinic, reader: asyncpg.Connection) -> None:
    orders = {(await state(clinic)).id: name for name, state in HEALTHY.items()}
    sandbox = clinic.shop.sandbox
    for at_rest in (False, True):
        for truth in (sandbox, None):
            found = await broken_promises(reader, truth, at_rest=at_rest)
            assert [(orders.get(f.order_id or ""), f) for f in found] == [], (at_rest, truth)
    await clinic.let_an_hour_pass()
    assert await broken_promises(reader, sandbox, at_rest=False) == []


async def test_one_shop_with_everything(clinic: Clinic, reader: asyncpg.Connection, role: str) -> None:
    for state in HEALTHY.values():
        await state(clinic)
    expected = set()
    for name, seed in ALL.items():
        if name != "never_noticed":  # it makes this sidecar older than its first order
            expected |= await seed(clinic)
    await clinic.conn.execute(f"grant delete on payment to {role}")
    expected.add((Defect.WIDE_GRANT.value, None))
    await clinic.let_an_hour_pass()
    found = await broken_promises(reader, clinic.shop.sandbox, at_rest=False)
    assert named(found) == expected
    elsewhere = {Defect.JOB_UNFINISHED, Defect.STALE_INCIDENT, Defect.PENDING_MIGRATION, Defect.SETTING}
    live = set(Defect) - elsewhere
    assert {finding.defect for finding in found} == live, "every kind but four, which have tests of their own"
