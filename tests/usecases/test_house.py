"""What a probe says is well: each check by its name, and what each trouble hides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from app.ports import Unavailable
from app.store import fleet
from app.usecases import check_house as house
from app.usecases.check_house import Check, check_house

WELL = Check(status="ok", detail=None)


@pytest.mark.parametrize(
    ("read_only", "pending", "seen", "expected"),
    [
        (False, (), 0.0, {"database": WELL, "migrations": WELL, "worker": WELL}),
        (False, (), 30.0, {"database": WELL, "migrations": WELL, "worker": WELL}),
        (
            False,
            (),
            30.6,
            {
                "database": WELL,
                "migrations": WELL,
                "worker": Check(status="warning", detail="none was seen for 31 s"),
            },
        ),
        (
            False,
            (),
            None,
            {"database": WELL, "migrations": WELL, "worker": Check(status="warning", detail="none was ever seen")},
        ),
        (
            False,
            ("0001", "0002"),
            None,
            {"database": WELL, "migrations": Check(status="failed", detail="missing: 0001, 0002")},
        ),
        (True, ("0001",), None, {"database": Check(status="failed", detail="the database is read-only")}),
    ],
)
async def test_checks(
    monkeypatch: pytest.MonkeyPatch,
    *,
    read_only: bool,
    pending: tuple[str, ...],
    seen: float | None,
    expected: dict[str, Check],
) -> None:
    async def answer(value: object) -> object:
        return value

    @asynccontextmanager
    async def transaction(name: str) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(fleet, "read_only", lambda conn: answer(read_only))
    monkeypatch.setattr(fleet, "last_beat", lambda conn: answer(seen))
    monkeypatch.setattr(house, "pending_in", lambda conn: answer(pending))
    services: Any = SimpleNamespace(db=SimpleNamespace(transaction=transaction, read=transaction))
    assert await check_house(services) == expected


async def test_without_the_database_nothing_else_is_looked_at() -> None:
    @asynccontextmanager
    async def transaction(name: str) -> AsyncIterator[None]:
        raise Unavailable("health: ConnectionRefusedError")
        yield

    services: Any = SimpleNamespace(db=SimpleNamespace(transaction=transaction, read=transaction))
    failed = Check(status="failed", detail="health: ConnectionRefusedError")
    assert await check_house(services) == {"database": failed}
