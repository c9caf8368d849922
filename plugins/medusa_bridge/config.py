"""How the shop's Medusa is set up, as far as this sidecar must know."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs

from app.settings import MedusaSettings, Settings
from app.settings_table import MEDUSA_EVENTS_PREFIX, MEDUSA_EVENTS_QUEUE, MEDUSA_LOCK_NAMESPACE, MedusaLocking

LOCK_NAMESPACE: Final = str(MEDUSA_LOCK_NAMESPACE.default)
EVENTS_QUEUE: Final = str(MEDUSA_EVENTS_QUEUE.default)
EVENTS_PREFIX: Final = str(MEDUSA_EVENTS_PREFIX.default)
"""Medusa's own defaults, and so those of the settings."""


Locking = MedusaLocking


class BridgeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What of the settings concerns Medusa."""

    locking: Locking | None = None
    """``None`` in processes that release no stock."""
    redis_url: str | None = None
    """Medusa's own Redis: its locks (``Locking.REDIS``) and its event bus."""
    lock_redis_url: str | None = None
    """Where its locks are, unless they are there too."""
    lock_namespace: str = LOCK_NAMESPACE
    """Medusa puts it in front of each lock's key, with nothing between, and ioredis' ``keyPrefix`` in front of that."""
    events_queue: str = EVENTS_QUEUE
    events_prefix: str = EVENTS_PREFIX
    backend_url: str | None = None
    secret_api_key: str | None = None
    """With ``Locking.MEMORY``, stock is released through Medusa's admin API with this key."""
    stripe_providers: tuple[str, ...] = ()
    """Providers, or their accounts' ids, that the key for Stripe is for; all of Stripe's where none is named."""
    store_cors: str = ""
    admin_cors: str = ""

    @classmethod
    def of(cls, settings: MedusaSettings) -> BridgeConfig:
        """Return what a check of the shop must know."""
        return cls(
            locking=settings.medusa_locking,
            redis_url=settings.medusa_redis_url,
            lock_redis_url=settings.medusa_lock_redis_url,
            lock_namespace=settings.medusa_lock_namespace,
            events_queue=settings.medusa_events_queue,
            events_prefix=settings.medusa_events_prefix,
            stripe_providers=settings.stripe_providers,
        )

    @classmethod
    def of_worker(cls, settings: Settings) -> BridgeConfig:
        """Return what a worker must know, which may release stock through Medusa's API."""
        return structs.replace(
            cls.of(settings), backend_url=settings.medusa_backend_url, secret_api_key=settings.medusa_secret_api_key
        )

    @classmethod
    def of_api(cls, settings: Settings) -> BridgeConfig:
        """Return what an API process must know, which releases no stock and publishes no events."""
        return cls(
            stripe_providers=settings.stripe_providers,
            store_cors=settings.store_cors,
            admin_cors=settings.admin_cors,
        )
