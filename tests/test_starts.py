"""What a setting says is tried at the start, by the code that will use it: a wrong one ends the process, in words."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import redis
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app import cli
from app.domain.jobs import JobKind
from app.embedded.processes import HOST, free_port
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.gateways.redis_encryption import encryption_problem
from app.gateways.stripe_gateway import StripeGateway
from plugins.medusa_bridge import try_backend
from tests.simulated_medusa import SimulatedMedusa, listening
from tests.world import JWT_SECRET, SECRET, Shop, as_role, eventually, serving, settings_for, working
from workers.main import check_accounts

PASSWORD = "hunter2-of-the-tests"
DAY = timedelta(days=1)


@pytest.fixture
def environ(database: str, redis_url: str, sandbox: Sandbox) -> dict[str, str]:
    """All that both processes need."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "DATABASE_URL": as_role(database),
        "REDIS_URL": redis_url,
        "MEDUSA_REDIS_URL": redis_url,
        "MEDUSA_LOCKING": "redis",
        "MEDUSA_JWT_SECRET": JWT_SECRET,
        "MODIFICATION_TOKEN_SECRET": SECRET,
        "STRIPE_API_KEY": sandbox.key,
        "STRIPE_API_BASE": sandbox.url,
    }


async def refused(environ: dict[str, str], command: str) -> str:
    """What a process says that ends at its start, with code 1 and one line for a person."""
    options = ["--port", str(free_port())] if command == "serve" else []
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app.cli", command, *options],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    assert PASSWORD not in ended.stderr
    [line] = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    return line.removeprefix("medusa-grace: ")


both = pytest.mark.parametrize("command", ["serve", "worker"])


@both
@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("REDIS_URL", lambda url: url.replace("redis://:", f"redis://:{PASSWORD}"), "REDIS_URL: invalid username"),
        ("REDIS_URL", lambda url: f"redis://{url.partition('@')[2]}", "REDIS_URL: Authentication required"),
        ("REDIS_URL", lambda url: f"{url.rpartition('/')[0]}/5000", "REDIS_URL: DB index is out of range"),
    ],
    ids=["wrong password", "no password", "unknown database"],
)
async def test_a_redis_that_refuses(
    environ: dict[str, str], command: str, name: str, change: Callable[[str], str], expected: str
) -> None:
    assert (await refused(environ | {name: change(environ[name])}, command)).startswith(expected)


async def test_a_redis_that_lets_us_do_too_little(environ: dict[str, str]) -> None:
    url = environ["REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        client.acl_setuser("few", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+ping", "+select"])
        try:
            few = environ | {"REDIS_URL": f"redis://few:{PASSWORD}@{url.partition('@')[2]}"}
            assert (await refused(few, "worker")).startswith("REDIS_URL: User few has no permissions")
        finally:
            client.acl_deluser("few")


async def test_a_redis_that_does_not_speak_tls(environ: dict[str, str]) -> None:
    """It waits for the end of what it takes for a line: all that a client sees is a time-out."""
    said = await refused(environ | {"REDIS_URL": environ["REDIS_URL"].replace("redis://", "rediss://")}, "worker")
    assert said == "REDIS_URL: it does not speak TLS: write redis:// instead of rediss://"


async def test_a_redis_that_speaks_tls_alone(environ: dict[str, str], tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0, ssl=_certified(tmp_path))
    async with server:
        url = f"redis://:{PASSWORD}@{HOST}:{server.sockets[0].getsockname()[1]}/0"
        said = await refused(environ | {"MEDUSA_REDIS_URL": url}, "worker")
    assert said == "MEDUSA_REDIS_URL: it speaks TLS: write rediss:// instead of redis://"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("unix:///run/redis.sock", []),
        ("redis://", [("localhost", 6379, True)]),
        ("rediss://", [("localhost", 6379, False)]),
        ("redis://cache:6380/2", [("cache", 6380, True)]),
        ("rediss://:secret@cache/2", [("cache", 6379, False)]),
    ],
)
async def test_encryption_is_tried_where_the_address_leads_and_on_no_socket_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, url: str, asked: list[tuple[str, int, bool]]
) -> None:
    """What listens on the usual port says nothing of a Redis behind a socket."""
    connected = []

    async def connect(host: str, port: int, *, ssl: ssl.SSLContext | None) -> None:
        connected.append((host, port, ssl is not None))
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", connect)
    assert await encryption_problem(url) is None
    assert connected == asked


