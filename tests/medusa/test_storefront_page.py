"""What a storefront adds: a few lines with Medusa's js-sdk, in a real browser, on an origin of its own."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import expect

from app.embedded.processes import HOST

from .browser import PATIENCE, Chromium, Opened
from .lab import Lab
from .orders import Medusa, Placed
from .processes import Child, environment
from .proxy import running_proxy
from .sidecar import Sidecar, token

pytestmark = pytest.mark.browser

STOREFRONT = Path(__file__).parent / "storefront"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Requests are no news."""


@pytest.fixture(scope="module")
def storefront(lab: Lab, packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The built storefront's address."""
    built = tmp_path_factory.mktemp("storefront") / "dist"
    shutil.copytree(STOREFRONT, built)
    argv = [str(packages / ".bin/esbuild"), "page.js", "--bundle", "--format=esm", "--outfile=bundle.js"]
    env = environment(NODE_PATH=str(packages))
    Child("esbuild", argv, env=env, log=built.with_name("esbuild.log"), cwd=built).finish(seconds=120)
    with ThreadingHTTPServer((HOST, 0), functools.partial(_Quiet, directory=str(built))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


@asynccontextmanager
async def order_page(
    chromium: Chromium, storefront: str, lab: Lab, sidecar: Sidecar, placed: Placed
) -> AsyncIterator[Opened]:
    """The shopper's page about the order, the backend behind the proxy on another origin."""
    async with running_proxy(medusa=lab.url, sidecar=sidecar.url) as backend, chromium.page() as opened:
        told = {"backend": backend, "key": lab.shop.publishable_key, "order": placed.id, "token": token(placed.id)}
        await opened.page.goto(f"{storefront}/cancel-button.html?{urlencode(told)}")
        yield opened


async def test_a_shopper_cancels_in_the_browser(
    chromium: Chromium, storefront: str, medusa: Medusa, sidecar: Sidecar
) -> None:
    placed = await medusa.place_order()

    async with order_page(chromium, storefront, medusa.lab, sidecar, placed) as opened:
        button = opened.page.get_by_role("button")
        await expect(button).to_contain_text("Cancel order (", timeout=PATIENCE)
        first = await button.inner_text()
        await expect(button).not_to_have_text(first, timeout=PATIENCE)  # it counts down
        await opened.shoot("storefront-open")

        await button.click()

        message = opened.page.get_by_role("status")
        await expect(message).to_have_text("Your order is canceled.", timeout=PATIENCE)
        await expect(button).to_be_hidden(timeout=PATIENCE)
        await opened.shoot("storefront-canceled")
        assert opened.errors == []
    order = await medusa.order(placed.id)
    assert (order["status"], order["payment_status"]) == ("canceled", "canceled")


async def test_a_shopper_who_comes_too_late_is_told_why(
    chromium: Chromium, storefront: str, medusa: Medusa, sidecar: Sidecar
) -> None:
    placed = await medusa.place_order()

    async with order_page(chromium, storefront, medusa.lab, sidecar, placed) as opened:
        button = opened.page.get_by_role("button")
        await expect(button).to_contain_text("Cancel order (", timeout=PATIENCE)
        await medusa.fulfill(placed)

        await button.click()

        await expect(opened.page.get_by_role("status")).to_have_text("Order already processed", timeout=PATIENCE)
        await expect(button).to_be_hidden(timeout=PATIENCE)
        assert opened.errors == []
    assert (await medusa.order(placed.id))["status"] == "pending"
