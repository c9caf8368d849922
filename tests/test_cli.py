"""``medusa-grace``: what it says, and how it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest
import structlog

from app import cli, runtime
from app.embedded.postgres import Postgres
from app.embedded.processes import free_port
from app.embedded.shop import create_tables
from app.gateways.receipt_keys import new_key
from app.http.tokens import TokenVerifier
from app.ports import TokenRejected

SECRET = "7f3k9q2m5x8r1v6z"
ORDER = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
COMMANDS = {
    "serve": "answer POST /store/orders/{id}/cancel",
    "worker": "capture, void, refund, release and publish",
    "migrate": 'create or upgrade schema "grace"',
    "token": "print a modification token",
    "receipt-key": "print a new key pair",
    "verify-receipt": "check a receipt of a cancellation; offline",
    "doctor": "broken promises",
    "demo": "embedded servers",
    "up": "start everything, embedded",
}
# What each command's own --help says beyond its options.
SAYS = {
    "serve": "Answers the store route",
    "worker": "Does what orders and cancellations have left to do",
    "migrate": "Medusa's own tables are not touched",
    "token": "a token that allows one order to be canceled",
    "receipt-key": "Nothing is stored",
    "verify-receipt": "0 valid, 1 not valid (it says why), 2 could not look",
    "doctor": "broken promises",
    "demo": "plays six orders",
    "up": "stays up until Ctrl-C",
}
SETTINGS = (
    "DATABASE_",
    "MIGRATION_DATABASE_URL",
    "GRACE_ROLE_PASSWORD",
    "REDIS_URL",
    "MODIFICATION_TOKEN",
    "STRIPE_",
    "MEDUSA_",
    "STORE_CORS",
    "LATE_MONEY",
    "RECEIPT_",
    "CANCEL_",
)


@dataclass(frozen=True)
class Ended:
    """A process that is over."""

    code: int
    out: str
    err: str


Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command in this process; settings by their names."""
    for name in os.environ:
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setattr(cli, "configure_logs", lambda _: None)  # tests keep their own

    async def run(*arguments: str, **settings: str) -> Ended:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = await asyncio.to_thread(_exit_code, list(arguments))
        return Ended(code, *capsys.readouterr())

    return run


def _exit_code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


def assert_failed(ended: Ended, *names: str) -> None:
    """Exit code 1, one line a problem, each with its name, and nothing a person cannot use."""
    assert ended.code == 1
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert len(lines) == len(names), ended.err
    for line, name in zip(lines, names, strict=True):
        assert line.startswith("medusa-grace: ")
        assert name in line
    assert "Traceback" not in ended.err


async def test_help_tells_of_every_command(run: Run) -> None:
    ended = await run("--help")
    assert (ended.code, ended.err) == (0, "")
    words = " ".join(ended.out.split())
    assert "Order cancellation during the grace period" in words
    for command, does in COMMANDS.items():
        assert f" {command} " in words
        assert does in words


async def test_there_is_no_command_beside_these(run: Run) -> None:
    parser = cli._parser()
    assert set(parser._subparsers._group_actions[0].choices) == set(COMMANDS)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("command", COMMANDS)
async def test_help_of_a_command(run: Run, command: str) -> None:
    ended = await run(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"usage: medusa-grace {command} ")