def _certified(directory: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + DAY)
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_medusas_redis_that_refuses(environ: dict[str, str]) -> None:
    wrong = environ["MEDUSA_REDIS_URL"].replace("redis://:", f"redis://:{PASSWORD}")
    said = await refused(environ | {"MEDUSA_REDIS_URL": wrong}, "worker")
    assert said.startswith("MEDUSA_REDIS_URL: invalid username-password pair")


@both
async def test_a_database_that_cannot_be_written_to(
    environ: dict[str, str], conn: asyncpg.Connection, command: str
) -> None:
    name = await conn.fetchval("select current_database()")
    await conn.execute(f"alter database {name} set default_transaction_read_only = on")
    assert (await refused(environ, command)).startswith("DATABASE_URL: the database is read-only")


@both
async def test_an_address_of_metrics_that_is_taken(environ: dict[str, str], command: str) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        said = await refused(environ | {"METRICS_LISTEN": f"{HOST}:{port}"}, command)
    assert said.startswith(f"METRICS_LISTEN: cannot listen on {HOST}:{port}: ")
    assert "in use" in said


async def test_a_key_that_stripe_does_not_know(environ: dict[str, str]) -> None:
    """It would be said with the first capture, an hour later."""
    async with _answering(401, b'{"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}') as url:
        said = await refused(environ | {"STRIPE_API_BASE": url}, "worker")
    assert said == "STRIPE_API_KEY: Stripe does not accept the API key"


async def test_a_key_that_medusa_does_not_know(environ: dict[str, str], conn: asyncpg.Connection) -> None:
    async with listening(SimulatedMedusa(conn=conn)) as url:
        locks = {"MEDUSA_LOCKING": "memory", "MEDUSA_BACKEND_URL": url, "MEDUSA_SECRET_API_KEY": f"sk_{PASSWORD}"}
        assert (await refused(environ | locks, "worker")).startswith("MEDUSA_SECRET_API_KEY: Medusa answers 401")


async def test_an_address_that_is_not_medusas(environ: dict[str, str]) -> None:
    async with _answering(404, b"<html>no such page</html>") as url:
        page = {"MEDUSA_BACKEND_URL": url, "OPERATOR_SESSION_SECRET": "mJ8sQd2xVb6nLr4tZk9wYc3hGf7pAe5u"}
        assert (await refused(environ | page, "serve")).startswith("MEDUSA_BACKEND_URL: 404 is answered to")


@both
async def test_what_is_wrong_is_said_by_its_name(environ: dict[str, str], command: str) -> None:
    """Of each kind one; tests/test_settings.py has the others."""
    for name, value in {"STORE_CORS": "/[/", "CAPTURE_DELAY_SECONDS": "5", "REDIS_URL": "redis://c?family=5"}.items():
        assert (await refused(environ | {name: value}, command)).startswith(f"{name} ")


async def test_what_medusas_client_takes_is_taken(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> None:
    """``family=0`` was an error at each connection of ours: every cancel was a 500, and the worker did nothing."""
    url = f"{redis_url}?family=0&enableReadyCheck=false&maxRetriesPerRequest=null"
    settings = settings_for(database, url, sandbox)
    order, kept = await shop.place(), await shop.place()
    async with serving(settings, shop.key) as api, working(settings):
        assert (await api.cancel(order.id)).json()["payment_action"] == "voided"
        assert (await api.client.get("/health/ready")).json()["checks"]["redis"] == {"status": "ok", "detail": None}
        await eventually(lambda: shop.job(kept, JobKind.CAPTURE))
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("grace:*:jobs:__heartbeats__"), "the worker's broker was there too"


async def test_a_replica_is_not_ready(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, conn: asyncpg.Connection
) -> None:
    """As after a failover that left the processes with the old primary: each cancel would be a 503."""
    settings = settings_for(database, redis_url, sandbox)
    async with serving(settings, shop.key) as api:
        assert (await api.client.get("/health/ready")).status_code == 200
        name = await conn.fetchval("select current_database()")
        await conn.execute(f"alter database {name} set default_transaction_read_only = on")
        await conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'medusa-grace'"
            " and datname = current_database()"
        )

        async def is_failed() -> bool:
            answer = await api.client.get("/health/ready")
            return answer.status_code == 503 and "read-only" in answer.text

        await eventually(is_failed)


