"""Functions in schema ``grace``: statements that need snapshots of their own, in one round trip."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, Self

import msgspec

from app.ports import Connection
from app.store.sql import statement

_FUNCTIONS: Final = statement("own_functions")
_PARAMETER: Final = re.compile(r"\$(\d+)")


class Function(msgspec.Struct, frozen=True):
    """A function whose name ends with a digest of its text.

    Another text is another function beside it, so that processes of the version before go on with theirs, and none
    can be changed beneath those that call it.
    """

    name: str
    """With its schema, as it is called."""
    text: str

    @classmethod
    def of(cls, name: str, template: str, statements: Mapping[str, str]) -> Self:
        """``template`` with the text of each statement in place of its name in braces."""
        for key, text in statements.items():
            template = template.replace(f"{{{key}}}", text.rstrip())
        digest = hashlib.sha256(template.encode()).hexdigest()[:8]
        full = f"grace.{name}_{digest}"
        return cls(full, template.replace("{name}", full))


def named(text: str, *names: str) -> str:
    """A statement whose parameters are a function's variables: the first name stands for ``$1``, and so on."""
    return _PARAMETER.sub(lambda found: names[int(found[1]) - 1], text)


async def absent(conn: Connection, functions: Sequence[Function]) -> list[Function]:
    """Those that the database lacks."""
    there = {row["name"] for row in await conn.fetch(_FUNCTIONS)}
    return [function for function in functions if function.name not in there]


async def install(conn: Connection, functions: Sequence[Function]) -> list[str]:
    """Create those that are absent. Their names.

    Anybody may call them who may use the schema: they do with the caller's own rights what the caller could do.
    """
    made = []
    for function in await absent(conn, functions):
        async with conn.transaction():
            await conn.execute(function.text)
            await conn.execute(f"grant execute on function {function.name} to public")
        made.append(function.name)
    return made
