"""What an operator does is done once, written down with who and when, and nothing else is."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.usecases.heal_incidents import heal_incidents
from tests.http.operator.browser import Browser, Page
from tests.http.operator.troubles import failing, late_money, trouble
from tests.simulated_medusa import EMAIL, OTHER
from tests.usecases.hand import Hand, opened
from tests.world import Api, Shop


async def page_of(browser: Browser, order: PlacedOrder) -> Page:
    page = await browser.get(f"/grace/orders/{order.id}")
    assert page.response.status_code == 200
    return page


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("said=")[2]


async def acts(shop: Shop, order: PlacedOrder) -> list[tuple[str, str]]:
    rows = await shop.conn.fetch(
        "select kind, actor from grace.events where order_id = $1 and kind like 'act_%' order by id", order.id
    )
    return [(row["kind"], row["actor"]) for row in rows]


async def test_a_retry_makes_the_job_due_at_once_with_its_key(ada: Browser, shop: Shop) -> None:
    order = await shop.place()
    job = await failing(shop, order, "void", in_doubt=True)
    answer = await ada.press(await page_of(ada, order), "retry")
    assert said(answer) == "done-retry"
    row = await shop.row("select *, run_at <= now() as due from grace.jobs where id = $1", job)
    assert (row["due"], row["state"], row["key_number"], row["in_doubt"]) == (True, "scheduled", 3, True)
    assert await acts(shop, order) == [("act_retry", EMAIL)]


async def test_a_retry_of_what_was_given_up_takes_a_new_key(ada: Browser, shop: Shop) -> None:
    order = await shop.place()
    job = await failing(shop, order, "capture", state="dead", failures=0)
    assert said(await ada.press(await page_of(ada, order), "retry")) == "done-retry"
    row = await shop.row("select * from grace.jobs where id = $1", job)
    assert (row["state"], row["key_number"]) == ("scheduled", 4)


async def test_a_retry_leaves_what_runs_and_what_is_not_due_alone(ada: Browser, shop: Shop) -> None:
    """A capture that waits for its grace period is no business of a capture that failed."""
    order = await shop.place(amounts=("10", "20"))
    await failing(shop, order, "capture", state="queued")
    await shop.conn.execute(
        "insert into grace.jobs (kind, order_id, subject, run_at) values ('capture', $1, $2, now() + interval '1 h')",
        order.id,
        order.payment_ids[1],
    )
    before = await shop.conn.fetch("select * from grace.jobs where order_id = $1", order.id)
    assert said(await ada.press(await page_of(ada, order), "retry")) == "before"
    assert await shop.conn.fetch("select * from grace.jobs where order_id = $1", order.id) == before


@pytest.mark.parametrize("kind", ["late_money", "partial_capture", "authorization_lost"])
async def test_trouble_that_no_job_works_on_is_looked_at(ada: Browser, shop: Shop, kind: str) -> None:
    order = await shop.place()
    await trouble(shop, order, kind)
    assert said(await ada.press(await page_of(ada, order), "retry")) == "done-retry"
    job = await shop.job(order, "look")
    assert job is not None
    assert job["subject"].startswith(order.payment_ids[0])


async def test_a_refund_is_the_one_that_late_money_would_make(ada: Browser, shop: Shop) -> None:
    order = await late_money(shop, amounts=("10", "20"))
    page = await page_of(ada, order)
    assert "Refund 30.00 EUR" in page.text
    assert said(await ada.press(page, "refund")) == "done-refund"
    jobs = await shop.conn.fetch("select subject from grace.jobs where order_id = $1 and kind = 'refund'", order.id)
    assert sorted(job["subject"] for job in jobs) == sorted(order.payment_ids)
    again = await page_of(ada, order)
    assert "The refund is on its way." in again.text
    assert again.forms("refund") == []


async def test_the_same_form_twice_is_one_act(ada: Browser, shop: Shop) -> None:
    order = await late_money(shop)
    page = await page_of(ada, order)
    answers = await asyncio.gather(*(ada.press(page, "refund") for _ in range(4)))
    assert sorted(map(said, answers)) == ["before", "before", "before", "done-refund"]
    assert len(await acts(shop, order)) == 1
    job = await shop.job(order, "refund")
    assert job is not None
    assert job["key_number"] == 1


async def test_two_operators_at_once_refund_once(ada: Browser, api: Api, shop: Shop) -> None:
    bob = Browser(api)
    await bob.sign_in(OTHER)
    order = await late_money(shop)
    pages = [(who, await page_of(who, order)) for who in (ada, bob)]
    answers = await asyncio.gather(*(who.press(page, "refund") for who, page in pages))
    assert sorted(map(said, answers)) == ["before", "done-refund"]
    assert {actor for _, actor in await acts(shop, order)} == {EMAIL, OTHER}, "both are written down"
    assert await shop.job(order, "refund") is not None


async def test_only_late_money_is_refunded(ada: Browser, shop: Shop) -> None:
    """Neither another incident's number nor an order that was not canceled makes a refund."""
    late, other = await late_money(shop), await shop.place()
    action, fields = (await page_of(ada, late)).forms("refund")[0]
    number = await trouble(shop, other, "void_failed")
    assert said(await ada.post(re.sub(r"\d+", str(number), action), fields)) == "nothing"
    number = await trouble(shop, other, "late_money")
    assert said(await ada.post(re.sub(r"\d+", str(number), action), fields)) == "nothing"
    assert await shop.job(other, "refund") is None


