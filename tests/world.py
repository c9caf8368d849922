"""What most tests stand on: a shop, a Stripe account, the API, a worker, and ways to step in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import msgspec
import pytest

from app.domain.jobs import JobKind, JobRef
from app.domain.money import to_minor_units
from app.embedded.shop import STRIPE, Payment, PlacedOrder, place_order
from app.embedded.stripe_sandbox.client import Sandbox
from app.http.tokens import mint
from app.main import build_app
from app.ports import Connection, Database, Services
from app.settings import Settings, read_settings
from app.settings_table import Role
from plugins.medusa_bridge import MedusaBridge
from workers.main import WorkerProcess

SECRET = "a-secret-of-the-tests-0123456789"
ROLE, ROLE_PASSWORD = "grace_under_test", "password-of-the-role-under-test"
JWT_SECRET = "the-jwt-secret-of-the-medusa-01234567"


def settings_for(database: str, redis_url: str, sandbox: Sandbox, **changes: str) -> Settings:
    """Settings as a process would read them; ``changes`` by their environment names.

    ``database`` is the tests' own superuser's; the processes come as the role that ``migrate --grants`` made.
    """
    environ = {
        "DATABASE_URL": as_role(database),
        "REDIS_URL": redis_url,
        "MEDUSA_REDIS_URL": redis_url,
        "MEDUSA_LOCKING": "redis",
        "MEDUSA_JWT_SECRET": JWT_SECRET,
        "STRIPE_API_KEY": sandbox.key,
        "STRIPE_API_BASE": sandbox.url,
        "MODIFICATION_TOKEN_SECRET": SECRET,
        "STORE_CORS": "http://shop.test",
        "WORKER_THREADS": "4",
        "DATABASE_POOL_SIZE": "8",
        **changes,
    }
    return read_settings(environ, Role.WORKER)


def as_role(dsn: str, role: str = ROLE, password: str = ROLE_PASSWORD) -> str:
    """The same database, as somebody else."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}"))


class Fetches(Protocol):
    """A connection, or a pool of them."""

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows."""
        ...


@dataclass(frozen=True)
class Shop:
    """A small shop with its Stripe account."""

    conn: asyncpg.Connection
    sandbox: Sandbox
    key: str

    async def place(self, *, amounts: tuple[str, ...] = (), **options: Any) -> PlacedOrder:
        """An order paid with Stripe holds that exist at the sandbox, one per amount (default: one for all)."""
        if "payments" not in options:
            currency = options.get("currency", "eur")
            options["payments"] = await self._holds(amounts or ("29.7381",), currency)
        return await place_order(self.conn, **options)

    async def _holds(self, amounts: tuple[str, ...], currency: str) -> list[Payment]:
        holds = []
        for amount in map(Decimal, amounts):
            intent = await self.sandbox.authorize(to_minor_units(amount, currency), currency)
            holds.append(Payment(amount=amount, provider_id=STRIPE, intent=intent))
        return holds

    async def row(self, query: str, *arguments: object) -> asyncpg.Record:
        """Exactly one row."""
        return await fetch_one(self.conn, query, *arguments)

    async def status(self, order: PlacedOrder) -> str:
        """Medusa's ``order.status``."""
        return str(await self.conn.fetchval('select status from "order" where id = $1', order.id))

    async def payment(self, order: PlacedOrder, number: int = 0) -> asyncpg.Record:
        """A payment's row."""
        return await self.row("select * from payment where id = $1", order.payment_ids[number])

    async def job(self, order: PlacedOrder, kind: JobKind | str, subject: str | None = None) -> asyncpg.Record | None:
        """The order's only job of a kind, or of a kind and subject."""
        rows = await self.conn.fetch(
            "select * from grace.jobs where order_id = $1 and kind = $2 and ($3::text is null or subject = $3)",
            order.id,
            str(kind),
            subject,
        )
        assert len(rows) <= 1, f"{len(rows)} jobs {kind}"
        return rows[0] if rows else None

    async def incidents(self, order: PlacedOrder, *, open_only: bool = True) -> list[str]:
        """Kinds of the order's incidents."""
        return [
            row["kind"]
            for row in await self.conn.fetch(
                "select kind from grace.incidents where order_id = $1 and (closed_at is null or not $2) order by id",
                order.id,
                open_only,
            )
        ]

    async def calls(self, order: PlacedOrder, op: str) -> list[dict[str, Any]]:
        """What Stripe was asked about the order's intents, by operation (``cancel``, ``capture``, ...)."""
        requests = await self.sandbox.requests(f"payment_intents.{op}")
        return [request for request in requests if request["object_id"] in order.intent_ids]


async def fetch_one(conn: Fetches, query: str, *arguments: object) -> asyncpg.Record:
    """Exactly one row."""
    rows = await conn.fetch(query, *arguments)
    assert len(rows) == 1, f"{len(rows)} rows for {query}"
    return rows[0]


