"""Our widget on the order page of a real Medusa's admin, asking the sidecar's own ``serve``, looked at in Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from app.embedded.stripe_sandbox.client import Sandbox

from .browser import PATIENCE, Chromium, Opened
from .conftest import PATIENT, Sidecars
from .orders import Medusa, Placed
from .proxy import running_proxy
from .sidecar import Sidecar, token

pytestmark = pytest.mark.browser

SETTINGS = {**PATIENT, "OPERATOR_SESSION_SECRET": "made-up-operator-session-secret-of-the-tests"}
VOIDS = "payment_intents.cancel"
LOOKS = [(1440, False), (1440, True), (390, False), (390, True)]


@pytest.fixture
def sidecar(sidecars: Sidecars) -> Sidecar:
    return sidecars.use(SETTINGS)


async def cancel(sidecar: Sidecar, placed: Placed, reason: str) -> dict[str, Any]:
    """A guest's cancel; the body of its answer."""
    headers = {
        "x-publishable-api-key": sidecar.lab.shop.publishable_key,
        "x-modification-token": token(placed.id),
    }
    answer = await sidecar.request(
        "POST", f"/store/orders/{placed.id}/cancel", headers=headers, json={"reason": reason}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@asynccontextmanager
async def order_page(
    chromium: Chromium, medusa: Medusa, sidecar: Sidecar, placed: Placed, *, answer: dict[str, Any] | None = None
) -> AsyncIterator[Opened]:
    """The order's page in the admin, after the widget has had its answer: the sidecar's, or the one given."""
    async with running_proxy(medusa=medusa.lab.url, sidecar=sidecar.url) as url, chromium.page() as opened:
        if answer is not None:
            await opened.page.route("**/grace/api/**", lambda route: route.fulfill(**answer))
        await opened.sign_in(url)
        await opened.page.goto(f"{url}/app/orders/{placed.id}")
        await the_page_is_whole(opened)
        yield opened


async def the_page_is_whole(opened: Opened) -> None:
    """Medusa's own sections are there, and nothing was thrown."""
    for heading in ("Summary", "Customer", "Activity"):
        await seen(opened.page.get_by_role("heading", name=heading, exact=True))
    assert opened.errors == []


def widget(page: Page) -> Locator:
    return page.get_by_test_id("medusa-grace")


async def seen(*locators: Locator) -> None:
    for locator in locators:
        await expect(locator).to_be_visible(timeout=PATIENCE)


async def shoot_all(opened: Opened, name: str) -> None:
    """The widget as it stands at a desk and on a phone, by day and by night."""
    for width, dark in LOOKS:
        await opened.page.set_viewport_size({"width": width, "height": 1200})
        await opened.page.emulate_media(color_scheme="dark" if dark else "light")
        await opened.page.reload()
        await widget(opened.page).scroll_into_view_if_needed(timeout=PATIENCE)
        await opened.shoot(f"widget-{name}-{width}-{'dark' if dark else 'light'}")


async def operators_page(opened: Opened) -> Page:
    """Where the widget's link leads, in its own tab, with no other sign-in than Medusa's."""
    async with opened.page.context.expect_page() as opening:
        await widget(opened.page).get_by_role("link", name="Open in medusa-grace").click()
    return await opening.value


async def test_a_cancellation_is_shown_and_leads_to_the_operators_page(
    chromium: Chromium, medusa: Medusa, sidecar: Sidecar
) -> None:
    placed = await medusa.place_order()
    assert (await cancel(sidecar, placed, "Ordered the wrong size"))["payment_action"] == "voided"
    number = (await medusa.order(placed.id))["display_id"]

    async with order_page(chromium, medusa, sidecar, placed) as opened:
        box = widget(opened.page)
        await seen(*(box.get_by_text(text) for text in ("Hold let go", "Ordered the wrong size", "the link in the")))
        await expect(box.get_by_role("alert")).to_have_count(0)
        page = await operators_page(opened)
        await seen(page.get_by_role("heading", name=f"Order #{number}"), page.get_by_text("Void of the hold: done"))
        await seen(page.locator(".facts").get_by_text("Ordered the wrong size"))
        await shoot_all(opened, "voided")


async def test_a_failed_void_is_shown_and_mended_from_there(
    chromium: Chromium, medusa: Medusa, sidecar: Sidecar
) -> None:
    """The whole way of an operator: Medusa's order page, the incident, *Retry now*, and it is over on both pages."""
    placed = await medusa.place_order()
    stripe = Sandbox(medusa.lab.surroundings.stripe_url, medusa.lab.surroundings.stripe_key)
    await stripe.fault(VOIDS, "error", times=None, object_id=placed.intent_id, status=402)
    try:
        await cancel(sidecar, placed, "Ordered the wrong size")
        async with order_page(chromium, medusa, sidecar, placed) as opened:
            alert = widget(opened.page).get_by_role("alert")
            while not await alert.count():  # it opens after the quick tries
                await opened.page.reload()
                await seen(widget(opened.page))
            await seen(widget(opened.page).get_by_text("Void failed", exact=True))
            await seen(alert.get_by_text("The hold could not be let go"), alert.get_by_text("The card was declined"))
            await shoot_all(opened, "void-failed")
            page = await operators_page(opened)
            await seen(page.get_by_role("heading", name="Hold not let go"))
            await stripe.clear_faults()
            await page.get_by_role("button", name="Retry now").click()
            await seen(page.get_by_text("Closed by itself"))
            await page.screenshot(path=opened.screenshots / "operator-after-retry.png", full_page=True)

            await opened.page.reload()
            await seen(widget(opened.page).get_by_text("Hold let go"))
            await expect(alert).to_have_count(0)
    finally:
        await stripe.clear_faults()


async def test_the_pages_of_other_orders_look_as_before(chromium: Chromium, medusa: Medusa, sidecar: Sidecar) -> None:
    placed = await medusa.place_order()

    async with order_page(chromium, medusa, sidecar, placed) as opened:
        address = opened.page.url
        await opened.page.goto("about:blank")  # an answer that is still on its way is the page's no more
        async with opened.page.expect_response("**/grace/api/**") as answered:
            await opened.page.goto(address)
        answer = await (await answered.value).json()
        assert (answer["canceled"], answer["incidents"]) == (False, [])
        await the_page_is_whole(opened)
        await expect(widget(opened.page)).to_have_count(0)
        await opened.shoot("widget-nothing-to-tell")


async def test_a_sidecar_of_tomorrow_is_understood(chromium: Chromium, medusa: Medusa, sidecar: Sidecar) -> None:
    """A kind of incident that this build of the widget has not heard of, on an order that is not canceled."""
    placed = await medusa.place_order()
    told = {
        "kind": "a_kind_of_tomorrow",
        "detail": "<b>as it stands</b>",
        "what_to_do": "Wait.",
        "opened_at": "2026-11-23T13:05:00Z",
    }
    nothing = dict.fromkeys(("canceled_at", "canceled_by", "reason"))
    body = {"canceled": False, "payment_action": "none", "incidents": [told], "url": "/grace", **nothing}

    async with order_page(chromium, medusa, sidecar, placed, answer={"json": body}) as opened:
        alert = widget(opened.page).get_by_role("alert")
        await seen(*(alert.get_by_text(told[name]) for name in ("kind", "detail")))
        await expect(widget(opened.page).get_by_text("Nothing held")).to_have_count(0)
        await opened.shoot("widget-incident-of-tomorrow")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        pytest.param({"status": 404}, "medusa-grace does not answer (404).", id="no-rule-in-the-proxy"),
        pytest.param({"status": 401}, "medusa-grace does not accept this sign-in.", id="signed-in-elsewhere"),
        pytest.param({"status": 502}, "medusa-grace does not answer (502).", id="down"),
        pytest.param({"body": "<!doctype html>"}, "medusa-grace does not answer.", id="another-server"),
        pytest.param({"json": {"canceled": "yes"}}, "medusa-grace does not answer.", id="another-answer"),
    ],
)
async def test_trouble_is_one_quiet_line(
    chromium: Chromium, medusa: Medusa, sidecar: Sidecar, answer: dict[str, Any], line: str
) -> None:
    placed = await medusa.place_order()

    async with order_page(chromium, medusa, sidecar, placed, answer=answer) as opened:
        await expect(widget(opened.page)).to_have_text(line, timeout=PATIENCE)
        if answer == {"status": 502}:
            await opened.shoot("widget-down")
