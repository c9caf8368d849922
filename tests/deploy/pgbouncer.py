"""PgBouncer in transaction mode, in front of the tests' Postgres."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.embedded.processes import HOST, await_ready, end, free_port, give, scratch, server_account, spawn
from tests.world import ROLE, ROLE_PASSWORD

SERVERS = 3
"""Connections to Postgres for all clients together: few, so that everybody's transactions wander between them."""


def needed(program: str, package: str | None = None) -> str:
    """The program's path. Where there is none: a skip at a desk, a failure where CI must not pass for nothing."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        why = f"{program} is not installed: apt-get install {package or program}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found


@contextmanager
def running_pgbouncer(dsn: str) -> Iterator[str]:
    """Where the role under test reaches the database of ``dsn`` through PgBouncer."""
    program = needed("pgbouncer")
    server, port, account = urlsplit(dsn), free_port(), server_account()
    held = scratch("bouncer", account)
    home: Path = held.directory
    (home / "users.txt").write_text(f'"{ROLE}" "{ROLE_PASSWORD}"\n')
    (home / "pgbouncer.ini").write_text(
        f"""[databases]
* = host={server.hostname} port={server.port}
[pgbouncer]
listen_addr = {HOST}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {home}/users.txt
pool_mode = transaction
default_pool_size = {SERVERS}
max_client_conn = 200
"""
    )
    for path in (home, *home.iterdir()):
        give(path, account)
    log = home / "pgbouncer.log"
    child = spawn([program, str(home / "pgbouncer.ini")], account=account, log=log, on_our_death=signal.SIGKILL)
    try:
        await_ready(child, lambda: _listens(port), name="pgbouncer", log=log)
        yield f"postgresql://{ROLE}:{ROLE_PASSWORD}@{HOST}:{port}{server.path}"
    finally:
        end(child, signal.SIGINT, signal.SIGTERM)
        held.release(remove=True)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
