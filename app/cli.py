"""``medusa-grace``: serve, worker, migrate, token, receipt-key, verify-receipt, doctor, demo, up."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import socket
import sys
import tempfile
import threading
from datetime import timedelta
from importlib.metadata import version
from typing import Final

import asyncpg
import structlog

from app.doctor import run_doctor
from app.embedded.demo import run_demo
from app.embedded.processes import EmbeddedServerError
from app.embedded.up import run_up
from app.environment import Environment
from app.http.tokens import mint
from app.logs import configure_logs
from app.main import check_database
from app.meters import count_across_processes
from app.network_address import AddressError, check_host
from app.receipts import print_new_key, verify_receipt
from app.runtime import NotReady, check_backend
from app.server import listen
from app.settings import Settings, SettingsError, read_migration_settings, read_settings
from app.settings_table import MODIFICATION_TOKEN_SECRET, Role, listed
from app.store.functions import FunctionError
from app.store.grants import GrantError
from app.store.migrate import MigrationError, migrate, renew_installation
from plugins.medusa_bridge import (
    FUNCTIONS,
    NoShop,
    NotMigrated,
    SchemaMismatch,
    check_shop,
    grant_role,
    print_grants,
    try_backend,
)
from workers.main import check_accounts, run_worker

log = structlog.get_logger()

_LONGEST_TOKEN: Final = 366 * 86400
_SECONDS_OF: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LIFETIME: Final = re.compile(r"([0-9]{1,12})([smhdw]?)")
_AN_ORDER: Final = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
_ORDER_ID: Final = re.compile(r"order_[0-9A-Za-z_-]{1,80}")


class CommandError(Exception):
    """What went wrong, in one or more lines for the person at the terminal."""


_FOR_A_PERSON: Final = (
    CommandError,
    SettingsError,
    NotReady,
    SchemaMismatch,
    NoShop,
    NotMigrated,
    MigrationError,
    FunctionError,
    GrantError,
    EmbeddedServerError,
)
"""Their messages say what to do; a traceback would not."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Ends the process with 0, with 1 and a message, or with 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    try:
        sys.exit(options.run(options))
    except _FOR_A_PERSON as error:
        for line in str(error).splitlines():
            print(f"medusa-grace: {line}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"medusa-grace: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medusa-grace",
        description="Order cancellation during the grace period, beside an unchanged Medusa v2 shop. "
        "Settings come from the environment; docs/configuration.md has the table.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('medusa-grace')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="answer POST /store/orders/{id}/cancel",
        description="Answers the store route and Stripe's webhooks. Needs DATABASE_URL, REDIS_URL and "
        "MODIFICATION_TOKEN_SECRET (or MODIFICATION_TOKEN_PUBLIC_KEY). Stops on SIGTERM when requests have ended.",
        epilog="Each of --processes serves from one core, on DATABASE_POOL_SIZE connections. " + listed(Role.SERVE),
    )
    serve.add_argument("--host", type=_host, default="127.0.0.1", help="address to listen on (default %(default)s)")
    serve.add_argument("--port", type=_port, default=9100, help="port to listen on (default %(default)s)")
    serve.add_argument("--processes", type=_positive, default=1, help="API processes (default %(default)s)")
    serve.set_defaults(run=_serve)

    worker = commands.add_parser(
        "worker",
        help="capture, void, refund, release and publish; run any number",
        description="Does what orders and cancellations have left to do. Run as many as you like, anywhere. Needs "
        "DATABASE_URL, REDIS_URL, STRIPE_API_KEY, MEDUSA_LOCKING and what that asks for. "
        "Ends its running jobs on SIGTERM.",
        epilog="One process does WORKER_THREADS jobs concurrently, on DATABASE_POOL_SIZE connections. For more, raise "
        "the first or start another worker. METRICS_LISTEN answers probes. " + listed(Role.WORKER),
    )
    worker.set_defaults(run=_worker)

    upgrade = commands.add_parser(
        "migrate",
        help='create or upgrade schema "grace" in DATABASE_URL',
        description='Creates or upgrades schema "grace", while older processes go on working. Medusa\'s own tables are '
        "not touched. Safe to repeat. Reads MIGRATION_DATABASE_URL (else DATABASE_URL): Postgres itself, not a pooler, "
        "as the owner of Medusa's tables.",
        epilog=listed(Role.MIGRATE),
    )
    upgrade.add_argument(
        "--new-installation",
        action="store_true",
        help="also give this database an id of its own, after which its processes are to be started again: for a copy "
        "of a shop (staging, a restored backup) that shares a Redis with the original. Nothing is lost by it",
    )
    upgrade.add_argument(
        "--grants",
        type=_role,
        metavar="ROLE",
        help="also create ROLE if need be, and give it just the rights that serve and worker need; what it has beyond "
        "them is revoked, save what versions before may still need (see --revoke). GRACE_ROLE_PASSWORD, when set, "
        "becomes its password",
    )
    upgrade.add_argument(
        "--print",
        dest="only_print",
        action="store_true",
        help="with --grants: print the SQL that does so, and change nothing. Run migrate without it before",
    )
    upgrade.add_argument(
        "--revoke",
        action="store_true",
        help="with --grants: also revoke what only processes of versions before need (to read whole tables of "
        "Medusa's). Run it when none of them runs any more",
    )
    upgrade.set_defaults(run=_migrate)

    doctor = commands.add_parser(
        "doctor",
        help="look at a live shop for broken promises; writes nothing",
        description="Compares Medusa's rows, our own and (with STRIPE_API_KEY) Stripe's, and names broken promises "
        "with their orders: money held or kept on canceled orders, holds about to lapse, stock reserved for nobody, "
        "jobs that are stuck or dead, missing columns and indexes, grants that are too wide. Open incidents and late "
        "jobs are counted, and are no findings; tables without statistics are named. Writes nothing at all.",
        epilog="Exit code: 0 nothing found, 1 something found, 2 could not look. " + listed(Role.DOCTOR),
    )
    doctor.add_argument("--json", action="store_true", help="print JSON instead of a table")
    doctor.add_argument(
        "--stripe",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="ask Stripe about the intents of canceled orders and of orders of the last 8 days "
        "(default: when STRIPE_API_KEY is set)",
    )
    doctor.set_defaults(run=_doctor)

    demo = commands.add_parser(
        "demo",
        help="play the main job on embedded servers, in some ten seconds",
        description="Starts Postgres, Valkey, a Stripe sandbox and a small shop of its own, plays six orders and "
        "prints what became of each. Settings are not read. Exit code: 0 when each came out as promised, else 1.",
    )
    demo.set_defaults(run=_demo)

    up = commands.add_parser(
        "up",
        help="start everything, embedded, and print a curl line that cancels an order",
        description="As demo, but stays up until Ctrl-C with an API, a worker and a few orders.",
        epilog=listed(Role.UP),
    )
    up.set_defaults(run=_up)

    token = commands.add_parser(
        "token",
        help="print a modification token for an order",
        description="Prints a token that allows one order to be canceled, signed with the first secret of "
        "MODIFICATION_TOKEN_SECRET.",
    )
    token.add_argument("order_id", type=_order_id, metavar="ORDER_ID", help=f"such as {_AN_ORDER}")
    token.add_argument(
        "--valid-for",
        type=_lifetime,
        default=3600,
        metavar="TIME",
        help="seconds, or a number with s, m, h, d or w, such as 14d (default 1h, a year at most)",
    )
    token.set_defaults(run=_token)

    receipt_key = commands.add_parser(
        "receipt-key",
        help="print a new key pair for receipts of cancellations",
        description="Prints a new Ed25519 key pair as PEM: the private key for RECEIPT_SIGNING_KEY, then the public "
        "key, which verify-receipt takes. Nothing is stored, and no setting is read.",
    )
    receipt_key.set_defaults(run=lambda _: print_new_key())

    verify = commands.add_parser(
        "verify-receipt",
        help="check a receipt of a cancellation; offline",
        description="Prints what a receipt attests, if it was signed with the private key of KEY. Takes the JSON of "
        "GET /store/orders/{id}/cancellation, its page as it was saved, or the JWS alone. What "
        "a page or a text shows must be what was signed, and nothing besides. No setting is read.",
        epilog="Exit code: 0 valid, 1 not valid (it says why), 2 could not look.",
    )
    verify.add_argument("file", metavar="FILE", help="the receipt; - reads standard input")
    verify.add_argument(
        "--key", required=True, metavar="KEY", help="public key (PEM), or JWK set of GET /store/cancellation-keys"
    )
    verify.set_defaults(run=lambda options: verify_receipt(options.file, options.key))
    return parser


