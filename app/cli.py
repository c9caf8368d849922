"""``medusa-grace``: serve, worker, migrate, token, receipt-key, verify-receipt, doctor, uninstall, demo, up."""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import version
from typing import Any, Final

from app.network_address import AddressError, check_host
from app.operator_error import OperatorError

_LONGEST_TOKEN: Final = 366 * 86400
_SECONDS_OF: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LIFETIME: Final = re.compile(r"([0-9]{1,12})([smhdw]?)")
_AN_ORDER: Final = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
_ORDER_ID: Final = re.compile(r"order_[0-9A-Za-z_-]{1,80}")


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Ends the process with 0, with 1 and a message, or with 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    from app.commands import COMMANDS

    try:
        code = COMMANDS[options.command](options)
    except OperatorError as error:
        for line in str(error).splitlines():
            print(f"medusa-grace: {line}", file=sys.stderr)  # noqa: T201
        code = 1
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if not _is_of_the_surroundings(error):
            raise
        print(f"medusa-grace: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        code = 1
    sys.exit(code)


def _is_of_the_surroundings(error: Exception) -> bool:
    """Whether a traceback would say no more than the message: of the system, or of the database."""
    import asyncpg

    return isinstance(error, OSError | asyncpg.PostgresError | asyncpg.InterfaceError)


class _Command(argparse.ArgumentParser):
    """A command's parser. Its help ends with the settings of its ``role``, which are read for nothing else."""

    def __init__(self, *, role: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._role = role

    def format_help(self) -> str:
        """See argparse."""
        if self._role is not None:
            from app.settings_table import Role, listed

            self.epilog = " ".join(filter(None, [self.epilog, listed(Role(self._role))]))
            self._role = None
        return super().format_help()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medusa-grace",
        description="Order cancellation during the grace period, beside an unchanged Medusa v2 shop. "
        "Settings come from the environment; docs/configuration.md has the table.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('medusa-grace')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=_Command)

    serve = commands.add_parser(
        "serve",
        help="answer POST /store/orders/{id}/cancel",
        description="Answers the store route and Stripe's webhooks. Needs DATABASE_URL, REDIS_URL and "
        "MODIFICATION_TOKEN_SECRET (or MODIFICATION_TOKEN_PUBLIC_KEY). Stops on SIGTERM when requests have ended.",
        epilog="Each of --processes serves from one core, on DATABASE_POOL_SIZE connections.",
        role="serve",
    )
    serve.add_argument("--host", type=_host, default="127.0.0.1", help="address to listen on (default %(default)s)")
    serve.add_argument("--port", type=_port, default=9100, help="port to listen on (default %(default)s)")
    serve.add_argument("--processes", type=_positive, default=1, help="API processes (default %(default)s)")

    commands.add_parser(
        "worker",
        help="capture, void, refund, release and publish; run any number",
        description="Does what orders and cancellations have left to do. Run as many as you like, anywhere. Needs "
        "DATABASE_URL, REDIS_URL, STRIPE_API_KEY, MEDUSA_LOCKING and what that asks for. "
        "Ends its running jobs on SIGTERM.",
        epilog="One process does WORKER_THREADS jobs concurrently, on DATABASE_POOL_SIZE connections. For more, raise "
        "the first or start another worker. METRICS_LISTEN answers probes.",
        role="worker",
    )

    upgrade = commands.add_parser(
        "migrate",
        help='create or upgrade schema "grace" in DATABASE_URL',
        description='Creates or upgrades schema "grace", while older processes go on working. Medusa\'s own tables are '
        "not touched. Safe to repeat. Reads MIGRATION_DATABASE_URL (else DATABASE_URL): Postgres itself, not a pooler, "
        "as the owner of Medusa's tables.",
        role="migrate",
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
        help="with --grants: also take away what only processes of versions before need: to read whole tables of "
        "Medusa's, and functions in schema grace that they alone call. Run it when none of them runs any more",
    )

    doctor = commands.add_parser(
        "doctor",
        help="look at a live shop for broken promises; writes nothing",
        description="Compares Medusa's rows, our own and (with STRIPE_API_KEY) Stripe's, and names broken promises "
        "with their orders: money held or kept on canceled orders, holds about to lapse, stock reserved for nobody, "
        "jobs that are stuck or dead, missing columns and indexes, grants that are too wide. Open incidents and late "
        "jobs are counted, and are no findings; tables without statistics are named. Writes nothing at all.",
        epilog="Exit code: 0 nothing found, 1 something found, 2 could not look.",
        role="doctor",
    )
    doctor.add_argument("--json", action="store_true", help="print JSON instead of a table")
    doctor.add_argument(
        "--stripe",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="ask Stripe about the intents of canceled orders and of orders of the last 8 days "
        "(default: when STRIPE_API_KEY is set)",
    )

    uninstall = commands.add_parser(
        "uninstall",
        help='hand over what is open, then remove schema "grace"',
        description="Names the authorizations that no other program would capture, waits for running jobs, and removes "
        'schema "grace". Medusa\'s own tables are not touched. Changes nothing without --yes, and refuses while voids, '
        "refunds or other jobs are open, a capture may have reached Stripe, or an incident is open. Reads "
        "MIGRATION_DATABASE_URL (else DATABASE_URL), as migrate does.",
        epilog="Exit code: 0 removed, or would be; 1 refused (it says why).",
    )
    uninstall.add_argument("--yes", action="store_true", help="remove it; without this it is a dry run")
    uninstall.add_argument(
        "--role",
        type=_role,
        metavar="ROLE",
        help="also drop ROLE, which migrate --grants made, and its rights. Refused where it owns anything",
    )
    uninstall.add_argument("--json", metavar="FILE", help="also write the list to FILE, before anything is removed")
    uninstall.add_argument(
        "--wait",
        type=_lifetime,
        default=60,
        metavar="TIME",
        help="with --yes: how long jobs that run or are due are waited for, such as 5m (default 1m)",
    )
    uninstall.add_argument(
        "--abandon-open-work",
        action="store_true",
        help="remove it although jobs or incidents are open: what is listed is then yours to end, at Stripe and in "
        "Medusa",
    )

    commands.add_parser(
        "demo",
        help="play the main job on embedded servers, in some ten seconds",
        description="Starts Postgres, Valkey, a Stripe sandbox and a small shop of its own, plays six orders and "
        "prints what became of each. Settings are not read. Exit code: 0 when each came out as promised, else 1.",
    )

    commands.add_parser(
        "up",
        help="start everything, embedded, and print a curl line that cancels an order",
        description="As demo, but stays up until Ctrl-C with an API, a worker and a few orders.",
        role="up",
    )

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

    commands.add_parser(
        "receipt-key",
        help="print a new key pair for receipts of cancellations",
        description="Prints a new Ed25519 key pair as PEM: the private key for RECEIPT_SIGNING_KEY, then the public "
        "key, which verify-receipt takes. Nothing is stored, and no setting is read.",
    )

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
    return parser


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
