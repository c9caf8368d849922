"""A headless Chromium, and what it takes to look at a page as a person does."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from .seed import ADMIN

# A busy machine needs its time; a page that never comes is still found out.
PATIENCE = 60_000  # ms
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Chromium:
    """The browser, and where screenshots go: ``BROWSER_SHOTS`` or the tests' own folder."""

    browser: Browser
    screenshots: Path

    @asynccontextmanager
    async def page(self, *, width: int = 1440, dark: bool = False) -> AsyncIterator[Opened]:
        """A window of its own, with no cookies."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": 1200},
            color_scheme="dark" if dark else "light",
            locale="en-GB",
            timezone_id="Europe/Berlin",
        )
        context.set_default_timeout(PATIENCE)
        opened = Opened(await context.new_page(), self.screenshots)
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        try:
            yield opened
        finally:
            await context.close()


@dataclass
class Opened:
    """An open page and the exceptions that nobody caught in it."""

    page: Page
    screenshots: Path
    errors: list[str] = field(default_factory=list)

    async def sign_in(self, url: str) -> None:
        """As the shop's admin, through the form."""
        await self.page.goto(f"{url}/app/login")
        await self.page.fill("input[name=email]", ADMIN[0])
        await self.page.fill("input[name=password]", ADMIN[1])
        await self.page.click("button[type=submit]")
        await self.page.wait_for_url(lambda here: not here.endswith("/login"))

    async def shoot(self, name: str, *, whole: bool = False) -> None:
        """Keep what is seen now, or the whole page."""
        await self.page.screenshot(path=self.screenshots / f"{name}.png", full_page=whole)


def chromium_is_missing() -> str | None:
    """Why there is no browser, or ``None``."""
    return None if _found() else "looking at pages needs chromium on the PATH"


@asynccontextmanager
async def running_chromium(screenshots: Path) -> AsyncIterator[Chromium]:
    """Start the machine's own Chromium; nothing is downloaded."""
    screenshots = Path(os.environ.get("BROWSER_SHOTS") or screenshots)
    await asyncio.to_thread(screenshots.mkdir, parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        # Containers give root no user namespaces, which the sandbox needs. The pages are our own.
        browser = await playwright.chromium.launch(
            executable_path=_found(),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
            timeout=PATIENCE,
        )
        try:
            yield Chromium(browser, screenshots)
        finally:
            await browser.close()


def _found() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)
