"""Production's functions with a pause ahead of each statement that reads or writes: others can come in between.

Each function is read back from the database as ``migrate`` installed it, and created again from that text with one
line added ahead of each statement. A paused backend waits for an advisory lock that the scheduler holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import asyncpg

SAID: Final = "explorer: "
"""How the notice of a pause begins."""

PREPARE: Final = f"""
create schema if not exists explorer;
create table if not exists explorer.originals (
    name text primary key, definition text not null, pauses boolean not null
);
insert into explorer.originals
select p.proname, pg_get_functiondef(p.oid), p.provolatile = 'v'
from pg_proc as p
join pg_language as l on l.oid = p.prolang
where p.pronamespace = 'grace'::regnamespace and l.lanname = 'plpgsql' and not p.prosecdef and p.proname ~ '_v[0-9]+$'
on conflict do nothing;
create or replace function explorer.pause (place text) returns void language plpgsql volatile as $pause$
declare
    turn integer := coalesce(nullif(current_setting('explorer.turn', true), ''), '0');
begin
    if not pg_try_advisory_lock(pg_backend_pid(), turn) then
        raise notice '{SAID}%', place;
        perform set_config('explorer.turn', (turn + 1)::text, false);
        perform pg_advisory_lock(pg_backend_pid(), turn);
    end if;
    perform pg_advisory_unlock(pg_backend_pid(), turn);
end
$pause$;
"""

_BODY: Final = re.compile(r"\$function\$(.*)\$function\$", re.DOTALL)
_TOKEN: Final = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|\w+|\S")
_COMMENT: Final = re.compile(r"--[^\n]*")
_LOCK_TIMEOUT: Final = re.compile(r"(lock_timeout TO) '[^']*'", re.IGNORECASE)
_NO_STATEMENT: Final = {"end", "else", "elsif", "exception", "declare"}
_WRITE: Final = re.compile(r"\b(insert into|(?<!for )update|delete from) (?!of\b|set\b)([\w.\"]+)")
_LOCK: Final = re.compile(r"\bfrom ([\w.\"]+)(?: as \w+)?\b.*\bfor update\b")
_READ: Final = re.compile(r"\bfrom (grace\.read_\w+|(?!grace\.\w+ ?\()(?:[a-z_.]+|\"order\")(?![\w(]))")

Mutation = Callable[[str], str]
"""Another text of a function."""

_mutations: dict[str, Mutation] = {}


@dataclass(frozen=True)
class Statement:
    """A statement of a function: where it begins in the body, and what it does, in short."""

    start: int
    place: str


def replaced(old: str, new: str) -> Mutation:
    """A text in which ``old``, which must be there, is ``new``."""

    def mutate(text: str) -> str:
        assert old in text, f"{old!r} is not in the function any more"
        return text.replace(old, new)

    return mutate


def mutations() -> dict[str, Mutation]:
    """The mutations that databases are prepared with from now on, by function."""
    return _mutations


async def prepare(conn: asyncpg.Connection) -> None:
    """Create production's functions again with pauses; mutated where ``mutations`` says so."""
    await conn.execute(PREPARE)
    rows = await conn.fetch("select name, definition, pauses from explorer.originals order by name")
    met = set()
    for row in rows:
        name = short(row["name"])
        mutate = _mutations.get(name)
        met.add(name)
        definition = mutate(row["definition"]) if mutate else row["definition"]
        await conn.execute(paused(name, definition) if row["pauses"] else definition)
    assert _mutations.keys() <= met, f"there is no function {_mutations.keys() - met}"


def short(name: str) -> str:
    """A function's name without its version."""
    return re.sub(r"_v\d+$", "", name)


def paused(name: str, definition: str) -> str:
    """The definition with a pause ahead of each statement. Locks are waited for however slow the machine is."""
    found = _BODY.search(definition)
    assert found is not None, definition
    body, at = [], 0
    for statement in statements(name, found[1]):
        place = statement.place.replace("'", "''")
        body += [found[1][at : statement.start], f"perform explorer.pause('{place}');\n    "]
        at = statement.start
    body.append(found[1][at:])
    head = _LOCK_TIMEOUT.sub(r"\1 '60s'", definition[: found.start(1)])
    return head + "".join(body) + definition[found.end(1) :]


def statements(name: str, body: str) -> Iterator[Statement]:
    """The statements of a PL/pgSQL body that read or write tables, in their order, those in branches and loops too.

    One that only calls another of our functions that locks or writes has its points inside that one.
    """
    begun = expected = False
    depth = cases = 0
    starts: list[int] = []
    for token in _TOKEN.finditer(body):
        text = token[0].lower()
        if text.startswith("--"):
            continue
        if not begun:
            begun = expected = text == "begin"
            continue
        if expected:
            expected = False
            if text not in _NO_STATEMENT:
                starts.append(token.start())
        depth += (text == "(") - (text == ")")
        if depth == 0:
            if text == "case":
                cases += 1
            elif text == "end" and cases:
                cases -= 1
            elif text == ";" or (text in {"then", "else", "loop"} and not cases):
                expected = body[: token.start()].split()[-1:] != ["end"]
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        if (summary := _summary(body[start:end])) is not None:
            yield Statement(start, f"{name}: {summary}")


def _summary(statement: str) -> str | None:
    lowered = " ".join(_COMMENT.sub("", statement).lower().split())
    if written := [table.replace('"', "") for _, table in _WRITE.findall(lowered)]:
        return f"write {' '.join(dict.fromkeys(table.removeprefix('grace.') for table in written))}"
    if locked := _LOCK.search(lowered):
        return f"lock {locked[1]}".replace('"', "")
    return "read" if _READ.search(lowered) else None
