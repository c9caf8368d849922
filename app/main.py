"""The HTTP application: Litestar, assembled."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from app.gateways.receipt_keys import Ed25519Receipts
from app.gateways.stripe_hints import StripeHints
from app.http import errors, health, receipts, store_orders, stripe_webhook
from app.http.api_docs import api_docs
from app.http.body_limits import BodyLimitMiddleware
from app.http.clients import ClientAddresses
from app.http.desk import Desk
from app.http.edge import EdgePlugin
from app.http.operator.desk import OperatorDesk
from app.http.operator.guesses import SignInLimits
from app.http.operator.known import KnownAdmins
from app.http.operator.origin import PageOrigin
from app.http.operator.plugin import OperatorPlugin
from app.http.operator.session import Sessions
from app.http.request_meter import request_meter
from app.http.tokens import TokenVerifier
from app.http.tracing import TracingMiddleware
from app.logs import configure_logs
from app.origins import AllowedOrigins
from app.ports import Services, Unavailable
from app.runtime import Runtime, make_metrics, open_runtime
from app.settings import Settings, read_settings
from app.settings_table import Role
from plugins.medusa_bridge import (
    KEY_PROBLEMS,
    BridgeConfig,
    CustomerSessions,
    CustomerTokens,
    MedusaAdmins,
    MedusaBridge,
    MedusaStorefront,
)
from plugins.medusa_bridge.plugin import MedusaPlugin

log = structlog.get_logger()

LARGEST_BODY = 16 * 1024
"""Bytes. A reason has 500 characters at most."""


HANDLERS: Final = [
    store_orders.cancel,
    store_orders.preview,
    receipts.receipt,
    receipts.keys,
    stripe_webhook.receive,
    health.live,
    health.ready,
]
"""The contract's."""


def create_app() -> Litestar:
    """The application with its settings from the environment, as granian loads it."""
    settings = read_settings(os.environ, Role.SERVE)
    configure_logs(settings.log_level)
    return build_app(settings)


async def check_database(settings: Settings) -> None:
    """Fail as the application would at its start, but in the process that a person looks at."""
    async with MedusaBridge.open(BridgeConfig.of_api(settings)) as bridge, open_runtime(settings, bridge):
        pass


def build_app(settings: Settings) -> Litestar:
    """The application for ``settings``. Connections are opened when it starts and closed when it stops."""
    config = BridgeConfig.of_api(settings)
    customer_tokens = _customer_tokens(settings)
    tokens = TokenVerifier(
        settings.modification_token_secrets,
        settings.modification_token_public_key,
        audience_required=settings.modification_token_audience_required,
    )

    receipt_keys = Ed25519Receipts(settings.receipt_signing_keys)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with (
            MedusaBridge.open(config) as bridge,
            open_runtime(settings, bridge) as runtime,
            _customer_sessions(settings) as sessions,
        ):
            app.state.services = runtime.services
            app.state.desk = Desk(
                services=runtime.services,
                storefront=MedusaStorefront(customer_tokens, sessions),
                origins=AllowedOrigins(settings.store_cors),
                tokens=tokens,
                limits=runtime.limits,
                hints=StripeHints(settings.stripe_webhook_secrets),
                receipts=receipt_keys,
                addresses=ClientAddresses(settings.trusted_proxies),
                per_order=settings.rate_limit_per_order,
                per_address=settings.rate_limit_per_address,
            )
            metrics = make_metrics(settings, runtime.services)
            if metrics is not None:
                metrics.start_when_free()
            try:
                async with runtime.void_news.heard(), _operator_desk(settings, runtime) as operator_desk:
                    app.state.operator_desk = operator_desk
                    log.info("serve.ready")
                    yield
            finally:
                if metrics is not None:
                    await asyncio.to_thread(metrics.stop)

    async def provide_services(state: State) -> Services:
        services: Services = state.services
        return services

    async def provide_desk(state: State) -> Desk:
        desk: Desk = state.desk
        return desk

    begin_request, end_request = request_meter()
    app = Litestar(
        route_handlers=[*HANDLERS, *_docs()],
        dependencies={"services": Provide(provide_services), "desk": Provide(provide_desk)},
        exception_handlers={
            errors.Problem: errors.answer_problem,
            Unavailable: errors.answer_unavailable,
            HTTPException: errors.answer_http_exception,
            Exception: errors.answer_unexpected,
        },
        lifespan=[lifespan],
        before_request=begin_request,
        before_send=[end_request],
        middleware=[
            BodyLimitMiddleware(),
            *([TracingMiddleware(lambda: app.state.services.tracing)] if settings.watch.traces else []),
        ],
        plugins=[
            MedusaPlugin(config),
            *([OperatorPlugin()] if settings.operator_session_secrets else []),
            EdgePlugin(),
        ],
        request_max_body_size=LARGEST_BODY,
        logging_config=None,
        openapi_config=None,
    )
    return app


@cache
def _docs() -> list[HTTPRouteHandler]:
    """The routes of the contract. Making them takes as long as the rest of the application, and they are always the
    same."""
    return api_docs(HANDLERS, KEY_PROBLEMS)


def _customer_tokens(settings: Settings) -> CustomerTokens | None:
    given = settings.medusa_jwt
    if given.secret is None and given.public_key is None:
        return None
    return CustomerTokens(
        algorithms=given.algorithms,
        secret=given.secret,
        public_key=given.public_key,
        issuers=given.issuers,
        audiences=given.audiences,
        claims=given.claims,
        max_age=given.max_age,
        clock_tolerance=given.clock_tolerance,
    )


@asynccontextmanager
async def _customer_sessions(settings: Settings) -> AsyncIterator[CustomerSessions | None]:
    """``None`` where Medusa's address is not known."""
    if settings.medusa_backend_url is None:
        yield None
        return
    sessions = CustomerSessions.open(settings.medusa_backend_url)
    try:
        yield sessions
    finally:
        await sessions.close()


@asynccontextmanager
async def _operator_desk(settings: Settings, runtime: Runtime) -> AsyncIterator[OperatorDesk | None]:
    """What the operator's page needs; ``None`` where it is off."""
    if not settings.operator_session_secrets or settings.medusa_backend_url is None:
        yield None
        return
    admins = MedusaAdmins.open(settings.medusa_backend_url)
    addresses = ClientAddresses(settings.trusted_proxies)
    try:
        yield OperatorDesk(
            admins=admins,
            known=KnownAdmins(admins),
            sessions=Sessions(settings.operator_session_secrets),
            guesses=SignInLimits(runtime.limits),
            addresses=addresses,
            origin=PageOrigin(public_url=settings.public_url, addresses=addresses),
            test_money="_test_" in (settings.stripe_api_key or ""),
        )
    finally:
        await admins.close()
