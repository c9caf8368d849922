"""Databases for tests: copies of one template, made and dropped in milliseconds."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from app.embedded.postgres import Postgres
from tests.leftovers import connected

_NUMBERS: Final = itertools.count(1)


@asynccontextmanager
async def copied(postgres: Postgres, template: str, *, prefix: str = "test") -> AsyncIterator[str]:
    """The DSN of a new copy of a database, which is dropped at the end whoever is still connected.

    The copy is of files: a copy through the log, which is Postgres' default, takes two to three times as long.
    """
    name = f"{prefix}_{os.getpid()}_{next(_NUMBERS)}"
    async with connected(postgres.dsn()) as admin:
        await admin.execute(f"create database {name} template {template} strategy file_copy")
    try:
        yield postgres.dsn(name)
    finally:
        async with connected(postgres.dsn()) as admin:
            await admin.execute(f"drop database {name} with (force)")


def one_database_a_file() -> Any:
    """The fixture ``database`` for a file whose tests keep to orders of their own."""

    @pytest.fixture(scope="module")
    async def database(postgres: Postgres, shop_template: str) -> AsyncIterator[str]:
        """A shop's database for the tests of one file, by its DSN."""
        async with copied(postgres, shop_template, prefix="file") as dsn:
            yield dsn

    return database