async def test_settled_by_hand_with_name_and_note(ada: Browser, shop: Shop) -> None:
    order = await late_money(shop)
    page = await page_of(ada, order)
    answer = await ada.press(page, "settle", name=" Ada L. ", note="refunded in <b>the dashboard</b>")
    assert said(answer) == "done-settle"
    row = await shop.row("select * from grace.incidents where order_id = $1", order.id)
    assert row["closed_at"] is not None
    assert (row["closed_by"], row["note"]) == (f"Ada L. ({EMAIL})", "refunded in <b>the dashboard</b>")
    shown = await page_of(ada, order)
    assert "refunded in &lt;b&gt;the dashboard" in shown.response.text
    assert "<b>the dashboard" not in shown.response.text
    assert "by Medusa's rows not given back" in shown.text
    assert said(await ada.press(page, "settle", name="Ada", note="again")) == "closed"
    assert await acts(shop, order) == [("act_settle", EMAIL)]


async def test_name_and_note_are_needed(ada: Browser, shop: Shop) -> None:
    order = await late_money(shop)
    page = await page_of(ada, order)
    good = {"name": "Ada", "note": "done"}
    for wrong in (
        {"name": ""},
        {"name": " "},
        {"note": ""},
        {"note": "\x00"},
        {"name": "A" * 101},
        {"note": "n" * 1001},
    ):
        assert said(await ada.press(page, "settle", **{**good, **wrong})) == "incomplete"
    assert await shop.incidents(order) == ["late_money"]


FORGERIES: list[tuple[dict[str, str], dict[str, str] | None]] = [
    ({"csrf": ""}, None),
    ({"csrf": "0" * 64}, None),
    ({}, {"origin": "https://evil.test"}),
    ({}, {"origin": "null"}),
    ({}, {"sec-fetch-site": "cross-site"}),
    ({}, {"sec-fetch-site": "same-site"}),
    ({"act": ""}, None),
    ({"act": "'; drop table"}, None),
]


@pytest.mark.parametrize("verb", ["retry", "refund", "settle"])
async def test_a_form_of_somebody_elses_changes_nothing(ada: Browser, shop: Shop, verb: str) -> None:
    order = await late_money(shop)
    action, hidden = (await page_of(ada, order)).forms(verb)[0]
    for fields, headers in FORGERIES:
        answer = await ada.post(action, {**hidden, "name": "a", "note": "b", **fields}, headers)
        assert answer.status_code == 403, (fields, headers)
        assert "Nothing was changed" in answer.text
    assert await acts(shop, order) == []
    assert await shop.incidents(order) == ["late_money"]


async def test_the_form_of_another_session_is_refused(ada: Browser, api: Api, shop: Shop) -> None:
    bob = Browser(api)
    await bob.sign_in(OTHER)
    order = await late_money(shop)
    action, hidden = (await page_of(ada, order)).forms("refund")[0]
    assert (await bob.post(action, hidden)).status_code == 403


async def test_no_such_incident(ada: Browser, shop: Shop) -> None:
    order = await late_money(shop)
    _, hidden = (await page_of(ada, order)).forms("retry")[0]
    for number in ["999999", "9" * 30, "abc"]:
        assert (await ada.post(f"/grace/incidents/{number}/retry", hidden)).status_code == 404


async def test_the_way_back_is_ours(ada: Browser, shop: Shop) -> None:
    order = await late_money(shop)
    action, hidden = (await page_of(ada, order)).forms("retry")[0]
    for back in ["https://evil.test", "//evil.test", "/grace/../admin", "/grace?x=\r\nset-cookie: a=b"]:
        answer = await ada.post(action, {**hidden, "back": back})
        assert answer.headers["location"].startswith("/grace?said=")


async def test_an_act_waits_for_the_orders_lock_and_gives_up_politely(ada: Browser, shop: Shop, rival: Any) -> None:
    order = await late_money(shop)
    page = await page_of(ada, order)
    async with rival.transaction():
        await rival.execute('select 1 from "order" where id = $1 for update', order.id)
        answer = await ada.press(page, "refund")
    assert answer.status_code == 503
    assert await acts(shop, order) == []
    assert said(await ada.press(page, "refund")) == "done-refund"


async def test_the_pressed_refund_is_made_once_and_closes_the_incident(ada: Browser, shop: Shop, settings: Any) -> None:
    """The whole way, with Stripe: pressed, refunded, closed by itself, all of it in the timeline."""
    async with opened(settings) as services:
        hand = Hand(services, shop)
        order = await shop.place()
        await services.gateway.capture(order.intent_ids[0], amount=2974, key="late")
        await hand.cancel(order)
        await hand.run(order, JobKind.VOID)
        assert await shop.incidents(order) == ["late_money"]
        await heal_incidents(services)
        await ada.press(await page_of(ada, order), "refund")
        assert (await hand.run(order, JobKind.REFUND))["state"] == "done"
    page = await page_of(ada, order)
    assert await shop.incidents(order) == []
    assert "Closed by itself" in page.text
    for moment in (
        "Incident closed itself: Captured although canceled",
        "Stripe asked to refund: answered",
        "Refund asked for: Captured although canceled by ada@shop.test",
        "Incident opened: Captured although canceled",
        "Stripe asked to void",
        "Begun: void of the hold, attempt 1",
        "Canceled by the link in the confirmation",
        "Order placed",
    ):
        assert moment in page.text, moment
    assert re.search(r"Stripe&#39;s request req_\w+", page.response.text)
