"""A session ends when its operator signs out, loses access, or is away: in every process, by the database's clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.embedded.shop import PlacedOrder
from app.http.operator.session import Sessions
from app.ports import Admin, Credential, Unavailable
from app.settings import Settings
from tests.http.operator.browser import SESSION_SECRET, Browser, Page
from tests.http.operator.troubles import failing, late_money
from tests.simulated_medusa import EMAIL, OTHER, SimulatedMedusa
from tests.world import Api, Shop, serving

VERBS = ("retry", "refund", "settle")


@pytest.fixture(autouse=True)
async def no_sessions(shop: Shop) -> None:
    """The file's database has those of the tests before."""
    await shop.conn.execute("delete from grace.operator_sessions")


@asynccontextmanager
async def unavailable(name: str) -> AsyncIterator[asyncpg.Connection]:
    """A database that does not answer."""
    raise Unavailable(name)
    yield


async def is_in(browser: Browser, **headers: str) -> bool:
    """Whether the page is shown to the browser."""
    status = (await browser.get("/grace", **headers)).response.status_code
    assert status in {200, 303}
    return status == 200


async def ended(shop: Shop) -> str | None:
    """Why the only session ended."""
    row = await shop.row("select end_reason, ended_at, credential from grace.operator_sessions")
    assert (row["end_reason"] is None) == (row["ended_at"] is None) == (row["credential"] is not None)
    return None if row["end_reason"] is None else str(row["end_reason"])


async def sign_out(browser: Browser) -> None:
    """By the button."""
    page = await browser.get("/grace")
    csrf = page.response.text.partition('name="csrf" value="')[2].partition('"')[0]
    assert (await browser.post("/grace/sign-out", {"csrf": csrf})).status_code == 303


async def test_a_copied_cookie_is_dead_after_the_sign_out_in_every_process(
    ada: Browser, settings: Settings, shop: Shop
) -> None:
    async with serving(settings, shop.key) as another:
        copies = [Browser(ada.api), Browser(another)]
        for copy in copies:
            copy.cookies = dict(ada.cookies)
            assert await is_in(copy)
        await sign_out(ada)
        for copy in copies:
            assert not await is_in(copy)
            order = await copy.api.client.get("/grace/api/orders/order_1", headers=copy._headers({}))
            assert order.status_code == 401
            assert (await copy.post("/grace/incidents/1/refund", {})).headers["location"] == "/grace/sign-in"
    assert await ended(shop) == "signed_out"


async def test_a_new_sign_in_ends_the_browsers_last_session(ada: Browser) -> None:
    copy = Browser(ada.api)
    copy.cookies = dict(ada.cookies)
    await ada.sign_in()
    assert await is_in(ada)
    assert not await is_in(copy)


async def test_nobody_signs_another_out(ada: Browser, shop: Shop) -> None:
    other = Browser(ada.api)
    await other.sign_in(OTHER)
    await sign_out(other)
    assert await is_in(ada)


PAUSES = {"29 minutes": (29, True), "31 minutes": (31, False)}


@pytest.mark.parametrize(("minutes", "live"), PAUSES.values(), ids=PAUSES.keys())
async def test_a_session_ends_after_half_an_hour_without_activity(
    ada: Browser, shop: Shop, minutes: int, live: bool
) -> None:
    pause = "update grace.operator_sessions set seen_at = seen_at - $1 * interval '1 minute'"
    await shop.conn.execute(pause, minutes)
    assert await is_in(ada) == live
    assert await ended(shop) == (None if live else "idle")
    await shop.conn.execute(pause, minutes)
    assert await is_in(ada) == live, "the first look was activity"


@pytest.mark.parametrize(("minutes", "live"), [(479, True), (481, False)])
async def test_a_session_ends_after_eight_hours(ada: Browser, shop: Shop, minutes: int, live: bool) -> None:
    await shop.conn.execute("update grace.operator_sessions set begun_at = now() - $1 * interval '1 minute'", minutes)
    assert await is_in(ada) == live
    assert await ended(shop) == (None if live else "expired")


