"""Settings, named once. All come from the environment; a missing or bad one says so by its name."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from app.domain.reasons import CancelReason, parse_reasons
from app.environment import Environment
from app.pem import receipt_keys, verifies_tokens
from app.ports import LateMoney, Policy
from app.telling import alert_key

MIN_SECRET: Final = 16
"""Characters. A shorter HMAC secret is refused."""
MIN_OPERATOR_SECRET: Final = 32
"""Characters. Whoever knows it may move money."""

_EXTRA: Final = "install medusa-grace[observability]"

_POSTGRES: Final = ("postgres", "postgresql")
_PRIVATE: Final = "127.0.0.0/8 ::1/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"


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


def read_settings(environ: Mapping[str, str], role: Role) -> Settings:
    """The settings for a process of ``role``. Raises ``SettingsError`` naming all that is missing or wrong."""
    environment = Environment(environ)
    working = role is Role.WORKER
    locking = environment.choice(
        "MEDUSA_LOCKING",
        MedusaLocking,
        None,
        need="which locking module your Medusa uses: redis, postgres or memory (memory is Medusa's own default)"
        if working
        else None,
    )
    events = environment.choice("MEDUSA_EVENTS", MedusaEvents, MedusaEvents.REDIS) or MedusaEvents.REDIS
    needs_redis = working and (locking is MedusaLocking.REDIS or events is MedusaEvents.REDIS)
    needs_api = working and locking is MedusaLocking.MEMORY
    policy = Policy(
        grace_period=environment.seconds("GRACE_PERIOD_SECONDS", "3600", least=Decimal(1), most=Decimal(6 * 86400)),
        capture_delay=environment.seconds("CAPTURE_DELAY_SECONDS", "30", least=Decimal(0), most=Decimal(86400)),
        void_wait=environment.seconds("VOID_WAIT_SECONDS", "3", least=Decimal(0), most=Decimal(30)),
        late_money=environment.choice("LATE_MONEY", LateMoney, LateMoney.ALERT) or LateMoney.ALERT,
        publishes_events=events is MedusaEvents.REDIS,
        cancel_reasons=_reasons(environment),
    )
    settings = Settings(
        database_url=environment.url("DATABASE_URL", _POSTGRES, need="Medusa's database") or "",
        database_pooler=_pooler(environment),
        redis_url=environment.url("REDIS_URL", ("redis", "rediss", "unix"), need="a Redis or Valkey of this sidecar")
        or "",
        stripe_api_key=_stripe_key(environment, needed=working),
        stripe_api_base=environment.url("STRIPE_API_BASE", ("http", "https")),
        stripe_webhook_secrets=environment.words("STRIPE_WEBHOOK_SECRET"),
        modification_token_secrets=_secrets(environment, needed=role is Role.SERVE),
        modification_token_public_key=_public_key(environment),
        receipt_signing_keys=_receipt_keys(environment),
        medusa_jwt_secret=environment.text("MEDUSA_JWT_SECRET"),
        medusa_backend_url=environment.url(
            "MEDUSA_BACKEND_URL",
            ("http", "https"),
            need="with MEDUSA_LOCKING=memory, stock is released through Medusa's API"
            if needs_api
            else _for_operators(environment, role),
        ),
        medusa_redis_url=environment.url(
            "MEDUSA_REDIS_URL",
            ("redis", "rediss", "unix"),
            need="Medusa's own Redis, for its locks (MEDUSA_LOCKING=redis) and events (MEDUSA_EVENTS=redis)"
            if needs_redis
            else None,
        ),
        medusa_secret_api_key=environment.text(
            "MEDUSA_SECRET_API_KEY",
            need="with MEDUSA_LOCKING=memory, stock is released through Medusa's API" if needs_api else None,
        ),
        medusa_locking=locking,
        medusa_events=events,
        store_cors=environ.get("STORE_CORS", ""),
        admin_cors=environ.get("ADMIN_CORS", ""),
        operator_session_secrets=_operator_secrets(environment),
        policy=policy,
        rate_limit_per_order=environment.count("RATE_LIMIT_PER_ORDER", 120, least=0, most=1_000_000),
        rate_limit_per_address=environment.count("RATE_LIMIT_PER_ADDRESS", 240, least=0, most=1_000_000),
        trusted_proxies=environment.networks("TRUSTED_PROXIES", _PRIVATE),
        database_pool_size=environment.count("DATABASE_POOL_SIZE", 16, least=2, most=200),
        worker_threads=environment.count("WORKER_THREADS", 8, least=1, most=256),
        log_level=_level(environment),
        watch=_watch(environment),
    )
    if environment.problems:
        raise SettingsError("\n".join(environment.problems))
    return settings


def read_migration_settings(environ: Mapping[str, str]) -> MigrationSettings:
    """``MIGRATION_DATABASE_URL``, else ``DATABASE_URL``, and ``GRACE_ROLE_PASSWORD``. Raises ``SettingsError``."""
    environment = Environment(environ)
    url = environment.url("MIGRATION_DATABASE_URL", _POSTGRES)
    if url is None and _pooler(environment) is DatabasePooler.TRANSACTION:
        environment.problems.append(
            "MIGRATION_DATABASE_URL is missing: migrations need Postgres itself, not its pooler"
        )
    elif url is None:
        url = environment.url(
            "DATABASE_URL", _POSTGRES, need="Medusa's database, as a role that may create a schema in it"
        )
    password = environment.text("GRACE_ROLE_PASSWORD")
    if environment.problems:
        raise SettingsError("\n".join(environment.problems))
    return MigrationSettings(database_url=url or "", role_password=password)


def _pooler(environment: Environment) -> DatabasePooler:
    return environment.choice("DATABASE_POOLER", DatabasePooler, DatabasePooler.NONE) or DatabasePooler.NONE


def _secrets(environment: Environment, *, needed: bool) -> tuple[str, ...]:
    public_key = environment.text("MODIFICATION_TOKEN_PUBLIC_KEY")
    need = "the secret that signs modification tokens, or set MODIFICATION_TOKEN_PUBLIC_KEY"
    secrets = environment.words("MODIFICATION_TOKEN_SECRET", need=need if needed and public_key is None else None)
    if any(len(secret) < MIN_SECRET for secret in secrets):
        environment.problems.append(f"MODIFICATION_TOKEN_SECRET is too short: at least {MIN_SECRET} characters each")
    return secrets


def _operator_secrets(environment: Environment) -> tuple[str, ...]:
    secrets = environment.words("OPERATOR_SESSION_SECRET")
    if any(len(secret) < MIN_OPERATOR_SECRET for secret in secrets):
        environment.problems.append(
            f"OPERATOR_SESSION_SECRET is too short: at least {MIN_OPERATOR_SECRET} characters each"
        )
    return secrets


def _for_operators(environment: Environment, role: Role) -> str | None:
    if role is Role.WORKER or environment.text("OPERATOR_SESSION_SECRET") is None:
        return None
    return "with OPERATOR_SESSION_SECRET, operators sign in through Medusa"


def _reasons(environment: Environment) -> tuple[CancelReason, ...]:
    try:
        return parse_reasons(environment.text("CANCEL_REASONS") or "")
    except ValueError as error:
        environment.problems.append(f"CANCEL_REASONS {error}")
        return ()


def _stripe_key(environment: Environment, *, needed: bool) -> str | None:
    value = environment.text(
        "STRIPE_API_KEY", need="the secret or restricted key of your Stripe account" if needed else None
    )
    if value is not None and value.startswith("pk_"):
        environment.problems.append(
            "STRIPE_API_KEY is a publishable key: expected a secret (sk_) or restricted (rk_) one"
        )
    return value


def _level(environment: Environment) -> str:
    value = (environment.text("LOG_LEVEL") or "INFO").upper()
    if value not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        environment.problems.append(f"LOG_LEVEL is {value!r}: expected DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return value


def _watch(environment: Environment) -> Watch:
    secrets = environment.words("ALERT_WEBHOOK_SECRET")
    try:
        for secret in secrets:
            alert_key(secret)
    except ValueError:
        environment.problems.append("ALERT_WEBHOOK_SECRET is not whsec_ and the base64 of 24 to 64 bytes")
    sentry_dsn = environment.url("SENTRY_DSN", ("http", "https"))
    if sentry_dsn is not None and not _installed("sentry_sdk"):
        environment.problems.append(f"SENTRY_DSN is set, but sentry-sdk is not installed: {_EXTRA}")
    wants_traces = environment.url("OTEL_EXPORTER_OTLP_ENDPOINT", ("http", "https")) is not None
    can_trace = _installed("opentelemetry.sdk") and _installed("opentelemetry.exporter.otlp.proto.http")
    metrics_dir = environment.text("PROMETHEUS_MULTIPROC_DIR")
    if metrics_dir is not None and not Path(metrics_dir).is_dir():
        environment.problems.append(f"PROMETHEUS_MULTIPROC_DIR is {metrics_dir!r}: expected a directory that is there")
    return Watch(
        alert_webhook_url=environment.url("ALERT_WEBHOOK_URL", ("http", "https")),
        alert_webhook_secrets=secrets,
        sentry_dsn=sentry_dsn,
        metrics_listen=environment.address("METRICS_LISTEN"),
        metrics_dir=metrics_dir,
        traces=wants_traces and can_trace,
        traces_lack_extra=wants_traces and not can_trace,
    )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package above it
        return False


def _public_key(environment: Environment) -> str | None:
    value = environment.text("MODIFICATION_TOKEN_PUBLIC_KEY")
    if value is not None and not verifies_tokens(value):
        environment.problems.append(
            "MODIFICATION_TOKEN_PUBLIC_KEY is not a key we know: expected a PEM public key, RSA, P-256 or Ed25519"
        )
    return value


def _receipt_keys(environment: Environment) -> tuple[str, ...]:
    """The first signs, the others are published."""
    value = environment.text("RECEIPT_SIGNING_KEY")
    keys = () if value is None else receipt_keys(value)
    if keys is None:
        environment.problems.append(
            "RECEIPT_SIGNING_KEY is not a key we know: expected a PEM private key, Ed25519 (medusa-grace receipt-key "
            "makes one), and after it, if you like, older keys that are still to be published"
        )
    return keys or ()
