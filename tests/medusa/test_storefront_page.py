"""What a storefront adds: docs/storefront.md with Medusa's js-sdk, in a browser, on an origin of its own."""

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
from app.gateways.receipt_keys import new_key
from tests.browser.looks import flaws

from .browser import PATIENCE, Chromium, Opened
from .conftest import PATIENT, Sidecars
from .lab import Lab
from .orders import Medusa, Placed
from .packages import bundle
from .proxy import running_proxy
from .sidecar import Sidecar, token

pytestmark = pytest.mark.browser

STOREFRONT = Path(__file__).parent / "storefront"
SETTINGS = {
    **PATIENT,
    "CANCEL_REASONS": "changed_mind=I changed my mind; too_slow=Delivery is too slow",
    "RECEIPT_SIGNING_KEY": new_key()[0],
}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Requests are no news."""


@pytest.fixture(scope="module")
def storefront(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The built storefront's address."""
    built = tmp_path_factory.mktemp("storefront") / "dist"
    shutil.copytree(STOREFRONT, built)
    bundle(packages, "@medusajs/js-sdk", built / "js-sdk.js")
    with ThreadingHTTPServer((HOST, 0), functools.partial(_Quiet, directory=str(built))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def sidecar(sidecars: Sidecars) -> Sidecar:
    return sidecars.use(SETTINGS)


@asynccontextmanager
async def order_page(
    chromium: Chromium, storefront: str, lab: Lab, sidecar: Sidecar, placed: Placed, **looks: Any
) -> AsyncIterator[Opened]:
    """The shopper's page about the order, the backend behind the proxy on another origin."""
    async with running_proxy(medusa=lab.url, sidecar=sidecar.url) as backend, chromium.page(**looks) as opened:
        told = {"url": backend, "key": lab.shop.publishable_key, "order": placed.id, "token": token(placed.id)}
        await opened.page.goto(f"{storefront}/index.html?{urlencode(told)}")
        yield opened


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_a_shopper_cancels_in_the_browser(
    chromium: Chromium, storefront: str, medusa: Medusa, sidecar: Sidecar, dark: bool, tmp_path: Path
) -> None:
    placed, name = await medusa.place_order(), "dark" if dark else "light"

    async with order_page(chromium, storefront, medusa.lab, sidecar, placed, width=390, dark=dark) as opened:
        button = opened.page.get_by_role("button")
        await expect(button).to_contain_text("Cancel this order (5", timeout=PATIENCE)
        first = await button.inner_text()
        await expect(button).not_to_have_text(first, timeout=PATIENCE)  # it counts down
        await opened.page.get_by_label("Why do you cancel?").select_option("Delivery is too slow")
        assert await flaws(opened.page, phone=True) == []
        await opened.shoot(f"storefront-open-{name}")

        await button.click()

        message = opened.page.get_by_role("status")
        await expect(message).to_have_text("Your order is canceled.", timeout=PATIENCE)
        await expect(button).to_be_hidden()
        link = opened.page.get_by_role("link", name="Save the confirmation")
        await expect(link).to_be_visible(timeout=PATIENCE)
        assert await flaws(opened.page, phone=True) == []
        await opened.shoot(f"storefront-canceled-{name}")
        async with opened.page.expect_download() as downloading:
            await link.click()
        saved = tmp_path / "cancellation.html"
        await (await downloading.value).save_as(saved)
        assert opened.errors == []
        await the_receipt_reads_well(opened, saved, name)
    order = await medusa.order(placed.id)
    assert (order["status"], order["payment_status"]) == ("canceled", "canceled")


async def the_receipt_reads_well(opened: Opened, saved: Path, name: str) -> None:
    """As it was saved: on a phone, at a desk, on paper."""
    await opened.page.goto(saved.as_uri())
    for words in ("Delivery is too slow", "29.74 EUR", "The hold on the payment was let go.", "Attestation"):
        await expect(opened.page.locator("body")).to_contain_text(words)
    assert await flaws(opened.page, phone=True) == []
    await opened.shoot(f"receipt-phone-{name}", whole=True)
    await opened.page.set_viewport_size({"width": 1280, "height": 900})
    await opened.shoot(f"receipt-desk-{name}", whole=True)
    await opened.page.emulate_media(media="print")
    await opened.shoot(f"receipt-print-{name}", whole=True)
    await opened.page.pdf(path=opened.screenshots / f"receipt-{name}.pdf", format="A4")


async def test_a_shopper_who_comes_too_late_is_told_why(
    chromium: Chromium, storefront: str, medusa: Medusa, sidecar: Sidecar
) -> None:
    placed = await medusa.place_order()

    async with order_page(chromium, storefront, medusa.lab, sidecar, placed) as opened:
        button = opened.page.get_by_role("button")
        await expect(button).to_contain_text("Cancel this order (", timeout=PATIENCE)
        await medusa.fulfill(placed)

        await button.click()

        message = opened.page.get_by_role("status")
        await expect(message).to_have_text("Order already processed", timeout=PATIENCE)
        await opened.page.wait_for_timeout(2_500)  # the countdown goes on and must not talk over it
        await expect(message).to_have_text("Order already processed")
        await opened.shoot("storefront-late")
        await opened.page.reload()
        await expect(message).to_have_text("This order can no longer be canceled.", timeout=PATIENCE)
        await expect(button).to_be_hidden()
        assert opened.errors == []
    assert (await medusa.order(placed.id))["status"] == "pending"


async def test_who_comes_back_gets_the_receipt_again(
    chromium: Chromium, storefront: str, medusa: Medusa, sidecar: Sidecar
) -> None:
    placed = await medusa.place_order()
    await sidecar.cancel(placed.id)

    async with order_page(chromium, storefront, medusa.lab, sidecar, placed) as opened:
        await expect(opened.page.get_by_role("link", name="Save the confirmation")).to_be_visible(timeout=PATIENCE)
        await expect(opened.page.get_by_role("button")).to_be_hidden()
        assert opened.errors == []
