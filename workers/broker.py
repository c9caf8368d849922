"""The dramatiq broker: plain queues on Redis, without delays and without retries of its own."""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import BrokerConnectionError, DecodeError
from dramatiq.middleware import AsyncIO, Middleware
from redis.client import Pipeline
from redis.exceptions import NoScriptError, RedisError

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

IDLE_POLL: Final = 0.1
"""Seconds between looks at a queue when nobody rang: how late the message of another worker's relay may be."""

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


class _Consumer(_RedisConsumer):
    """Looks into its queue when it is told to, and now and then besides. Tells Redis of messages that are done when it
    has several, or nothing else to do: the row knows, and a repeated message is stale."""

    def __init__(self, broker: JobBroker, queue_name: str, prefetch: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout=0)  # type: ignore[no-untyped-call]
        self._few = prefetch // 2
        self._look = broker.bells[queue_name]
        self._done: deque[str] = deque()

    def __next__(self) -> MessageProxy | None:
        """A message, or ``None`` after a while without one."""
        if len(self._done) >= self._few:
            self._tell()
        message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
        if message is None:
            if self._look.wait(IDLE_POLL):
                self._look.clear()
            else:
                self._tell()
        return message

    def ack(self, message: MessageProxy) -> None:
        """Have Redis told some time."""
        self._done.append(message.options["redis_message_id"])
        self.queued_message_ids.discard(message.message_id)
        if self.outstanding_message_count <= self._few:
            self._look.set()

    def nack(self, message: MessageProxy) -> None:
        """Tell Redis, if it listens."""
        with contextlib.suppress(RedisError, BrokerConnectionError, OSError):
            super().nack(message)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Tell Redis of the last ones, and give back what was fetched and not handed on."""
        self._tell()
        with contextlib.suppress(RedisError, BrokerConnectionError, OSError):
            self.requeue([Message.decode(data) for data in self.message_cache])  # type: ignore[no-untyped-call]
        self.message_cache = []
        super().close()

    def _tell(self) -> None:
        """Tell Redis, if it listens, what is done."""
        if self._done:
            ids = [self._done.popleft() for _ in range(len(self._done))]
            with contextlib.suppress(RedisError, BrokerConnectionError, OSError):
                self.broker.in_one_go(lambda broker: [broker.do_ack(self.queue_name, one) for one in ids])


class JobBroker(RedisBroker):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.bells: dict[str, threading.Event] = {}

    def declare_queue(self, queue_name: str) -> None:
        """Without the queue for delayed messages beside it: there are none, and it would be polled all the same."""
        if not self.namespace:
            message = "which installation's queues these are is not known yet"
            raise RuntimeError(message)
        if queue_name not in self.queues:
            self.bells[queue_name] = threading.Event()
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def join_installation(self, keys: RedisKeys) -> None:
        """Use the queues of this installation. To be called before a queue is declared."""
        self.namespace = keys.jobs

    def do_fetch(self, queue_name: str, number: int) -> list[bytes | None]:
        """Fetch up to ``number`` messages. What no relay of ours can have sent is logged and deleted: dramatiq would
        restart its consumer over it, or lose a thread."""
        payloads: list[bytes | None] = self._dispatch("fetch")(queue_name, number)  # type: ignore[no-untyped-call]
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

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 0) -> _Consumer:  # noqa: ARG002
        """See ``_Consumer``, which has its own idea of patience."""
        return _Consumer(self, queue_name, prefetch)

    def in_one_go(self, act: Callable[[RedisBroker], object]) -> None:
        """Do what ``act`` does with a broker, in one round trip. Where Redis has lost dramatiq's script, in three."""
        self._max_unpack_size()  # type: ignore[no-untyped-call]  # asked of Redis once, and kept
        try:
            self._act_at_once(act)
        except NoScriptError:  # one that redis-py registers would be asked for each time
            self.client.script_load(self.scripts["dispatch"].script)
            self._act_at_once(act)

    def _act_at_once(self, act: Callable[[RedisBroker], object]) -> None:
        with self.client.pipeline(transaction=False) as pipe:
            sender = copy.copy(self)
            sender.scripts = {**self.scripts, "dispatch": partial(_queued, pipe, self.scripts["dispatch"].sha)}
            act(sender)
            pipe.execute()

    def enqueue_all(self, messages: Sequence[Message[Any]]) -> None:
        """Put the messages into their queues, and let this process' own consumers know. Raises where Redis does not
        answer; then some may be there all the same."""
        self.in_one_go(lambda sender: [RedisBroker.enqueue(sender, message) for message in messages])
        for queue_name in {message.queue_name for message in messages}:
            self.bells[queue_name].set()

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put the message into its queue, and let this process' own consumer know. What is to wait waits as a row."""
        if delay is not None:
            text = f"nobody would look for a delayed message: {message}"
            raise ValueError(text)
        sent: Message[Any] = super().enqueue(message)
        self.bells[message.queue_name].set()
        return sent


def _queued(pipe: Pipeline, sha: str, keys: Sequence[Any], args: Sequence[Any]) -> None:
    pipe.evalsha(sha, len(keys), *keys, *args)


def make_broker(redis_url: str, *middleware: Middleware) -> JobBroker:
    """A broker whose async actors run on one event loop, with ``middleware`` started after that loop.

    It has no queues before ``join_installation``.
    """
    return JobBroker(
        url=f"{redis_url}{'&' if '?' in redis_url else '?'}socket_timeout={_PATIENCE}"
        f"&socket_connect_timeout={_PATIENCE}",
        middleware=[AsyncIO(), *middleware],
        namespace="",
        heartbeat_timeout=15_000,
    )