async def test_a_page_that_renews_itself_keeps_no_session_alive(ada: Browser, shop: Shop) -> None:
    """Nor does a widget in Medusa's admin."""
    await shop.conn.execute("update grace.operator_sessions set seen_at = now() - interval '29 minutes'")
    order = await shop.place()
    assert await is_in(ada, **{"hx-request": "true"})
    api = await ada.api.client.get(f"/grace/api/orders/{order.id}", headers=ada._headers({}))
    assert api.status_code == 200
    await shop.conn.execute("update grace.operator_sessions set seen_at = seen_at - interval '2 minutes'")
    poll = await ada.get("/grace", **{"hx-request": "true"})
    assert poll.response.headers["hx-refresh"] == "true"


async def test_activity_is_written_once_a_minute(ada: Browser, shop: Shop) -> None:
    async def seen() -> object:
        return await shop.conn.fetchval("select (seen_at, xmin::text::bigint)::text from grace.operator_sessions")

    before = await seen()
    for _ in range(3):
        assert await is_in(ada)
    assert await seen() == before
    await shop.conn.execute("update grace.operator_sessions set seen_at = now() - interval '61 seconds'")
    before = await seen()
    assert await is_in(ada)
    assert await seen() != before


async def _troubled(shop: Shop) -> tuple[PlacedOrder, PlacedOrder]:
    late, stuck = await late_money(shop), await shop.place()
    await failing(shop, stuck, "void")
    return late, stuck


async def _acts(shop: Shop, *orders: PlacedOrder) -> int:
    """Acts written down, and jobs that they made due."""
    return int(
        await shop.conn.fetchval(
            "select (select count(*) from grace.events where order_id = any($1) and kind like 'act_%') +"
            " (select count(*) from grace.jobs where order_id = any($1) and (run_at <= now() or kind = 'refund')) +"
            " (select count(*) from grace.incidents where order_id = any($1) and closed_at is not null)",
            [order.id for order in orders],
        )
    )


async def _page(browser: Browser, order: PlacedOrder) -> Page:
    return await browser.get(f"/grace/orders/{order.id}")


@pytest.mark.parametrize("verb", VERBS)
async def test_an_admin_who_was_deleted_does_nothing_more(
    ada: Browser, shop: Shop, medusa: SimulatedMedusa, verb: str
) -> None:
    late, stuck = await _troubled(shop)
    page = await _page(ada, stuck if verb == "retry" else late)
    medusa.deleted.add(EMAIL)
    assert await is_in(ada), "for reading, Medusa is asked once a minute"
    answer = await ada.press(page, verb, name="Ada", note="done")
    assert (answer.status_code, answer.headers["location"]) == (303, "/grace/sign-in")
    assert await _acts(shop, late, stuck) == 0
    assert await ended(shop) == "access_lost"
    medusa.deleted.clear()
    assert not await is_in(ada), "ended is ended"


@pytest.mark.parametrize("verb", VERBS)
async def test_nothing_is_done_while_medusa_does_not_answer(
    ada: Browser, shop: Shop, medusa: SimulatedMedusa, verb: str
) -> None:
    late, stuck = await _troubled(shop)
    page = await _page(ada, stuck if verb == "retry" else late)
    medusa.down = True
    answer = await ada.press(page, verb, name="Ada", note="done")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert await _acts(shop, late, stuck) == 0
    medusa.down = False
    answer = await ada.press(page, verb, name="Ada", note="done")
    assert answer.headers["location"].endswith(f"said=done-{verb}")


async def test_an_account_that_became_anothers(ada: Browser, shop: Shop, medusa: SimulatedMedusa) -> None:
    late, _ = await _troubled(shop)
    page = await _page(ada, late)
    await shop.conn.execute("update grace.operator_sessions set admin_id = 'user_of_before'")
    cookie = Sessions([SESSION_SECRET]).read(ada.cookies["grace_operator"])
    assert cookie is not None
    medusa.sessions["s:ada"] = OTHER
    sealed = Sessions([SESSION_SECRET]).seal(cookie, Credential(cookie="s:ada"))
    await shop.conn.execute("update grace.operator_sessions set credential = $1", sealed)
    assert (await ada.press(page, "refund")).headers["location"] == "/grace/sign-in"
    assert await _acts(shop, late) == 0


