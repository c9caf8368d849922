"""README's grants: with them the processes start, and without any one of them they do not, and say which."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.runtime import NotReady, _verify
from plugins.medusa_bridge import BridgeConfig, MedusaBridge, SchemaMismatch

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def _grants() -> list[str]:
    block = re.search(r"create role grace.*?```", README, flags=re.DOTALL)
    assert block, "README lost its grants"
    statements = [" ".join(text.split()) for text in block[0].removesuffix("```").split(";")]
    return [text for text in statements if text.startswith("grant ")]


def _parted() -> list[tuple[str, str]]:
    """Each privilege on each of Medusa's tables."""
    parted = [re.fullmatch(r"grant (select|insert|update) on (?!all )(.*) to grace", text) for text in _grants()]
    return [(match[1], table) for match in parted if match for table in match[2].split(", ")]


OF_MEDUSA = _parted()
OURS = [
    (privilege, f"grace.{table}") for table in ("jobs", "incidents", "cursors") for privilege in ("select", "insert")
]


@pytest.fixture
async def role(conn: asyncpg.Connection) -> AsyncIterator[str]:
    """A role with the README's grants."""
    name = f"grace_{os.getpid()}_{await conn.fetchval('select txid_current()')}"
    await conn.execute(f"create role {name}")
    for grant in _grants():
        await conn.execute(re.sub(r"\bto grace$", f"to {name}", grant))
    yield name
    await conn.execute(f"drop owned by {name}; drop role {name}")


async def _start(conn: asyncpg.Connection, role: str) -> None:
    """What every process does first, as the role; inside the caller's transaction."""
    await conn.execute(f"set local role {role}")
    async with MedusaBridge.open(BridgeConfig()) as bridge:
        await _verify(conn, bridge)


def test_there_are_grants() -> None:
    assert len(OF_MEDUSA) > 20
    assert ("update", '"order"') in OF_MEDUSA


async def test_they_are_enough_and_each_is_asked_for_at_start(conn: asyncpg.Connection, role: str) -> None:
    async with conn.transaction():
        await _start(conn, role)
    silent = []
    for privilege, table in [*OF_MEDUSA, *OURS]:
        await conn.execute(f"revoke {privilege} on {table} from {role}")
        async with conn.transaction():
            try:
                await _start(conn, role)
                silent.append(f"{privilege} on {table}")
            except (NotReady, SchemaMismatch) as error:
                assert f"permission denied for table {table.rpartition('.')[2].strip(chr(34))}" in str(error)  # noqa: PT017
        await conn.execute(f"grant {privilege} on {table} to {role}")
    assert silent == []


@pytest.mark.parametrize("schema", ["public", "grace"])
async def test_a_schema_that_may_not_be_used(conn: asyncpg.Connection, role: str, schema: str) -> None:
    await conn.execute(f"revoke usage on schema {schema} from {role}, public")
    async with conn.transaction():
        with pytest.raises(
            (SchemaMismatch, asyncpg.InsufficientPrivilegeError), match=f"schema {schema}|does not exist"
        ):
            await _start(conn, role)


async def test_a_column_that_may_not_be_written(conn: asyncpg.Connection, role: str) -> None:
    await conn.execute(
        f"revoke update on payment from {role}; grant update (canceled_at, updated_at) on payment to {role}"
    )
    async with conn.transaction():
        with pytest.raises(SchemaMismatch, match="mark_payment_captured: permission denied for table payment"):
            await _start(conn, role)
