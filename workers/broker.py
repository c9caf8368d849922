"""The dramatiq broker: plain queues on Redis, without delays and without retries of its own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Final

from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import AsyncIO, Middleware
from redis.exceptions import RedisError

from app.domain.jobs import JobKind

QUEUES: Final[Mapping[JobKind, str]] = {
    JobKind.CAPTURE: "payment-capture-queue",
    JobKind.VOID: "payment-void-queue",
    JobKind.REFUND: "payment-refund-queue",
    JobKind.RELEASE: "inventory-release-queue",
    JobKind.PUBLISH: "event-publish-queue",
    JobKind.LOOK: "payment-look-queue",
}

_PATIENCE: Final = 0.5
"""Seconds that Redis has to answer. dramatiq's own client would wait five for a hung server."""


class _NoAlarm(logging.Filter):
    """A Redis that does not answer is a warning: CRITICAL is kept for what needs a person."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lower the record, and let it pass."""
        if record.levelno >= logging.CRITICAL:
            record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
        return True


for _queue in QUEUES.values():
    for _thread in (_queue, f"{_queue}.DQ"):
        logging.getLogger(f"dramatiq.worker.ConsumerThread({_thread})").addFilter(_NoAlarm())


class _Consumer(_RedisConsumer):
    """Does not wait for Redis to be told that a message is done: the row knows, and a repeated message is stale."""

    def ack(self, message: MessageProxy) -> None:
        """Tell Redis, if it listens."""
        with contextlib.suppress(RedisError, BrokerConnectionError, OSError):
            super().ack(message)  # type: ignore[no-untyped-call]

    def nack(self, message: MessageProxy) -> None:
        """Tell Redis, if it listens."""
        with contextlib.suppress(RedisError, BrokerConnectionError, OSError):
            super().nack(message)  # type: ignore[no-untyped-call]


class _Broker(RedisBroker):
    @property
    def consumer_class(self) -> type[_Consumer]:
        """See ``_Consumer``."""
        return _Consumer


def make_broker(redis_url: str, *middleware: Middleware) -> RedisBroker:
    """A broker whose async actors run on one event loop, with ``middleware`` started after that loop."""
    return _Broker(  # type: ignore[no-untyped-call]
        url=f"{redis_url}{'&' if '?' in redis_url else '?'}socket_timeout={_PATIENCE}"
        f"&socket_connect_timeout={_PATIENCE}",
        middleware=[AsyncIO(), *middleware],
        namespace="grace",
        heartbeat_timeout=15_000,
    )
