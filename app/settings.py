"""Settings as the processes take them. All come from the environment; a missing or bad one says so by its name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec
from msgspec.structs import asdict

from app import settings_table as table
from app.database_address import DatabaseAddress
from app.domain.examination import HOLD_LASTS
from app.environment import Environment
from app.jwt_settings import MedusaJwt, read_medusa_jwt
from app.operator_error import OperatorError
from app.ports import Policy
from app.setting_kinds import installed
from app.settings_table import DatabasePooler, MedusaEvents, MedusaLocking, Role

_JOBS_A_CONNECTION: Final = 4
"""More worker threads than this for each connection wait for connections longer than they may."""
_CAPTURED_WITHIN: Final = HOLD_LASTS - timedelta(hours=12)
_OF_ITS_OWN: Final = "expected a secret of its own for each purpose"


class SettingsError(OperatorError):
    """One line per setting that is missing or wrong."""


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


class MigrationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``migrate`` reads from the environment."""

    database_url: str
    role_password: str | None


class MedusaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Names that the shop's Medusa was given, and where its Redis is."""

    stripe_providers: tuple[str, ...]
    medusa_redis_url: str | None
    medusa_lock_redis_url: str | None
    medusa_lock_namespace: str
    medusa_events_queue: str
    medusa_events_prefix: str
    medusa_locking: MedusaLocking | None


class Settings(MedusaSettings, frozen=True, kw_only=True):
    """Everything the processes read from the environment. See ``app.settings_table``."""

    database_url: str
    database_pooler: DatabasePooler
    redis_url: str
    stripe_api_key: str | None
    stripe_api_base: str | None
    stripe_requests_per_second: int
    stripe_webhook_secrets: tuple[str, ...]
    modification_token_secrets: tuple[str, ...]
    modification_token_public_key: str | None
    modification_token_audience_required: bool
    receipt_signing_keys: tuple[str, ...]
    medusa_jwt: MedusaJwt
    medusa_backend_url: str | None
    medusa_secret_api_key: str | None
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


def read_settings(environ: Mapping[str, str], role: Role) -> Settings:
    """The settings for a process of ``role``. Raises ``SettingsError`` naming all that is missing or wrong."""
    environment = Environment(environ)
    working = role is Role.WORKER
    locking = environment.read(
        table.MEDUSA_LOCKING,
        need="which locking module your Medusa uses: redis, postgres or memory (memory is Medusa's own default)"
        if working
        else None,
    )
    policy = read_policy(environment)
    locks_there = locking is MedusaLocking.REDIS and environment.text(table.MEDUSA_LOCK_REDIS_URL) is None
    needs_redis = working and (locks_there or policy.publishes_events)
    needs_api = working and locking is MedusaLocking.MEMORY
    through_api = "with MEDUSA_LOCKING=memory, stock is released through Medusa's API" if needs_api else None
    database = environment.read(table.DATABASE_URL, need="Medusa's database")
    redis_url = environment.read(table.REDIS_URL, need="a Redis or Valkey of this sidecar")
    stripe_key, stripe_base = read_stripe_account(
        environment, need="the secret or restricted key of your Stripe account" if working else None
    )
    public_key = environment.read(table.MODIFICATION_TOKEN_PUBLIC_KEY)
    threads = environment.read(table.WORKER_THREADS)
    settings = Settings(
        database_url=database.url if database else "",
        database_pooler=_pooler(environment, database),
        redis_url=redis_url or "",
        stripe_api_key=stripe_key,
        stripe_api_base=stripe_base,
        stripe_requests_per_second=environment.read(table.STRIPE_REQUESTS_PER_SECOND),
        stripe_webhook_secrets=environment.read(table.STRIPE_WEBHOOK_SECRET),
        modification_token_public_key=public_key,
        modification_token_secrets=_token_secrets(environment, public_key, needed=role is Role.SERVE),
        modification_token_audience_required=environment.read(table.MODIFICATION_TOKEN_AUDIENCE_REQUIRED),
        receipt_signing_keys=environment.read(table.RECEIPT_SIGNING_KEY),
        medusa_jwt=read_medusa_jwt(environment),
        medusa_backend_url=environment.read(
            table.MEDUSA_BACKEND_URL, need=through_api or _for_operators(environment, role)
        ),
        medusa_secret_api_key=environment.read(table.MEDUSA_SECRET_API_KEY, need=through_api),
        **asdict(
            read_medusa_settings(
                environment,
                locking,
                need_redis="Medusa's own Redis, for its locks (MEDUSA_LOCKING=redis) and events (MEDUSA_EVENTS=redis)"
                if needs_redis
                else None,
            )
        ),
        store_cors=environment.read(table.STORE_CORS),
        admin_cors=environment.read(table.ADMIN_CORS),
        operator_session_secrets=environment.read(table.OPERATOR_SESSION_SECRET),
        public_url=environment.read(table.PUBLIC_URL),
        policy=policy,
        rate_limit_per_order=environment.read(table.RATE_LIMIT_PER_ORDER),
        rate_limit_per_address=environment.read(table.RATE_LIMIT_PER_ADDRESS),
        trusted_proxies=environment.read(table.TRUSTED_PROXIES),
        database_pool_size=environment.read(table.DATABASE_POOL_SIZE) or _pool_size(threads if working else 0),
        worker_threads=threads,
        log_level=environment.read(table.LOG_LEVEL),
        watch=_watch(environment),
    )
    _compare(environment, settings, role)
    _refuse_shared(environment, settings)
    environment.refuse_files()
    if environment.problems:
        raise SettingsError("\n".join(environment.problems))
    return msgspec.structs.replace(settings, warnings=tuple(environment.warnings))


