"""Use cases driven by hand, job by job: no worker, no relay, and nothing to wait for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec

from app.domain.cancellation import PaymentAction, Refused
from app.domain.jobs import JobKind, JobRef, JobState
from app.embedded.shop import PlacedOrder
from app.gateways.redis_keys import RedisKeys
from app.ports import LateMoney, Services
from app.runtime import open_runtime
from app.settings import Settings
from app.store import installation, jobs
from app.usecases.await_void import await_void
from app.usecases.cancel_order import Canceled, CancelRequest, FormerOwner, NotFound, cancel_order
from app.usecases.dispatch_jobs import sweep_jobs
from app.usecases.run_job import run_job
from plugins.medusa_bridge import BridgeConfig, MedusaBridge
from tests.world import Shop, ref_of, schema_known, stepping_in


class Killed(BaseException):
    """The worker died here: nothing catches it, as nothing survives a SIGKILL."""


@asynccontextmanager
async def opened(settings: Settings, *, checked: bool = True) -> AsyncIterator[Services]:
    """The services of a worker, on this event loop; not ``checked``: their start takes the schema for known."""
    async with AsyncExitStack() as stack:
        bridge = await stack.enter_async_context(MedusaBridge.open(BridgeConfig.of_worker(settings)))
        with nullcontext() if checked else schema_known():
            runtime = await stack.enter_async_context(open_runtime(settings, bridge))
        yield runtime.services


@dataclass(frozen=True)
class Hand:
    """Runs one job at a time, as a message would."""

    services: Services
    shop: Shop

    def with_policy(self, **changes: Any) -> Hand:
        """The same hand in a shop with other choices."""
        policy = msgspec.structs.replace(self.services.policy, **changes)
        return replace(self, services=msgspec.structs.replace(self.services, policy=policy))

    def refunding(self) -> Hand:
        """With ``LATE_MONEY=refund``."""
        return self.with_policy(late_money=LateMoney.REFUND)

    def before(self, name: str, act: Callable[[], Awaitable[object]]) -> Hand:
        """Does ``act`` ahead of the first transaction of that name."""
        left = [act]

        async def step_in(transaction: str) -> None:
            if transaction == name and left:
                await left.pop()()

        return replace(self, services=stepping_in(step_in)(self.services))

    def dying_at(self, name: str) -> Hand:
        """A worker that dies where that transaction would begin."""

        async def die() -> None:
            raise Killed

        return self.before(name, die)

    async def cancel(self, order: PlacedOrder) -> Canceled | Refused | NotFound | FormerOwner:
        """Cancel as the shopper."""
        request = CancelRequest(
            order_id=order.id, request_id="test", canceled_by="token", received_at=time.monotonic(), reason=None
        )
        return await cancel_order(self.services, request)

    async def schedule(self, order: PlacedOrder, kind: JobKind, subjects: Sequence[str] | None = None) -> None:
        """Jobs of the kind, due now: of every payment, unless told otherwise."""
        await jobs.schedule(self.shop.conn, kind, order.id, order.payment_ids if subjects is None else subjects)

    async def queue(self, order: PlacedOrder, kind: JobKind, subject: str | None = None) -> JobRef:
        """Queue a waiting job, due or not, and give its message."""
        row = await self.shop.row(
            "update grace.jobs set state = 'queued', generation = generation + 1, updated_at = now() "
            "where order_id = $1 and kind = $2 and ($3::text is null or subject = $3) and state = 'scheduled' "
            "returning (select i.id from grace.installation as i) as installation, ulid, kind, order_id, generation",
            order.id,
            kind.value,
            subject,
        )
        return ref_of(row)

    async def message(self, order: PlacedOrder, kind: JobKind) -> JobRef:
        """The message of the order's only job of a kind, as it was last dispatched."""
        query = "select i.id as installation, j.* from grace.jobs as j cross join grace.installation as i"
        return ref_of(await self.shop.row(f"{query} where j.order_id = $1 and j.kind = $2", order.id, kind.value))

    async def redis_keys(self) -> RedisKeys:
        """What this shop's keys in Redis are called."""
        return RedisKeys(await installation.read(self.shop.conn))

    async def run(self, order: PlacedOrder, kind: JobKind, subject: str | None = None) -> asyncpg.Record:
        """Run a waiting job once, due or not, and give its row afterwards."""
        await run_job(self.services, kind, await self.queue(order, kind, subject))
        return await self.job(order, kind, subject)

    async def run_until(self, order: PlacedOrder, kind: JobKind, state: JobState, *, at_most: int = 9) -> int:
        """Run the order's only job of a kind until it is in ``state``; how many attempts that took."""
        for attempt in range(1, at_most + 1):
            if (await self.run(order, kind))["state"] == state:
                return attempt
        message = f"{kind} is not {state} after {at_most} attempts"
        raise AssertionError(message)

    async def deliver(self, kind: JobKind, ref: JobRef) -> None:
        """Run what a message asks for, stale or not."""
        await run_job(self.services, kind, ref)

    async def job(self, order: PlacedOrder, kind: JobKind, subject: str | None = None) -> asyncpg.Record:
        """The row of a job that is there."""
        row = await self.shop.job(order, kind, subject)
        assert row is not None, f"no job {kind} of {order.id}"
        return row

    async def bury(self) -> int:
        """Let the leases of dead workers lapse, and sweep. How many jobs came back."""
        await self.shop.conn.execute(
            "update grace.jobs set lease_until = now() - interval '1 second' where state = 'running'"
        )
        return await sweep_jobs(self.services)

    async def payment_action(self, order: PlacedOrder) -> PaymentAction:
        """What a shopper would be told of the money now."""
        return await await_void(self.services, order.id, timedelta(0))

    async def jobs(self, order: PlacedOrder) -> dict[tuple[str, str], str]:
        """States of the order's jobs by kind and subject."""
        rows = await self.shop.conn.fetch("select kind, subject, state from grace.jobs where order_id = $1", order.id)
        return {(row["kind"], row["subject"]): row["state"] for row in rows}

    async def ops(self, order: PlacedOrder, number: int = 0) -> list[str]:
        """What Stripe was asked about an intent since it was authorized, in order, without the namespace."""
        wanted = order.intent_ids[number]
        requests = [request for request in await self.shop.sandbox.requests() if request["object_id"] == wanted]
        return [request["op"].removeprefix("payment_intents.") for request in requests if not _made_by_test(request)]

    async def keys(self, order: PlacedOrder, op: str, number: int = 0) -> list[str]:
        """The last parts of the idempotency keys that an operation was sent with, in order."""
        wanted = order.intent_ids[number]
        asked = [request for request in await self.shop.sandbox.requests(op) if request["object_id"] == wanted]
        return [request["idempotency_key"].rpartition("-")[2] for request in asked]


def _made_by_test(request: dict[str, Any]) -> bool:
    return bool(request["op"] == "payment_intents.create")


async def nobody_is_told(hand: Hand, order: PlacedOrder) -> bool:
    """No incident was ever opened for the order."""
    return await hand.shop.incidents(order, open_only=False) == []
