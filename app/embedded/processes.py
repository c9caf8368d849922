"""What the embedded servers share: an account without rights, a scratch directory, and a child that dies with us."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from app.operator_error import OperatorError

HOST = "127.0.0.1"
START_SECONDS = 30.0
POLL_SECONDS = 0.01

_PREFIX = "medusa-grace-"
# A unix socket's path ends at about 104 characters, so the directory must leave room for the name.
_LONGEST_DIRECTORY = 60
_MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp names it
_ROOM = 4 * 2**30
"""Bytes that must be free there: a server's log alone may grow to a quarter of it."""
# Below the ports that the kernel gives to outgoing connections: while a server is down, a client that tries again
# and again could otherwise be given the server's own port, and connect to itself.
_PORTS = range(15_000, 32_000)
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


class EmbeddedServerError(OperatorError):
    """An embedded server cannot be found, started or stopped; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """Who the servers run as."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """``postgres`` or ``nobody`` when we are root, as whom Postgres refuses to run; else ``None``, ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError("running as root needs a user 'postgres' or 'nobody' for the servers; there is neither")


def can_reach(path: Path, account: Account | None, *, bits: int = 0o5) -> bool:
    """Whether the account may read and enter ``path``, going by the mode of it and of every directory above it.

    ``bits`` of 1 asks for entering alone.
    """
    if account is None:
        return os.access(path, bits)
    path = path.resolve()
    return _allows(path, account, bits) and all(_allows(parent, account, 0o1) for parent in path.parents)


def _allows(path: Path, account: Account, bits: int) -> bool:
    found = path.stat()
    shift = 6 if found.st_uid == account.uid else 3 if found.st_gid == account.gid else 0
    return (stat.S_IMODE(found.st_mode) >> shift) & bits == bits


def give(path: Path, account: Account | None) -> None:
    """Make the account the owner of ``path``, itself and not what a link leads to; nothing when the servers run as
    ourselves."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def open_in(directory: Path, name: str) -> IO[bytes]:
    """Open a file of ``directory`` to append to. Neither may be a link: the account owns the directory, and could lead
    us, who may be root, elsewhere."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "ab")
    finally:
        os.close(folder)


def write_private(path: Path, text: str, account: Account | None) -> None:
    """Write a file that the account alone can read. Raises ``OSError`` where the path is a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)
        file.write(text)


class Held:
    """A directory that no other supervisor uses while this object lives; the lock goes with the process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: IO[bytes] = open_in(directory, "lock")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise EmbeddedServerError(f"{directory} is in use by another process") from None

    def release(self, *, remove: bool) -> None:
        """Let go, and delete the directory if asked."""
        if remove:
            shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()


def scratch(kind: str, account: Account | None, *, in_memory: bool = False) -> Held:
    """A new private directory that the account can reach. What killed runs have left is swept first.

    ``in_memory``: where the machine has a file system in memory with room enough, there.
    """
    base = next((path for path in _bases(in_memory=in_memory) if can_reach(path, account, bits=0o1)), None)
    if base is None:
        raise EmbeddedServerError("no temporary directory that the servers' user can enter; set TMPDIR to one")
    _sweep(base, account)
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=base))
    held = Held(directory)
    give(directory, account)
    return held


def _bases(*, in_memory: bool) -> list[Path]:
    paths = [Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - mkdtemp names it
    if in_memory and _has_room(_MEMORY):
        paths.insert(0, _MEMORY)
    return [path for path in paths if path.is_dir() and len(str(path)) <= _LONGEST_DIRECTORY]


def _has_room(path: Path) -> bool:
    """Containers often have 64 MB there, and some forbid to run what lies there."""
    try:
        found = os.statvfs(path)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= _ROOM and not found.f_flag & os.ST_NOEXEC


def _sweep(base: Path, account: Account | None) -> None:
    owners = {os.geteuid()} | ({account.uid} if account else set())
    for directory in base.glob(f"{_PREFIX}*-*"):
        with contextlib.suppress(OSError, EmbeddedServerError):
            found = directory.lstat()
            # A directory this young may be one that another process has made and not locked yet.
            if stat.S_ISDIR(found.st_mode) and found.st_uid in owners and time.time() - found.st_mtime > 10:
                Held(directory).release(remove=True)


def durable_directory(directory: Path, account: Account | None) -> Held:
    """A directory of the caller's choice, made if missing, held for this process; the account must be able to enter."""
    directory = directory.absolute()
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    if not can_reach(nearest, account, bits=0o1):
        who = account.name if account else "this user"
        raise EmbeddedServerError(f"the data directory {directory} cannot be entered by {who}; choose another")
    if nearest != directory:
        directory.mkdir(parents=True, mode=0o700)
        give(directory, account)
    return Held(directory)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    for _ in range(200):
        port = random.choice(_PORTS)  # noqa: S311 - not a secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise EmbeddedServerError(f"no free port between {_PORTS.start} and {_PORTS.stop}")


def spawn(
    argv: Sequence[str | Path],
    *,
    account: Account | None,
    log: Path,
    on_our_death: int,
    settings: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that Ctrl-C reaches us alone and we stop the children in order.

    On Linux the kernel sends ``on_our_death`` to the child when the *thread* that started it ends, however it ends.
    So start servers from the main thread. Of our environment the child sees nothing but where programs are, and
    ``settings``.
    """
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC", **(settings or {})}
    if libraries := os.environ.get("LD_LIBRARY_PATH"):
        environment["LD_LIBRARY_PATH"] = libraries
    with open_in(log.parent, log.name) as out:
        return subprocess.Popen(
            [str(arg) for arg in argv],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=_die_with_us(on_our_death),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def _die_with_us(signal_number: int) -> Callable[[], None] | None:
    libc, parent = _LIBC, os.getpid()
    if libc is None:
        return None

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # we died before the line above
            os._exit(1)

    return arm


def await_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], *, name: str, log: Path) -> None:
    """Return once ``ready()`` holds; raise with the end of the log when the child ends first or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None:
            fail(f"{name} ended at start with code {process.returncode}", log)
        if time.monotonic() > deadline:
            fail(f"{name} was not ready after {START_SECONDS:.0f} s", log)
        time.sleep(POLL_SECONDS)


def fail(message: str, log: Path) -> NoReturn:
    """Raise with the last lines of the log."""
    tail = log.read_text(errors="replace").strip().splitlines()[-12:] if log.exists() else []
    raise EmbeddedServerError("\n  ".join([message, *tail]))


def end(process: subprocess.Popen[bytes], *signals: int, patience: float = 10.0) -> None:
    """Send the signals one after the other until the child has ended, SIGKILL at last, and collect it."""
    for number in (*signals, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
