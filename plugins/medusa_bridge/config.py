"""How the shop's Medusa is set up, as far as this sidecar must know."""

from __future__ import annotations

from typing import Final

import msgspec

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
