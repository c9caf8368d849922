"""A privilege of a database role."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Right(msgspec.Struct, frozen=True, order=True):
    """One privilege on a schema (``table`` empty), on a table, on one column of it, or on a function (``execute``)."""

    schema: str
    table: str
    privilege: str
    column: str = ""


def rights(schema: str, table: str, privilege: str, columns: Iterable[str] = ("",)) -> list[Right]:
    """Return one ``Right`` a column; without columns, one for the whole table."""
    return [Right(schema, table, privilege, column) for column in columns]
