"""A role with just the rights that the processes need: what is missing is granted, what is too much is revoked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import asyncpg

from app.domain.rights import Right, rights
from app.operator_error import OperatorError
from app.ports import Connection
from app.store import turns
from app.store.sql import statement

_ROLE_GRANTS: Final = statement("role_grants")
_ROLE_POWERS: Final = statement("role_powers")
_PUBLIC_GRANTS: Final = statement("public_grants")
_OWN_TABLES: Final = statement("own_tables")
_OWN_DEFINERS: Final = statement("own_definers")
_PRIVILEGES: Final = {
    "events": ("select", "insert"),
    "conversions": ("select", "insert"),
    "migrations": ("select",),
    "installation": ("select",),
    "pending_stripe_events": ("select", "insert", "update", "delete"),
    "operator_sessions": ("select", "insert", "update", "delete"),
}
_ATTRIBUTES: Final = "login nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
_ROUNDS: Final = 4096
"""Postgres' own number of SCRAM iterations."""
_PASSING: Final[tuple[type[asyncpg.PostgresError], ...]] = (
    *turns.IN_THE_WAY,
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateObjectError,
    asyncpg.InternalServerError,
)
"""How Postgres says that another made the role, or changed it or a table's rights, in the same moment: the second and
third of the role, the last ("tuple concurrently updated") of both."""


class GrantError(OperatorError):
    """Why the role cannot be made or given its rights, in a line for the person at the terminal."""


async def own_rights(conn: Connection) -> list[Right]:
    """What the processes need in schema ``grace``. What ``migrate`` writes is only read; only old sessions are
    deleted."""
    needed = [Right("grace", "", "usage")]
    for row in await conn.fetch(_OWN_TABLES):
        for privilege in _PRIVILEGES.get(row["name"], ("select", "insert", "update")):
            needed += rights("grace", row["name"], privilege)
    definers = await conn.fetch(_OWN_DEFINERS)  # those of other versions too, whose processes may run beside this one's
    return [*needed, *(Right("grace", row["name"], "execute") for row in definers)]


async def grant(
    conn: Connection,
    role: str,
    needed: Sequence[Right],
    *,
    password: str | None,
    left: Collection[Right] = (),
    patience: float = turns.PATIENCE,
) -> list[str]:
    """Make ``role`` if it is not there and let it do what is ``needed``, and nothing more, in those schemas.

    Rights in ``left`` are not granted, and not revoked where they are held: the version before may still need them.
    ``password`` becomes the role's password whenever it is given; it never reaches the server's log. All in one
    transaction, so that running processes are never without a right. Safe to run from several places at once. Gives
    what was done, one line each; nothing when all was well before. Raises ``GrantError``.
    """
    me = await conn.fetchval("select current_user")
    try:
        return await turns.in_turns(
            "grants", lambda: _grant(conn, role, needed, left, password, me), patience, passing=_PASSING
        )
    except turns.KeptWaitingError as error:
        message = (
            f"role {role}: somebody is in the way for more than {patience:.0f} s ({error}); nothing was granted. "
            "Look for a long transaction in pg_stat_activity, then run this again"
        )
        raise GrantError(message) from error
    except asyncpg.InsufficientPrivilegeError as error:
        message = f"{me} may not do this for role {role}: {error}. Migrate as the owner of Medusa's tables"
        raise GrantError(message) from error


def as_sql(role: str, needed: Iterable[Right], password: str | None = None) -> list[str]:
    """The statements that create a role where it is missing, set its password where one is given, and grant what is
    needed, for a person to run; and the attributes that it should have, as a comment: to alter some of them takes a
    superuser."""
    attributes = f"-- expected of the role: alter role {_quoted(role)} {_ATTRIBUTES}"
    missing = f"not exists (select from pg_roles where rolname = {_literal(role)})"
    return [
        f"do $make_role$ begin if {missing} then create role {_quoted(role)} login; end if; end $make_role$",
        *([] if password is None else [_set_password(role, password)]),
        *_statements("grant", set(needed), role),
        _tables_to_come(role),
        attributes,
    ]


async def is_granted_schema(conn: Connection, role: str) -> bool:
    """Return whether ``role`` itself was granted to use schema ``grace``: its owner, or a superuser, was not."""
    rows = await conn.fetch(_ROLE_GRANTS, role, ["grace"])
    return any(row["relation"] == "" for row in rows) and role != await conn.fetchval("select current_user")


async def drop_role(conn: Connection, role: str, schemas: Collection[str]) -> None:
    """Revoke what ``role`` was granted in ``schemas`` and drop it. Needs a transaction. Raises ``GrantError``.

    Objects that the role owns are not dropped ("drop owned" would): the role of a person, or Medusa's own, stays.
    """
    me = await conn.fetchval("select current_user")
    try:
        rows = await conn.fetch(_ROLE_GRANTS, role, sorted(schemas))
        held = {Right(row["schema"], row["relation"], row["privilege"], row["attribute"]) for row in rows}
        for text in _statements("revoke", {right for right in held if right.table != "*"}, role):
            await conn.execute(text)
        await conn.execute(f"drop role {_quoted(role)}")
    except asyncpg.DependentObjectsStillExistError as error:
        raise GrantError(f"role {role} is still needed: {error.detail or error}") from error
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError) as error:
        raise GrantError(f"{me} may not drop role {role}: {error}") from error


