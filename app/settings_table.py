"""All settings: name, kind with its bounds, who makes use of it, default, help.

The parser, ``--help`` and ``docs/configuration.md`` read it (``python -m app.configuration_page`` writes the latter).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeVar

from app import secret_kinds as secret
from app import setting_kinds as kind
from app.environment import Setting
from app.ports import LateMoney
from app.setting_kinds import Kind

T = TypeVar("T")


class Role(StrEnum):
    """A command that reads settings."""

    SERVE = "serve"
    WORKER = "worker"
    MIGRATE = "migrate"
    DOCTOR = "doctor"
    TOKEN = "token"  # noqa: S105
    UP = "up"


class MedusaLocking(StrEnum):
    """Which locking module the shop's Medusa uses."""

    REDIS = "redis"
    POSTGRES = "postgres"
    MEMORY = "memory"


class MedusaEvents(StrEnum):
    """Whether the shop's Medusa has an event bus on Redis."""

    REDIS = "redis"
    OFF = "off"


class DatabasePooler(StrEnum):
    """What stands between us and Postgres."""

    NONE = "none"
    TRANSACTION = "transaction"


POOL_SIZE: Final = 16
"""Connections of a process that ``DATABASE_POOL_SIZE`` is not set for; of a worker as many as its threads, if more."""
LEAST_CAPTURE_DELAY: Final = Decimal(30)
"""Seconds. Longer than a request waits for its turn and for locks, so that a cancel that came in time is not late."""
_SERVE, _WORKER, _MIGRATE = (Role.SERVE,), (Role.WORKER,), (Role.MIGRATE,)
_BOTH: Final = (Role.SERVE, Role.WORKER)
_LOOK: Final = (*_WORKER, Role.DOCTOR)
_ALL: Final = (*_BOTH, Role.MIGRATE, Role.DOCTOR)
_OWN_REDIS: Final = kind.redis(
    "keys of this sidecar cannot be given a prefix: take it out, and use a database of its own"
)
_MEDUSAS_REDIS: Final = kind.redis(
    "write it in front of MEDUSA_LOCK_NAMESPACE, and take it out (Medusa's event bus works with none)"
)
_ROTATE: Final = "several, separated by spaces, while you rotate it"


def _setting(name: str, kind: Kind[T], roles: tuple[Role, ...], default: str, unset: str = "") -> Setting[T]:
    return Setting(name, kind, roles, default, unset)


def _optional(name: str, kind: Kind[T], roles: tuple[Role, ...], unset: str = "") -> Setting[T | None]:
    return Setting(name, kind, roles, None, unset)


