"""What the commands of ``medusa-grace`` do. Each imports what it needs when it runs: ``--help`` and ``token`` load
neither the server nor the worker."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import threading
from argparse import Namespace
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.operator_error import OperatorError

if TYPE_CHECKING:
    from app.settings import Settings


class CommandError(OperatorError):
    """What went wrong with a command."""


def _serve(options: Namespace) -> int:
    import structlog

    from app.main import check_database
    from app.meters import count_across_processes
    from app.runtime import check_backend
    from app.server import listen
    from app.settings import read_settings
    from app.settings_table import Role
    from plugins.medusa_bridge import try_backend

    settings = read_settings(os.environ, Role.SERVE)
    _begin(settings)
    asyncio.run(check_database(settings))
    if settings.medusa_backend_url is not None:
        asyncio.run(check_backend(settings.medusa_backend_url, None, try_backend))
    _check_port("--host, --port", options.host, options.port)
    if not settings.receipt_signing_keys:
        structlog.get_logger(__name__).warning(
            "receipts.unsigned", setting="RECEIPT_SIGNING_KEY is not set: receipts are served without a JWS"
        )
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


def _worker(_: Namespace) -> int:
    from app.settings import read_settings
    from app.settings_table import Role
    from workers.main import check_accounts, run_worker

    settings = read_settings(os.environ, Role.WORKER)
    _begin(settings)
    asyncio.run(check_accounts(settings))
    run_worker(settings)
    return 0


def _begin(settings: Settings) -> None:
    """Log what is unwise. A SIGTERM that comes before anything is served ends the process, and is no failure: look-ups
    of names, which go on in threads, are not waited for."""
    import structlog

    from app.logs import configure_logs

    configure_logs(settings.log_level)
    for warning in settings.warnings:
        structlog.get_logger(__name__).warning("settings.unwise", detail=warning)
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


def _migrate(options: Namespace) -> int:
    import asyncpg

    from app.roles import grant_role, print_grants
    from app.settings import read_migration_settings
    from app.store.migrate import drop_old_functions, migrate, renew_installation

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
        done = [f"applied {name}" for name in asyncio.run(migrate(dsn))]
    except asyncpg.InsufficientPrivilegeError as error:
        raise CommandError(f"this role may not migrate ({error}): migrate as the owner of Medusa's tables") from error
    if options.new_installation:
        done.append(f"this is installation {asyncio.run(renew_installation(dsn))} now: start serve and worker again")
    if options.revoke:
        done += asyncio.run(drop_old_functions(dsn))
    if role is not None:
        done += asyncio.run(grant_role(dsn, role, password=settings.role_password, revoke=options.revoke))
    print("\n".join(done) or "nothing to do")  # noqa: T201
    return 0


def _reach_shop(dsn: str) -> None:
    """Raise ``CommandError`` with the setting's name where the database cannot be reached, ``NoShop`` where it is not
    Medusa's."""
    import asyncpg

    from app.roles import check_shop

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


def _doctor(options: Namespace) -> int:
    from app.doctor import run_doctor
    from app.logs import configure_logs

    configure_logs("CRITICAL")
    return run_doctor(os.environ, ask_stripe=options.stripe, as_json=options.json)


def _uninstall(options: Namespace) -> int:
    from app.settings import read_migration_settings
    from app.uninstall import Plan, run_uninstall

    dsn = read_migration_settings(os.environ).database_url
    _reach_shop(dsn)
    plan = Plan(
        confirmed=options.yes,
        role=options.role,
        json_file=None if options.json is None else Path(options.json),
        wait=timedelta(seconds=options.wait),
        abandon_open_work=options.abandon_open_work,
    )
    return asyncio.run(run_uninstall(dsn, plan))


def _demo(_: Namespace) -> int:
    from app.embedded.demo import run_demo

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    return run_demo()


def _up(_: Namespace) -> int:
    from app.embedded.up import run_up

    return run_up()


def _token(options: Namespace) -> int:
    from app.environment import Environment
    from app.http.tokens import mint
    from app.settings_table import MODIFICATION_TOKEN_SECRET

    environment = Environment(os.environ)
    need = "the secret that signs modification tokens"
    secrets = environment.read(MODIFICATION_TOKEN_SECRET, need=need)
    if environment.problems:
        raise CommandError("\n".join(environment.problems))
    print(mint(options.order_id, secrets[0], valid_for=timedelta(seconds=options.valid_for)))  # noqa: T201
    return 0


def _receipt_key(_: Namespace) -> int:
    from app.receipts import print_new_key

    return print_new_key()


def _verify_receipt(options: Namespace) -> int:
    from app.receipts import verify_receipt

    return verify_receipt(options.file, options.key)


COMMANDS: Final[Mapping[str, Callable[[Namespace], int]]] = {
    "serve": _serve,
    "worker": _worker,
    "migrate": _migrate,
    "doctor": _doctor,
    "uninstall": _uninstall,
    "demo": _demo,
    "up": _up,
    "token": _token,
    "receipt-key": _receipt_key,
    "verify-receipt": _verify_receipt,
}
"""By their names; each returns the exit code."""
