"""Where an actor sits: a connection, a Stripe client and two Redis lines, with the real services on top of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import stripe

from app.environment import Environment
from app.gateways import redis_locks
from app.gateways.redis_keys import RedisKeys
from app.gateways.redis_locks import RedisOrderLocks
from app.gateways.redis_wakeup import RedisWakeup
from app.gateways.stripe_gateway import StripeGateway
from app.ports import Event, Events, Policy, Services
from app.settings import read_policy
from app.usecases import cancel_order
from plugins.medusa_bridge import BridgeConfig, Locking, MedusaBridge, stock
from tests.races.explorer.cases import Case
from tests.races.explorer.medusa import Medusa
from tests.races.explorer.postgres_seam import Wire
from tests.races.explorer.redis_seam import RedisLine
from tests.races.explorer.stage import Actor
from tests.races.explorer.stripe_seam import KEY, StripeLine

_NO_PATIENCE: Final[Mapping[tuple[Any, str], float]] = {
    (redis_locks, "_WAIT"): 0.0,
    (stock, "_LOCK_WAIT"): -1.0,
    (cancel_order, "SURE_WITHIN"): 3600.0,  # a turn comes when it comes, however slow the machine
}


class _NoEvents(Events):
    """An event bus that nothing listens to."""

    async def publish(self, event: Event) -> None:
        """Drop the event."""


class _Bridge(MedusaBridge):
    """The real bridge, save its event bus."""

    def __init__(self, redis: Any) -> None:
        super().__init__(BridgeConfig(locking=Locking.REDIS), redis, None)
        self.events = _NoEvents()


class _Gateway(StripeGateway):
    """The real gateway over an HTTP client of our own."""

    def __init__(self, line: StripeLine) -> None:
        super().__init__(KEY)
        self._client = stripe.StripeClient(KEY, http_client=line, max_network_retries=0)


class Seat:
    """One process: a worker, an API, or Medusa."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.redis = RedisLine(wire, ours=True)
        self.medusas_redis = RedisLine(wire, ours=False)
        self.stripe = StripeLine(wire)
        self.bridge = _Bridge(self.medusas_redis)
        self._gateway = _Gateway(self.stripe)
        ours: Any = self.redis
        keys = RedisKeys("explored")
        self._services = Services(
            db=wire,
            events=self.bridge.events,
            inventory=self.bridge.inventory,
            discovery=self.bridge.discovery,
            reconciliation=self.bridge.reconciliation,
            back_office=self.bridge.back_office,
            payments=self.bridge.payments,
            orders=self.bridge.orders,
            gateway=self._gateway,
            locks=RedisOrderLocks(ours, keys),
            wakeup=RedisWakeup(ours, keys),
            policy=read_policy(Environment({})),
        )
        self.services = self._services
        self.medusa = Medusa(wire, self.medusas_redis, self.stripe)

    @classmethod
    async def take(cls, dsn: str) -> Seat:
        """A seat at a database."""
        return cls(await Wire.connect(dsn))

    async def leave(self) -> None:
        """Close the connections."""
        await self._gateway.close()
        await self.wire.close()

    def sit(self, case: Case, policy: Policy, actor: Actor | None) -> None:
        """Be about this order; without an actor nothing is a point."""
        self.wire.actor = actor
        self.stripe.account = case.account
        self.redis.shelf = case.ours
        self.medusas_redis.shelf = case.medusas
        self.services = msgspec.structs.replace(self._services, policy=policy)


class _Table:
    """What holds for the whole process while at least one lane plays."""

    def __init__(self) -> None:
        self._players = 0
        self._kept: dict[tuple[Any, str], float] = {}
        self._silence = 0

    @contextmanager
    def laid(self) -> Iterator[None]:
        """A lock that is busy is waited for at its point or not at all, and nobody logs."""
        self._players += 1
        if self._players == 1:
            self._kept = {place: getattr(*place) for place in _NO_PATIENCE}
            self._silence = logging.root.manager.disable
            self._set(_NO_PATIENCE)
            logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            self._players -= 1
            if self._players == 0:
                self._set(self._kept)
                logging.disable(self._silence)

    @staticmethod
    def _set(values: Mapping[tuple[Any, str], float]) -> None:
        for (module, name), seconds in values.items():
            setattr(module, name, seconds)


TABLE: Final = _Table()