class Api:
    """The HTTP application in this process."""

    def __init__(self, client: httpx.AsyncClient, key: str) -> None:
        self.client = client
        self.key = key

    async def cancel(
        self,
        order_id: str,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
        **request: Any,
    ) -> httpx.Response:
        """POST the cancel, with a good token and key unless told otherwise (``token=None``: none)."""
        sent = {"x-publishable-api-key": self.key}
        if token is not None:
            sent["x-modification-token"] = token or token_for(order_id)
        sent |= headers or {}
        sent = {name: value for name, value in sent.items() if value is not None}
        return await self.client.post(f"/store/orders/{order_id}/cancel", headers=sent, **request)


def token_for(order_id: str, *, secret: str = SECRET, valid_for: timedelta = timedelta(hours=1)) -> str:
    """A modification token."""
    return mint(order_id, secret, valid_for=valid_for)


def ref_of(row: asyncpg.Record) -> JobRef:
    """The message of a job, of its row and ``installation``."""
    return JobRef(row["installation"], row["ulid"], JobKind(row["kind"]), row["order_id"], row["generation"])


class SteppedIn:
    """A database whose transactions can be held up, by name."""

    def __init__(self, inner: Database, before: Callable[[str], Awaitable[None]]) -> None:
        self._inner = inner
        self._before = before
        self.crowded = False

    def transaction(self, name: str) -> AbstractAsyncContextManager[Connection]:
        return self._transaction(name)

    @asynccontextmanager
    async def read(self, name: str) -> AsyncIterator[Connection]:
        await self._before(name)
        async with self._inner.read(name) as conn:
            yield conn

    @asynccontextmanager
    async def single(self, name: str) -> AsyncIterator[Connection]:
        await self._before(name)
        async with self._inner.single(name) as conn:
            yield conn

    @asynccontextmanager
    async def _transaction(self, name: str) -> AsyncIterator[Connection]:
        await self._before(name)
        async with self._inner.transaction(name) as conn:
            yield conn


def stepping_in(before: Callable[[str], Awaitable[None]]) -> Callable[[Services], Services]:
    """For ``WorkerProcess``: awaits ``before(name)`` ahead of every transaction."""
    return lambda services: msgspec.structs.replace(services, db=SteppedIn(services.db, before))


@asynccontextmanager
async def working(
    settings: Settings, step_in: Callable[[Services], Services] = lambda services: services
) -> AsyncIterator[None]:
    """A real dramatiq worker with its relay, on threads of this process."""
    process = WorkerProcess(settings, step_in)
    await asyncio.to_thread(process.start)
    try:
        yield
    finally:
        await asyncio.to_thread(process.stop)


@contextmanager
def schema_known() -> Iterator[None]:
    """Leave out of a start the check of every statement against the database.

    It takes longer than the rest of the start together, and a copy of the template has what the template has, which
    ``tests/bridge/test_schema.py`` and ``tests/deploy/test_grants.py`` hold.
    """

    async def none(*_: object) -> dict[str, list[str]]:
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.runtime.unusable", none)
        patch.setattr(MedusaBridge, "verify", none)
        yield


@asynccontextmanager
async def serving(settings: Settings, key: str, *, checked: bool = True) -> AsyncIterator[Api]:
    """The HTTP application, on this event loop; not ``checked``: its start takes the schema for known."""
    app = build_app(settings)
    transport = transport_to(app, client=("203.0.113.7", 40_000))
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        """The lifespan, begun and ended by one task, as its cancel scopes require."""
        async with app.lifespan():
            started.set()
            await stop.wait()

    with nullcontext() if checked else schema_known():
        life = asyncio.create_task(live())
        begun = asyncio.create_task(started.wait())
        await asyncio.wait({life, begun}, return_when=asyncio.FIRST_COMPLETED)
    if life.done():
        await life
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://grace.test") as client:
            yield Api(client, key)
    finally:
        stop.set()
        await life


def transport_to(app: Any, *, client: tuple[str, int] = ("127.0.0.1", 123)) -> httpx.ASGITransport:
    """Requests go to the application without a socket. Litestar's types of ASGI are not httpx's."""
    return httpx.ASGITransport(app, raise_app_exceptions=False, client=client)


async def eventually(
    condition: Callable[[], Awaitable[Any]], *, within: float = 10.0, message: str = "it did not come about"
) -> Any:
    """Wait until ``condition`` gives something true, and give that."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        value = await condition()
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, message
        await asyncio.sleep(0.02)


async def make_due(shop: Shop, order: PlacedOrder) -> None:
    """Bring the order's captures forward: they are due now."""
    await shop.conn.execute(
        "update grace.jobs set run_at = now() where order_id = $1 and kind = 'capture' and state = 'scheduled'",
        order.id,
    )
