"""The queues: rung by their own process, looked into now and then besides, and taken up in the right order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import dramatiq
import pytest
from dramatiq import Worker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from redis.exceptions import ConnectionError as RedisConnectionError

from app.domain.jobs import JobKind
from app.gateways.redis_keys import RedisKeys
from workers import broker as brokers
from workers.actors import declare_actors
from workers.broker import QUEUES, JobBroker, make_broker, places

KEYS = RedisKeys("01M8ENPPEZFT6BX79QANHA0HAP")
RARELY = 3.0
"""Seconds between looks without a bell: a test that needs one would notice."""


@pytest.fixture
def broker(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobBroker]:
    monkeypatch.setattr(brokers, "IDLE_POLL", RARELY)
    made = make_broker(redis_url)
    made.join_installation(KEYS)
    yield made
    made.close()
    made.client.connection_pool.disconnect()


def test_a_message_of_this_process_is_taken_at_once(broker: RedisBroker) -> None:
    taken = threading.Event()

    def take() -> None:
        taken.set()

    actor = dramatiq.actor(actor_name="take", queue_name="bells", broker=broker)(take)
    worker = Worker(broker, worker_threads=1)
    worker.start()
    try:
        time.sleep(0.3)  # until it has looked in vain
        began = time.monotonic()
        actor.send()
        assert taken.wait(RARELY)
        assert time.monotonic() - began < RARELY / 2
    finally:
        worker.stop()


def test_a_worker_that_runs_dry_asks_for_more_without_waiting(broker: RedisBroker) -> None:
    """More messages than it may have in hand at once, all of them there before it starts."""
    done: list[int] = []
    actor = dramatiq.actor(actor_name="add", queue_name="bells", broker=broker)(done.append)
    for number in range(20):
        actor.send(number)
    worker = Worker(broker, worker_threads=1)
    began = time.monotonic()
    worker.start()
    try:
        while len(done) < 20 and time.monotonic() - began < 4 * RARELY:
            time.sleep(0.01)
        assert sorted(done) == list(range(20))
        assert time.monotonic() - began < RARELY
    finally:
        worker.stop()


def test_messages_are_sent_and_acknowledged_once_by_a_redis_that_has_lost_the_script(broker: JobBroker) -> None:
    actor = dramatiq.actor(actor_name="add", queue_name="bells", broker=broker)(_never_run)
    broker.client.script_flush()
    for number in range(3):
        broker.enqueue(actor.message(number))
    consumer = broker.consume("bells", prefetch=3)
    for _ in range(3):
        message = next(consumer)
        assert message is not None
        consumer.ack(message)
    broker.client.script_flush()
    consumer.close()
    assert [key for key in broker.client.keys("grace:*") if b"bells" in key] == []


def test_a_consumer_that_ends_gives_back_what_it_fetched_and_never_handed_on(broker: RedisBroker) -> None:
    """dramatiq's own would keep it until this worker's heartbeat lapses."""
    actor = dramatiq.actor(actor_name="add", queue_name="bells", broker=broker)(_never_run)
    for number in range(5):
        actor.send(number)
    first = broker.consume("bells", prefetch=5)
    taken = next(first)
    assert taken is not None
    first.close()

    second = broker.consume("bells", prefetch=5)
    left = [message.args[0] for _ in range(4) if (message := next(second)) is not None]
    assert sorted([taken.args[0], *left]) == list(range(5))
    assert next(second) is None


def test_captures_and_other_work_leave_places_for_voids_and_refunds(redis_url: str) -> None:
    """All of them together: four threads have three places for the other kinds."""
    broker = make_broker(redis_url, threads=4)
    broker.join_installation(KEYS)
    try:
        actors = declare_actors(broker, pytest.fail)
        for kind in JobKind:
            for number in range(6):
                broker.enqueue(actors[kind].message(number))
        consumers = {kind: broker.consume(QUEUES[kind], prefetch=8) for kind in JobKind}
        bulk = [kind for kind in JobKind if kind not in {JobKind.VOID, JobKind.REFUND}]
        taken = [(kind, message) for kind in bulk * 2 if (message := next(consumers[kind])) is not None]
        assert len(taken) == 3
        for kind in (JobKind.VOID, JobKind.REFUND):
            assert all(next(consumers[kind]) is not None for _ in range(6))
        kind, message = taken[0]
        consumers[kind].ack(message)
        assert next(consumers[JobKind.LOOK]) is not None, "a place that is free again is another kind's"
        assert next(consumers[JobKind.CAPTURE]) is None
        consumers[taken[1][0]].nack(taken[1][1])
        assert next(consumers[JobKind.CAPTURE]) is not None
    finally:
        broker.close()
        broker.client.connection_pool.disconnect()


def test_an_empty_queue_and_a_redis_that_is_away_hold_no_place(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = make_broker(redis_url, threads=2)
    broker.join_installation(KEYS)
    try:
        actors = declare_actors(broker, pytest.fail)
        empty = broker.consume(QUEUES[JobKind.LOOK], prefetch=8)
        assert [next(empty) for _ in range(3)] == [None] * 3
        with monkeypatch.context() as away:
            away.setattr(JobBroker, "do_fetch", _refuse)
            with pytest.raises(ConnectionClosed):
                next(empty)
        broker.enqueue(actors[JobKind.CAPTURE].message(1))
        assert next(broker.consume(QUEUES[JobKind.CAPTURE], prefetch=8)) is not None
    finally:
        broker.close()
        broker.client.connection_pool.disconnect()


@pytest.mark.parametrize(("threads", "for_others"), [(1, 1), (2, 1), (4, 3), (8, 7), (24, 20), (256, 214)])
def test_a_sixth_of_the_threads_is_kept_for_voids(threads: int, for_others: int) -> None:
    assert places(threads) == for_others


def test_nobody_looks_for_delayed_messages(broker: RedisBroker) -> None:
    declare_actors(broker, pytest.fail)
    assert broker.get_declared_delay_queues() == set()
    with pytest.raises(ValueError, match="nobody would look"):
        broker.enqueue(broker.get_actor(JobKind.VOID.value).message(1, 1, "order_1"), delay=1000)


def test_a_shopper_comes_first_and_news_last(broker: RedisBroker) -> None:
    actors = declare_actors(broker, pytest.fail)
    order = sorted(JobKind, key=lambda kind: actors[kind].priority)
    assert order[:2] == [JobKind.VOID, JobKind.CAPTURE]
    assert order[-1] == JobKind.PUBLISH


def _refuse(*_: object) -> None:
    raise RedisConnectionError


def _never_run(number: int) -> None:
    pytest.fail(f"{number} was run")


def test_no_queue_is_declared_before_the_installation_is_known() -> None:
    """Those of another installation, or of another program's dramatiq, would be consumed."""
    broker = make_broker("redis://cache:6379/3")
    with pytest.raises(RuntimeError, match="not known yet"):
        broker.declare_queue("grace-void")
    broker.join_installation(KEYS)
    broker.declare_queue("grace-void")
    assert (broker.namespace, broker.queues) == (KEYS.jobs, {"grace-void"})


@pytest.mark.parametrize("url", ["redis://cache:6379/3", "redis://cache:6379/3?client_name=grace"])
def test_a_broker_waits_briefly_for_redis_and_takes_over_from_one_that_is_silent_within_a_minute(url: str) -> None:
    """dramatiq's own client waits five seconds, and takes a worker's messages over after one minute."""
    made = make_broker(url)
    given = made.client.connection_pool.connection_kwargs
    assert (given["db"], given.get("client_name")) == (3, "grace" if "?" in url else None)
    assert 0 < given["socket_timeout"] <= 1
    assert 0 < given["socket_connect_timeout"] <= 1
    assert 5_000 <= made.heartbeat_timeout <= 30_000