def read_medusa_settings(
    environment: Environment, locking: MedusaLocking | None, *, need_redis: str | None = None
) -> MedusaSettings:
    """Read what a worker and ``doctor`` must know of the shop's Medusa."""
    return MedusaSettings(
        stripe_providers=environment.read(table.STRIPE_PROVIDERS),
        medusa_redis_url=environment.read(table.MEDUSA_REDIS_URL, need=need_redis),
        medusa_lock_redis_url=environment.read(table.MEDUSA_LOCK_REDIS_URL),
        medusa_lock_namespace=environment.read(table.MEDUSA_LOCK_NAMESPACE),
        medusa_events_queue=environment.read(table.MEDUSA_EVENTS_QUEUE),
        medusa_events_prefix=environment.read(table.MEDUSA_EVENTS_PREFIX),
        medusa_locking=locking,
    )


def read_policy(environment: Environment) -> Policy:
    """The shop's choices."""
    return Policy(
        grace_period=environment.read(table.GRACE_PERIOD_SECONDS),
        capture_delay=environment.read(table.CAPTURE_DELAY_SECONDS),
        void_wait=environment.read(table.VOID_WAIT_SECONDS),
        late_money=environment.read(table.LATE_MONEY),
        publishes_events=environment.read(table.MEDUSA_EVENTS) is MedusaEvents.REDIS,
        cancel_reasons=environment.read(table.CANCEL_REASONS),
    )


def read_migration_settings(environ: Mapping[str, str]) -> MigrationSettings:
    """``MIGRATION_DATABASE_URL``, else ``DATABASE_URL``, and ``GRACE_ROLE_PASSWORD``. Raises ``SettingsError``."""
    environment = Environment(environ)
    database = environment.read(table.MIGRATION_DATABASE_URL)
    if database is not None:
        if database.pooled:
            environment.problems.append(
                "MIGRATION_DATABASE_URL has an option pgbouncer: migrations need Postgres itself, not its pooler"
            )
    elif environment.text(table.MIGRATION_DATABASE_URL) is None:
        need = "Medusa's database, as a role that may create a schema in it"
        pooled = _pooler(environment) is DatabasePooler.TRANSACTION
        database = None if pooled else environment.read(table.DATABASE_URL, need=need)
        if pooled or (database is not None and database.pooled):
            environment.problems.append(
                "MIGRATION_DATABASE_URL is missing: migrations need Postgres itself, not its pooler"
            )
    password = environment.read(table.GRACE_ROLE_PASSWORD)
    environment.refuse_files()
    if environment.problems:
        raise SettingsError("\n".join(environment.problems))
    return MigrationSettings(database_url=database.url if database else "", role_password=password)


def read_stripe_account(environment: Environment, *, need: str | None) -> tuple[str | None, str | None]:
    """Stripe's key, and another host than Stripe's. A key of live mode is never sent in clear."""
    key, base = environment.read(table.STRIPE_API_KEY, need=need), environment.read(table.STRIPE_API_BASE)
    if "_live_" in (key or "") and (environment.text(table.STRIPE_API_BASE) or "").lower().startswith("http://"):
        environment.problems.append(
            "STRIPE_API_BASE begins with http://, and STRIPE_API_KEY is one of live mode: expected https://"
        )
    return key, base