DATABASE_URL: Final = _optional("DATABASE_URL", kind.DATABASE, _ALL, "required").explained(
    "Medusa's database, see [Addresses](#addresses)"
)
DATABASE_POOLER: Final = _setting(
    "DATABASE_POOLER", kind.choice(DatabasePooler), (*_BOTH, Role.MIGRATE), DatabasePooler.NONE
).explained("`transaction` where PgBouncer or the like, in transaction mode, stands in between")
MIGRATION_DATABASE_URL: Final = _optional(
    "MIGRATION_DATABASE_URL", kind.DATABASE, _MIGRATE, "`DATABASE_URL`"
).explained("Postgres itself, as the owner of Medusa's tables")
GRACE_ROLE_PASSWORD: Final = _optional("GRACE_ROLE_PASSWORD", kind.TEXT, _MIGRATE, "unchanged").explained(
    "with `--grants ROLE`: that role's password. Printable ASCII"
)
REDIS_URL: Final = _optional("REDIS_URL", _OWN_REDIS, _BOTH, "required").explained(
    "a Redis or Valkey for this sidecar: queues, locks, rate limits, word of a void. It may be lost at any time"
)
MODIFICATION_TOKEN_SECRET: Final = _setting(
    "MODIFICATION_TOKEN_SECRET", secret.secrets(secret.MIN_SECRET), (*_SERVE, Role.TOKEN), "", "required"
).explained(f"signs modification tokens (HS256; their `exp` has 10 s of leeway); {_ROTATE}")
MODIFICATION_TOKEN_AUDIENCE_REQUIRED: Final = _setting(
    "MODIFICATION_TOKEN_AUDIENCE_REQUIRED", kind.FLAG, _SERVE, "false"
).explained(
    "`true` refuses tokens without the audience (`aud`) `medusa-grace/cancel`, so that no other token signed with the "
    "same key opens an order. Another `aud` is refused anyway. Switch it on once all tokens minted without it have "
    "expired: two weeks after the subscriber of docs/install.md mints it"
)
MODIFICATION_TOKEN_PUBLIC_KEY: Final = _optional("MODIFICATION_TOKEN_PUBLIC_KEY", secret.TOKEN_KEY, _SERVE).explained(
    "instead of `MODIFICATION_TOKEN_SECRET`: verifies RS256 (RSA), ES256 (P-256) or EdDSA (Ed25519); line ends also "
    "as `\\n`"
)
CANCEL_REASONS: Final = _setting("CANCEL_REASONS", kind.REASONS, _SERVE, "", "none").explained(
    "what shoppers may choose from: `changed_mind=I changed my mind; too_slow=Delivery is too slow`. Codes of `a-z`, "
    "`0-9`, `_` and `-`; labels without `;`"
)
RECEIPT_SIGNING_KEY: Final = _setting("RECEIPT_SIGNING_KEY", secret.RECEIPT_KEYS, _SERVE, "", "off").explained(
    "signs receipts; line ends also as `\\n`. After it, older keys that are still to be published"
)
STRIPE_WEBHOOK_SECRET: Final = _setting("STRIPE_WEBHOOK_SECRET", secret.WEBHOOK_SECRETS, _SERVE, "", "off").explained(
    f"signs Stripe's webhooks to `POST /hooks/stripe`; {_ROTATE}"
)
MEDUSA_JWT_SECRET: Final = _optional("MEDUSA_JWT_SECRET", secret.JWT_SECRET, _SERVE).explained(
    "Medusa's `http.jwtSecret`; without it customer tokens are not accepted. One that can be guessed is a warning"
)
MEDUSA_JWT_ALGORITHMS: Final = _setting("MEDUSA_JWT_ALGORITHMS", secret.ALGORITHMS, _SERVE, "HS256").explained(
    "Medusa's `http.jwtOptions.algorithm` (or `http.jwtVerifyOptions.algorithms`): `HS256`, `HS384`, `HS512` with "
    "`MEDUSA_JWT_SECRET`; `RS256` to `RS512`, `PS256` to `PS512` and `ES256` to `ES512` with `MEDUSA_JWT_PUBLIC_KEY`. "
    "No other is accepted"
)
MEDUSA_JWT_PUBLIC_KEY: Final = _optional("MEDUSA_JWT_PUBLIC_KEY", secret.JWT_KEY, _SERVE).explained(
    "instead of the secret: Medusa's `http.jwtPublicKey`"
)
MEDUSA_JWT_ISSUER: Final = _setting("MEDUSA_JWT_ISSUER", kind.WORDS, _SERVE, "").explained(
    "`issuer` of the same options: customer tokens must then name one of them"
)
MEDUSA_JWT_AUDIENCE: Final = _setting("MEDUSA_JWT_AUDIENCE", secret.AUDIENCES, _SERVE, "").explained(
    "`audience` of the same options: customer tokens must then name one of them. A regular expression is refused"
)
MEDUSA_JWT_SUBJECT: Final = _optional("MEDUSA_JWT_SUBJECT", kind.TEXT, _SERVE).explained(
    "`subject` of the same options: customer tokens must then say exactly this"
)
MEDUSA_JWT_JWTID: Final = _optional("MEDUSA_JWT_JWTID", kind.TEXT, _SERVE).explained("`jwtid`, likewise")
MEDUSA_JWT_NONCE: Final = _optional("MEDUSA_JWT_NONCE", kind.TEXT, _SERVE).explained("`nonce`, likewise")
MEDUSA_JWT_MAX_AGE: Final = _optional("MEDUSA_JWT_MAX_AGE", secret.MAX_AGE, _SERVE).explained(
    "`maxAge` of `http.jwtVerifyOptions`: customer tokens are accepted for this long after their `iat`, however late "
    'their `exp`. Units as in `ms`: `20h`, `1d`. Medusa\'s *string* `"3600"` is milliseconds: `3600ms` here'
)
MEDUSA_JWT_CLOCK_TOLERANCE: Final = _setting(
    "MEDUSA_JWT_CLOCK_TOLERANCE", kind.seconds(Decimal(0), Decimal(86400)), _SERVE, "0"
).explained(
    "`clockTolerance` of the same: by how much `exp`, `nbf` and the age may be passed. `ignoreExpiration`, "
    "`ignoreNotBefore`, `clockTimestamp` and `allowInvalidAsymmetricKeyTypes` are not honored, and refused by name as "
    "settings (`MEDUSA_JWT_IGNORE_EXPIRATION`): customers whom Medusa accepts by one of these get 401 here. `complete` "
    "signs nobody in at Medusa"
)
STORE_CORS: Final = _setting("STORE_CORS", kind.ORIGINS, _SERVE, "", "no origin").explained(
    "as Medusa's. A pattern that does not compile is refused, where Medusa takes it for a plain origin; so is one with "
    "repetitions within repetitions, which one `Origin` header keeps busy for hours"
)
OPERATOR_SESSION_SECRET: Final = _setting(
    "OPERATOR_SESSION_SECRET", secret.secrets(secret.MIN_OPERATOR_SECRET), _SERVE, "", "off"
).explained(f"switches the operator's page on and signs its sessions; {_ROTATE}. Needs `MEDUSA_BACKEND_URL`")
PUBLIC_URL: Final = _optional("PUBLIC_URL", kind.ORIGIN, _SERVE, "from the proxy's headers").explained(
    "the origin under which browsers see the operator's page, such as `https://shop.example`: no path"
)
ADMIN_CORS: Final = _setting("ADMIN_CORS", kind.ORIGINS, _SERVE, "", "no origin").explained(
    "as Medusa's, for an admin on another origin that asks `GET /grace/api/orders/{id}`"
)
RATE_LIMIT_PER_ORDER: Final = _setting("RATE_LIMIT_PER_ORDER", kind.count(0, 1_000_000), _SERVE, "120").explained(
    "requests a minute for one order; 0 is no limit"
)
RATE_LIMIT_PER_ADDRESS: Final = _setting("RATE_LIMIT_PER_ADDRESS", kind.count(0, 1_000_000), _SERVE, "240").explained(
    "requests a minute of one address; 0 is no limit. While Redis is away each process counts for itself, and allows "
    "twice either limit"
)
TRUSTED_PROXIES: Final = _setting(
    "TRUSTED_PROXIES",
    kind.NETWORKS,
    _SERVE,
    "127.0.0.0/8 ::1/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
).explained(
    "whose `X-Forwarded-For` is believed, hop by hop from its end; a /48 of IPv6 counts as one address. Name your "
    "proxies alone where clients are in private networks, too. A trusted peer that names nobody asks for itself and "
    "is not limited. Not every address there is"
)
STRIPE_API_KEY: Final = _optional("STRIPE_API_KEY", secret.STRIPE_KEY, _LOOK, "required by worker").explained(
    "secret or restricted key"
)
STRIPE_PROVIDERS: Final = _setting(
    "STRIPE_PROVIDERS", secret.STRIPE_PROVIDERS, (*_BOTH, Role.DOCTOR), "", "all of Stripe's"
).explained(
    "which of Medusa's Stripe providers `STRIPE_API_KEY` is for, where a shop has several accounts: provider ids "
    "(`pp_stripe_us`, `pp_stripe-ideal_us`), or the `id` at their end (`us`) for all of an account. Payments of the "
    "others are an incident `unsupported_provider` as soon as they are seen, and nothing is asked about them"
)
STRIPE_API_BASE: Final = _optional("STRIPE_API_BASE", kind.http(only_host=True), _LOOK, "Stripe").explained(
    "another host, such as a sandbox; `http://` with a key of test mode only"
)
STRIPE_REQUESTS_PER_SECOND: Final = _setting(
    "STRIPE_REQUESTS_PER_SECOND", kind.count(1, 10_000), _LOOK, "80"
).explained(
    "requests to Stripe a second that all workers together make; set one value on all. Voids and refunds come before "
    "captures, captures before comparisons. Stripe allows an account 100 in live mode and 25 in a sandbox, Medusa's "
    "own among them, and by default 25 of one endpoint, such as captures (docs.stripe.com/rate-limits): a 429 halves "
    "the pace for 10 s, from where it rises again by tenths. While Redis is away each worker makes a quarter of it; so "
    "does `doctor`, beside the workers"
)
MEDUSA_LOCKING: Final = _optional("MEDUSA_LOCKING", kind.choice(MedusaLocking), _LOOK, "required by worker").explained(
    "Medusa's locking module; `memory` is Medusa's own default"
)
MEDUSA_EVENTS: Final = _setting(
    "MEDUSA_EVENTS", kind.choice(MedusaEvents), (*_BOTH, Role.DOCTOR), MedusaEvents.REDIS
).explained("`off` when Medusa has no event bus on Redis: then nobody is told of `order.canceled`")
MEDUSA_REDIS_URL: Final = _optional("MEDUSA_REDIS_URL", _MEDUSAS_REDIS, _LOOK).explained(
    "Medusa's own Redis, with `MEDUSA_LOCKING=redis` or `MEDUSA_EVENTS=redis`"
)
MEDUSA_EVENTS_QUEUE: Final = _setting("MEDUSA_EVENTS_QUEUE", kind.QUEUE, _LOOK, "events-queue").explained(
    "`queueName` of Medusa's event bus"
)
MEDUSA_EVENTS_PREFIX: Final = _setting("MEDUSA_EVENTS_PREFIX", kind.TEXT, _LOOK, "RedisEventBusService").explained(
    "`queueOptions.prefix` of Medusa's event bus, which its `workerOptions.prefix` has to be too"
)
MEDUSA_LOCK_NAMESPACE: Final = _setting("MEDUSA_LOCK_NAMESPACE", kind.TEXT, _LOOK, "medusa_lock:").explained(
    "`namespace` of `@medusajs/locking-redis`; with a `keyPrefix` in its `redisOptions`, that in front"
)
MEDUSA_LOCK_REDIS_URL: Final = _optional(
    "MEDUSA_LOCK_REDIS_URL", _MEDUSAS_REDIS, _LOOK, "`MEDUSA_REDIS_URL`"
).explained("where `@medusajs/locking-redis` has another `redisUrl` than the event bus")
MEDUSA_BACKEND_URL: Final = _optional("MEDUSA_BACKEND_URL", kind.http(path_only=True), _BOTH).explained(
    "Medusa's address, with `MEDUSA_LOCKING=memory` and for the operator's page and "
    "[sessions](install.md#sessions) of customers"
)
MEDUSA_SECRET_API_KEY: Final = _optional("MEDUSA_SECRET_API_KEY", secret.MEDUSA_KEY, _WORKER).explained(
    "a secret API key of Medusa, with `MEDUSA_LOCKING=memory`"
)
GRACE_PERIOD_SECONDS: Final = _setting(
    "GRACE_PERIOD_SECONDS", kind.seconds(Decimal(1), Decimal(6 * 86400)), (*_BOTH, Role.UP), "3600"
).explained(
    "from `created_at` on, or, of an order made from a draft, from its conversion on, which is recorded when it is "
    "first seen (by its reservations, else its tax lines, else `updated_at`) and does not move afterwards; the same "
    "for API and workers. Captures that are scheduled already keep their time: change it when none wait, or shorten "
    "it only. With `CAPTURE_DELAY_SECONDS` 6.5 days at most: card authorizations lapse after 7"
)
CAPTURE_DELAY_SECONDS: Final = _setting(
    "CAPTURE_DELAY_SECONDS", kind.seconds(LEAST_CAPTURE_DELAY, Decimal(86400)), (*_WORKER, Role.UP), "30"
).explained(
    "from the end of the grace period to the capture. The least is longer than a request waits for its turn and for "
    "locks, so that a cancel received in time is never too late because of our own capture"
)
VOID_WAIT_SECONDS: Final = _setting(
    "VOID_WAIT_SECONDS", kind.seconds(Decimal(0), Decimal(30)), (*_SERVE, Role.UP), "3"
).explained("how long an answer waits for the outcome of the void")
LATE_MONEY: Final = _setting("LATE_MONEY", kind.choice(LateMoney), (*_WORKER, Role.UP), LateMoney.ALERT).explained(
    "what to do about money captured on a canceled order"
)
DATABASE_POOL_SIZE: Final = _optional(
    "DATABASE_POOL_SIZE", kind.count(2, 200), _BOTH, f"{POOL_SIZE}; of a worker `WORKER_THREADS`, if more"
).explained("connections a process")
WORKER_THREADS: Final = _setting("WORKER_THREADS", kind.count(1, 256), _WORKER, "24").explained(
    "jobs that a worker process runs concurrently; 4 for each of `DATABASE_POOL_SIZE` at most"
)
LOG_LEVEL: Final = _setting("LOG_LEVEL", kind.LEVEL, (*_BOTH, Role.UP), "INFO").explained(
    "logs are JSON lines on standard error"
)
ALERT_WEBHOOK_URL: Final = _optional("ALERT_WEBHOOK_URL", kind.http(), _WORKER, "off").explained(
    "URL that incidents are posted to, such as a Slack incoming webhook; set one value on all workers"
)
ALERT_WEBHOOK_SECRET: Final = _setting("ALERT_WEBHOOK_SECRET", secret.ALERT_SECRETS, _WORKER, "", "unsigned").explained(
    f"`whsec_` and the base64 of 24 to 64 bytes; {_ROTATE}. Slack needs none"
)
SENTRY_DSN: Final = _optional("SENTRY_DSN", kind.SENTRY_DSN, _WORKER, "off").explained(
    "also reports incidents; needs the extra `medusa-grace[observability]`"
)
METRICS_LISTEN: Final = _optional("METRICS_LISTEN", kind.LISTEN, _BOTH, "off").explained(
    "where `GET /metrics` is answered, such as `127.0.0.1:9101`; each process that shares a host with others needs its "
    "own, save those of one `serve`"
)
PROMETHEUS_MULTIPROC_DIR: Final = _optional("PROMETHEUS_MULTIPROC_DIR", kind.DIRECTORY, _BOTH, "off").explained(
    "empty at start: processes of one host that have the same one are counted together"
)
OTEL_EXPORTER_OTLP_ENDPOINT: Final = _optional("OTEL_EXPORTER_OTLP_ENDPOINT", kind.http(), _BOTH, "off").explained(
    "an OTLP collector (HTTP) for traces; without the extra a line in the log says that there are none"
)

TABLE: Final[tuple[Setting[Any], ...]] = tuple(row for row in globals().copy().values() if isinstance(row, Setting))


def settings_of(role: Role) -> list[Setting[Any]]:
    """The settings that a command makes use of."""
    return [row for row in TABLE if role in row.roles]


def listed(role: Role) -> str:
    """The settings that a command makes use of, for its ``--help``."""
    shown = [f"{row.name} ({row.default})" if row.default else row.name for row in settings_of(role)]
    return f"Settings, and what they are where they are not set: {', '.join(shown)}. docs/configuration.md has more."
