"""What an operator sees: sorted, linked, escaped, and gone when it is over."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.incidents import WORDS, IncidentKind
from app.embedded.shop import PlacedOrder
from app.http.operator.views import plain
from app.usecases.retry_incident import JOB_OF, LOOKED_AT
from tests.http.operator.browser import Browser, Page
from tests.http.operator.troubles import failing, late_money, trouble
from tests.world import Api, Shop, token_for

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


@pytest.fixture(autouse=True)
async def _nothing_is_open(shop: Shop) -> None:
    await shop.conn.execute("delete from grace.incidents")


def listed(page: Page, orders: list[PlacedOrder]) -> list[int]:
    """Which of the orders stand there, from above, by their number in ``orders``."""
    shown = re.findall(r'<h2><a href="/grace/orders/(\w+)"', page.response.text)
    numbers = {order.id: number for number, order in enumerate(orders)}
    return [numbers[order_id] for order_id in shown]


async def test_nothing_is_open(ada: Browser) -> None:
    text = (await ada.get("/grace")).text
    assert "Nothing needs a person." in text
    assert "Last 24 hours" in text


async def test_sorted_by_money_within_the_currency_and_by_lapse(ada: Browser, shop: Shop) -> None:
    amounts = [("10", "eur"), ("500", "jpy"), ("200", "eur"), ("30", "eur"), ("90", "jpy")]
    orders = [await shop.place(amounts=(amount,), currency=currency) for amount, currency in amounts]
    for order in orders:
        await trouble(shop, order, "capture_failed")
    stock = await shop.place()
    await trouble(shop, stock, "release_failed")
    for number, order in enumerate(orders):
        await shop.conn.execute(
            "update payment set created_at = now() - $2::interval where id = $1",
            order.payment_ids[0],
            timedelta(days=5, hours=number * (-1) ** number),
        )
    orders.append(stock)
    page = await ada.get("/grace")
    assert listed(page, orders) == [2, 3, 0, 1, 4, 5]
    assert "240.00 EUR" in page.text
    assert "590 JPY" in page.text
    by_lapse = listed(await ada.get("/grace?sort=lapse"), orders)
    assert by_lapse == [4, 2, 0, 1, 3, 5]


async def test_capture_before_outranks_seven_days(ada: Browser, shop: Shop) -> None:
    orders = [await shop.place(), await shop.place()]
    for order in orders:
        await trouble(shop, order, "capture_failed")
    await shop.conn.execute(
        "update payment set data = data || jsonb_build_object('latest_charge', jsonb_build_object("
        "'payment_method_details', jsonb_build_object('card', jsonb_build_object('capture_before', "
        "extract(epoch from now() + interval '90 minutes')::bigint)))) where id = $1",
        orders[1].payment_ids[0],
    )
    page = await ada.get("/grace?sort=lapse")
    assert listed(page, orders) == [1, 0]
    assert "hold lapses in 1 h" in page.text


async def test_filtered_by_kind(ada: Browser, shop: Shop) -> None:
    orders = [await shop.place(), await shop.place()]
    await trouble(shop, orders[0], "capture_failed")
    await trouble(shop, orders[1], "void_failed")
    assert listed(await ada.get("/grace?kind=void_failed"), orders) == [1]
    assert len(listed(await ada.get("/grace?kind=nonsense"), orders)) == 2
    page = await ada.get("/grace?kind=fulfilled")
    assert ("Nothing of this kind" in page.text, "Nothing needs a person" in page.text) == (True, False)


async def test_the_last_error_what_to_do_and_stripe(ada: Browser, shop: Shop) -> None:
    order = await shop.place()
    await failing(shop, order, "capture", error="CardError 402 card_declined: no money")
    page = await ada.get("/grace")
    assert "CardError 402 card_declined: no money" in page.text
    assert "it is retried" in page.text
    assert "4 attempts so far, next in 59 min" in page.text
    link = f"https://dashboard.stripe.com/test/payments/{order.intent_ids[0]}"
    assert f'href="{link}"' in page.response.text
    await shop.conn.execute(
        "update payment set data = data || '{\"livemode\": true}' where id = $1", order.payment_ids[0]
    )
    assert f'href="{link.replace("test/", "")}"' in (await ada.get("/grace")).response.text


async def test_every_kind_is_shown_with_what_can_be_done(ada: Browser, shop: Shop) -> None:
    for kind in IncidentKind:
        order = await shop.place()
        await trouble(shop, order, kind.value)
        shown = await ada.get(f"/grace/orders/{order.id}")
        assert plain(WORDS[kind].meaning) in shown.text
        assert plain(WORDS[kind].what_to_do) in shown.text
        assert len(shown.forms("retry")) == (kind in JOB_OF or kind in LOOKED_AT)
        assert len(shown.forms("settle")) == 1
    page = await ada.get("/grace")
    assert all(plain(WORDS[kind].what_to_do) in page.text for kind in IncidentKind)


async def test_what_others_wrote_is_only_text(ada: Browser, shop: Shop, api: Api) -> None:
    order = await shop.place()
    assert (await api.cancel(order.id, json={"reason": HOSTILE})).status_code == 200
    await failing(shop, order, "capture", error=HOSTILE)
    await trouble(shop, order, "void_failed", HOSTILE)
    await ada.press(await ada.get(f"/grace/orders/{order.id}"), "settle", name=HOSTILE, note=HOSTILE)
    for path in (
        f"/grace/orders/{order.id}",
        "/grace",
        "/grace?show=closed",
        "/grace/orders?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/grace?said=%3Cscript%3E&kind=%3Cscript%3E&sort=%3Cscript%3E&show=%3Cscript%3E",
        "/grace/sign-in?next=%22%3E%3Cscript%3E",
    ):
        body = (await ada.get(path)).response.text
        assert "<script>" not in body, path
        assert "<img" not in body, path
        assert "49" not in re.findall(r"&amp;(\S+)", body), path
    assert HOSTILE in (await ada.get(f"/grace/orders/{order.id}")).text


async def test_a_moment_is_written_for_people_and_for_the_script(ada: Browser, shop: Shop) -> None:
    """The script makes it local time; without the script it is read as it stands."""
    order = await shop.place()
    await trouble(shop, order, "capture_failed")
    now = datetime.now(UTC).replace(microsecond=0)
    moments = [now - timedelta(hours=number) for number in (4, 3, 2, 1)]
    placed_at, canceled_at, opened_at, closed_at = moments
    await shop.conn.execute(
        "update \"order\" set created_at = $2, canceled_at = $3, status = 'canceled' where id = $1",
        order.id,
        placed_at,
        canceled_at,
    )
    await shop.conn.execute("update grace.incidents set opened_at = $1", opened_at)
    written = {
        moment: f'datetime="{moment:%Y-%m-%dT%H:%M:%S}+00:00" data-local>{moment:%Y-%m-%d %H:%M:%S} UTC</time>'
        for moment in moments
    }
    page = (await ada.get(f"/grace/orders/{order.id}")).response.text.replace("&#43;", "+")
    assert [written[moment] in page for moment in moments] == [True, True, True, False]
    await shop.conn.execute("update grace.incidents set closed_at = $1", closed_at)
    assert written[closed_at] in (await ada.get("/grace?show=closed")).response.text.replace("&#43;", "+")


async def test_an_incident_that_closes_itself_leaves_the_list(ada: Browser, shop: Shop) -> None:
    """By the very region that the page asks for every few seconds."""
    order = await shop.place()
    await trouble(shop, order, "capture_failed")
    page = await ada.get("/grace")
    [address] = re.findall(r'hx-get="([^"]+)" hx-trigger="every 5s"', page.response.text)
    address = address.replace("&amp;", "&")
    part = (await ada.get(address, **{"hx-request": "true"})).response.text
    assert order.id in part
    assert "<html" not in part
    await shop.conn.execute("update grace.incidents set closed_at = now()")
    part = (await ada.get(address, **{"hx-request": "true"})).response.text
    assert "Nothing needs a person." in part
    assert "Closed by itself" in (await ada.get("/grace?show=closed")).text


async def test_a_search_finds_by_every_id(ada: Browser, shop: Shop) -> None:
    order = await shop.place()
    number = await shop.conn.fetchval('select display_id from "order" where id = $1', order.id)
    for words in (order.id, f"%23{number}", str(number), order.payment_ids[0], f" {order.intent_ids[0]} "):
        page = await ada.get(f"/grace/orders?q={words}")
        assert page.response.headers.get("location") == f"/grace/orders/{order.id}", words
    for words in ("nonsense", "%00", "99999999999999999", "pi_%25", "²"):
        page = await ada.get(f"/grace/orders?q={words}")
        assert page.response.status_code == 200, words


async def test_an_unknown_order(ada: Browser) -> None:
    for order_id in ("order_nobody", "%00", "x" * 300):
        assert (await ada.get(f"/grace/orders/{order_id}")).response.status_code == 404


async def test_an_order_that_the_shop_has_lost(ada: Browser, shop: Shop) -> None:
    order = await shop.place()
    await failing(shop, order, "void")
    await shop.conn.execute('update "order" set deleted_at = now() where id = $1', order.id)
    page = await ada.get(f"/grace/orders/{order.id}")
    assert "Gone from the shop" in page.text
    assert order.id in (await ada.get("/grace")).response.text
    assert (await ada.press(page, "settle", name="Ada", note="gone")).headers["location"].endswith("done-settle")


async def test_the_numbers_of_the_day(ada: Browser, shop: Shop, api: Api) -> None:
    await shop.conn.execute("delete from grace.events")
    canceled, late = await shop.place(), await shop.place()
    await api.cancel(canceled.id)
    await shop.conn.execute("update \"order\" set created_at = created_at - interval '2 hours' where id = $1", late.id)
    for _ in range(2):
        assert (await api.cancel(late.id)).status_code == 409
    text = (await ada.get("/grace")).text
    assert re.search(r"Cancels 1 .*Refused as too late 1", text)
    shown = (await ada.get(f"/grace/orders/{late.id}")).text
    assert "Cancel refused: the grace period was over" in shown
    assert shown.count("Cancel refused") == 1, "once a minute"


async def test_an_order_with_two_incidents_counts_its_money_once(ada: Browser, shop: Shop) -> None:
    order = await late_money(shop, amounts=("50",))
    await trouble(shop, order, "refund_failed")
    page = await ada.get("/grace")
    assert re.search(r"At risk 50\.00 EUR", page.text)
    assert len(page.forms("retry")) == 2


async def test_the_page_tells_of_the_locks(ada: Browser, shop: Shop, api: Api) -> None:
    order = await shop.place()
    await api.cancel(order.id, token=token_for(order.id))
    assert re.search(r"order and payments locked after \d+ ms", (await ada.get(f"/grace/orders/{order.id}")).text)