async def test_who_signed_out_of_medusas_admin_does_nothing_more(
    stranger: Browser, shop: Shop, medusa: SimulatedMedusa
) -> None:
    """A session that Medusa's own began ends with it."""
    late, _ = await _troubled(shop)
    stranger.cookies["connect.sid"] = "s:ada"
    await stranger.get("/grace")
    page = await _page(stranger, late)
    medusa.sessions.clear()
    assert (await stranger.press(page, "refund")).headers["location"] == "/grace/sign-in"
    assert await _acts(shop, late) == 0


async def test_for_reading_medusa_is_asked_once_a_minute(ada: Browser, shop: Shop, medusa: SimulatedMedusa) -> None:
    medusa.asked.clear()
    await asyncio.gather(*(is_in(ada) for _ in range(3)))
    assert medusa.asked == []
    overdue = "update grace.operator_sessions set checked_at = now() - interval '61 seconds'"
    await shop.conn.execute(overdue)
    assert all(await asyncio.gather(*(is_in(ada, **{"hx-request": "true"}) for _ in range(3))))
    assert medusa.asked == ["GET /admin/users/me"]
    await shop.conn.execute(overdue)
    medusa.down = True
    assert await is_in(ada), "a Medusa that is away ends no session"
    medusa.down = False
    medusa.deleted.add(EMAIL)
    await shop.conn.execute(overdue)
    assert not await is_in(ada)
    assert await ended(shop) == "access_lost"


async def test_what_the_database_keeps_opens_nothing(ada: Browser, shop: Shop) -> None:
    row = await shop.row("select to_jsonb(s)::text as text, credential from grace.operator_sessions as s")
    session = Sessions([SESSION_SECRET]).read(ada.cookies["grace_operator"])
    assert session is not None
    for secret in (session.id, ada.cookies["grace_operator"], f"jwt-{EMAIL}", EMAIL.encode().hex()):
        assert secret not in row["text"].replace(f"user_{EMAIL}", "")
    assert b"jwt-" not in row["credential"]
    assert Sessions(["another-secret-of-thirty-two-letters!"]).unseal(session, row["credential"]) is None
    rotated = Sessions(["another-secret-of-thirty-two-letters!", SESSION_SECRET])
    assert rotated.unseal(session, row["credential"]) == Credential(authorization=f"Bearer jwt-{EMAIL}")
    other, _ = Sessions([SESSION_SECRET]).begin(medusa_admin())
    assert Sessions([SESSION_SECRET]).unseal(other, row["credential"]) is None


def medusa_admin() -> Admin:
    """Ada, as Medusa answers."""
    return Admin(f"user_{EMAIL}", EMAIL, "Ada")


async def test_rows_are_removed_a_month_after_they_began(ada: Browser, shop: Shop) -> None:
    await shop.conn.execute(
        "insert into grace.operator_sessions (id_hash, admin_id, begun_at, ended_at)"
        " select sha256(n::text::bytea), 'user_1', now() - n * interval '15 days 1 minute', now()"
        " from generate_series(1, 4) as n"
    )
    await Browser(ada.api).sign_in(OTHER)
    ages = await shop.conn.fetch("select now() - begun_at > interval '30 days' as old from grace.operator_sessions")
    assert sorted(row["old"] for row in ages) == [False, False, False]


async def test_a_session_without_its_database(api: Api, ada: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is live is not known: nobody is let in, and nobody is signed out."""
    app = api.client._transport.app  # type: ignore[attr-defined]
    monkeypatch.setattr(app.state.services.db, "read", unavailable)
    page = await ada.get("/grace")
    assert page.response.status_code == 503
    assert "grace_operator" in ada.cookies
    monkeypatch.undo()
    assert await is_in(ada)
