"""dramatiq alone: its own Redis broker with our settings, and our number of threads; actors that do nothing."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import dramatiq
from dramatiq import Actor, Worker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO

QUEUES = {"async": "noop-async", "sync": "noop-sync"}


def make_broker(redis_url: str) -> RedisBroker:
    """As ours is made, without what ours does differently."""
    make: Any = RedisBroker  # untyped
    broker: RedisBroker = make(url=redis_url, middleware=[AsyncIO()], namespace="grace", heartbeat_timeout=15_000)
    return broker


def declare(broker: dramatiq.Broker) -> dict[str, Actor[..., object]]:
    """The two actors. Ours are coroutines on one event loop; dramatiq's usual ones are plain functions."""

    async def nothing_async(installation: str, job_id: str, kind: str, order_id: str, generation: int) -> None:
        return None

    def nothing_sync(installation: str, job_id: str, kind: str, order_id: str, generation: int) -> None:
        return None

    return {
        kind: dramatiq.actor(actor_name=queue, queue_name=queue, broker=broker)(function)
        for (kind, queue), function in zip(QUEUES.items(), (nothing_async, nothing_sync), strict=True)
    }


def main() -> None:
    """Work until SIGTERM. Arguments: the Redis URL, threads."""
    broker = make_broker(sys.argv[1])
    declare(broker)
    # 50 ms instead of a second: with dramatiq's default an idle moment costs it more, which would flatter us
    worker = Worker(broker, worker_threads=int(sys.argv[2]), worker_timeout=50)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop.wait()
    worker.stop()


if __name__ == "__main__":
    main()
