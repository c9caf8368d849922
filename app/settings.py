"""Settings, named once. All come from the environment; a missing or bad one says so by its name."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from app.domain.reasons import CancelReason, parse_reasons
from app.ports import LateMoney, Policy
from app.telling import alert_key

E = TypeVar("E", bound=StrEnum)

MIN_SECRET: Final = 16
"""Characters. A shorter HMAC secret is refused."""
MIN_OPERATOR_SECRET: Final = 32
"""Characters. Whoever knows it may move money."""


_EXTRA: Final = "install medusa-grace[observability]"

_POSTGRES: Final = ("postgres", "postgresql")
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


class SettingsError(Exception):
    """One line per setting that is missing or wrong."""


class MedusaLocking(StrEnum):
    """Which locking module the shop's Medusa uses."""

    REDIS = "redis"
    POSTGRES = "postgres"
    MEMORY = "memory"


class MedusaEvents(StrEnum):
    """Whether the shop's Medusa has an event bus on Redis."""

    REDIS = "redis"
    OFF = "off"


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """How people and monitors hear of what goes on. All of it is off by default."""

    alert_webhook_url: str | None = None
    alert_webhook_secrets: tuple[str, ...] = ()
    sentry_dsn: str | None = None
    metrics_listen: tuple[str, int] | None = None
    metrics_dir: str | None = None
    """What prometheus_client itself reads, so that several processes count together."""
    traces: bool = False
    traces_lack_extra: bool = False
    """Asked for, perhaps of a whole cluster, and not installed here."""


class DatabasePooler(StrEnum):
    """What stands between us and Postgres."""

    NONE = "none"
    TRANSACTION = "transaction"


class MigrationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``migrate`` reads from the environment."""

    database_url: str
    role_password: str | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the processes read from the environment. See the table in the README."""

    database_url: str
    database_pooler: DatabasePooler
    redis_url: str
    stripe_api_key: str | None
    stripe_api_base: str | None
    stripe_webhook_secrets: tuple[str, ...]
    modification_token_secrets: tuple[str, ...]
    modification_token_public_key: str | None
    receipt_signing_keys: tuple[str, ...]
    medusa_jwt_secret: str | None
    medusa_backend_url: str | None
    medusa_redis_url: str | None
    medusa_secret_api_key: str | None
    medusa_locking: MedusaLocking | None
    medusa_events: MedusaEvents
    store_cors: str
    admin_cors: str
    operator_session_secrets: tuple[str, ...]
    policy: Policy
    rate_limit_per_order: int
    rate_limit_per_address: int
    trusted_proxies: tuple[str, ...]
    database_pool_size: int
    worker_threads: int
    log_level: str
    watch: Watch


class Role(StrEnum):
    """Which process reads the settings: each needs its own."""

    SERVE = "serve"
    WORKER = "worker"


