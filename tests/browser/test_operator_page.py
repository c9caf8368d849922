"""The operator's page as people use it: at a desk and on a phone, by day and by night, with scripts and without."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.async_api import BrowserContext, Page

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.settings import Settings
from tests.browser.conftest import Eyes
from tests.browser.looks import flaws
from tests.http.operator.troubles import failing, late_money, trouble
from tests.simulated_medusa import UNANSWERED
from tests.usecases.hand import Hand, opened
from tests.world import Shop

pytestmark = pytest.mark.browser

LOOKS = [(width, dark, True) for width in (1280, 390) for dark in (False, True)] + [(390, False, False)]


DECLINED = "The card was declined: Your card has insufficient funds. (CardError 402 card_declined)"


async def in_trouble(shop: Shop, settings: Settings) -> PlacedOrder:
    """A morning's worth of trouble; the order of it that has the longest story."""
    await late_money(shop, amounts=("129.5",))
    for amount, currency, days in (("1249.9", "eur", 5), ("54", "eur", 6), ("18900", "jpy", 2)):
        order = await shop.place(amounts=(amount,), currency=currency)
        await failing(shop, order, "capture", error=DECLINED)
        await shop.conn.execute(
            "update payment set created_at = now() - $2::interval where id = $1",
            order.payment_ids[0],
            timedelta(days=days, hours=3),
        )
    await trouble(shop, await shop.place(), "release_failed", "Medusa's Redis does not answer: ConnectionError")
    endless = await shop.place(amounts=("98765432.1",))
    await failing(shop, endless, "void", error=f"Stripe refused: {'no_space_at_all_' * 30} (InvalidRequestError 400)")
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


async def show(context: BrowserContext, path: str, status: int = 200) -> Page:
    """A page that everybody can read and use."""
    page = context.pages[0] if context.pages else await context.new_page()
    answer = await page.goto(path)
    assert answer is not None
    assert answer.status == status
    phone = await page.evaluate("window.innerWidth < 700")
    assert not (found := await flaws(page, phone=phone)), f"{path}: {found}"
    return page


