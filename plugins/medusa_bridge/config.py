"""How the shop's Medusa is set up, as far as this sidecar must know."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Locking(StrEnum):
    """Medusa's locking module. Its own default is memory."""

    REDIS = "redis"
    POSTGRES = "postgres"
    MEMORY = "memory"


class BridgeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What of the settings concerns Medusa."""

    locking: Locking | None = None
    """``None`` in processes that release no stock."""
    redis_url: str | None = None
    """Medusa's own Redis: its locks (``Locking.REDIS``) and its event bus."""
    backend_url: str | None = None
    secret_api_key: str | None = None
    """With ``Locking.MEMORY``, stock is released through Medusa's admin API with this key."""
    jwt_secret: str | None = None
    """Verifies customer tokens; without it they are not accepted."""
    store_cors: str = ""
    admin_cors: str = ""
