"""Functions in schema ``grace``: statements that need snapshots of their own, in one round trip, and definers.

A definer (``security definer``) runs with the rights of the role that migrates. It hands out the little that the
processes need of a column whose other content they must not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Self

import asyncpg
import msgspec

from app.operator_error import OperatorError
from app.ports import Connection
from app.store.sql import function_name, statement

_FUNCTIONS: Final = statement("own_functions")
_SCHEMAS: Final = statement("schemas_of_tables")
_PARAMETER: Final = re.compile(r"\$(\d+)")


class FunctionError(OperatorError):
    """Why a function cannot be made, in a line for the person at the terminal."""


class Function(msgspec.Struct, frozen=True):
    """A function whose name ends with a digest of its text.

    Another text is another function beside it, so that processes of the version before go on with theirs, and none
    can be changed beneath those that call it.
    """

    name: str
    """With its schema, as it is called."""
    text: str
    table: str = ""
    """Set for a definer: the table whose schema stands in place of ``{shop}`` in the text. Its search path leads to
    nothing of the shop's, and nothing in it is named by the caller."""

    @classmethod
    def of(cls, name: str, template: str, statements: Mapping[str, str]) -> Self:
        """``template`` with the text of each statement in place of its name in braces."""
        for key, text in statements.items():
            template = template.replace(f"{{{key}}}", text.rstrip())
        full = function_name(name, template)
        return cls(full, template.replace("{name}", full))

    @classmethod
    def definer(cls, name: str, template: str, table: str) -> Self:
        """``template`` is as it stands in its file: statements name the function by the digest of that."""
        full = function_name(name, template)
        return cls(full, template.replace("{name}", full), table)

    def in_schema(self, schema: str) -> str:
        """Return the text for a shop whose tables are in ``schema``, which is quoted where need be."""
        return self.text.replace("{shop}", schema)

    def is_installed(self, body: str | None, schema: str | None) -> bool:
        """Whether ``body``, the database's, is of this function; of a definer, for this schema as well."""
        if body is None or not self.table or schema is None:
            return body is not None
        return body == self.in_schema(schema).split("$function$")[1]


def named(text: str, *names: str) -> str:
    """A statement whose parameters are a function's variables: the first name stands for ``$1``, and so on."""
    return _PARAMETER.sub(lambda found: names[int(found[1]) - 1], text)


async def absent(conn: Connection, functions: Sequence[Function]) -> list[Function]:
    """Those that the database lacks, or that read another schema than the shop's tables are in."""
    there = {row["name"]: row["body"] for row in await conn.fetch(_FUNCTIONS)}
    schemas = await _schemas(conn, functions)
    return [one for one in functions if not one.is_installed(there.get(one.name), schemas.get(one.table))]


async def install(conn: Connection, functions: Sequence[Function]) -> list[str]:
    """Create those that are absent. Their names.

    Each role that may use the schema may call them: they do with the caller's own rights what the caller could do. A
    definer is for roles that ``migrate --grants`` names.
    """
    made = []
    schemas = await _schemas(conn, functions)
    for function in await absent(conn, functions):
        async with conn.transaction():
            if function.table:
                await _define(conn, function, schemas)
            else:
                await conn.execute(function.text)
                await conn.execute(f"grant execute on function {function.name} to public")
        made.append(function.name)
    return made


async def _define(conn: Connection, function: Function, schemas: Mapping[str, str]) -> None:
    if function.table not in schemas:
        message = f"{function.name} reads the shop's tables, and there is no table {function.table}"
        raise FunctionError(message)
    try:
        await conn.execute(function.in_schema(schemas[function.table]))
    except asyncpg.InsufficientPrivilegeError as error:
        message = f"{function.name} is to read schema {schemas[function.table]}: {error}. Migrate as its owner"
        raise FunctionError(message) from error
    await conn.execute(f"revoke all on function {function.name} from public")


async def _schemas(conn: Connection, functions: Sequence[Function]) -> dict[str, str]:
    """The schema of each table that definers name, quoted, where the search path leads to it."""
    tables = sorted({function.table for function in functions if function.table})
    return {row["table"]: row["schema"] for row in await conn.fetch(_SCHEMAS, tables)}