def _pooler(environment: Environment, database: DatabaseAddress | None = None) -> DatabasePooler:
    """What is set, or what the address itself says (Prisma's ``pgbouncer=true``)."""
    chosen = environment.read(table.DATABASE_POOLER)
    if database is None or not database.pooled:
        return chosen
    if environment.text(table.DATABASE_POOLER) == DatabasePooler.NONE:
        environment.problems.append(
            "DATABASE_URL has an option pgbouncer, and DATABASE_POOLER is none: expected DATABASE_POOLER=transaction, "
            "or no such option"
        )
    return DatabasePooler.TRANSACTION


def _pool_size(threads: int) -> int:
    """Connections where none are set: one for each thread of a worker, as far as that may be set."""
    return min(max(threads, table.POOL_SIZE), 200)


def _for_operators(environment: Environment, role: Role) -> str | None:
    if role is Role.WORKER or environment.text(table.OPERATOR_SESSION_SECRET) is None:
        return None
    return "with OPERATOR_SESSION_SECRET, operators sign in through Medusa"


def _token_secrets(environment: Environment, public_key: str | None, *, needed: bool) -> tuple[str, ...]:
    """The secrets of modification tokens, unless a public key stands in their place."""
    if public_key is not None and environment.text(table.MODIFICATION_TOKEN_SECRET) is not None:
        environment.problems.append(
            "MODIFICATION_TOKEN_PUBLIC_KEY is set beside MODIFICATION_TOKEN_SECRET: expected one of them, as tokens "
            "are signed by one"
        )
    need = "the secret that signs modification tokens, or set MODIFICATION_TOKEN_PUBLIC_KEY"
    needed = needed and environment.text(table.MODIFICATION_TOKEN_PUBLIC_KEY) is None
    return environment.read(table.MODIFICATION_TOKEN_SECRET, need=need if needed else None)


def _watch(environment: Environment) -> Watch:
    url = environment.read(table.ALERT_WEBHOOK_URL)
    secrets = environment.read(table.ALERT_WEBHOOK_SECRET)
    if secrets and environment.text(table.ALERT_WEBHOOK_URL) is None:
        environment.warnings.append("ALERT_WEBHOOK_SECRET is set, and ALERT_WEBHOOK_URL is not: no alert is sent")
    wants_traces = environment.read(table.OTEL_EXPORTER_OTLP_ENDPOINT) is not None
    can_trace = installed("opentelemetry.sdk") and installed("opentelemetry.exporter.otlp.proto.http")
    return Watch(
        alert_webhook_url=url,
        alert_webhook_secrets=secrets,
        sentry_dsn=environment.read(table.SENTRY_DSN),
        metrics_listen=environment.read(table.METRICS_LISTEN),
        metrics_dir=environment.read(table.PROMETHEUS_MULTIPROC_DIR),
        traces=wants_traces and can_trace,
        traces_lack_extra=wants_traces and not can_trace,
    )


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


def _refuse_shared(environment: Environment, settings: Settings) -> None:
    """A secret with two purposes lets what is made for one pass for the other."""
    owner: dict[str, str] = {}
    for row, secrets in (
        (table.MODIFICATION_TOKEN_SECRET, settings.modification_token_secrets),
        (table.OPERATOR_SESSION_SECRET, settings.operator_session_secrets),
        (table.STRIPE_WEBHOOK_SECRET, settings.stripe_webhook_secrets),
        (table.ALERT_WEBHOOK_SECRET, settings.watch.alert_webhook_secrets),
        (table.MEDUSA_JWT_SECRET, filter(None, [settings.medusa_jwt.secret])),
    ):
        for secret in secrets:
            if owner.setdefault(secret, row.name) != row.name:
                environment.problems.append(f"{row.name} and {owner[secret]} are the same: {_OF_ITS_OWN}")
    for api_key in (table.STRIPE_API_KEY, table.MEDUSA_SECRET_API_KEY):
        if (key := environment.text(api_key)) in owner:
            environment.problems.append(f"{owner[key]} and {api_key.name} are the same: {_OF_ITS_OWN}")
