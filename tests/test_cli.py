"""``medusa-grace``: what it says, and how it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version

import asyncpg
import jwt
import pytest
import structlog

from app import cli, runtime
from app.embedded.postgres import Postgres
from app.embedded.processes import free_port
from app.embedded.shop import create_tables
from app.gateways.receipt_keys import new_key
from app.http.tokens import AUDIENCE, TokenVerifier
from app.main import check_database
from app.ports import TokenRejected
from app.settings import read_settings
from app.settings_table import Role
from tests.world import as_role

SECRET = "7f3k9q2m5x8r1v6z"
ORDER = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
OF_THE_ROLE = "a-password-of-the-tests"
COMMANDS = {
    "serve": "answer POST /store/orders/{id}/cancel",
    "worker": "capture, void, refund, release and publish",
    "migrate": 'create or upgrade schema "grace"',
    "token": "print a modification token",
    "receipt-key": "print a new key pair",
    "verify-receipt": "check a receipt of a cancellation; offline",
    "doctor": "broken promises",
    "uninstall": 'then remove schema "grace"',
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
    "uninstall": "Changes nothing without --yes",
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


@dataclass(frozen=True)
class Owned:
    """A database by its owner's address, and the name of a role that does not exist yet."""

    url: str
    role: str


Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command in this process; settings by their names."""
    for name in os.environ:
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setattr("app.logs.configure_logs", lambda _: None)  # tests keep their own

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
        ("token", ORDER, "--valid-for", "1y"),
        ("token", ORDER, "--valid-for", "-1d"),
        ("token", ORDER, "--valid-for", "1.5h"),
        ("token", ORDER, "--valid-for", "53w"),
        ("token", ""),
        ("token", "1001"),
        ("token", "cart_01M82MGPYYHGSM41XBR1GMBMVJ"),
        ("token", "order_ 1"),
        ("serve", "--port", "65536"),
        ("serve", "--port", "-1"),
        ("serve", "--processes", "0"),
        ("serve", "--host", ""),
        ("serve", "--host", "a..b"),
        ("serve", "--host", "http://x"),
        ("migrate", "now"),
        ("migrate", "--grants", ""),
        ("uninstall", "now"),
        ("uninstall", "--role", ""),
        ("uninstall", "--wait", "soon"),
    ],
    ids=" ".join,
)
async def test_a_wrong_call(run: Run, arguments: tuple[str, ...]) -> None:
    ended = await run(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("usage: medusa-grace")
    assert "Traceback" not in ended.err


async def test_version(run: Run) -> None:
    ended = await run("--version")
    assert ended == Ended(0, f"medusa-grace {version('medusa-grace')}\n", "")
    assert "--version" in (await run("--help")).out


class TestToken:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("14d", 1_209_600), ("2w", 1_209_600)],
    )
    async def test_valid_for_a_time_with_its_unit(self, run: Run, text: str, seconds: int) -> None:
        secret = 2 * SECRET
        ended = await run("token", ORDER, "--valid-for", text, MODIFICATION_TOKEN_SECRET=secret)
        claims = jwt.decode(ended.out.strip(), secret, algorithms=["HS256"], audience=AUDIENCE)
        assert claims["exp"] - claims["iat"] == seconds

    async def test_a_time_that_is_none_is_told_what_is_expected(self, run: Run) -> None:
        ended = await run("token", ORDER, "--valid-for", "fortnight")
        assert "expected seconds, or a number with s, m, h, d or w, such as 14d" in ended.err

    async def test_an_id_of_no_order_is_told_what_is_expected(self, run: Run) -> None:
        """The number that shoppers know is signed as readily, and opens nothing."""
        ended = await run("token", "#1001", MODIFICATION_TOKEN_SECRET=SECRET)
        assert (ended.code, ended.out) == (2, "")
        assert "'#1001' is no id of an order" in ended.err
        assert ORDER in ended.err

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

    @pytest.fixture
    async def owned(self, empty: str, postgres: Postgres) -> AsyncIterator[Owned]:
        """Medusa's tables in a database of a role that is no superuser, as on a managed Postgres."""
        owner, role = f"owner_{os.getpid()}", f"grace_{os.getpid()}"
        admin = await asyncpg.connect(postgres.dsn())
        await admin.execute(
            f"create role {owner} login createrole password '{OF_THE_ROLE}'; alter database of_the_cli owner to {owner}"
        )
        url = f"postgresql://{owner}:{OF_THE_ROLE}@{empty.rpartition('@')[2]}"
        conn = await asyncpg.connect(url)
        await create_tables(conn)
        await conn.close()
        yield Owned(url, role)
        inside = await asyncpg.connect(empty)
        for name in (role, owner):
            if await inside.fetchval("select 1 from pg_roles where rolname = $1", name):
                await inside.execute(f"drop owned by {name} cascade")
        await inside.close()
        await admin.execute("alter database of_the_cli owner to current_user")
        await admin.execute(f"drop role if exists {role}; drop role {owner}")
        await admin.close()

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

    async def test_uninstall_of_a_database_without_medusa_says_so_first(self, run: Run, empty: str) -> None:
        assert_failed(await run("uninstall", "--yes", DATABASE_URL=empty), 'database of_the_cli has no table "order"')

    async def test_uninstall_removes_what_migrate_made(self, run: Run, owned: Owned) -> None:
        await run("migrate", "--grants", owned.role, DATABASE_URL=owned.url)
        looked = await run("uninstall", "--role", owned.role)
        assert (looked.code, looked.err) == (0, "")
        assert "dry run: nothing was changed" in looked.out
        ended = await run("uninstall", "--role", owned.role, "--yes")
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.endswith(f"removed schema grace of database of_the_cli and role {owned.role}\n")
        assert await run("uninstall") == Ended(0, "nothing to remove: the database has no schema grace\n", "")

    @pytest.mark.parametrize(
        ("grant", "expected"),
        [
            ("", "migrates_not may not read "),
            ("grant pg_read_all_data to migrates_not", "this role may not migrate (permission denied for database"),
        ],
    )
    async def test_a_role_that_may_not_migrate_is_told_who_may(
        self, run: Run, fresh: str, grant: str, expected: str
    ) -> None:
        conn = await asyncpg.connect(fresh)
        await conn.execute(f"create role migrates_not login password 'of-the-tests'; {grant}")
        try:
            ended = await run("migrate", DATABASE_URL=as_role(fresh, "migrates_not", "of-the-tests"))
        finally:
            await conn.execute("drop role migrates_not")
            await conn.close()
        assert_failed(ended, expected)
        assert ended.err.endswith(": migrate as the owner of Medusa's tables\n")

    async def test_a_table_of_ours_that_is_gone_is_no_matter_of_rights(self, run: Run, database: str) -> None:
        """Everybody may read what is not there: grants would mend nothing."""
        conn = await asyncpg.connect(database)
        await conn.execute("drop table grace.jobs cascade")
        await conn.close()
        settings = {"REDIS_URL": "redis://127.0.0.1:9", "MODIFICATION_TOKEN_SECRET": SECRET}
        ended = await run("serve", DATABASE_URL=database, **settings)
        assert "medusa-grace: schema grace lacks what its migrations made: restore it" in ended.err
        assert "--grants" not in ended.err

    async def test_a_role_that_may_not_look(self, run: Run, database: str) -> None:
        conn = await asyncpg.connect(database)
        await conn.execute("create role looks_not login password 'of-the-tests'")
        try:
            ended = await run("doctor", DATABASE_URL=as_role(database, "looks_not", "of-the-tests"))
        finally:
            await conn.execute("drop role looks_not")
            await conn.close()
        assert ended.code == 2
        assert "medusa-grace: DATABASE_URL: this role may not look (permission denied " in ended.err
        assert "run medusa-grace migrate --grants ROLE" in ended.err

    async def test_what_answers_there_is_no_postgres(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        async def wait(_: str) -> None:
            raise TimeoutError

        monkeypatch.setattr("app.roles.check_shop", wait)
        ended = await run("migrate", DATABASE_URL="postgres://grace:x@127.0.0.1:9/shop")
        assert_failed(ended, "DATABASE_URL: cannot connect: TimeoutError: no answer within 10 s: expected a Postgres")

    @pytest.mark.parametrize("command", ["serve", "doctor"])
    async def test_what_a_database_is_not_is_said_first(self, run: Run, empty: str, command: str) -> None:
        """It was said to lack our migrations, which ``migrate`` would not have made there."""
        settings = {"REDIS_URL": "redis://127.0.0.1:9", "MODIFICATION_TOKEN_SECRET": SECRET}
        ended = await run(command, DATABASE_URL=empty, **settings)
        assert ended.code == (2 if command == "doctor" else 1)
        [line] = [line for line in ended.err.splitlines() if line.startswith("medusa-grace: ")]
        assert 'database of_the_cli has no table "order"' in line
        assert "it must be Medusa's database" in line

    async def test_through_a_pooler_it_asks_for_another_way(self, run: Run, fresh: str) -> None:
        ended = await run("migrate", DATABASE_URL=fresh, DATABASE_POOLER="transaction")
        assert_failed(ended, "MIGRATION_DATABASE_URL is missing: migrations need Postgres itself")

    async def test_its_own_way_comes_first(self, run: Run, fresh: str) -> None:
        nowhere = "postgres://grace@127.0.0.1:9/shop"
        ended = await run("migrate", DATABASE_URL=nowhere, MIGRATION_DATABASE_URL=fresh, DATABASE_POOLER="transaction")
        assert "applied 0001_jobs\n" in ended.out

    async def test_what_is_printed_is_all_that_a_new_role_needs(self, run: Run, owned: Owned) -> None:
        """As docs/install.md says: migrate, then the SQL, run by the owner of Medusa's tables."""
        await run("migrate", MIGRATION_DATABASE_URL=owned.url)
        ended = await run("migrate", "--grants", owned.role, "--print", GRACE_ROLE_PASSWORD=OF_THE_ROLE)
        assert (ended.code, ended.err) == (0, "")
        assert OF_THE_ROLE not in ended.out
        assert ";;" not in ended.out
        conn = await asyncpg.connect(owned.url)
        assert await conn.fetchval("select count(*) from pg_roles where rolname = $1", owned.role) == 0
        for _ in range(2):
            await conn.execute(ended.out)
        await conn.close()
        await self.starts(run, owned)

    async def test_migrate_alone_does_the_same(self, run: Run, owned: Owned) -> None:
        settings = {"MIGRATION_DATABASE_URL": owned.url, "GRACE_ROLE_PASSWORD": OF_THE_ROLE}
        ended = await run("migrate", "--grants", owned.role, **settings)
        assert (ended.code, ended.err) == (0, "")
        await self.starts(run, owned)

    async def starts(self, run: Run, owned: Owned) -> None:
        """With the settings of docs/install.md, as the role; of the answers one is that of Redis, which is away."""
        url = f"postgresql://{owned.role}:{OF_THE_ROLE}@{owned.url.rpartition('@')[2]}"
        settings = read_settings(
            {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:9", "MODIFICATION_TOKEN_SECRET": SECRET}, Role.SERVE
        )
        await check_database(settings)

    async def test_without_a_password_it_says_how_to_set_one(self, run: Run, owned: Owned) -> None:
        await run("migrate", MIGRATION_DATABASE_URL=owned.url)
        ended = await run("migrate", "--grants", owned.role, "--print")
        assert ended.out.startswith("-- To be run as the owner of Medusa's tables, who needs CREATEROLE")
        said = "-- GRACE_ROLE_PASSWORD is not set, so no password is. In psql: \\password"
        assert ended.out.endswith(f"{said} {owned.role}\n")

    async def test_nothing_is_printed_before_migrate(self, run: Run, fresh: str) -> None:
        """It would lack the rights to tables that are not there yet."""
        ended = await run("migrate", "--grants", "grace", "--print", DATABASE_URL=fresh)
        assert_failed(ended, "run medusa-grace migrate first")

    async def test_a_password_that_only_an_administrator_may_set(
        self, run: Run, owned: Owned, postgres: Postgres
    ) -> None:
        admin = await asyncpg.connect(postgres.dsn())
        await admin.execute(f"create role {owned.role} login")
        await admin.close()
        settings = {"MIGRATION_DATABASE_URL": owned.url, "GRACE_ROLE_PASSWORD": OF_THE_ROLE}
        ended = await run("migrate", "--grants", owned.role, **settings)
        assert_failed(ended, f"may not set the password of role {owned.role}: set it as an administrator")

    @pytest.mark.parametrize("option", ["--revoke", "--new-installation"])
    async def test_print_changes_nothing(self, run: Run, option: str) -> None:
        nowhere = "postgres://127.0.0.1:9/shop"
        ended = await run("migrate", "--grants", "grace", "--print", option, DATABASE_URL=nowhere)
        assert_failed(ended, "--print goes with --grants alone")

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
        monkeypatch.setattr("app.server.listen", lambda *_: None)
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
        assert "read_order_v1" in ended.err
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