class _Reader:
    """Reads one setting at a time and collects what is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str, *, need: str | None = None) -> str | None:
        value = self._environ.get(name, "").strip()
        if value:
            return value
        if need is not None:
            self.problems.append(f"{name} is missing: {need}")
        return None

    def url(self, name: str, schemes: tuple[str, ...], *, need: str | None = None) -> str | None:
        value = self.text(name, need=need)
        if value is not None and not _is_url(value, schemes):
            self.problems.append(f"{name} is not a URL that begins with {' or '.join(s + '://' for s in schemes)}")
        return value

    def seconds(self, name: str, default: str, *, least: Decimal, most: Decimal) -> timedelta:
        value = self.text(name) or default
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not (number.is_finite() and least <= number <= most):
            self.problems.append(f"{name} is {value!r}: expected a number of seconds from {least} to {most}")
            return timedelta(0)
        return timedelta(seconds=float(number))

    def count(self, name: str, default: int, *, least: int, most: int) -> int:
        value = self.text(name) or str(default)
        if not value.isdecimal() or not least <= int(value) <= most:
            self.problems.append(f"{name} is {value!r}: expected a whole number from {least} to {most}")
            return default
        return int(value)

    def choice(self, name: str, kind: type[E], default: E | None, *, need: str | None = None) -> E | None:
        value = self.text(name, need=need)
        if value is None:
            return default
        try:
            return kind(value)
        except ValueError:
            self.problems.append(f"{name} is {value!r}: expected one of {', '.join(kind)}")
            return default


def read_settings(environ: Mapping[str, str], role: Role) -> Settings:
    """The settings for a process of ``role``. Raises ``SettingsError`` naming all that is missing or wrong."""
    reader = _Reader(environ)
    working = role is Role.WORKER
    locking = reader.choice(
        "MEDUSA_LOCKING",
        MedusaLocking,
        None,
        need="which locking module your Medusa uses: redis, postgres or memory (memory is Medusa's own default)"
        if working
        else None,
    )
    events = reader.choice("MEDUSA_EVENTS", MedusaEvents, MedusaEvents.REDIS) or MedusaEvents.REDIS
    needs_redis = working and (locking is MedusaLocking.REDIS or events is MedusaEvents.REDIS)
    needs_api = working and locking is MedusaLocking.MEMORY
    policy = Policy(
        grace_period=reader.seconds("GRACE_PERIOD_SECONDS", "3600", least=Decimal(1), most=Decimal(6 * 86400)),
        capture_delay=reader.seconds("CAPTURE_DELAY_SECONDS", "30", least=Decimal(0), most=Decimal(86400)),
        void_wait=reader.seconds("VOID_WAIT_SECONDS", "3", least=Decimal(0), most=Decimal(30)),
        late_money=reader.choice("LATE_MONEY", LateMoney, LateMoney.ALERT) or LateMoney.ALERT,
        publishes_events=events is MedusaEvents.REDIS,
        cancel_reasons=_reasons(reader),
    )
    settings = Settings(
        database_url=reader.url("DATABASE_URL", _POSTGRES, need="Medusa's database") or "",
        database_pooler=_pooler(reader),
        redis_url=reader.url("REDIS_URL", ("redis", "rediss", "unix"), need="a Redis or Valkey of this sidecar") or "",
        stripe_api_key=_stripe_key(reader, needed=working),
        stripe_api_base=reader.url("STRIPE_API_BASE", ("http", "https")),
        stripe_webhook_secrets=tuple((reader.text("STRIPE_WEBHOOK_SECRET") or "").split()),
        modification_token_secrets=_secrets(reader, needed=role is Role.SERVE),
        modification_token_public_key=_public_key(reader),
        receipt_signing_keys=_receipt_keys(reader),
        medusa_jwt_secret=reader.text("MEDUSA_JWT_SECRET"),
        medusa_backend_url=reader.url(
            "MEDUSA_BACKEND_URL",
            ("http", "https"),
            need="with MEDUSA_LOCKING=memory, stock is released through Medusa's API"
            if needs_api
            else _for_operators(reader, role),
        ),
        medusa_redis_url=reader.url(
            "MEDUSA_REDIS_URL",
            ("redis", "rediss", "unix"),
            need="Medusa's own Redis, for its locks (MEDUSA_LOCKING=redis) and events (MEDUSA_EVENTS=redis)"
            if needs_redis
            else None,
        ),
        medusa_secret_api_key=reader.text(
            "MEDUSA_SECRET_API_KEY",
            need="with MEDUSA_LOCKING=memory, stock is released through Medusa's API" if needs_api else None,
        ),
        medusa_locking=locking,
        medusa_events=events,
        store_cors=environ.get("STORE_CORS", ""),
        admin_cors=environ.get("ADMIN_CORS", ""),
        operator_session_secrets=_operator_secrets(reader),
        policy=policy,
        rate_limit_per_order=reader.count("RATE_LIMIT_PER_ORDER", 120, least=0, most=1_000_000),
        rate_limit_per_address=reader.count("RATE_LIMIT_PER_ADDRESS", 240, least=0, most=1_000_000),
        trusted_proxies=_networks(reader),
        database_pool_size=reader.count("DATABASE_POOL_SIZE", 16, least=2, most=200),
        worker_threads=reader.count("WORKER_THREADS", 8, least=1, most=256),
        log_level=_level(reader),
        watch=_watch(reader),
    )
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return settings


def read_migration_settings(environ: Mapping[str, str]) -> MigrationSettings:
    """``MIGRATION_DATABASE_URL``, else ``DATABASE_URL``, and ``GRACE_ROLE_PASSWORD``. Raises ``SettingsError``."""
    reader = _Reader(environ)
    url = reader.url("MIGRATION_DATABASE_URL", _POSTGRES)
    if url is None and _pooler(reader) is DatabasePooler.TRANSACTION:
        reader.problems.append("MIGRATION_DATABASE_URL is missing: migrations need Postgres itself, not its pooler")
    elif url is None:
        url = reader.url("DATABASE_URL", _POSTGRES, need="Medusa's database, as a role that may create a schema in it")
    password = reader.text("GRACE_ROLE_PASSWORD")
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return MigrationSettings(database_url=url or "", role_password=password)


def _pooler(reader: _Reader) -> DatabasePooler:
    return reader.choice("DATABASE_POOLER", DatabasePooler, DatabasePooler.NONE) or DatabasePooler.NONE


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and "://" in value and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _secrets(reader: _Reader, *, needed: bool) -> tuple[str, ...]:
    public_key = reader.text("MODIFICATION_TOKEN_PUBLIC_KEY")
    need = "the secret that signs modification tokens, or set MODIFICATION_TOKEN_PUBLIC_KEY"
    value = reader.text("MODIFICATION_TOKEN_SECRET", need=need if needed and public_key is None else None)
    secrets = tuple((value or "").split())
    if any(len(secret) < MIN_SECRET for secret in secrets):
        reader.problems.append(f"MODIFICATION_TOKEN_SECRET is too short: at least {MIN_SECRET} characters each")
    return secrets


def _operator_secrets(reader: _Reader) -> tuple[str, ...]:
    secrets = tuple((reader.text("OPERATOR_SESSION_SECRET") or "").split())
    if any(len(secret) < MIN_OPERATOR_SECRET for secret in secrets):
        reader.problems.append(f"OPERATOR_SESSION_SECRET is too short: at least {MIN_OPERATOR_SECRET} characters each")
    return secrets


def _for_operators(reader: _Reader, role: Role) -> str | None:
    if role is Role.WORKER or reader.text("OPERATOR_SESSION_SECRET") is None:
        return None
    return "with OPERATOR_SESSION_SECRET, operators sign in through Medusa"


def _public_key(reader: _Reader) -> str | None:
    value = reader.text("MODIFICATION_TOKEN_PUBLIC_KEY")
    if value is not None:
        try:
            key = load_pem_public_key(value.encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        is_p256 = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
        if not (is_p256 or isinstance(key, RSAPublicKey | Ed25519PublicKey)):
            reader.problems.append(
                "MODIFICATION_TOKEN_PUBLIC_KEY is not a key we know: expected a PEM public key, RSA, P-256 or Ed25519"
            )
    return value


def _receipt_keys(reader: _Reader) -> tuple[str, ...]:
    """PEM blocks: the first signs, the others are published. Files of settings may spell line ends as ``\\n``."""
    value = reader.text("RECEIPT_SIGNING_KEY")
    if value is None:
        return ()
    blocks = tuple(f"{block[0]}\n" for block in _PEM.finditer(value.replace("\\n", "\n")))
    kinds = [_is_private(block) for block in blocks]
    if not kinds or kinds[0] is not True or None in kinds:
        reader.problems.append(
            "RECEIPT_SIGNING_KEY is not a key we know: expected a PEM private key, Ed25519 (medusa-grace receipt-key "
            "makes one), and after it, if you like, older keys that are still to be published"
        )
    return blocks


def _is_private(pem: str) -> bool | None:
    """Whether an Ed25519 key is private; ``None`` for what is no such key."""
    try:
        if "PRIVATE" in pem:
            return True if isinstance(load_pem_private_key(pem.encode(), None), Ed25519PrivateKey) else None
        return False if isinstance(load_pem_public_key(pem.encode()), Ed25519PublicKey) else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _reasons(reader: _Reader) -> tuple[CancelReason, ...]:
    try:
        return parse_reasons(reader.text("CANCEL_REASONS") or "")
    except ValueError as error:
        reader.problems.append(f"CANCEL_REASONS {error}")
        return ()


def _stripe_key(reader: _Reader, *, needed: bool) -> str | None:
    value = reader.text(
        "STRIPE_API_KEY", need="the secret or restricted key of your Stripe account" if needed else None
    )
    if value is not None and value.startswith("pk_"):
        reader.problems.append("STRIPE_API_KEY is a publishable key: expected a secret (sk_) or restricted (rk_) one")
    return value


def _networks(reader: _Reader) -> tuple[str, ...]:
    value = reader.text("TRUSTED_PROXIES") or "127.0.0.0/8 ::1/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"
    networks = []
    for part in value.replace(",", " ").split():
        try:
            networks.append(str(ipaddress.ip_network(part, strict=False)))
        except ValueError:
            reader.problems.append(f"TRUSTED_PROXIES has {part!r}: expected addresses or networks such as 10.0.0.0/8")
    return tuple(networks)


def _level(reader: _Reader) -> str:
    value = (reader.text("LOG_LEVEL") or "INFO").upper()
    if value not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        reader.problems.append(f"LOG_LEVEL is {value!r}: expected DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return value


def _watch(reader: _Reader) -> Watch:
    secrets = tuple((reader.text("ALERT_WEBHOOK_SECRET") or "").split())
    try:
        for secret in secrets:
            alert_key(secret)
    except ValueError:
        reader.problems.append("ALERT_WEBHOOK_SECRET is not whsec_ and the base64 of 24 to 64 bytes")
    sentry_dsn = reader.url("SENTRY_DSN", ("http", "https"))
    if sentry_dsn is not None and not _installed("sentry_sdk"):
        reader.problems.append(f"SENTRY_DSN is set, but sentry-sdk is not installed: {_EXTRA}")
    wants_traces = reader.url("OTEL_EXPORTER_OTLP_ENDPOINT", ("http", "https")) is not None
    can_trace = _installed("opentelemetry.sdk") and _installed("opentelemetry.exporter.otlp.proto.http")
    metrics_dir = reader.text("PROMETHEUS_MULTIPROC_DIR")
    if metrics_dir is not None and not Path(metrics_dir).is_dir():
        reader.problems.append(f"PROMETHEUS_MULTIPROC_DIR is {metrics_dir!r}: expected a directory that is there")
    return Watch(
        alert_webhook_url=reader.url("ALERT_WEBHOOK_URL", ("http", "https")),
        alert_webhook_secrets=secrets,
        sentry_dsn=sentry_dsn,
        metrics_listen=_listen(reader),
        metrics_dir=metrics_dir,
        traces=wants_traces and can_trace,
        traces_lack_extra=wants_traces and not can_trace,
    )


def _listen(reader: _Reader) -> tuple[str, int] | None:
    value = reader.text("METRICS_LISTEN")
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        reader.problems.append(f"METRICS_LISTEN is {value!r}: expected host:port, such as 127.0.0.1:9101")
        return None
    return host.strip("[]"), int(port)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package above it
        return False
