"""What goes wrong, one at a time, from a seeded plan. Each fault begins, lasts and ends; then all is well again."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tests.chaos.astray import deliver_astray
from tests.chaos.cluster import Cluster
from tests.chaos.records import Fault

_AT_STRIPE: Final = ("payment_intents.capture", "payment_intents.cancel", "payment_intents.retrieve")

MET_WITHIN: Final = 30.0
"""Seconds that a fault at Stripe waits for a request to meet it."""

Doing = Callable[[Cluster], AbstractContextManager[None]]
Named = Callable[[Cluster], Sequence[str]]
"""Which processes a fault is about."""


def _all_workers(cluster: Cluster) -> Sequence[str]:
    return cluster.workers


def _a_worker_each(cluster: Cluster) -> Sequence[str]:
    return [installation.workers[0] for installation in cluster.installations]


def _all_apis(cluster: Cluster) -> Sequence[str]:
    return cluster.apis


@dataclass(frozen=True)
class Step:
    """One line of the plan."""

    kind: str
    rest: float
    lasts: float


@contextmanager
def _killed(cluster: Cluster, which: Named) -> Iterator[None]:
    cluster.kill(*which(cluster))
    yield
    cluster.start(*which(cluster))


@contextmanager
def _serving_process_killed(cluster: Cluster) -> Iterator[None]:
    cluster.kill_serving_processes()
    yield
    cluster.restore_apis()


@contextmanager
def _valkey_killed(cluster: Cluster) -> Iterator[None]:
    cluster.valkey.kill()
    yield
    cluster.valkey.restart()


@contextmanager
def _valkey_stopped(cluster: Cluster) -> Iterator[None]:
    cluster.valkey.pause()
    try:
        yield
    finally:
        cluster.valkey.resume()


@contextmanager
def _valkey_restarted(cluster: Cluster) -> Iterator[None]:
    cluster.valkey.restart()
    yield


@contextmanager
def _valkey_flushed(cluster: Cluster) -> Iterator[None]:
    cluster.flush()
    yield
    cluster.flush()


@contextmanager
def _workers_start_without_valkey(cluster: Cluster) -> Iterator[None]:
    """The whole fleet comes back while Redis is still away."""
    cluster.valkey.kill()
    cluster.kill(*cluster.workers)
    cluster.start(*cluster.workers)
    yield
    cluster.valkey.restart()


@contextmanager
def _postgres_restarted(cluster: Cluster) -> Iterator[None]:
    cluster.postgres.restart()
    yield


@contextmanager
def _postgres_killed(cluster: Cluster) -> Iterator[None]:
    cluster.postgres.kill()
    yield
    cluster.postgres.restart()


@contextmanager
def _workers_killed_in_mid_call(cluster: Cluster) -> Iterator[None]:
    """Their calls to Stripe go through, and nobody is left to record it."""
    _arm(cluster, "delay", seconds=1.5)
    _await_met(cluster)
    cluster.kill(*cluster.workers)
    _disarm(cluster)
    yield
    cluster.start(*cluster.workers)


@contextmanager
def _postgres_killed_in_mid_call(cluster: Cluster) -> Iterator[None]:
    """Stripe's answers come, and cannot be recorded."""
    _arm(cluster, "delay", seconds=1.5)
    _await_met(cluster)
    cluster.postgres.kill()
    _disarm(cluster)
    yield
    cluster.postgres.restart()


@contextmanager
def _stripe(cluster: Cluster, action: str, **more: Any) -> Iterator[None]:
    """Lasts until at least one request of each installation has met it."""
    _arm(cluster, action, **more)
    yield
    _await_met(cluster)
    _disarm(cluster)


def _arm(cluster: Cluster, action: str, **more: Any) -> None:
    async def arm() -> None:
        for installation in cluster.installations:
            for op in _AT_STRIPE:
                await installation.sandbox.fault(op, action, times=None, **more)

    cluster.armed_at = time.time()
    asyncio.run(arm())


