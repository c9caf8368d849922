"""A served sidecar, and the promise that nothing in its database becomes another."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.valkey import Valkey
from app.settings import Settings
from tests.hostile.served import HOOK_SECRET, Served, assert_tells_nothing, served
from tests.http.rows import everything
from tests.world import Shop, settings_for


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    """Nobody is rate limited and nobody waits."""
    none = {"RATE_LIMIT_PER_ORDER": "0", "RATE_LIMIT_PER_ADDRESS": "0", "VOID_WAIT_SECONDS": "0"}
    return settings_for(database, redis_url, sandbox, STRIPE_WEBHOOK_SECRET=HOOK_SECRET, **none)


@pytest.fixture(scope="module")
def file_server(
    database: str, valkey: Valkey, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """``medusa-grace serve``, once for a file that has one database. It survives its tests."""
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    with served(database, valkey.url(0), Sandbox(sandbox_url, "sk_test_of_nobody"), log) as running:
        yield running
        assert running.process.poll() is None
    text = log.read_text(errors="replace")
    assert text.count("serve.ready") == 1, f"its API process died and was started again\n{text[-2000:]}"


@pytest.fixture
def server(file_server: Served) -> Iterator[Served]:
    """The file's server, whose log tells no secret and no token, and of no failure, after each test."""
    began = file_server.log.stat().st_size
    yield file_server
    assert_tells_nothing(file_server.log.read_bytes()[began:].decode(errors="replace"))


@pytest.fixture
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No secret, no token and no failure in any log line of the test."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    yield
    line = logging.Formatter()  # with its traceback, if it has one
    records = caplog.get_records("call")
    assert_tells_nothing("\n".join(line.format(record) + str(record.args) for record in records))


@pytest.fixture
async def unchanged(shop: Shop) -> AsyncIterator[Shop]:
    """After the test every row of every table is as it was at the end of its own set-up."""
    order = await shop.place()
    before = await everything(shop.conn)
    assert any(order.id in row for rows in before.values() for row in rows)
    yield shop
    assert await everything(shop.conn) == before