async def public_grants(conn: Connection, schemas: Collection[str]) -> list[tuple[str, str]]:
    """What PUBLIC, and so each role, may do in ``schemas`` beside naming what is there; and what takes it away."""
    return [(row["power"], row["remedy"]) for row in await conn.fetch(_PUBLIC_GRANTS, sorted(schemas))]


async def _grant(
    conn: Connection, role: str, needed: Sequence[Right], left: Collection[Right], password: str | None, me: str
) -> list[str]:
    async with conn.transaction():
        await conn.execute(f"set local lock_timeout = '{turns.LOCK_TIMEOUT}'")
        done = await _make_role(conn, role, password, me)
        for text in await _changes(conn, role, needed, left):
            await conn.execute(text)
            done.append(text)
        if undone := await _changes(conn, role, needed, left):  # to grant without the right to is a warning, no error
            message = f"{me} could not {undone[0]} ({len(undone)} in all). Migrate as the owner of Medusa's tables"
            raise GrantError(message)
        kept = _statements("grant", await _held(conn, role, needed) & set(left), role)
        wide = [(row["power"], row["remedy"]) for row in await conn.fetch(_ROLE_POWERS, role)]
        wide += await public_grants(conn, {right.schema for right in needed})
        return [
            *done,
            *(f"-- left: {text}: for processes of the version before; --revoke takes it away" for text in kept),
            *(f"-- too wide: {power}: {remedy}" for power, remedy in wide),
        ]


async def _make_role(conn: Connection, role: str, password: str | None, me: str) -> list[str]:
    found = await conn.fetchrow("select rolsuper from pg_roles where rolname = $1", role)
    if found is not None and (found["rolsuper"] or role == me):
        what = "a superuser, whom no grant limits" if found["rolsuper"] else "the role that migrates"
        message = f"role {role} is {what}: choose another"
        raise GrantError(message)
    name = _quoted(role)
    done = []
    if found is None:
        try:
            await conn.execute(f"create role {name} login")
        except asyncpg.InsufficientPrivilegeError as error:
            message = (
                f"role {role} does not exist, and {me} may not create it: "
                f"create it as an administrator (create role {name} login), then run this again"
            )
            raise GrantError(message) from error
        done.append(f"create role {name} login")
    if password is not None:
        try:
            await conn.execute(_set_password(role, password))
        except asyncpg.InsufficientPrivilegeError as error:
            message = (
                f"{me} may not set the password of role {role}: set it as an administrator (\\password {name} in "
                "psql), and run this again without GRACE_ROLE_PASSWORD"
            )
            raise GrantError(message) from error
        if found is None:
            done.append(f"alter role {name} password (from GRACE_ROLE_PASSWORD)")
    return done


async def _held(conn: Connection, role: str, needed: Sequence[Right]) -> set[Right]:
    rows = await conn.fetch(_ROLE_GRANTS, role, sorted({right.schema for right in needed}))
    return {Right(row["schema"], row["relation"], row["privilege"], row["attribute"]) for row in rows}


async def _changes(conn: Connection, role: str, needed: Sequence[Right], left: Collection[Right]) -> list[str]:
    wanted, held = set(needed), await _held(conn, role, needed)
    excess = {right for right in held - wanted - set(left) if right.table != "*"}
    # Revoking what was granted on a table revokes the same on its columns.
    whole = {(right.schema, right.table, right.privilege) for right in excess if not right.column}
    kept = {right for right in held - excess if (right.schema, right.table, right.privilege) not in whole}
    defaults = {right.privilege for right in held if right.table == "*"}
    return [
        *_statements("revoke", excess, role),
        *_statements("grant", wanted - kept, role),
        *([] if {"select", "insert", "update"} <= defaults else [_tables_to_come(role)]),
    ]


def _statements(verb: str, some: set[Right], role: str) -> list[str]:
    columns: dict[tuple[str, str, str, bool], list[str]] = {}
    for right in sorted(some):
        columns.setdefault((right.schema, right.table, right.privilege, bool(right.column)), []).append(right.column)
    way = "to" if verb == "grant" else "from"
    texts = []
    for (schema, table, privilege, by_column), names in columns.items():
        listed = f" ({', '.join(map(_quoted, names))})" if by_column else ""
        target = f"{_quoted(schema)}.{_quoted(table)}" if table else f"schema {_quoted(schema)}"
        if privilege == "execute":
            target = f"function {target}"
        texts.append(f"{verb} {privilege}{listed} on {target} {way} {_quoted(role)}")
    return texts


def _tables_to_come(role: str) -> str:
    """For tables of later migrations, when the same role makes them."""
    return f"alter default privileges in schema grace grant select, insert, update on tables to {_quoted(role)}"


def _set_password(role: str, password: str) -> str:
    return f"alter role {_quoted(role)} password '{_verifier(password)}'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _verifier(password: str) -> str:
    """What Postgres itself would store (SCRAM-SHA-256), so that it is not told the password."""
    if not (password.isascii() and password.isprintable()):
        message = "GRACE_ROLE_PASSWORD has characters other than printable ASCII"
        raise GrantError(message)
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_ROUNDS}:{salt64}${stored64}:{server64}"
