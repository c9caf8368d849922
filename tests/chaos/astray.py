"""Messages where they do not belong: in another queue, of another installation, of the version before."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any, Final

import redis

from workers.broker import QUEUES

_SEEN: Final = 40
"""Messages of each queue that are remembered, and delivered again."""


def deliver_astray(url: str, over: threading.Event) -> None:
    """Put what is seen in any queue into all others, as it is and as if it belonged there, until it is over.

    A Redis that is away ends it quietly.
    """
    seen: dict[str, list[bytes]] = {}
    with redis.Redis.from_url(url, socket_timeout=1) as client:
        while not over.wait(0.05):
            try:
                for name in client.scan_iter("grace:*:jobs:*.msgs"):
                    queue = name.decode().removesuffix(".msgs")
                    seen[queue] = [*client.hvals(name), *seen.get(queue, [])][:_SEEN]
                for (origin, payloads), target in itertools.product(seen.items(), _targets(seen)):
                    if origin != target and payloads:
                        for id_, payload in _as_if_there(payloads[0], target):
                            client.hset(f"{target}.msgs", id_, payload)
                            client.rpush(target, id_)
            except (redis.RedisError, OSError):
                return


def _targets(seen: dict[str, list[bytes]]) -> list[str]:
    """Every queue of every installation that was seen."""
    namespaces = {queue.rpartition(":")[0] for queue in seen}
    return [f"{namespace}:{queue}" for namespace in sorted(namespaces) for queue in QUEUES.values()]


def _as_if_there(payload: bytes, target: str) -> Iterator[tuple[str, bytes]]:
    """The message as it is, as if it belonged to that queue, as if to that shop too, and as of the version before."""
    id_ = uuid.uuid4().hex
    yield id_, payload
    message: dict[str, Any] = json.loads(payload)
    if len(message["args"]) != 5:
        return
    name = target.rpartition(":")[2]
    (kind,) = [kind.value for kind, queue in QUEUES.items() if queue == name]
    _, installation, *_ = target.split(":")
    _, job, _, order, generation = message["args"]
    for args in (
        message["args"],
        [message["args"][0], job, kind, order, generation],
        [installation, job, kind, order, generation],
        [generation, generation, order],
    ):
        id_ = uuid.uuid4().hex
        there = {"queue_name": name, "actor_name": kind, "args": args, "options": {"redis_message_id": id_}}
        yield id_, json.dumps({**message, **there}).encode()
