"""``medusa-grace serve`` as processes: a child that dies is replaced, a parent that dies takes its child with it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.embedded.processes import HOST, free_port
from app.embedded.stripe_sandbox.client import Sandbox
from tests.hostile.served import Served, served
from tests.world import JWT_SECRET, SECRET

PATIENCE = 60.0
CHILDREN = Path("/proc/self/task")

needs_proc = pytest.mark.skipif(not CHILDREN.exists(), reason="asks /proc for a process's children")


@pytest.fixture
def server(database: str, redis_url: str, sandbox: Sandbox, tmp_path: Path) -> Iterator[Served]:
    with served(database, redis_url, sandbox, tmp_path / "serve.log") as running:
        yield running


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for task in tasks for child in map(int, task.read_text().split()) if _serves(child)]


def _serves(pid: int) -> bool:
    """multiprocessing has a helper of its own; it answers nobody."""
    try:
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def _until(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def _answers(server: Served) -> bool:
    try:
        return server.alive()
    except httpx.HTTPError:
        return False


@needs_proc
def test_a_killed_api_process_is_replaced(server: Served) -> None:
    (child,) = _children(server.process.pid)
    os.kill(child, signal.SIGKILL)
    _until(lambda: child not in _children(server.process.pid), "the killed process is still there")
    _until(lambda: _answers(server), "nobody took the place of the killed process")
    assert server.process.poll() is None
    (successor,) = _children(server.process.pid)
    assert successor != child


@pytest.mark.skipif(sys.platform != "linux", reason="the filter on a listening socket is Linux's")
def test_a_connection_from_before_a_sigterm_is_answered(server: Served) -> None:
    """A proxy that keeps connections open sends a request just then, and opens no new one."""
    with socket.create_connection((HOST, server.port)) as before:
        server.process.terminate()
        time.sleep(0.3)
        before.sendall(b"GET /health/live HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        before.settimeout(5)
        assert before.recv(100).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, server.port), timeout=10)
    assert server.process.wait(10) == 0


@needs_proc
def test_no_api_process_outlives_its_parent(server: Served) -> None:
    (child,) = _children(server.process.pid)
    server.process.kill()
    server.process.wait()
    _until(lambda: _is_gone(child), "an orphan answers on")
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, server.port)) != 0, "somebody listens on the port"
    assert "serve.orphaned" in server.log.read_text()


BORN_LATE = """
import multiprocessing, os, time

def serve(manager):
    print(os.getpid(), flush=True)
    while os.getppid() == manager:
        time.sleep(0.01)
    from app.server import create_app
    create_app()
    time.sleep(600)

if __name__ == "__main__":
    child = multiprocessing.Process(target=serve, args=(os.getpid(),))
    child.start()
    child.join()
"""


@needs_proc
def test_no_api_process_outlives_a_parent_that_it_never_saw(environ: dict[str, str], tmp_path: Path) -> None:
    """Killed between granian's fork and our first line."""
    (tmp_path / "born_late.py").write_text(BORN_LATE)
    with (tmp_path / "log").open("w+") as log:
        parent = subprocess.Popen(
            [sys.executable, str(tmp_path / "born_late.py")],
            env=_known() | environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        parent.stdout.close()
        try:
            _until(lambda: _is_gone(child), "an orphan answers on")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        assert "serve.orphaned" in (tmp_path / "log").read_text()


def _is_gone(pid: int) -> bool:
    """Or dead and not collected, where nobody collects orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app.cli", *arguments]


def _known() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


def _run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments),
        env=_known() | environ,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


@pytest.fixture
def environ(database: str, redis_url: str, sandbox: Sandbox) -> dict[str, str]:
    """All that both processes need."""
    return {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "MEDUSA_REDIS_URL": redis_url,
        "MEDUSA_LOCKING": "redis",
        "MEDUSA_JWT_SECRET": JWT_SECRET,
        "MODIFICATION_TOKEN_SECRET": SECRET,
        "STRIPE_API_KEY": sandbox.key,
        "STRIPE_API_BASE": sandbox.url,
        "WORKER_THREADS": "4",
        "DATABASE_POOL_SIZE": "2",
    }


def test_a_port_that_is_taken(environ: dict[str, str]) -> None:
    port = free_port()
    with socket.create_server((HOST, port)):
        ended = _run("serve", "--port", str(port), **environ)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]  # beside the log's JSON
    assert line.startswith("medusa-grace: ")
    assert f"{port}" in line
    assert "in use" in line.lower()


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_a_grant_that_is_missing_ends_the_start(
    conn: asyncpg.Connection, environ: dict[str, str], command: str
) -> None:
    """tests/deploy/test_grants.py takes away each of them; here the whole process is seen to end, and to say why."""
    role, port = f"grace_{os.getpid()}_{command}", str(free_port())
    options = ["--port", port] if command == "serve" else []
    await conn.execute(
        f"create role {role} login password 'of-the-tests'; grant usage on schema public, grace to {role};"
        f"grant select, insert, update on all tables in schema public, grace to {role};"
        f"grant delete on all tables in schema grace to {role};"
        f"revoke update on order_summary from {role}; revoke insert on grace.jobs from {role}"
    )
    url = environ["DATABASE_URL"]
    told = []
    try:
        for grant in (None, f"grant insert on grace.jobs to {role}"):
            if grant:
                await conn.execute(grant)
            ended = _run(command, *options, **(environ | {"DATABASE_URL": _as(url, role)}))
            assert ended.returncode == 1, ended
            assert "Traceback" not in ended.stderr
            told.append(ended.stderr)
    finally:
        await conn.execute(f"drop owned by {role}; drop role {role}")
    assert "permission denied for table jobs" in told[0]
    assert "add_to_summary: permission denied for table order_summary" in told[1]


def _as(url: str, role: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{role}:of-the-tests@{rest.rpartition('@')[2]}"


SHARES = """
import gc
from app import server
from app.settings import read_settings
from app.settings_table import Role

class Server:
    def __init__(self, *_, **__): pass
    def serve(self): print(gc.get_freeze_count(), len(gc.get_objects()))  # instead of forking

server._Server = Server
server.listen("127.0.0.1", 0, 1, read_settings(__ENV__, Role.SERVE))
"""


def test_the_garbage_collector_leaves_alone_what_servers_are_forked_with(environ: dict[str, str]) -> None:
    """It writes to all it looks at, and a page that is written to is copied: 20 MB for each server, once it did."""
    script = SHARES.replace("__ENV__", repr(environ))
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    frozen, looked_at = map(int, said.stdout.split())
    assert frozen > 50 * looked_at
