"""Put events on Medusa's Redis event bus."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from bullmq import Queue
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.ports import Event, Events, Unavailable
from plugins.medusa_bridge.config import EVENTS_PREFIX, EVENTS_QUEUE

_PATIENCE: Final = 3.0
# As Medusa's own bus adds its jobs; the priority puts them into its "prioritized" set.
_OPTIONS: Final[dict[str, Any]] = {"priority": 100, "attempts": 1, "removeOnComplete": True}


class MedusaEvents(Events):
    """Medusa's BullMQ queue, seen from outside: adding to it works, reading from it would rob Medusa."""

    def __init__(self, redis: Redis | None, queue: str = EVENTS_QUEUE, prefix: str = EVENTS_PREFIX) -> None:
        """``queue`` is Medusa's ``queueName``, ``prefix`` its ``queueOptions.prefix``."""
        self._redis = redis
        self._name, self._prefix = queue, prefix
        self._queue: Queue | None = None

    async def publish(self, event: Event) -> None:
        """Add the event, with the payload that Medusa gives it. Raises ``Unavailable``.

        While the job still waits in the queue, adding it again adds nothing: its id is spelled from the event and its
        occurrence.
        """
        if self._redis is None:
            message = "MEDUSA_REDIS_URL is not set, so there is no event bus to publish on"
            raise Unavailable(message)
        if self._queue is None:
            self._queue = Queue(self._name, {"connection": self._redis, "prefix": self._prefix})
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {"data": {"id": event.id}, "metadata": {"created_at": now, "published_at": now}}
        options = {**_OPTIONS, "jobId": "-".join(filter(None, ("grace", event.name, event.id, event.occurrence)))}
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._queue.add(event.name, body, options)
        except (RedisError, OSError, TimeoutError) as error:
            message = f"Medusa's Redis does not answer: {type(error).__name__}"
            raise Unavailable(message) from error
