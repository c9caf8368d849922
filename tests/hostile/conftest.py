"""A served sidecar, and the promise that nothing in its database becomes another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from tests.hostile.ground import HOOK_SECRET, SECRETS, Served, served
from tests.world import Shop, settings_for


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Nobody is rate limited and nobody waits."""
    none = {"RATE_LIMIT_PER_ORDER": "0", "RATE_LIMIT_PER_ADDRESS": "0", "VOID_WAIT_SECONDS": "0"}
    return settings_for(database, redis_url, sandbox, STRIPE_WEBHOOK_SECRET=HOOK_SECRET, **none)


@pytest.fixture
def server(database: str, redis_url: str, sandbox: Sandbox, tmp_path: Path) -> Iterator[Served]:
    """``medusa-grace serve``, whose log tells no secret."""
    with served(database, redis_url, sandbox, tmp_path / "serve.log") as running:
        yield running
    log = running.log.read_text(errors="replace")
    assert log
    assert not [secret for secret in SECRETS if secret in log]
    assert "request.failed" not in log
    assert "Traceback" not in log


@pytest.fixture
async def unchanged(shop: Shop) -> AsyncIterator[Shop]:
    """After the test every row of every table is as it was at the end of its own set-up."""
    from tests.http.helpers import everything  # late: tests/http has its asserts rewritten first

    order = await shop.place()
    before = await everything(shop.conn)
    assert any(order.id in row for rows in before.values() for row in rows)
    yield shop
    assert await everything(shop.conn) == before