@pytest.mark.parametrize("command", sorted(SAYS))
async def test_help_of_a_command_says_what_it_does(run: Run, command: str) -> None:
    ended = await run(command, "--help")
    assert SAYS[command] in " ".join(ended.out.split())


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("cancel",),
        ("token",),
        ("token", ORDER, "--valid-for", "0"),
        ("verify-receipt", "receipt.json"),
        ("verify-receipt", "--key", "key.pem"),
        ("receipt-key", "new"),
        ("token", ORDER, "--valid-for", "1h"),
        ("serve", "--port", "65536"),
        ("serve", "--port", "-1"),
        ("serve", "--processes", "0"),
        ("migrate", "now"),
    ],
    ids=" ".join,
)
async def test_a_wrong_call(run: Run, arguments: tuple[str, ...]) -> None:
    ended = await run(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("usage: medusa-grace")
    assert "Traceback" not in ended.err


class TestToken:
    async def test_verifies(self, run: Run) -> None:
        ended = await run("token", ORDER, MODIFICATION_TOKEN_SECRET=SECRET)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.endswith("\n")
        assert TokenVerifier([SECRET]).verify(ended.out.strip()).order_id == ORDER

    async def test_the_first_secret_of_a_rotation_signs(self, run: Run) -> None:
        ended = await run("token", ORDER, MODIFICATION_TOKEN_SECRET=f"{SECRET} {SECRET[::-1]}")
        assert TokenVerifier([SECRET]).verify(ended.out.strip()).order_id == ORDER
        with pytest.raises(TokenRejected):
            TokenVerifier([SECRET[::-1]]).verify(ended.out.strip())

    async def test_valid_for(self, run: Run) -> None:
        ended = await run("token", ORDER, "--valid-for", "1", MODIFICATION_TOKEN_SECRET=SECRET)
        assert TokenVerifier([SECRET]).verify(ended.out.strip()).order_id == ORDER

    async def test_secret_missing(self, run: Run) -> None:
        assert_failed(await run("token", ORDER), "MODIFICATION_TOKEN_SECRET is missing")

    async def test_secret_too_short(self, run: Run) -> None:
        ended = await run("token", ORDER, MODIFICATION_TOKEN_SECRET="hunter2")
        assert_failed(ended, "MODIFICATION_TOKEN_SECRET is too short")
        assert "hunter2" not in ended.err

    async def test_valid_for_ever(self, run: Run) -> None:
        ended = await run("token", ORDER, "--valid-for", "99999999999999", MODIFICATION_TOKEN_SECRET=SECRET)
        assert ended.code in {1, 2}


class TestMigrate:
    @pytest.fixture
    async def empty(self, postgres: Postgres) -> AsyncIterator[str]:
        admin = await asyncpg.connect(postgres.dsn())
        await admin.execute("create database of_the_cli")
        yield postgres.dsn("of_the_cli")
        await admin.execute("drop database of_the_cli with (force)")
        await admin.close()

    @pytest.fixture
    async def fresh(self, empty: str) -> str:
        """Medusa's tables, and nothing of ours."""
        conn = await asyncpg.connect(empty)
        await create_tables(conn)
        await conn.close()
        return empty

    async def test_once_and_again(self, run: Run, fresh: str) -> None:
        first = await run("migrate", DATABASE_URL=fresh)
        assert (first.code, first.err) == (0, "")
        assert "applied 0001_jobs\n" in first.out
        assert await run("migrate") == Ended(0, "nothing to do\n", "")

    async def test_a_database_without_medusa_is_left_alone(self, run: Run, empty: str) -> None:
        ended = await run("migrate", "--grants", "grace", DATABASE_URL=empty)
        assert_failed(ended, 'database of_the_cli has no table "order"')
        conn = await asyncpg.connect(empty)
        assert await conn.fetchval("select to_regnamespace('grace')") is None
        await conn.close()

    async def test_through_a_pooler_it_asks_for_another_way(self, run: Run, fresh: str) -> None:
        ended = await run("migrate", DATABASE_URL=fresh, DATABASE_POOLER="transaction")
        assert_failed(ended, "MIGRATION_DATABASE_URL is missing: migrations need Postgres itself")

    async def test_its_own_way_comes_first(self, run: Run, fresh: str) -> None:
        nowhere = "postgres://grace@127.0.0.1:9/shop"
        ended = await run("migrate", DATABASE_URL=nowhere, MIGRATION_DATABASE_URL=fresh, DATABASE_POOLER="transaction")
        assert "applied 0001_jobs\n" in ended.out

    async def test_print_alone(self, run: Run) -> None:
        assert_failed(await run("migrate", "--print", DATABASE_URL="postgres://127.0.0.1:9/shop"), "--grants ROLE")

    async def test_revoke_alone(self, run: Run) -> None:
        assert_failed(await run("migrate", "--revoke", DATABASE_URL="postgres://127.0.0.1:9/shop"), "--grants ROLE")

    async def test_database_missing(self, run: Run) -> None:
        assert_failed(await run("migrate"), "DATABASE_URL is missing")

    async def test_nobody_answers(self, run: Run) -> None:
        ended = await run("migrate", DATABASE_URL="postgres://grace:hunter2@127.0.0.1:9/shop")
        assert_failed(ended, "medusa-grace: DATABASE_URL: cannot connect: ConnectionRefusedError")
        assert "hunter2" not in ended.err

    async def test_wrong_password(self, run: Run, postgres: Postgres) -> None:
        wrong = postgres.dsn().replace(postgres.dsn().split("@")[0], "postgres://postgres:hunter2")
        ended = await run("migrate", DATABASE_URL=wrong)
        assert_failed(ended, "InvalidPasswordError")
        assert "hunter2" not in ended.err

    async def test_no_such_database(self, run: Run, postgres: Postgres) -> None:
        assert_failed(await run("migrate", DATABASE_URL=postgres.dsn("nowhere")), '"nowhere" does not exist')

    async def test_no_url(self, run: Run) -> None:
        assert_failed(await run("migrate", DATABASE_URL="db.internal"), "DATABASE_URL")

    async def test_serve_asks_for_it(self, run: Run, fresh: str) -> None:
        settings = {"REDIS_URL": "redis://127.0.0.1:9", "MODIFICATION_TOKEN_SECRET": SECRET}
        ended = await run("serve", DATABASE_URL=fresh, **settings)
        assert_failed(ended, "run medusa-grace migrate")


class TestServeAndWorker:
    async def test_serve_names_all_that_is_missing(self, run: Run) -> None:
        assert_failed(await run("serve"), "DATABASE_URL", "REDIS_URL", "MODIFICATION_TOKEN_SECRET")

    @pytest.mark.parametrize("key", ["", new_key()[0]], ids=["no key", "key"])
    async def test_serve_says_once_that_receipts_are_not_signed(
        self, run: Run, database: str, monkeypatch: pytest.MonkeyPatch, key: str
    ) -> None:
        monkeypatch.setattr(cli, "listen", lambda *_: None)
        settings = {"DATABASE_URL": database, "REDIS_URL": "redis://127.0.0.1:9", "MODIFICATION_TOKEN_SECRET": SECRET}
        with structlog.testing.capture_logs() as logs:
            ended = await run("serve", "--port", str(free_port()), RECEIPT_SIGNING_KEY=key, **settings)
        assert ended.code == 0
        said = [entry["setting"] for entry in logs if entry["event"] == "receipts.unsigned"]
        assert len(said) == (0 if key else 1)
        assert all("RECEIPT_SIGNING_KEY" in line for line in said)

    async def test_worker_names_all_that_is_missing(self, run: Run) -> None:
        names = ("MEDUSA_LOCKING", "DATABASE_URL", "REDIS_URL", "STRIPE_API_KEY", "MEDUSA_REDIS_URL")
        assert_failed(await run("worker"), *names)

    async def test_nobody_answers(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runtime, "_DATABASE_PATIENCE", 0)
        settings = {"REDIS_URL": "redis://127.0.0.1:9", "MODIFICATION_TOKEN_SECRET": SECRET}
        ended = await run("serve", DATABASE_URL="postgres://grace:hunter2@127.0.0.1:9/shop", **settings)
        assert ended.code == 1
        assert "medusa-grace: DATABASE_URL: cannot connect: ConnectionRefusedError" in ended.err
        assert "hunter2" not in ended.err

    async def test_medusas_tables_are_missing(self, run: Run, database: str, conn: asyncpg.Connection) -> None:
        """The message names the statements, and what they miss."""
        await conn.execute("alter table payment drop column captured_at")
        settings = {"REDIS_URL": "redis://127.0.0.1:9", "MODIFICATION_TOKEN_SECRET": SECRET}
        ended = await run("serve", DATABASE_URL=database, **settings)
        assert ended.code == 1
        assert "order_facts" in ended.err
        assert "column p.captured_at does not exist" in ended.err
        assert "Traceback" not in ended.err


def test_as_a_program() -> None:
    """The installed script, in a process of its own: nothing on standard output, no traceback."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    script = [sys.executable, "-m", "app.cli"]
    done = subprocess.run([*script, "serve"], env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert_failed(
        Ended(done.returncode, done.stdout, done.stderr), "DATABASE_URL", "REDIS_URL", "MODIFICATION_TOKEN_SECRET"
    )
