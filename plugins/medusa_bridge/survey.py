"""Whether names that a shop may choose in its Medusa are those that are set here, by what stands in Medusa's Redis.

BullMQ makes ``{prefix}:{queue}:meta`` with a queue, and its workers renew ``{prefix}:{queue}:stalled-check`` every half
minute. ``@medusajs/locking-redis`` makes ``{namespace}{key}`` while it holds a lock, the key an inventory item's id.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from plugins.medusa_bridge.config import BridgeConfig

_TIMEOUT: Final = 3.0
_A_PAGE: Final = 2_000
_MOST_SHOWN: Final = 8
_LOCK: Final = re.compile(r"(.*)iitem_[0-9A-Z]{26}", re.DOTALL)
_LOCK_OWNER: Final = re.compile(r"execute:.*|\*")


class _Names(msgspec.Struct):
    queues: set[str] = msgspec.field(default_factory=set)
    read: set[str] = msgspec.field(default_factory=set)
    """Queues that a worker reads."""
    namespaces: set[str] = msgspec.field(default_factory=set)


async def survey_events(redis: Redis, config: BridgeConfig) -> list[str]:
    """Why events would go where Medusa does not read; nothing where Redis does not tell."""
    queue = f"{config.events_prefix}:{config.events_queue}"
    try:
        if await redis.exists(f"{queue}:stalled-check"):
            return []
        is_there = await redis.exists(f"{queue}:meta")
        names = await _names(redis, "*:meta", "*:stalled-check")
    except (RedisError, OSError):
        return []
    setting = "MEDUSA_EVENTS_QUEUE, MEDUSA_EVENTS_PREFIX: "
    if not is_there:
        others = f"; its queues are {_listed(names.queues)}" if names.queues else ", nor any other queue of BullMQ's"
        expected = "expected queueName and prefix of Medusa's event bus, which makes its queue when Medusa starts"
        return [f"{setting}Medusa's Redis has no queue {queue}{others}: {expected}"]
    if names.read:
        return [f"{setting}no worker of Medusa's reads queue {queue}; read are {_listed(names.read)}"]
    return []


async def survey_locks(redis: Redis, config: BridgeConfig) -> list[str]:
    """In which other namespace locks of stock are held just now. Nothing can be known while none is held."""
    try:
        names = await _names(redis, "*iitem_*")
    except (RedisError, OSError):
        return []
    others = names.namespaces - {config.lock_namespace}
    if not others:
        return []
    expected = config.lock_namespace
    return [f"MEDUSA_LOCK_NAMESPACE: locks of stock are held in namespace {_listed(others)}; expected {expected}"]


async def _names(redis: Redis, *patterns: str) -> _Names:
    """What is found within a few seconds: a Redis may have millions of keys."""
    names = _Names()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TIMEOUT):
            for pattern in patterns:
                async for key in redis.scan_iter(match=pattern, count=_A_PAGE):
                    await _sort(redis, key, names)
    return names


async def _sort(redis: Redis, key: str, names: _Names) -> None:
    if key.endswith(":stalled-check"):
        names.read.add(key.removesuffix(":stalled-check"))
    elif key.endswith(":meta"):
        if key.count(":") > 1 and await redis.type(key) == "hash":
            names.queues.add(key.removesuffix(":meta"))
    elif (match := _LOCK.fullmatch(key)) and await redis.type(key) == "string":
        owner = await redis.get(key)
        if isinstance(owner, str) and _LOCK_OWNER.fullmatch(owner):
            names.namespaces.add(match[1])


def _listed(names: set[str]) -> str:
    shown: Sequence[str] = sorted(names)[:_MOST_SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{', '.join(shown)}{more}"