def _disarm(cluster: Cluster) -> None:
    async def disarm() -> None:
        for installation in cluster.installations:
            await installation.sandbox.clear_faults()

    asyncio.run(disarm())


def _await_met(cluster: Cluster) -> None:
    until = time.monotonic() + MET_WITHIN
    for installation in cluster.installations:
        while time.monotonic() < until:
            requests = asyncio.run(installation.sandbox.requests())
            if any(request["fault"] and request["at"] >= cluster.armed_at for request in requests):
                break
            time.sleep(0.1)


@contextmanager
def _messages_astray(cluster: Cluster) -> Iterator[None]:
    """What waits in any queue comes out of every other one too, of every installation."""
    over = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        straying = thread.submit(deliver_astray, cluster.valkey.url(0), over)
        try:
            yield
        finally:
            over.set()
        straying.result()


KINDS: Final[Mapping[str, Doing]] = {
    "worker killed": partial(_killed, which=_a_worker_each),
    "all workers killed": partial(_killed, which=_all_workers),
    "API killed": partial(_killed, which=_all_apis),
    "API killed, its serving process alone": _serving_process_killed,
    "valkey killed": _valkey_killed,
    "valkey flushed": _valkey_flushed,
    "valkey stopped": _valkey_stopped,
    "valkey restarted": _valkey_restarted,
    "messages astray": _messages_astray,
    "workers start without valkey": _workers_start_without_valkey,
    "postgres restarted": _postgres_restarted,
    "postgres killed": _postgres_killed,
    "all workers killed in mid-call": _workers_killed_in_mid_call,
    "postgres killed in mid-call": _postgres_killed_in_mid_call,
    "stripe slow": partial(_stripe, action="delay", seconds=3.0),
    "stripe 429": partial(_stripe, action="error", status=429),
    "stripe 500, replayed": partial(_stripe, action="error_saved", status=500),
    "stripe 500 after the effect, replayed": partial(_stripe, action="error_after", status=500),
    "stripe reset after the effect": partial(_stripe, action="drop_after"),
    "stripe silent": partial(_stripe, action="timeout"),
    "stripe silent after the effect": partial(_stripe, action="timeout_after"),
}


def make_plan(rng: random.Random, seconds: float, only: str) -> list[Step]:
    """Every kind once before any comes again, more than fit. Short runs have shorter faults and rests."""
    longest, longest_rest = min(4.0, max(0.6, seconds / 30)), min(3.0, seconds / 60)
    steps: list[Step] = []
    while len(steps) < max(seconds, len(KINDS)):
        kinds = [kind for kind in KINDS if only in kind]
        rng.shuffle(kinds)
        steps += [Step(kind, rng.uniform(0.1, longest_rest), rng.uniform(0.3, longest)) for kind in kinds]
    return steps


def play(cluster: Cluster, plan: Sequence[Step], until: float, tell: Callable[[str], None]) -> list[Fault]:
    """Carry out the plan until ``time.monotonic()`` says ``until``, and every kind has come once.

    The last fault ends in full; so on a slow machine this takes longer, and leaves nothing out.
    """
    faults: list[Fault] = []
    kinds = {step.kind for step in plan}
    for step in plan:
        seen_all = {fault.kind for fault in faults} == kinds
        if seen_all and time.monotonic() + step.rest + step.lasts > until:
            break
        time.sleep(step.rest)
        cluster.revive_deserters()
        begin = time.time()
        with KINDS[step.kind](cluster):
            time.sleep(step.lasts)
        faults.append(Fault(step.kind, begin, time.time()))
        tell(f"{until - time.monotonic():5.0f} s left  {step.kind} ({faults[-1].end - begin:.1f} s)")
    time.sleep(max(0.0, until - time.monotonic()))
    cluster.revive_deserters()
    return faults
