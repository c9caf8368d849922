"""Redis as an actor meets it: ``SET NX`` and "delete if it is mine", with a point ahead of each."""

from __future__ import annotations

from typing import Any

from redis._parsers.encoders import Encoder
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisGone

from app.domain.jobs import LEASE
from tests.races.explorer.plans import Fate, RedisState
from tests.races.explorer.postgres_seam import Wire


class Shelf:
    """What is kept in a Redis: keys and the tokens of who holds them."""

    def __init__(self) -> None:
        self.state = RedisState.WAIT
        self.keys: dict[str, bytes] = {}


class RedisLine:
    """As much of ``redis.asyncio.Redis`` as ``redis.asyncio.lock.Lock`` calls."""

    def __init__(self, wire: Wire, *, ours: bool) -> None:
        self._wire = wire
        self._ours = ours
        self.shelf = Shelf()
        self.connection_pool = self

    def get_encoder(self) -> Encoder:
        """As a connection pool."""
        make: Any = Encoder  # untyped
        encoder: Encoder = make("utf-8", "strict", decode_responses=False)
        return encoder

    def register_script(self, text: str) -> AsyncScript:
        """The lock's scripts."""
        return AsyncScript(self, text)  # type: ignore[arg-type]

    async def set(self, name: str, token: bytes, *, nx: bool, px: int | None = None, ex: int | None = None) -> bool:
        """Take a key that is free. In a patient Redis this waits for it."""
        self._refuse_when_down()
        keys = self.shelf.keys
        patient = self.shelf.state is not RedisState.LATE
        ready = (lambda: name not in keys) if patient else None
        if await self._point(f"redis: take {_short(name)}", ready) is Fate.TIRED or name in keys:
            return False
        keys[name] = token
        return True

    async def pttl(self, name: str) -> int:
        """Milliseconds until a key lapses: those of the lease that it was taken for."""
        self._refuse_when_down()
        return int(LEASE.total_seconds() * 1000) if name in self.shelf.keys else -2

    async def evalsha(self, _sha: str, _numkeys: int, name: str, token: bytes) -> int:
        """Give a key back, if the token is the one it was taken with."""
        self._refuse_when_down()
        await self._point(f"redis: give back {_short(name)}")
        if self.shelf.keys.get(name) != token:
            return 0
        del self.shelf.keys[name]
        return 1

    async def publish(self, _channel: str, _message: bytes) -> int:
        """A knock that nobody hears: workers are actors of their own."""
        self._refuse_when_down()
        return 0

    async def _point(self, what: str, ready: Any = None) -> Fate | None:
        fate = await self._wire.step(what, ready)
        if fate in {Fate.DROPPED, Fate.UNANSWERED}:
            raise RedisGone("Connection closed by server.")
        return fate

    def _refuse_when_down(self) -> None:
        if self._ours and self.shelf.state is RedisState.DOWN:
            raise RedisGone("Connection refused.")


def _short(name: str) -> str:
    return name.rpartition("_")[0].rpartition(":")[2] or name
