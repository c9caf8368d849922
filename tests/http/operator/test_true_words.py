"""What the page says is so: counts of all, what was looked for, holds that are not released yet, a reason's label."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
import pytest

from app.domain.reasons import CancelReason
from app.settings import Settings
from tests.http.operator.browser import Browser
from tests.http.operator.troubles import trouble
from tests.world import Api, Shop


@pytest.fixture
def settings(settings: Settings) -> Settings:
    reasons = (CancelReason("changed_mind", "I changed my mind"),)
    return msgspec.structs.replace(settings, policy=msgspec.structs.replace(settings.policy, cancel_reasons=reasons))


@pytest.fixture(autouse=True)
async def _nothing_is_open(shop: Shop) -> None:
    await shop.conn.execute("delete from grace.incidents")


async def test_the_count_is_of_all_however_many_are_listed(ada: Browser, shop: Shop) -> None:
    await shop.conn.execute(
        "insert into grace.incidents (order_id, kind, detail, opened_at)"
        " select 'order_of_many_' || n, 'release_failed', 'x', now() - n * interval '1 second'"
        " from generate_series(1, 530) as n"
    )
    oldest = await shop.place()
    await trouble(shop, oldest, "void_failed")
    await shop.conn.execute(
        "update grace.incidents set opened_at = now() - interval '1 day' where order_id = $1", oldest.id
    )
    page = await ada.get("/grace")
    assert "531 open." in page.text
    assert "Listed are the newest 500;" in page.text
    of_kind = await ada.get("/grace?kind=void_failed")
    assert oldest.id in of_kind.response.text, "beyond the newest 500, but the only one of its kind"
    assert "531 open." in of_kind.text
    assert "Listed are" not in of_kind.text
    assert "Listed are the newest 500 of 530 of this kind" in (await ada.get("/grace?kind=release_failed")).text


@pytest.mark.parametrize("words", ["INV/2026 1042", "ada.lovelace@shop.test", "ADA.Lovelace@Shop.Test"])
async def test_orders_are_found_by_the_shops_own_number_and_by_address(ada: Browser, shop: Shop, words: str) -> None:
    order = await shop.place()
    await shop.conn.execute("update \"order\" set custom_display_id = null, email = 'x@shop.test'")
    await shop.conn.execute(
        "update \"order\" set custom_display_id = 'INV/2026 1042', email = 'Ada.Lovelace@shop.test' where id = $1",
        order.id,
    )
    answer = await ada.api.client.get("/grace/orders", params={"q": words}, headers=ada._headers({}))
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/grace/orders/{order.id}"


async def test_what_was_not_looked_for_is_not_said_to_be_nowhere(ada: Browser, shop: Shop) -> None:
    await shop.place()
    for words in ("x" * 300, "a\u202eb", "a\x07b"):
        text = (await ada.get(f"/grace/orders?q={quote(words)}")).text
        assert "No order has" not in text
        assert "was not looked for" in text
    for words in ("nobody@shop.test", "INV 7", "Größe"):
        assert f"No order has “{words}”." in (await ada.get(f"/grace/orders?q={quote(words)}")).text


async def test_a_hold_is_not_said_to_be_gone_before_it_is(ada: Browser, api: Api, shop: Shop) -> None:
    order = await shop.place()
    assert ", held" in (await ada.get(f"/grace/orders/{order.id}")).text
    await api.cancel(order.id)
    text = (await ada.get(f"/grace/orders/{order.id}")).text
    assert ", not released yet" in text
    assert "closed" not in text.partition("Timeline")[0]
    await shop.conn.execute(
        'update payment set data = data || \'{"status": "canceled"}\' where id = any($1)', order.payment_ids
    )
    assert ", released" in (await ada.get(f"/grace/orders/{order.id}")).text


async def test_a_reasons_label_is_shown(ada: Browser, api: Api, shop: Shop) -> None:
    order = await shop.place()
    await api.cancel(order.id, json={"reason": "changed_mind"})
    text = (await ada.get(f"/grace/orders/{order.id}")).text
    assert text.count("I changed my mind") == 2, "above, and in the timeline"
    assert "changed_mind" not in text


UNSEEN = "\x1b[31m\x9b31m\u202eevil\u2066\u200b\U000e0041"


async def test_characters_that_are_not_seen_are_named(ada: Browser, shop: Shop) -> None:
    """A shopper's reason, another operator's note and name, a number of the shop's, an error of somebody else's."""
    order, closed = await shop.place(), await shop.place()
    answer = await ada.api.cancel(closed.id, json={"reason": f"reason {UNSEEN}"})
    assert answer.status_code == 200
    await shop.conn.execute('update "order" set custom_display_id = $1 where id = $2', UNSEEN, order.id)
    await trouble(shop, order, "void_failed", detail=f"detail {UNSEEN}")
    await shop.conn.execute(
        "update grace.incidents set closed_at = now(), closed_by = $2, note = $2 where id = $1",
        await trouble(shop, closed, "late_money"),
        f"note {UNSEEN}",
    )
    for path, said in (
        ("/grace", "detail "),
        ("/grace?show=closed", "note "),
        (f"/grace/orders/{order.id}", "detail "),
        (f"/grace/orders/{closed.id}", "reason "),
        (f"/grace/orders?q={quote(UNSEEN)}", ""),
    ):
        text = (await ada.get(path)).response.text
        assert [char for char in text if not char.isprintable() and char != "\n"] == [], path
        assert f"{said}[U+001B][31m[U+009B]31m[U+202E]evil[U+2066][U+200B][U+E0041]" in text, path
    widget = (await ada.get(f"/grace/api/orders/{closed.id}")).response
    assert "[U+202E]" in widget.json()["reason"]
    assert (await ada.get("/grace")).response.headers["content-type"] == "text/html; charset=utf-8"