async def test_a_redis_that_is_away_stops_no_start(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox, own_valkey: Valkey
) -> None:
    settings = settings_for(database, own_valkey.url(), sandbox, MEDUSA_REDIS_URL=own_valkey.url(1))
    own_valkey.pause()
    async with serving(settings, shop.key) as api, working(settings):
        assert (await api.client.get("/health/ready")).status_code == 200
        own_valkey.resume()


@asynccontextmanager
async def _answering(status: int, body: bytes) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("operators", [True, False], ids=["with the operator's page", "for sessions alone"])
async def test_a_medusa_that_is_away_is_a_warning_of_serve(
    database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, *, operators: bool
) -> None:
    """Sign-in and sessions of customers would fail, and nothing had said so."""
    given = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "MODIFICATION_TOKEN_SECRET": SECRET,
        "MEDUSA_BACKEND_URL": f"http://{HOST}:{free_port()}",
        **({"OPERATOR_SESSION_SECRET": "mJ8sQd2xVb6nLr4tZk9wYc3hGf7pAe5u"} if operators else {}),
    }
    monkeypatch.setattr("app.server.listen", lambda *_: None)
    monkeypatch.setattr("app.logs.configure_logs", lambda _: None)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with structlog.testing.capture_logs() as logs, pytest.raises(SystemExit) as ended:
        await asyncio.to_thread(cli.main, ["serve", "--port", str(free_port())])
    assert ended.value.code == 0
    assert [(entry["setting"], entry["error"]) for entry in logs if entry["event"] == "medusa.away"] == [
        ("MEDUSA_BACKEND_URL", "ConnectError")
    ]


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_medusa_behind_a_proxy_that_is_away(status: int) -> None:
    async with _answering(status, b"<html>") as url:
        assert await try_backend(url, None) == (None, f"{status} is answered")
        assert await try_backend(url, f"sk_{PASSWORD}") == (None, f"{status} is answered")


async def test_medusa_and_stripe_that_are_away_are_warnings_of_the_worker(
    database: str, redis_url: str, sandbox: Sandbox
) -> None:
    away = f"http://{HOST}:{free_port()}"
    locks = {"MEDUSA_LOCKING": "memory", "MEDUSA_BACKEND_URL": away, "MEDUSA_SECRET_API_KEY": f"sk_{PASSWORD}"}
    settings = settings_for(database, redis_url, sandbox, STRIPE_API_BASE=away, **locks)
    with structlog.testing.capture_logs() as logs:
        await check_accounts(settings)
    assert [(entry["event"], entry["setting"]) for entry in logs] == [
        ("stripe.away", "STRIPE_API_BASE"),
        ("medusa.away", "MEDUSA_BACKEND_URL"),
    ]


@asynccontextmanager
async def _hanging() -> AsyncIterator[str]:
    """The address of a server that accepts connections and answers nothing."""
    with socket.create_server((HOST, 0)) as listening_:
        yield f"http://{HOST}:{listening_.getsockname()[1]}"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, []),
        (404, []),
        (429, []),
        (499, []),
        (500, ["APIError"]),
        (503, ["APIError"]),
        (None, ["TimeoutError"]),
    ],
    ids=str,
)
async def test_a_stripe_that_fails_or_hangs_keeps_no_worker_from_its_start(
    monkeypatch: pytest.MonkeyPatch, status: int | None, said: list[str]
) -> None:
    """It is a warning; a refusal of what was asked is an answer, and none."""
    monkeypatch.setattr("app.gateways.stripe_gateway._START_TIMEOUT", 1.0)
    error = b'{"error": {"type": "api_error", "message": "no"}}'
    async with _answering(status, error) if status is not None else _hanging() as url:
        gateway = StripeGateway.open("sk_test_x", url)
        with structlog.testing.capture_logs() as logs:
            assert await gateway.key_problem() is None
        await gateway.close()
    found = [(entry["event"], entry["setting"], entry["error"]) for entry in logs]
    assert found == [("stripe.away", "STRIPE_API_BASE", name) for name in said]


async def test_a_worker_that_does_not_ask_medusa_for_stock_does_not_try_it_either(
    database: str, redis_url: str, sandbox: Sandbox
) -> None:
    """It may have the address for another process that shares its settings."""
    away = f"http://{HOST}:{free_port()}"
    settings = settings_for(database, redis_url, sandbox, MEDUSA_LOCKING="redis", MEDUSA_BACKEND_URL=away)
    with structlog.testing.capture_logs() as logs:
        await check_accounts(settings)
    assert logs == []
