"""The operator's page as people use it: at a desk and on a phone, by day and by night, with scripts and without."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.async_api import BrowserContext, Page

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.settings import Settings
from tests.browser.conftest import Eyes
from tests.http.operator.ground import failing, late_money, trouble
from tests.usecases.ground import Hand, opened
from tests.world import Shop

pytestmark = pytest.mark.browser

LOOKS = [(width, dark) for width in (1280, 390) for dark in (False, True)]


async def in_trouble(shop: Shop, settings: Settings) -> PlacedOrder:
    """A morning's worth of trouble; the order of it that has the longest story."""
    await late_money(shop, amounts=("129.5",))
    for amount, currency, days in (("1249.9", "eur", 5), ("54", "eur", 6), ("18900", "jpy", 2)):
        order = await shop.place(amounts=(amount,), currency=currency)
        await failing(shop, order, "capture", error="CardError 402 card_declined: Your card has insufficient funds.")
        await shop.conn.execute(
            "update payment set created_at = now() - $2::interval where id = $1",
            order.payment_ids[0],
            timedelta(days=days, hours=3),
        )
    await trouble(shop, await shop.place(), "release_failed", "Medusa's Redis does not answer: ConnectionError")
    settled = await late_money(shop)
    await shop.conn.execute(
        "update grace.incidents set closed_at = now(), closed_by = 'Grace H. (grace@shop.test)', settled = true, "
        "note = 'Refunded in the dashboard, shopper was told by phone.' where order_id = $1",
        settled.id,
    )
    async with opened(settings) as services:
        hand = Hand(services, shop)
        long = await shop.place(amounts=("89.9",))
        await services.gateway.capture(long.intent_ids[0], amount=8990, key="late")
        await hand.cancel(long)
        await shop.sandbox.fault("payment_intents.cancel", "error", times=1, status=500)
        await hand.run(long, JobKind.VOID)
        await hand.run(long, JobKind.VOID)
    return long


async def show(context: BrowserContext, path: str) -> Page:
    page = context.pages[0] if context.pages else await context.new_page()
    answer = await page.goto(path)
    assert answer is not None
    assert answer.status == 200
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} is too wide"
    return page


async def test_the_looks(eyes: Eyes, shop: Shop, settings: Settings) -> None:
    order = await in_trouble(shop, settings)
    for width, dark in LOOKS:
        name = f"{width}-{'dark' if dark else 'light'}"
        async with eyes.looking(width=width, dark=dark, signed_in=False) as context:
            page = await show(context, "/grace/sign-in")
            await page.screenshot(path=eyes.shots / f"sign-in-{name}.png")
        async with eyes.looking(width=width, dark=dark) as context:
            for path, what in (
                ("/grace", "incidents"),
                ("/grace?show=closed", "closed"),
                (f"/grace/orders/{order.id}", "order"),
                ("/grace/orders?q=nobody", "search"),
            ):
                page = await show(context, path)
                if what == "order":
                    await page.click("summary")
                await page.screenshot(path=eyes.shots / f"{what}-{name}.png", full_page=True)


async def test_an_incident_leaves_the_page_by_itself(eyes: Eyes, shop: Shop) -> None:
    number = await trouble(shop, await shop.place(), "capture_failed")
    async with eyes.looking() as context:
        page = await show(context, "/grace")
        await page.wait_for_selector(f"#incident-{number}")
        await shop.conn.execute("update grace.incidents set closed_at = now()")
        await page.wait_for_selector("text=Nothing needs a person.")


async def test_a_double_click_is_one_act(eyes: Eyes, shop: Shop) -> None:
    order = await late_money(shop)
    async with eyes.looking() as context:
        page = await show(context, f"/grace/orders/{order.id}")
        await page.dblclick("text=Refund 29.74 EUR")
        await page.wait_for_selector("text=The refund is on its way")
        await page.reload()
        assert await page.locator("text=Refund asked for").count() == 1
    assert await shop.conn.fetchval("select count(*) from grace.events where kind = 'act_refund'") == 1


async def test_what_is_being_written_is_not_swept_away(eyes: Eyes, shop: Shop) -> None:
    order = await late_money(shop)
    async with eyes.looking() as context:
        page = await show(context, f"/grace/orders/{order.id}")
        await page.click("summary")
        await page.fill("textarea", "Refunded in the dash")
        await page.wait_for_timeout(7_000)
        assert await page.input_value("textarea") == "Refunded in the dash"
        await page.type("textarea", "board")
        await page.click("text=Close it")
        await page.wait_for_selector("text=Closed, with your name and note.")
    assert await shop.conn.fetchval("select note from grace.incidents") == "Refunded in the dashboard"


async def test_without_scripts(eyes: Eyes, shop: Shop) -> None:
    order = await shop.place()
    await failing(shop, order, "void")
    async with eyes.looking(scripts=False) as context:
        page = context.pages[0]
        await page.click("text=Settle by hand")
        assert await page.locator("text=What to do:").count() == 1
        await page.click("text=Retry now")
        assert await page.locator("text=It is tried now.").count() == 1
    assert await shop.conn.fetchval("select run_at <= now() from grace.jobs where kind = 'void'")


async def test_a_link_on_another_site_arrives_signed_in(eyes: Eyes, shop: Shop) -> None:
    """From a chat or a mail: the strict cookie stays away at first, and the page asks for itself once more."""
    async with eyes.looking() as context:
        page = context.pages[0]
        await page.goto(f"data:text/html,<a href='{eyes.url}/grace/orders'>here</a>")
        await page.click("a")
        await page.wait_for_selector("h1:has-text('Orders')")
