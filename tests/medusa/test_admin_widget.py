"""Our widget on the order page of a real Medusa's admin, looked at in Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from app.embedded.processes import HOST, free_port

from .browser import PATIENCE, Chromium, Opened
from .browser_proxy import App, running_proxy
from .orders import Medusa, Placed
from .stand_in import StandIn

pytestmark = pytest.mark.browser

INCIDENT = {
    "kind": "void_failed",
    "detail": "Order canceled but payment void failed: Stripe answers 500 (api_error), 7 tries.",
    "what_to_do": "Cancel the PaymentIntent in Stripe's dashboard, or wait: the next try sees it.",
    "opened_at": "2026-11-23T13:05:00+00:00",
}


@pytest.fixture
def stand_in(medusa: Medusa) -> StandIn:
    return StandIn(medusa.lab.url)


async def canceled_order(medusa: Medusa) -> Placed:
    placed = await medusa.place_order()
    await medusa.admin_post(f"/admin/orders/{placed.id}/cancel")
    return placed


@asynccontextmanager
async def order_page(chromium: Chromium, medusa: Medusa, sidecar: str | App, placed: Placed) -> AsyncIterator[Opened]:
    """The order's page in the admin, after the widget has had its answer."""
    async with running_proxy(medusa=medusa.lab.url, sidecar=sidecar) as url, chromium.page() as opened:
        await opened.sign_in(url)
        async with opened.page.expect_response(lambda answer: "/grace/api/" in answer.url) as answered:
            await opened.page.goto(f"{url}/app/orders/{placed.id}")
        await (await answered.value).body()
        await the_page_is_whole(opened)
        yield opened


async def the_page_is_whole(opened: Opened) -> None:
    """Medusa's own sections are there, and nothing was thrown."""
    for heading in ("Summary", "Customer", "Activity"):
        await seen(opened.page.get_by_role("heading", name=heading, exact=True))
    assert opened.errors == []


def widget(opened: Opened) -> Locator:
    return opened.page.get_by_test_id("medusa-grace")


async def seen(*locators: Locator) -> None:
    for locator in locators:
        await expect(locator).to_be_visible(timeout=PATIENCE)


async def test_a_cancellation_is_shown(chromium: Chromium, medusa: Medusa, stand_in: StandIn) -> None:
    placed = await canceled_order(medusa)
    stand_in.cancellation(placed.id)

    async with order_page(chromium, medusa, stand_in, placed) as opened:
        box = widget(opened)
        await seen(*(box.get_by_text(text, exact=True) for text in ("Hold let go", "Ordered the wrong size")))
        await seen(box.get_by_text("23 Nov 2026, 14:00"))
        await expect(box.get_by_role("alert")).to_have_count(0)
        await opened.shoot("voided")

        link = box.get_by_role("link", name="Open in medusa-grace")
        expected = opened.page.url.partition("/app/")[0] + f"/grace/orders/{placed.id}"
        assert await link.get_attribute("href") == expected


async def test_a_failed_void_and_its_incident_are_shown(chromium: Chromium, medusa: Medusa, stand_in: StandIn) -> None:
    placed = await canceled_order(medusa)
    stand_in.cancellation(placed.id, payment_action="void_failed", incidents=[INCIDENT])

    async with order_page(chromium, medusa, stand_in, placed) as opened:
        await seen(widget(opened).get_by_text("Void failed", exact=True))
        alert = widget(opened).get_by_role("alert")
        await seen(*(alert.get_by_text(INCIDENT[name]) for name in ("detail", "what_to_do")))
        await opened.shoot("void-failed")


async def test_an_incident_of_an_open_order_is_shown(chromium: Chromium, medusa: Medusa, stand_in: StandIn) -> None:
    placed = await medusa.place_order()
    told = INCIDENT | {"kind": "a_kind_of_tomorrow", "detail": "<b>shown as it stands</b>"}
    nothing = dict.fromkeys(("canceled_at", "canceled_by", "reason"))
    stand_in.cancellation(placed.id, canceled=False, payment_action="none", incidents=[told], **nothing)

    async with order_page(chromium, medusa, stand_in, placed) as opened:
        alert = widget(opened).get_by_role("alert")
        await seen(*(alert.get_by_text(told[name]) for name in ("kind", "detail")))
        await expect(widget(opened).get_by_text("Nothing held")).to_have_count(0)
        await opened.shoot("incident")


async def test_the_pages_of_other_orders_look_as_before(chromium: Chromium, medusa: Medusa, stand_in: StandIn) -> None:
    placed = await medusa.place_order()
    stand_in.cancellation(placed.id, canceled=False, payment_action="none", reason=None)

    async with order_page(chromium, medusa, stand_in, placed) as opened:
        await painted(opened)
        await expect(widget(opened)).to_have_count(0)
        await opened.shoot("nothing-to-tell")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        pytest.param(404, "medusa-grace does not answer (404).", id="unknown"),
        pytest.param("<!doctype html>", "medusa-grace does not answer.", id="another-server"),
        pytest.param({"canceled": "yes"}, "medusa-grace does not answer.", id="another-answer"),
    ],
)
async def test_trouble_is_one_quiet_line(
    chromium: Chromium, medusa: Medusa, stand_in: StandIn, answer: Any, line: str
) -> None:
    placed = await medusa.place_order()
    stand_in.answers[placed.id] = answer

    async with order_page(chromium, medusa, stand_in, placed) as opened:
        await expect(widget(opened)).to_have_text(line, timeout=PATIENCE)


async def test_a_sidecar_that_is_down_is_one_quiet_line(chromium: Chromium, medusa: Medusa) -> None:
    placed = await medusa.place_order()

    nobody = f"http://{HOST}:{free_port()}"

    async with order_page(chromium, medusa, nobody, placed) as opened:
        await expect(widget(opened)).to_have_text("medusa-grace does not answer (502).", timeout=PATIENCE)
        await opened.shoot("down")


async def painted(opened: Opened) -> None:
    """Let the browser show what the last answer led to."""
    await opened.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
