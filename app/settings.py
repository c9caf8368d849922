"""Settings, named once. All come from the environment; a missing or bad one says so by its name."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app.ports import LateMoney, Policy

E = TypeVar("E", bound=StrEnum)

MIN_SECRET: Final = 16
"""Characters. A shorter HMAC secret is refused."""
MIN_OPERATOR_SECRET: Final = 32
"""Characters. Whoever knows it may move money."""


_POSTGRES: Final = ("postgres", "postgresql")


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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the processes read from the environment. See the table in the README."""

    database_url: str
    redis_url: str
    stripe_api_key: str | None
    stripe_api_base: str | None
    stripe_webhook_secrets: tuple[str, ...]
    modification_token_secrets: tuple[str, ...]
    modification_token_public_key: str | None
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
    )
    settings = Settings(
        database_url=reader.url("DATABASE_URL", _POSTGRES, need="Medusa's database") or "",
        redis_url=reader.url("REDIS_URL", ("redis", "rediss", "unix"), need="a Redis or Valkey of this sidecar") or "",
        stripe_api_key=_stripe_key(reader, needed=working),
        stripe_api_base=reader.url("STRIPE_API_BASE", ("http", "https")),
        stripe_webhook_secrets=tuple((reader.text("STRIPE_WEBHOOK_SECRET") or "").split()),
        modification_token_secrets=_secrets(reader, needed=role is Role.SERVE),
        modification_token_public_key=_public_key(reader),
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
    )
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return settings


def read_database_url(environ: Mapping[str, str]) -> str:
    """``DATABASE_URL`` alone, for commands that need nothing else. Raises ``SettingsError``."""
    reader = _Reader(environ)
    url = reader.url("DATABASE_URL", _POSTGRES, need="Medusa's database, as a role that may create a schema in it")
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return url or ""


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
