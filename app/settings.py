"""Settings, named once. All come from the environment; a missing or bad one says so by its name."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from app.database_address import DatabaseAddress
from app.domain.examination import HOLD_LASTS
from app.domain.reasons import CancelReason, parse_reasons
from app.environment import Environment
from app.jwt_settings import MedusaJwt
from app.ports import LateMoney, Policy
from app.secret_settings import medusa_api_key, read_secrets, stripe_api_key, stripe_providers

LEAST_CAPTURE_DELAY: Final = Decimal(30)
"""Seconds. Longer than a request waits for its turn and for locks, so that a cancel that came in time is not late."""

_EXTRA: Final = "install medusa-grace[observability]"
_KEY_PREFIX: Final = "keys of this sidecar cannot be given a prefix: take it out, and use a database of its own"
MEDUSA_KEY_PREFIX: Final = (
    "write it in front of MEDUSA_LOCK_NAMESPACE, and take it out (Medusa's event bus works with none)"
)
_JOBS_A_CONNECTION: Final = 4
"""More worker threads than this for each connection wait for connections longer than they may."""
_CAPTURED_WITHIN: Final = HOLD_LASTS - timedelta(hours=12)
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
    modification_token_audience_required: bool
    receipt_signing_keys: tuple[str, ...]
    medusa_jwt: MedusaJwt
    medusa_backend_url: str | None
    stripe_providers: tuple[str, ...]
    medusa_redis_url: str | None
    medusa_lock_redis_url: str | None
    medusa_lock_namespace: str
    medusa_events_queue: str
    medusa_events_prefix: str
    medusa_secret_api_key: str | None
    medusa_locking: MedusaLocking | None
    medusa_events: MedusaEvents
    store_cors: str
    admin_cors: str
    operator_session_secrets: tuple[str, ...]
    public_url: str | None
    policy: Policy
    rate_limit_per_order: int
    rate_limit_per_address: int
    trusted_proxies: tuple[str, ...]
    database_pool_size: int
    worker_threads: int
    log_level: str
    watch: Watch
    warnings: tuple[str, ...] = ()
    """What works and is unwise, in words for the log."""


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
    locks_elsewhere = environment.text("MEDUSA_LOCK_REDIS_URL") is not None
    locks_there = locking is MedusaLocking.REDIS and not locks_elsewhere
    needs_redis = working and (locks_there or events is MedusaEvents.REDIS)
    needs_api = working and locking is MedusaLocking.MEMORY
    policy = Policy(
        grace_period=environment.seconds("GRACE_PERIOD_SECONDS", "3600", least=Decimal(1), most=Decimal(6 * 86400)),
        capture_delay=environment.seconds(
            "CAPTURE_DELAY_SECONDS", "30", least=LEAST_CAPTURE_DELAY, most=Decimal(86400)
        ),
        void_wait=environment.seconds("VOID_WAIT_SECONDS", "3", least=Decimal(0), most=Decimal(30)),
        late_money=environment.choice("LATE_MONEY", LateMoney, LateMoney.ALERT) or LateMoney.ALERT,
        publishes_events=events is MedusaEvents.REDIS,
        cancel_reasons=_reasons(environment),
    )
    database = environment.database("DATABASE_URL", need="Medusa's database")
    redis_url = environment.redis("REDIS_URL", key_prefix=_KEY_PREFIX, need="a Redis or Valkey of this sidecar")
    stripe_key = stripe_api_key(
        environment, need="the secret or restricted key of your Stripe account" if working else None
    )
    secrets = read_secrets(environment, serving=role is Role.SERVE)
    settings = Settings(
        database_url=database.url if database else "",
        database_pooler=_pooler(environment, database),
        redis_url=redis_url or "",
        stripe_api_key=stripe_key,
        stripe_api_base=environment.http("STRIPE_API_BASE", only_host=True),
        stripe_providers=stripe_providers(environment),
        stripe_webhook_secrets=secrets.stripe_webhook_secrets,
        modification_token_secrets=secrets.modification_token_secrets,
        modification_token_public_key=secrets.modification_token_public_key,
        modification_token_audience_required=secrets.modification_token_audience_required,
        receipt_signing_keys=secrets.receipt_signing_keys,
        medusa_jwt=secrets.medusa_jwt,
        medusa_backend_url=environment.http(
            "MEDUSA_BACKEND_URL",
            path_only=True,
            need="with MEDUSA_LOCKING=memory, stock is released through Medusa's API"
            if needs_api
            else _for_operators(environment, role),
        ),
        medusa_redis_url=environment.redis(
            "MEDUSA_REDIS_URL",
            key_prefix=MEDUSA_KEY_PREFIX,
            need="Medusa's own Redis, for its locks (MEDUSA_LOCKING=redis) and events (MEDUSA_EVENTS=redis)"
            if needs_redis
            else None,
        ),
        medusa_lock_redis_url=environment.redis("MEDUSA_LOCK_REDIS_URL", key_prefix=MEDUSA_KEY_PREFIX),
        medusa_lock_namespace=environment.text("MEDUSA_LOCK_NAMESPACE") or "medusa_lock:",
        medusa_events_queue=environment.queue("MEDUSA_EVENTS_QUEUE", "events-queue"),
        medusa_events_prefix=environment.text("MEDUSA_EVENTS_PREFIX") or "RedisEventBusService",
        medusa_secret_api_key=medusa_api_key(
            environment,
            need="with MEDUSA_LOCKING=memory, stock is released through Medusa's API" if needs_api else None,
        ),
        medusa_locking=locking,
        medusa_events=events,
        store_cors=environment.origins("STORE_CORS"),
        admin_cors=environment.origins("ADMIN_CORS"),
        operator_session_secrets=secrets.operator_session_secrets,
        public_url=environment.origin("PUBLIC_URL"),
        policy=policy,
        rate_limit_per_order=environment.count("RATE_LIMIT_PER_ORDER", 120, least=0, most=1_000_000),
        rate_limit_per_address=environment.count("RATE_LIMIT_PER_ADDRESS", 240, least=0, most=1_000_000),
        trusted_proxies=environment.networks("TRUSTED_PROXIES", _PRIVATE),
        database_pool_size=environment.count("DATABASE_POOL_SIZE", 16, least=2, most=200),
        worker_threads=environment.count("WORKER_THREADS", 8, least=1, most=256),
        log_level=_level(environment),
        watch=_watch(environment, secrets.alert_webhook_secrets),
    )
    _compare(environment, settings, role)
    environment.refuse_files()
    if environment.problems:
        raise SettingsError("\n".join(environment.problems))
    return msgspec.structs.replace(settings, warnings=tuple(environment.warnings))


def _compare(environment: Environment, settings: Settings, role: Role) -> None:
    """Name settings that are good by themselves and not beside each other."""
    policy = settings.policy
    if policy.grace_period + policy.capture_delay > _CAPTURED_WITHIN:
        environment.problems.append(
            "GRACE_PERIOD_SECONDS and CAPTURE_DELAY_SECONDS are too long together: expected "
            f"{_CAPTURED_WITHIN.total_seconds():.0f} at most, as card authorizations lapse after seven days"
        )
    if role is Role.WORKER and settings.worker_threads > _JOBS_A_CONNECTION * settings.database_pool_size:
        environment.problems.append(
            f"WORKER_THREADS is {settings.worker_threads}, DATABASE_POOL_SIZE {settings.database_pool_size}: expected "
            f"{_JOBS_A_CONNECTION} threads for each connection at most, and better fewer threads than connections"
        )


def read_migration_settings(environ: Mapping[str, str]) -> MigrationSettings:
    """``MIGRATION_DATABASE_URL``, else ``DATABASE_URL``, and ``GRACE_ROLE_PASSWORD``. Raises ``SettingsError``."""
    environment = Environment(environ)
    database = environment.database("MIGRATION_DATABASE_URL")
    if database is not None:
        if database.pooled:
            environment.problems.append(
                "MIGRATION_DATABASE_URL has an option pgbouncer: migrations need Postgres itself, not its pooler"
            )
    elif environment.text("MIGRATION_DATABASE_URL") is None:
        need = "Medusa's database, as a role that may create a schema in it"
        pooled = _pooler(environment) is DatabasePooler.TRANSACTION
        database = None if pooled else environment.database("DATABASE_URL", need=need)
        if pooled or (database is not None and database.pooled):
            environment.problems.append(
                "MIGRATION_DATABASE_URL is missing: migrations need Postgres itself, not its pooler"
            )
    password = environment.text("GRACE_ROLE_PASSWORD")
    environment.refuse_files()
    if environment.problems:
        raise SettingsError("\n".join(environment.problems))
    return MigrationSettings(database_url=database.url if database else "", role_password=password)


def _pooler(environment: Environment, database: DatabaseAddress | None = None) -> DatabasePooler:
    """What is set, or what the address itself says (Prisma's ``pgbouncer=true``)."""
    chosen = environment.choice("DATABASE_POOLER", DatabasePooler, None)
    if database is None or not database.pooled:
        return chosen or DatabasePooler.NONE
    if chosen is DatabasePooler.NONE:
        environment.problems.append(
            "DATABASE_URL has an option pgbouncer, and DATABASE_POOLER is none: expected DATABASE_POOLER=transaction, "
            "or no such option"
        )
    return DatabasePooler.TRANSACTION


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


def _level(environment: Environment) -> str:
    value = (environment.text("LOG_LEVEL") or "INFO").upper()
    if value not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        environment.problems.append(f"LOG_LEVEL is {value!r}: expected DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return value


def _watch(environment: Environment, alert_secrets: tuple[str, ...]) -> Watch:
    sentry_dsn = environment.http("SENTRY_DSN")
    if sentry_dsn is not None and not _installed("sentry_sdk"):
        environment.problems.append(f"SENTRY_DSN is set, but sentry-sdk is not installed: {_EXTRA}")
    elif sentry_dsn is not None and not _is_sentry_dsn(sentry_dsn):
        environment.problems.append("SENTRY_DSN is not one of Sentry's: expected https://key@host/project")
    wants_traces = environment.http("OTEL_EXPORTER_OTLP_ENDPOINT") is not None
    can_trace = _installed("opentelemetry.sdk") and _installed("opentelemetry.exporter.otlp.proto.http")
    metrics_dir = environment.text("PROMETHEUS_MULTIPROC_DIR")
    if metrics_dir is not None and not Path(metrics_dir).is_dir():
        environment.problems.append(f"PROMETHEUS_MULTIPROC_DIR is {metrics_dir!r}: expected a directory that is there")
    return Watch(
        alert_webhook_url=environment.http("ALERT_WEBHOOK_URL"),
        alert_webhook_secrets=alert_secrets,
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


def _is_sentry_dsn(value: str) -> bool:
    """Whether it names a key and a project."""
    parts = urlsplit(value)
    return bool(parts.username and parts.path.rpartition("/")[2])