def _serve(options: argparse.Namespace) -> int:
    settings = read_settings(os.environ, Role.SERVE)
    configure_logs(settings.log_level)
    _log_warnings(settings)
    _end_quietly()
    asyncio.run(check_database(settings))
    if settings.medusa_backend_url is not None:
        asyncio.run(check_backend(settings.medusa_backend_url, None, try_backend))
    _check_port("--host, --port", options.host, options.port)
    if not settings.receipt_signing_keys:
        log.warning("receipts.unsigned", setting="RECEIPT_SIGNING_KEY is not set: receipts are served without a JWS")
    if settings.watch.metrics_listen is not None:
        _check_port("METRICS_LISTEN", *settings.watch.metrics_listen)
        if options.processes > 1 and settings.watch.metrics_dir is None:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the folder is removed
            with tempfile.TemporaryDirectory(prefix="grace-metrics-") as folder:
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
                count_across_processes()
                listen(options.host, options.port, options.processes, settings)
                return 0
    listen(options.host, options.port, options.processes, settings)
    return 0


def _log_warnings(settings: Settings) -> None:
    for warning in settings.warnings:
        log.warning("settings.unwise", detail=warning)


def _end_quietly() -> None:
    """A SIGTERM that comes while nobody is served yet ends the process, and is no failure. Look-ups of names, which
    go on in threads, are not waited for."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def _check_port(name: str, host: str, port: int) -> None:
    """Two servers could share a port, and a forgotten one would answer a part of the requests with its old settings."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, ValueError) as error:  # a host with an empty label is a UnicodeError
        shown = f"[{host}]" if ":" in host else host
        message = f"{name}: cannot listen on {shown}:{port}: {error}"
        raise CommandError(message) from error


