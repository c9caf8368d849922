"""A served operator's page, a Medusa that knows one admin, and a browser."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext

from app.embedded.processes import HOST, free_port
from app.embedded.stripe_sandbox.client import Sandbox
from tests.http.operator.browser import SESSION_SECRET
from tests.medusa.browser import Chromium, chromium_is_missing, running_chromium
from tests.medusa.packages import unless
from tests.medusa.processes import Child, environment
from tests.simulated_medusa import EMAIL, PASSWORD, SimulatedMedusa, listening
from tests.world import SECRET, Shop


@pytest.fixture
async def medusa_url() -> AsyncIterator[str]:
    """Where a Medusa that knows its admins listens."""
    async with listening(SimulatedMedusa()) as url:
        yield url


@pytest.fixture
async def page_url(
    database: str, redis_url: str, sandbox: Sandbox, medusa_url: str, tmp_path: Path, shop: Shop
) -> AsyncIterator[str]:
    """Where ``medusa-grace serve`` shows the page."""
    port = free_port()
    settings = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "MODIFICATION_TOKEN_SECRET": SECRET,
        "STRIPE_API_KEY": sandbox.key,
        "STRIPE_API_BASE": sandbox.url,
        "MEDUSA_BACKEND_URL": medusa_url,
        "OPERATOR_SESSION_SECRET": SESSION_SECRET,
        "VOID_WAIT_SECONDS": "0",
    }
    program = str(Path(sys.executable).with_name("medusa-grace"))
    argv = [program, "serve", "--host", HOST, "--port", str(port)]
    child = Child("serve", argv, env=environment(**settings), log=tmp_path / "serve.log", on_our_death=signal.SIGTERM)
    try:
        await asyncio.to_thread(child.await_ok, f"http://{HOST}:{port}/health/ready", seconds=60)
        yield f"http://{HOST}:{port}"
    finally:
        await asyncio.to_thread(child.stop)


@dataclass
class Eyes:
    """A browser, the page, and where pictures are kept."""

    browser: Browser
    url: str
    shots: Path

    @asynccontextmanager
    async def looking(
        self, *, width: int = 1280, dark: bool = False, scripts: bool = True, signed_in: bool = True, quiet: bool = True
    ) -> AsyncIterator[BrowserContext]:
        """A window. Whatever its console complains of fails the test, where it is to be ``quiet``."""
        context = await self.browser.new_context(
            base_url=self.url,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            locale="en-GB",
            timezone_id="Europe/Berlin",
        )
        context.set_default_timeout(60_000)
        complaints: list[str] = []
        context.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        if signed_in:
            page = await context.new_page()
            await page.goto("/grace")
            await page.fill("input[name=email]", EMAIL)
            await page.fill("input[name=password]", PASSWORD)
            await page.click("button[type=submit]")
            await page.wait_for_url("**/grace")
        try:
            yield context
        finally:
            await context.close()
        assert not quiet or complaints == []


@pytest.fixture(scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    """Headless, one for all tests. Without one: a skip at a desk, a failure where CI must not pass for nothing."""
    unless(chromium_is_missing())
    async with running_chromium(tmp_path_factory.mktemp("screenshots")) as started:
        yield started


@pytest.fixture
async def eyes(chromium: Chromium, page_url: str) -> Eyes:
    """What looks at the page."""
    return Eyes(chromium.browser, page_url, chromium.screenshots)
