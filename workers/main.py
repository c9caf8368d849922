"""One worker process: dramatiq's worker threads, one event loop, one relay."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import structlog
import uvloop
from dramatiq import Broker, Worker
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware

from app.gateways.stripe_gateway import StripeGateway
from app.ports import Services
from app.runtime import NotReady, check_backend, check_redis, make_metrics, open_runtime
from app.settings import Settings
from app.settings_table import MedusaLocking
from plugins.medusa_bridge import BridgeConfig, MedusaBridge, try_backend
from workers.actors import declare_actors
from workers.broker import make_broker
from workers.relay import Relay, open_relay

log = structlog.get_logger()

STOP_WITHIN: Final = 30_000
"""Milliseconds that running jobs have to end after SIGTERM. Longer than a lease: none is cut off in a call."""


class ServicesMiddleware(Middleware):
    """Opens the services on the actors' event loop before the first message, closes them after the last."""

    def __init__(self, settings: Settings, step_in: Callable[[Services], Services]) -> None:
        self._settings = settings
        self._step_in = step_in
        self._stack = AsyncExitStack()
        self._services: Services | None = None
        self._relay: Relay | None = None
        self.failure: Exception | None = None
        self.has_work = False
        """Whether jobs may run: from then on a stop waits for them."""

    def services(self) -> Services:
        """The services, once the worker has booted."""
        if self._services is None:
            message = "the worker has not booted"
            raise RuntimeError(message)
        return self._services

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 (dramatiq's signature)
        """Open everything and start the relay. A failure is kept for ``WorkerProcess.start`` to raise."""
        try:
            _on_loop(self._open(broker))
        except Exception as error:  # noqa: BLE001
            self.failure = error

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        """Hand out nothing more while running jobs end."""
        if self._relay is not None:
            _on_loop(self._relay.stop())

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        """Close everything."""
        _on_loop(self._stack.aclose())

    async def _open(self, broker: Any) -> None:
        settings = self._settings
        urls = {"MEDUSA_REDIS_URL": settings.medusa_redis_url, "MEDUSA_LOCK_REDIS_URL": settings.medusa_lock_redis_url}
        for name, url in urls.items():
            if url is not None:
                await check_redis(name, url, "grace:start", write=False)
        bridge = await self._stack.enter_async_context(MedusaBridge.open(BridgeConfig.of_worker(settings)))
        runtime = await self._stack.enter_async_context(open_runtime(settings, bridge))
        for problem in await bridge.survey(events=settings.policy.publishes_events):
            log.warning("medusa.names", detail=problem)
        self._services = self._step_in(runtime.services)
        broker.join_installation(runtime.keys)
        actors = declare_actors(broker, self.services)
        self.has_work = True
        self._relay = await open_relay(
            self._services, broker, actors, runtime.wakeup, here_at_once=self._settings.worker_threads
        )
        metrics = make_metrics(self._settings, alive=self._relay.trouble)
        if metrics is not None:
            try:
                metrics.start()
            except OSError as error:
                host, port = metrics.listen
                message = f"METRICS_LISTEN: cannot listen on {host}:{port}: {error}"
                raise NotReady(message) from error
            self._stack.callback(metrics.stop)


class WorkerProcess:
    """dramatiq's worker with everything it needs. One at a time in a process.

    ``step_in`` may put something between the use cases and their services; tests do.
    """

    def __init__(self, settings: Settings, step_in: Callable[[Services], Services] = lambda services: services) -> None:
        self._middleware = ServicesMiddleware(settings, step_in)
        self._broker = make_broker(settings.redis_url, self._middleware, threads=settings.worker_threads)
        self._worker = Worker(self._broker, worker_threads=settings.worker_threads)

    def start(self) -> None:
        """Take up work. Raises what kept the worker from starting."""
        self._worker.start()
        if self._middleware.failure is not None:
            self.stop()
            raise self._middleware.failure

    @property
    def has_work(self) -> bool:
        """Whether it got as far as to run jobs."""
        return self._middleware.has_work

    def stop(self) -> None:
        """Finish what is running, give back what is not, close everything."""
        self._worker.stop(timeout=STOP_WITHIN)
        self._broker.close()
        self._broker.client.connection_pool.disconnect()  # dramatiq's broker leaves its sockets to the collector


async def check_accounts(settings: Settings) -> None:
    """Raise ``NotReady`` where Stripe or Medusa answers that its key, or its address, is wrong."""
    gateway = StripeGateway.open(settings.stripe_api_key or "", settings.stripe_api_base)
    try:
        problem = await gateway.key_problem()
    finally:
        await gateway.close()
    if problem is not None:
        message = f"STRIPE_API_KEY: {problem}"
        raise NotReady(message)
    if settings.medusa_locking is MedusaLocking.MEMORY and settings.medusa_backend_url is not None:
        await check_backend(settings.medusa_backend_url, settings.medusa_secret_api_key, try_backend)


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what is running. Raises what kept the worker from starting."""
    stop = threading.Event()
    uvloop.install()  # dramatiq makes the actors' loop, by the policy
    process = WorkerProcess(settings)

    def end(*_: object) -> None:
        stop.set()
        if not process.has_work:  # the start waits for the database, for Redis and for Stripe in threads
            os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    process.start()
    log.info("worker.ready", threads=settings.worker_threads)
    stop.wait()
    log.info("worker.stopping")
    process.stop()


def _on_loop(coroutine: Any) -> None:
    thread = get_event_loop_thread()
    assert thread is not None
    thread.run_coroutine(coroutine)