async def test_the_looks(eyes: Eyes, shop: Shop, settings: Settings) -> None:
    order = await in_trouble(shop, settings)
    for width, dark, scripts in LOOKS:
        name = f"{width}-{'dark' if dark else 'light'}{'' if scripts else '-no-scripts'}"
        async with eyes.looking(width=width, dark=dark, scripts=scripts, signed_in=False) as context:
            page = await show(context, "/grace/sign-in")
            await page.screenshot(path=eyes.shots / f"sign-in-{name}.png")
        async with eyes.looking(width=width, dark=dark, scripts=scripts) as context:
            for path, what in (
                ("/grace", "incidents"),
                ("/grace?sort=lapse", "incidents-by-lapse"),
                ("/grace?kind=fulfilled", "incidents-none"),
                ("/grace?show=closed", "closed"),
                (f"/grace/orders/{order.id}", "order"),
                (f"/grace/orders?q={order.id[:-1]}", "search"),
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
        await page.screenshot(path=eyes.shots / "nothing-open.png")


async def test_who_walks_by_keyboard_is_not_thrown_off_when_the_page_renews_itself(eyes: Eyes, shop: Shop) -> None:
    order = await shop.place()
    number = await trouble(shop, order, "capture_failed", "no money")
    async with eyes.looking() as context:
        page = await show(context, "/grace")
        for name in (f"retry-{number}", f"order-{number}", "by-lapse"):
            await page.focus(f"#{name}")
            await shop.conn.execute("update grace.incidents set detail = $1", f"seen while at {name}")
            await page.wait_for_selector(f"text=seen while at {name}")
            assert await page.evaluate("document.activeElement.id") == name


async def test_a_page_that_cannot_renew_itself_says_so(eyes: Eyes, shop: Shop) -> None:
    async with eyes.looking(quiet=False) as context:
        page = await show(context, "/grace")
        await context.set_offline(True)
        await page.wait_for_selector("text=The server does not answer")
        await page.screenshot(path=eyes.shots / "out-of-date.png")
        await context.set_offline(False)
        await page.wait_for_selector("text=The server does not answer", state="hidden")


async def test_moments_in_sentences_are_local_time_like_all_others(eyes: Eyes, shop: Shop) -> None:
    order = await shop.place()
    await trouble(shop, order, "capture_failed", "lapsed at 2026-11-25 23:30:00 UTC, as Stripe says")
    async with eyes.looking() as context:
        page = await show(context, f"/grace/orders/{order.id}")
        assert "lapsed at 26 Nov 2026, 00:30:00 CET, as Stripe says" in await page.inner_text("#order")


async def test_a_double_click_is_one_act(eyes: Eyes, shop: Shop) -> None:
    order = await late_money(shop)
    async with eyes.looking(width=390) as context:
        page = await show(context, f"/grace/orders/{order.id}")
        await page.dblclick("text=Refund 29.74 EUR")
        await page.wait_for_selector("text=The refund is on its way")
        await page.screenshot(path=eyes.shots / "refunded.png", full_page=True)
        await page.reload()
        assert await page.locator("text=Refund asked for").count() == 1
    assert await shop.conn.fetchval("select count(*) from grace.events where kind = 'act_refund'") == 1


async def test_what_is_being_written_is_not_swept_away(eyes: Eyes, shop: Shop) -> None:
    order = await late_money(shop)
    async with eyes.looking(dark=True) as context:
        page = await show(context, f"/grace/orders/{order.id}")
        await page.click("summary")
        await page.fill("textarea", "Refunded in the dash")
        await page.wait_for_timeout(7_000)
        assert await page.input_value("textarea") == "Refunded in the dash"
        await page.type("textarea", "board")
        await page.click("text=Close it")
        await page.wait_for_selector("text=Closed, with your name and note.")
        await page.screenshot(path=eyes.shots / "settled.png", full_page=True)
    assert await shop.conn.fetchval("select note from grace.incidents") == "Refunded in the dashboard"


async def test_a_search_finds_an_order_by_its_number(eyes: Eyes, shop: Shop) -> None:
    order = await shop.place()
    number = await shop.conn.fetchval('select display_id from "order" where id = $1', order.id)
    async with eyes.looking(width=390, dark=True) as context:
        page = await show(context, "/grace/orders")
        await page.screenshot(path=eyes.shots / "search-empty.png")
        await page.fill("#q", f"#{number}")
        await page.press("#q", "Enter")
        await page.wait_for_url(f"**/grace/orders/{order.id}")


async def test_what_goes_wrong_is_told_in_words(eyes: Eyes, shop: Shop) -> None:
    number = await trouble(shop, await shop.place(), "capture_failed")
    async with eyes.looking(width=390, signed_in=False, quiet=False) as context:
        page = await show(context, "/grace/sign-in")
        await page.fill("input[name=email]", "ada@shop.test")
        await page.fill("input[name=password]", "wrong")
        await page.click("button[type=submit]")
        await page.wait_for_selector("text=Wrong e-mail address or password.")
        assert await flaws(page, phone=True) == []
        await page.screenshot(path=eyes.shots / "wrong-password.png")
    async with eyes.looking(dark=True, quiet=False) as context:
        page = await show(context, "/grace/orders/order_nobody", 404)
        await page.screenshot(path=eyes.shots / "no-such-order.png")
        page = await show(context, "/grace/nowhere", 404)
        await page.screenshot(path=eyes.shots / "nowhere.png")
        page = await show(context, "/grace")
        await page.evaluate("document.querySelectorAll('[name=csrf]').forEach((one) => { one.value = 'stale' })")
        await page.click(f"#retry-{number}")
        await page.wait_for_selector("text=Nothing was changed.")
        assert await flaws(page, phone=False) == []
        await page.screenshot(path=eyes.shots / "stale-form.png")
        page = await show(context, "/grace")
        await page.click("text=Sign out")
        await page.wait_for_selector("text=You are signed out here.")
        await page.screenshot(path=eyes.shots / "signed-out.png")


async def test_what_is_away_is_told_in_words(eyes: Eyes, shop: Shop) -> None:
    async with eyes.looking(width=390, quiet=False) as context, shop.conn.transaction():
        await shop.conn.execute("lock table grace.incidents in access exclusive mode")
        page = await show(context, "/grace", 503)
        await page.screenshot(path=eyes.shots / "not-just-now.png")
    for email, words in ((UNANSWERED, "Medusa does not answer"), ("ada@shop.test", "Too many attempts")):
        for width, dark in ((390, False), (1280, True)):
            async with eyes.looking(width=width, dark=dark, signed_in=False, quiet=False) as context:
                await context.set_extra_http_headers({"x-forwarded-for": "203.0.113.7"})  # what is limited by address
                page = await show(context, "/grace/sign-in")
                for _ in range(15):
                    if await page.locator(f"text={words}").count() > 0:
                        break
                    await page.fill("input[name=email]", email)
                    await page.fill("input[name=password]", "wrong")
                    async with page.expect_navigation():
                        await page.click("button[type=submit]")
                assert await page.locator(f"text={words}").count() > 0
                assert await flaws(page, phone=width < 700) == []
                await page.screenshot(path=eyes.shots / f"{words.lower().replace(' ', '-')}-{width}.png")


async def test_without_scripts(eyes: Eyes, shop: Shop) -> None:
    order = await shop.place()
    await failing(shop, order, "void")
    async with eyes.looking(scripts=False) as context:
        page = context.pages[0]
        await page.click("text=Settle by hand")
        assert await page.locator("text=What to do:").count() == 1
        await page.click("text=Retry now")
        assert await page.locator("text=It is tried now.").count() == 1
        await page.screenshot(path=eyes.shots / "retried-no-scripts.png")
    assert await shop.conn.fetchval("select run_at <= now() from grace.jobs where kind = 'void'")


async def test_a_link_on_another_site_arrives_signed_in(eyes: Eyes, shop: Shop) -> None:
    """From a chat or a mail: the strict cookie stays away at first, and the page asks for itself once more."""
    async with eyes.looking() as context:
        page = context.pages[0]
        await page.goto(f"data:text/html,<a href='{eyes.url}/grace/orders'>here</a>")
        await page.click("a")
        await page.wait_for_selector("h1:has-text('Orders')")
