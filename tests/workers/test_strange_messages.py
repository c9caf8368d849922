"""What may lie in a queue: messages of the version before, of other programs, and bytes. A worker goes on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec.structs import astuple
from redis.asyncio import Redis

from app.domain.jobs import JobKind, JobRef
from app.gateways.redis_client import connect
from app.gateways.redis_keys import RedisKeys
from app.settings import Settings
from tests.usecases.hand import Hand, opened
from tests.world import Shop, eventually, make_due, working
from workers.broker import QUEUES

Payload = Callable[[str, JobRef], bytes]
ID: Final = "4711"


def _message(**changes: Any) -> Payload:
    """A message as a relay sends it, with changes; ``None`` leaves a field out."""

    def payload(queue: str, ref: JobRef) -> bytes:
        fields: dict[str, Any] = {
            "queue_name": queue,
            "actor_name": ref.kind.value,
            "args": list(astuple(ref)),
            "kwargs": {},
            "options": {"redis_message_id": ID},
            "message_id": "message",
            "message_timestamp": 1,
            **changes,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()

    return payload


STRANGE: Final[dict[str, Payload]] = {
    "of the version before": _message(args=[1, 1, "order_1"]),
    "too few arguments": _message(args=[]),
    "too many arguments": lambda queue, ref: _message(args=[*astuple(ref), 1])(queue, ref),
    "arguments by name": lambda queue, ref: _message(args=[], kwargs={"fields": list(astuple(ref))})(queue, ref),
    "another name too": _message(kwargs={"priority": 1}),
    "another kind's actor": _message(actor_name="void"),
    "an actor of another program": _message(actor_name="send_mail"),
    "an actor that is no name": _message(actor_name={"void": 1}),
    "another queue": _message(queue_name="mails"),
    "another queue of ours": _message(queue_name=QUEUES[JobKind.VOID]),
    "to be delivered in a thousand years": _message(options={"redis_message_id": ID, "eta": 32_000_000_000_000}),
    "options that change how a failure is handled": _message(options={"redis_message_id": ID, "throws": "x"}),
    "an id that is none": _message(options={"redis_message_id": [1]}),
    "without an id": _message(options={}),
    "without options": _message(options=None),
    "options that are none": _message(options=7),
    "arguments that are none": _message(args=7),
    "names that are none": _message(kwargs=7),
    "a message id that is none": _message(message_id=["x"]),
    "no field of a message": lambda queue, ref: b"{}",
    "another one's": lambda queue, ref: b'{"uuid": "6f1f", "job": "App\\\\Jobs\\\\SendMail"}',
    "a list": lambda queue, ref: b"[1, 2]",
    "nothing": lambda queue, ref: b"",
    "bytes": lambda queue, ref: b"\xff\x00\x80",
    "deep": lambda queue, ref: b"[" * 100_000,
}


async def test_a_worker_drops_what_is_no_message_of_ours_and_goes_on(
    shop: Shop, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """None comes again, none is kept, no thread of dramatiq's ends or starts anew, and what is ours is done."""
    order = await shop.place()
    async with opened(settings) as services, connect(settings.redis_url) as redis:
        hand = Hand(services, shop)
        keys = await hand.redis_keys()
        await hand.schedule(order, JobKind.CAPTURE)
        async with working(settings):
            await eventually(lambda: shop.job(order, JobKind.CAPTURE))
            ref = JobRef(keys.installation, f"{0:026d}", JobKind.CAPTURE, order.id, 1)
            for name, payload in STRANGE.items():
                for number in range(4):  # as many as there are threads
                    id_ = f"{name} {number}"
                    text = payload(QUEUES[JobKind.CAPTURE], ref)
                    await _put(redis, keys, id_, text.replace(ID.encode(), id_.encode()))
            await eventually(lambda: _is_empty(redis, keys), within=20)
            await make_due(shop, order)
            await eventually(lambda: _is_done(shop))
        assert await redis.keys(f"{keys.jobs}:*__acks__*") == [], "none waits for the next worker"
        assert await redis.keys(f"{keys.jobs}:*.XQ") == [], "none is kept"
    alarms = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in alarms] == []
    assert len(await shop.calls(order, "capture")) == 1


async def _put(redis: Redis, keys: RedisKeys, name: str, payload: bytes) -> None:
    queue = f"{keys.jobs}:{QUEUES[JobKind.CAPTURE]}"
    await redis.hset(f"{queue}.msgs", name, payload)
    await redis.rpush(queue, name)


async def _is_empty(redis: Redis, keys: RedisKeys) -> bool:
    await asyncio.sleep(0.1)
    queue = f"{keys.jobs}:{QUEUES[JobKind.CAPTURE]}"
    return not await redis.llen(queue) and not await redis.hlen(f"{queue}.msgs")


async def _is_done(shop: Shop) -> bool:
    return bool(await shop.conn.fetchval("select state = 'done' from grace.jobs where kind = 'capture'"))
