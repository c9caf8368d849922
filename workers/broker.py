"""The dramatiq broker: plain queues on Redis, without delays and without retries of its own."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from dramatiq import Message
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError, DecodeError
from dramatiq.middleware import AsyncIO, Middleware
from redis.exceptions import RedisError

from app.domain.jobs import JobKind
from app.gateways.redis_keys import RedisKeys

QUEUES: Final[Mapping[JobKind, str]] = {
    JobKind.CAPTURE: "payment-capture-queue",
    JobKind.VOID: "payment-void-queue",
    JobKind.REFUND: "payment-refund-queue",
    JobKind.RELEASE: "inventory-release-queue",
    JobKind.PUBLISH: "event-publish-queue",
    JobKind.LOOK: "payment-look-queue",
}

FIRST: Final = frozenset({JobKind.VOID, JobKind.REFUND})
"""Kinds of jobs that places are kept for: a shopper waits for them."""


def places(threads: int) -> int:
    """Return how many of a worker's threads jobs of the other kinds may hold, so that a void finds a free one."""
    return max(threads - max(threads // 6, 1), 1)


IDLE_POLL: Final = 0.1
"""Seconds between looks at a queue when nobody rang: how late the message of another worker's relay may be."""

_FIRST_QUEUES: Final = frozenset(QUEUES[kind] for kind in FIRST)

_PATIENCE: Final = 0.5
"""Seconds that Redis has to answer. dramatiq's own client would wait five for a hung server."""


log = structlog.get_logger()


class _NoAlarm(logging.Filter):
    """A Redis that does not answer is a warning: CRITICAL is kept for what needs a person."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lower the record, and let it pass."""
        if record.levelno >= logging.CRITICAL:
            record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
        return True


for _queue in QUEUES.values():
    logging.getLogger(f"dramatiq.worker.ConsumerThread({_queue})").addFilter(_NoAlarm())


class _Consumer(Consumer):
    """Wraps dramatiq's: looks into its queue when it is told to, and now and then besides. A Redis that does not hear
    of a message's end ends nothing: the row knows, and a repeated message is stale."""

    def __init__(
        self, consumer: Any, wake_event: threading.Event, few: int, places: threading.Semaphore | None
    ) -> None:
        """``places`` bounds the messages that all consumers with the same one hand out before they are over."""
        self._consumer = consumer
        self._places = places
        self._wake_event = wake_event
        self._few = few

    def __next__(self) -> MessageProxy | None:
        """A message, or ``None`` after a while without one, or without a place for one."""
        if self._places is not None and not self._places.acquire(timeout=IDLE_POLL):
            return None
        message: MessageProxy | None = None
        try:
            message = next(self._consumer)
        finally:
            if message is None:
                self._free()
        if message is None and self._wake_event.wait(IDLE_POLL):
            self._wake_event.clear()
        return message

    def _free(self) -> None:
        if self._places is not None:
            self._places.release()

    def ack(self, message: MessageProxy) -> None:
        """Tell Redis, if it listens, and fetch more when few are left."""
        with contextlib.suppress(RedisError, BrokerConnectionError, OSError):
            self._consumer.ack(message)
        self._free()
        if self._consumer.outstanding_message_count <= self._few:
            self._wake_event.set()

    def nack(self, message: MessageProxy) -> None:
        """Tell Redis, if it listens."""
        with contextlib.suppress(RedisError, BrokerConnectionError, OSError):
            self._consumer.nack(message)
        self._free()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """See dramatiq."""
        self._consumer.requeue(messages)

    def close(self) -> None:
        """Give back what was fetched and not handed on."""
        with contextlib.suppress(RedisError, BrokerConnectionError, OSError):
            self.requeue([MessageProxy(Message.decode(data)) for data in self._consumer.message_cache])
        self._consumer.message_cache = []
        self._consumer.close()


class JobBroker(RedisBroker):
    def __init__(self, *, threads: int | None = None, **options: Any) -> None:
        """``threads``: of the worker that consumes with it."""
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._places = None if threads is None else threading.Semaphore(places(threads))
        self.wake_events: dict[str, threading.Event] = {}

    def declare_queue(self, queue_name: str) -> None:
        """Without the queue for delayed messages beside it: there are none, and it would be polled all the same."""
        if not self.namespace:
            message = "which installation's queues these are is not known yet"
            raise RuntimeError(message)
        if queue_name not in self.queues:
            self.wake_events[queue_name] = threading.Event()
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def join_installation(self, keys: RedisKeys) -> None:
        """Use the queues of this installation. To be called before a queue is declared."""
        self.namespace = keys.jobs

    def do_fetch(self, queue_name: str, number: int) -> list[bytes | None]:
        """Fetch up to ``number`` messages. What no relay of ours can have sent is logged and deleted: dramatiq would
        restart its consumer over it, or lose a thread."""
        fetch = super().__getattr__("do_fetch")  # type: ignore[no-untyped-call]
        payloads: list[bytes | None] = fetch(queue_name, number)
        malformed = [
            payload for payload in payloads if payload is not None and not self._is_message(queue_name, payload)
        ]
        if malformed:
            log.warning("job.malformed", queue=queue_name, messages=len(malformed))
            self._delete(queue_name, malformed)
        return [payload for payload in payloads if payload not in malformed]

    def _is_message(self, queue_name: str, payload: bytes) -> bool:
        try:
            message = Message.decode(payload)
        except DecodeError:
            return False
        return (
            message.queue_name == queue_name
            and isinstance(message.actor_name, str)
            and message.actor_name in self.actors
            and isinstance(message.message_id, str)
            and isinstance(message.kwargs, dict)
            and isinstance(message.options, dict)
            and set(message.options) == {"redis_message_id"}
            and isinstance(message.options["redis_message_id"], str)
        )

    def _delete(self, queue_name: str, payloads: Sequence[bytes]) -> None:
        """Acknowledge messages by what they hold: what they say of themselves may be wrong."""
        fetched = sorted(self.client.smembers(f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}"))
        held = self.client.hmget(f"{self.namespace}:{queue_name}.msgs", fetched) if fetched else []
        for redis_id, payload in zip(fetched, held, strict=True):
            if payload in payloads:
                self.do_ack(queue_name, redis_id)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 0) -> Consumer:  # noqa: ARG002
        """See ``_Consumer``, which waits by itself."""
        shared = None if queue_name in _FIRST_QUEUES else self._places
        consumer = super().consume(queue_name, prefetch, timeout=0)
        return _Consumer(consumer, self.wake_events[queue_name], prefetch // 2, shared)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put the message into its queue, and let this process' own consumer know. What is to wait waits as a row."""
        if delay is not None:
            text = f"nobody would look for a delayed message: {message}"
            raise ValueError(text)
        sent: Message[Any] = super().enqueue(message)
        self.wake_events[message.queue_name].set()
        return sent


def make_broker(redis_url: str, *middleware: Middleware, threads: int | None = None) -> JobBroker:
    """A broker whose async actors run on one event loop, with ``middleware`` started after that loop.

    It has no queues before ``join_installation``. A worker's has the number of its ``threads``.
    """
    return JobBroker(
        url=f"{redis_url}{'&' if '?' in redis_url else '?'}socket_timeout={_PATIENCE}"
        f"&socket_connect_timeout={_PATIENCE}",
        middleware=[AsyncIO(), *middleware],
        namespace="",
        threads=threads,
        heartbeat_timeout=15_000,
    )
