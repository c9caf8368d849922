"""The pictures of the README: pages that render, looked at and, where ``PICTURES`` names a folder, written there."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page

from app.embedded.shop import PlacedOrder
from tests.browser.conftest import Eyes
from tests.browser.looks import flaws
from tests.http.operator.troubles import failing, late_money
from tests.world import Shop

pytestmark = pytest.mark.browser

DOCS = Path(__file__).resolve().parents[2] / "docs"


_A_DAY = """
insert into grace.events (order_id, kind, detail)
select 'order_of_the_day', kind, detail from (values
    (37, 'cancel_accepted', '{}'), (36, 'job_done', '{"job": "void"}'), (412, 'job_done', '{"job": "capture"}'),
    (1, 'job_done', '{"job": "refund"}'), (5, 'cancel_refused', '{"reason": "grace_period_over"}')
) as happened (times, kind, detail_text)
cross join lateral (select detail_text::jsonb as detail from generate_series(1, times)) as each
"""


async def picture(page: Page, eyes: Eyes, name: str, *, height: int = 900) -> None:
    """Take the picture ``name`` into the folder of ``PICTURES``, else beside the other screenshots."""
    folder = Path(os.environ.get("PICTURES") or eyes.shots)
    assert (DOCS / name).is_file() or "PICTURES" in os.environ, f"{name} is missing: take it with PICTURES=docs"
    size = page.viewport_size
    assert size is not None
    await page.set_viewport_size({"width": size["width"], "height": height})
    await page.screenshot(path=folder / name)
    assert (folder / name).stat().st_size > 10_000


async def _held_for(shop: Shop, amount: str, days: int, currency: str = "eur") -> PlacedOrder:
    order = await shop.place(amounts=(amount,), currency=currency)
    held_since = "update payment set created_at = now() - $2::interval where id = $1"
    await shop.conn.execute(held_since, order.payment_ids[0], timedelta(days=days, hours=3))
    return order


async def test_the_operators_page(eyes: Eyes, shop: Shop) -> None:
    declined = "The card was declined: Your card has insufficient funds. (CardError 402 card_declined)"
    await late_money(shop, amounts=("129.5",))
    await failing(shop, await _held_for(shop, "1249.9", days=5), "capture", error=declined)
    await failing(shop, await _held_for(shop, "54", days=2), "void", error="Stripe does not answer: APIConnectionError")
    await shop.conn.execute(_A_DAY)
    async with eyes.looking(width=1280) as context:
        page = context.pages[0]
        await page.goto("/grace")
        assert await page.locator("li[id^=incident-]").count() == 3
        assert await flaws(page, phone=False) == []
        await picture(page, eyes, "operator-page.png", height=770)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_the_api_page(eyes: Eyes, width: int, dark: bool) -> None:
    """Contents, answers and their curl lines can be read and reached at each width, by day and by night."""
    async with eyes.looking(width=width, dark=dark, signed_in=False, scripts=False) as context:
        page = await context.new_page()
        answer = await page.goto("/docs")
        assert answer is not None
        assert answer.status == 200
    async with eyes.looking(width=width, dark=dark, signed_in=False) as context:
        page = await context.new_page()
        await page.goto("/docs")
        await page.screenshot(path=eyes.shots / f"docs-top-{width}-{'dark' if dark else 'light'}.png")
        await page.click("nav a[href='#cancelOrder']")
        await page.click("#cancelOrder-200-voided summary")
        await page.click("#cancelOrder-409-grace_period_over summary")
        assert await page.locator("#cancelOrder-409-grace_period_over pre").first.is_visible()
        assert await flaws(page, phone=width < 700) == []
        for wide in await page.locator("pre:visible").all():
            assert await wide.evaluate("one => one.scrollWidth <= one.clientWidth")
        if (width, dark) == (390, True):
            await page.evaluate("document.querySelector('#cancelOrder').scrollIntoView()")
            await picture(page, eyes, "api-page.png")
        await page.screenshot(path=eyes.shots / f"docs-{width}-{'dark' if dark else 'light'}.png")
