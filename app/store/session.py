"""Settings that statements depend on, stated for each session or transaction: a database or a role may have defaults
of its own. ``search_path`` is left as it is: it says where Medusa's tables are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import asyncpg

LOCK_TIMEOUT: Final = timedelta(seconds=2)
"""Below Medusa's own 3 s on payment rows, so that we give way before its operators see an error."""

STATEMENT_TIMEOUT: Final = timedelta(seconds=10)

_SETTINGS: Final[Mapping[str, str]] = {
    "array_nulls": "on",
    "bytea_output": "hex",
    "datestyle": "ISO, MDY",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "jit": "off",  # a plan that looks expensive for want of statistics would be compiled for longer than it runs
    "quote_all_identifiers": "off",  # names are compared as the catalogs spell them
    "row_security": "on",
    "standard_conforming_strings": "on",
    "timezone": "UTC",
    "transform_null_equals": "off",
}
_OF_A_SESSION: Final[Mapping[str, str]] = {
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
}
_TIMEOUTS: Final[Mapping[str, timedelta]] = {
    "lock_timeout": LOCK_TIMEOUT,
    "statement_timeout": STATEMENT_TIMEOUT,
    "idle_in_transaction_session_timeout": STATEMENT_TIMEOUT,
}
_DURABLE: Final = (
    "select set_config('synchronous_commit', 'on', {local})"
    " where current_setting('synchronous_commit') in ('off', 'false', 'no', '0')"
)
"""An answer of 200 promises a durable commit. A stricter or weaker level that keeps commits is the shop's choice."""
_NO_TRANSACTION_TIMEOUT: Final = (
    "select set_config(name, '0', {local}) from pg_settings where name = 'transaction_timeout'"
)
"""Postgres 17 and later: statements and waits have their own timeouts."""


def _milliseconds(duration: timedelta) -> str:
    return str(int(duration.total_seconds() * 1000))


LOCAL: Final = "; ".join(
    [
        *(f"set local {name} = '{value}'" for name, value in _SETTINGS.items() if name != "datestyle"),
        "set local datestyle = iso, mdy",
        _DURABLE.format(local="true"),
        _NO_TRANSACTION_TIMEOUT.format(local="true"),
    ]
)
"""For each transaction where a pooler may give it another server's session. Timeouts are set by the caller."""


async def state(conn: asyncpg.Connection[Any], *, timeouts: bool = True) -> None:
    """Set all of them for the session. ``timeouts=False``: statements may run, and wait for locks, without end."""
    given = {name: _milliseconds(value) if timeouts else "0" for name, value in _TIMEOUTS.items()}
    calls = [
        f"select set_config('{name}', '{value}', false)"
        for name, value in {**given, **_SETTINGS, **_OF_A_SESSION}.items()
    ]
    calls += [_DURABLE.format(local="false"), _NO_TRANSACTION_TIMEOUT.format(local="false")]
    await conn.execute("; ".join(calls))