def _worker(_: argparse.Namespace) -> int:
    settings = read_settings(os.environ, Role.WORKER)
    configure_logs(settings.log_level)
    _log_warnings(settings)
    _end_quietly()
    asyncio.run(check_accounts(settings))
    run_worker(settings)
    return 0


def _migrate(options: argparse.Namespace) -> int:
    settings = read_migration_settings(os.environ)
    dsn, role = settings.database_url, options.grants
    if options.revoke and role is None:
        raise CommandError("--revoke needs --grants ROLE: it takes rights from that role")
    if options.only_print and role is None:
        raise CommandError("--print needs --grants ROLE: it prints that role's grants")
    if options.only_print and (options.revoke or options.new_installation):
        raise CommandError("--print goes with --grants alone: it changes nothing")
    _reach_shop(dsn)
    if options.only_print:
        _print_sql(role, asyncio.run(print_grants(dsn, role, settings.role_password)), settings.role_password)
        return 0
    try:
        done = [f"applied {name}" for name in asyncio.run(migrate(dsn, FUNCTIONS))]
    except asyncpg.InsufficientPrivilegeError as error:
        raise CommandError(f"this role may not migrate ({error}): migrate as the owner of Medusa's tables") from error
    if options.new_installation:
        done.append(f"this is installation {asyncio.run(renew_installation(dsn))} now: start serve and worker again")
    if role is not None:
        done += asyncio.run(grant_role(dsn, role, password=settings.role_password, revoke=options.revoke))
    print("\n".join(done) or "nothing to do")  # noqa: T201
    return 0


def _reach_shop(dsn: str) -> None:
    """Raise ``CommandError`` with the setting's name where the database cannot be reached, ``NoShop`` where it is not
    Medusa's."""
    try:
        asyncio.run(check_shop(dsn))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        name = "MIGRATION_DATABASE_URL" if os.environ.get("MIGRATION_DATABASE_URL", "").strip() else "DATABASE_URL"
        reason = str(error) or "no answer within 10 s: expected a Postgres there"
        raise CommandError(f"{name}: cannot connect: {type(error).__name__}: {reason}") from error


def _print_sql(role: str, statements: list[str], password: str | None) -> None:
    print("-- To be run as the owner of Medusa's tables, who needs CREATEROLE where the role does not exist yet.")  # noqa: T201
    for text in statements:
        print(text if text.startswith("--") else f"{text};")  # noqa: T201
    if password is None:
        print(f"-- GRACE_ROLE_PASSWORD is not set, so no password is. In psql: \\password {role}")  # noqa: T201


def _doctor(options: argparse.Namespace) -> int:
    configure_logs("CRITICAL")
    return run_doctor(os.environ, ask_stripe=options.stripe, as_json=options.json)


def _demo(_: argparse.Namespace) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    return run_demo()


def _up(_: argparse.Namespace) -> int:
    return run_up()


def _token(options: argparse.Namespace) -> int:
    environment = Environment(os.environ)
    need = "the secret that signs modification tokens"
    secrets = environment.read(MODIFICATION_TOKEN_SECRET, need=need)
    if environment.problems:
        raise CommandError("\n".join(environment.problems))
    print(mint(options.order_id, secrets[0], valid_for=timedelta(seconds=options.valid_for)))  # noqa: T201
    return 0


def _port(text: str) -> int:
    number = _positive(text)
    if number > 65535:
        message = f"{text} is not a port: expected 1 to 65535"
        raise argparse.ArgumentTypeError(message)
    return number


def _host(text: str) -> str:
    try:
        check_host(f"[{text}]" if ":" in text else text, "an address of this machine, such as 127.0.0.1 or ::")
    except AddressError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from error
    return text


def _role(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty: expected the role of the processes, such as grace")
    return text


def _lifetime(text: str) -> int:
    """Seconds, or a number with its unit, as jsonwebtoken's ``expiresIn`` has it."""
    match = _LIFETIME.fullmatch(text)
    seconds = int(match[1]) * _SECONDS_OF[match[2]] if match else 0
    if seconds < 1:
        message = f"{text!r} is no time above 0: expected seconds, or a number with s, m, h, d or w, such as 14d"
        raise argparse.ArgumentTypeError(message)
    if seconds > _LONGEST_TOKEN:
        message = f"{text} is too long: expected at most {_LONGEST_TOKEN // 86400}d, a year"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _order_id(text: str) -> str:
    if _ORDER_ID.fullmatch(text) is None:
        message = f"{text!r} is no id of an order: expected the one in Medusa's admin and API, such as {_AN_ORDER}"
        raise argparse.ArgumentTypeError(message)
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        message = f"{text!r} is not a whole number above 0"
        raise argparse.ArgumentTypeError(message)
    return int(text)


if __name__ == "__main__":
    main()
