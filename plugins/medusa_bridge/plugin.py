"""The Litestar plugin: Medusa's manners for an application that storefronts and its admin speak to."""

from __future__ import annotations

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin

from app.origins import AllowedOrigins
from plugins.medusa_bridge.config import BridgeConfig
from plugins.medusa_bridge.cors import MedusaCors


class MedusaPlugin(InitPlugin):
    """Puts Medusa's CORS rules around the application."""

    def __init__(self, config: BridgeConfig) -> None:
        self._config = config

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.on_startup.append(self._wrap)
        return app_config

    def _wrap(self, app: Litestar) -> None:
        store = MedusaCors(app.asgi_handler, "/store/", AllowedOrigins(self._config.store_cors))
        app.asgi_handler = MedusaCors(store, "/grace/api/", AllowedOrigins(self._config.admin_cors))
