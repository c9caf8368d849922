"""What the relay sends, what it keeps when Redis does not answer, and how it ends; with neither Redis nor rows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.exceptions import RedisError

from app.domain.jobs import JobKind, JobRef
from app.ports import Unavailable
from app.usecases.track_payments import BATCH
from workers import relay as module
from workers.relay import Relay

AT_ONCE = 100
"""Jobs, of a dispatch or two."""
Due = list[tuple[JobKind, JobRef]]


def due(count: int) -> Due:
    kinds = [JobKind.VOID, JobKind.CAPTURE]
    return [
        (kinds[number % 2], JobRef(f"{0:026d}", f"{number:026d}", kinds[number % 2], f"order_{number}", number))
        for number in range(count)
    ]


class Actor:
    """Makes messages that say what they were made of."""

    def __init__(self, kind: JobKind) -> None:
        self.kind = kind

    def message(self, *fields: Any) -> tuple[Any, ...]:
        return (self.kind, *fields)


@dataclass
class Broker:
    """Takes so many messages, and then does not answer."""

    takes: int = 1000
    error: Exception = field(default_factory=lambda: RedisError("gone"))
    sent: list[Any] = field(default_factory=list)

    def enqueue(self, message: Any) -> None:
        if len(self.sent) == self.takes:
            raise self.error
        self.sent.append(message)


def relay(broker: Broker, *, here_at_once: int = 2) -> Relay:
    actors: Any = {kind: Actor(kind) for kind in JobKind}
    nobody: Any = None
    takes: Any = broker
    return Relay(nobody, takes, actors, nobody, here_at_once=here_at_once)


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
def test_every_job_is_sent_once_by_its_own_actor_with_all_of_its_message(count: int) -> None:
    broker, jobs = Broker(), due(count)
    assert relay(broker)._send(jobs) == []
    assert broker.sent == [
        (kind, ref.installation, ref.id, ref.kind, ref.order_id, ref.generation) for kind, ref in jobs
    ]


@pytest.mark.parametrize("takes", [0, 1, 2])
@pytest.mark.parametrize("error", [RedisError("gone"), ConnectionResetError(), TimeoutError()])
def test_from_the_message_on_that_had_no_answer_all_is_kept(takes: int, error: Exception) -> None:
    """Of that message it is not known whether it arrived: the row lets one of two take it."""
    jobs = due(5)
    assert relay(Broker(takes, error))._send(jobs) == jobs[takes:]


def test_a_mistake_of_ours_is_no_redis_that_is_away() -> None:
    with pytest.raises(ZeroDivisionError):
        relay(Broker(0, ZeroDivisionError()))._send(due(1))


async def test_what_was_not_delivered_runs_here_a_few_at_a_time_and_a_stop_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = most = 0
    done: list[JobRef] = []

    async def run_job(_: Any, kind: JobKind, ref: JobRef) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        assert ref.kind is kind
        done.append(ref)

    async def dispatch_jobs(*_: Any, **__: Any) -> Due:
        return due(AT_ONCE + 5)

    monkeypatch.setattr(module, "run_job", run_job)
    monkeypatch.setattr(module, "dispatch_jobs", dispatch_jobs)
    one = relay(Broker(takes=AT_ONCE), here_at_once=2)
    assert await one._dispatch(list(JobKind)) == (AT_ONCE + 5, False)
    await one.stop()
    assert sorted(ref.order_id for ref in done) == [f"order_{number}" for number in range(AT_ONCE, AT_ONCE + 5)]
    assert most == 2


async def test_without_redis_a_void_stands_behind_no_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    release, voided = asyncio.Event(), asyncio.Event()

    async def run_job(_: Any, kind: JobKind, __: JobRef) -> None:
        if kind is JobKind.VOID:
            voided.set()
        else:
            await release.wait()

    monkeypatch.setattr(module, "run_job", run_job)
    one = relay(Broker(takes=0), here_at_once=4)
    for kind, ref in [(kind, ref) for kind, ref in due(200) if kind is JobKind.CAPTURE]:
        one._run_here(kind, ref)
    await asyncio.sleep(0)
    one._run_here(*due(1)[0])
    await asyncio.wait_for(voided.wait(), 5)
    release.set()
    await one.stop()


async def test_a_look_that_finds_a_whole_batch_of_payments_looks_again_immediately(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [BATCH, BATCH, BATCH - 1, BATCH]

    async def track_payments(_: Any) -> int:
        return found.pop(0)

    monkeypatch.setattr(module, "track_payments", track_payments)
    nobody: Any = None
    await module._track(nobody)
    assert found == [BATCH]


NEXT: dict[str, tuple[tuple[int, bool] | Exception, str]] = {
    "it sent a job": ((1, False), "busy"),
    "there was none": ((0, False), "idle"),
    "there is more": ((1, True), "no pause"),
    "the database is away": (Unavailable("away"), "idle"),
    "a mistake": (ZeroDivisionError("ours"), "idle"),
}


@pytest.mark.parametrize("pause", ["busy", "idle", "no pause"])
@pytest.mark.parametrize("first", NEXT)
async def test_the_pause_before_the_next_dispatch_is_that_of_what_the_last_one_did(
    monkeypatch: pytest.MonkeyPatch, first: str, pause: str
) -> None:
    """The pauses that are not ``pause`` do not end here."""
    dispatches = 0
    again = asyncio.Event()
    outcome, expected = NEXT[first]

    async def dispatch(_: Any) -> tuple[int, bool]:
        nonlocal dispatches
        dispatches += 1
        if dispatches > 1:
            again.set()
            await asyncio.Event().wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(module, "BUSY_POLL", 0.01 if pause == "busy" else 3600)
    monkeypatch.setattr(module, "POLL", 0.01 if pause == "idle" else 3600)
    one = relay(Broker())
    monkeypatch.setattr(one, "_dispatch", dispatch)
    dispatching = asyncio.create_task(one._keep_dispatching("dispatch", [JobKind.VOID], asyncio.Event()))
    try:
        async with asyncio.timeout(5 if pause == expected or expected == "no pause" else 0.1):
            await again.wait()
    except TimeoutError:
        pass
    assert again.is_set() is (expected in {pause, "no pause"})
    dispatching.cancel()
    await asyncio.wait({dispatching})
