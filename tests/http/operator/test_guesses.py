"""Guesses at passwords are counted, with Redis or without; an account's owner is not kept out by those of others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from app.embedded.processes import free_port
from app.http.operator import guesses
from app.http.operator.guesses import ATTEMPTS_A_MINUTE, PACED_AT_ONCE, UNPACED_A_MINUTE
from app.settings import Settings
from tests.http.operator.browser import SAME_ORIGIN, Browser
from tests.simulated_medusa import EMAIL, OTHER, PASSWORD, SimulatedMedusa
from tests.world import Api, Shop, serving

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"
PACE = 0.4


@pytest.fixture(autouse=True)
async def at_the_start_of_a_window(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the end of a minute, nor sessions of those before."""
    await shop.conn.execute("delete from grace.operator_sessions")
    monkeypatch.setattr(guesses, "PACE", PACE)
    now = time.time()
    monkeypatch.setattr("app.http.operator.guesses.time.time", lambda: now // 60 * 60 + 1)


async def attempt(
    api: Api, address: str, *, email: str = EMAIL, password: str = "a guess", forwarded: str | None = None
) -> httpx.Response:
    """A sign-in from an address."""
    api.client._transport.client = (address, 4711)  # type: ignore[attr-defined]
    headers = dict(SAME_ORIGIN) if forwarded is None else {**SAME_ORIGIN, "x-forwarded-for": forwarded}
    fields = {"email": email, "password": password, "next": "/grace"}
    answer = await api.client.post("/grace/sign-in", data=fields, headers=headers)
    api.client.cookies.clear()
    return answer


async def attempts(api: Api, number: int, address: str = HERE, **options: Any) -> list[int]:
    """So many from one address."""
    return [(await attempt(api, address, **options)).status_code for _ in range(number)]


async def from_many_addresses(api: Api, number: int) -> None:
    """Guesses at Ada's account, one from each."""
    for n in range(number):
        assert (await attempt(api, f"198.18.0.{n}")).status_code == 401


@pytest.fixture
async def without_redis(settings: Settings, shop: Shop, medusa: SimulatedMedusa) -> AsyncIterator[Api]:
    """An API whose Redis is away."""
    away = msgspec.structs.replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    async with serving(away, shop.key) as api:
        yield api


async def test_an_address_has_ten_a_minute_with_redis_away(without_redis: Api, medusa: SimulatedMedusa) -> None:
    assert await attempts(without_redis, 12) == [401] * ATTEMPTS_A_MINUTE + [429] * 2
    assert medusa.asked == ["POST /auth/user/emailpass"] * ATTEMPTS_A_MINUTE
    assert (await attempt(without_redis, ELSEWHERE, password=PASSWORD)).status_code == 303


async def test_an_address_has_ten_a_minute_in_all_processes(
    api: Api, settings: Settings, shop: Shop, medusa: SimulatedMedusa
) -> None:
    async with serving(settings, shop.key) as another:
        mixed = [(await attempt(each, HERE)).status_code for _ in range(6) for each in (api, another)]
    assert mixed == [401] * ATTEMPTS_A_MINUTE + [429] * 2


async def test_many_accounts_from_one_address(api: Api) -> None:
    statuses = [(await attempt(api, HERE, email=f"{n}@shop.test")).status_code for n in range(12)]
    assert statuses == [401] * ATTEMPTS_A_MINUTE + [429] * 2


async def test_guesses_of_one_address_do_not_slow_the_owner(api: Api) -> None:
    await attempts(api, 40)
    began = time.monotonic()
    assert (await attempt(api, ELSEWHERE, password=PASSWORD)).status_code == 303
    assert time.monotonic() - began < PACE


async def test_guesses_at_one_account_from_many_addresses_are_slowed(api: Api, medusa: SimulatedMedusa) -> None:
    await from_many_addresses(api, UNPACED_A_MINUTE)
    began = time.monotonic()
    assert (await attempt(api, ELSEWHERE, email=f" {EMAIL.upper()} ")).status_code == 401
    assert time.monotonic() - began >= PACE, "however the address is written"
    assert (await attempt(api, ELSEWHERE, email=OTHER, password=PASSWORD)).status_code == 303
    assert time.monotonic() - began < 3 * PACE, "another account is not slowed"
    asked = len(medusa.asked)
    at_once = await asyncio.gather(*(attempt(api, f"198.18.1.{n}") for n in range(PACED_AT_ONCE + 3)))
    assert sorted(answer.status_code for answer in at_once) == [401] * PACED_AT_ONCE + [429] * 3
    assert len(medusa.asked) == asked + PACED_AT_ONCE
    refused = next(answer for answer in at_once if answer.status_code == 429)
    assert refused.headers["retry-after"] == "4"


async def test_the_owner_is_let_in_meanwhile(api: Api) -> None:
    """From anywhere after a pause; from an address that the account was signed in from, at once."""
    assert (await attempt(api, HERE, password=PASSWORD)).status_code == 303
    await from_many_addresses(api, UNPACED_A_MINUTE)
    began = time.monotonic()
    assert (await attempt(api, HERE, password=PASSWORD)).status_code == 303
    assert time.monotonic() - began < PACE
    assert (await attempt(api, ELSEWHERE, password=PASSWORD)).status_code == 303
    assert time.monotonic() - began >= PACE
    waiting = [asyncio.create_task(attempt(api, f"198.18.2.{n}")) for n in range(PACED_AT_ONCE)]
    await asyncio.sleep(PACE / 4)
    assert (await attempt(api, HERE, password=PASSWORD)).status_code == 303
    assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)


async def test_strangers_behind_a_proxy_that_names_nobody_share_no_bucket(api: Api) -> None:
    assert 429 not in await attempts(api, 12, address="10.0.0.7", email="x@shop.test")
    assert (await attempt(api, "10.0.0.7", password=PASSWORD)).status_code == 303


@pytest.mark.parametrize(
    ("guesser", "owner"),
    [
        ("10.1.0.1", "10.1.0.2"),
        ("garbage, 192.0.2.9", "192.0.2.10"),
        ("2001:db8:0:1::1", "2001:db8:1::1"),
        ("garbage", "192.0.2.11"),
    ],
)
async def test_addresses_behind_a_proxy(api: Api, guesser: str, owner: str) -> None:
    assert await attempts(api, 12, address="10.0.0.7", forwarded=guesser) == [401] * ATTEMPTS_A_MINUTE + [429] * 2
    assert (await attempt(api, "10.0.0.7", forwarded=owner, password=PASSWORD)).status_code == 303


async def test_a_site_of_ipv6_is_one_address(api: Api) -> None:
    statuses = [
        (await attempt(api, "10.0.0.7", forwarded=f"2001:db8:0:{n:x}::1")).status_code
        for n in range(ATTEMPTS_A_MINUTE + 1)
    ]
    assert statuses == [401] * ATTEMPTS_A_MINUTE + [429]


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "x" * 201, "password": PASSWORD},
        {"email": "a\x00b", "password": PASSWORD},
        {"email": EMAIL, "password": "p" * 501},
        {"email": EMAIL, "password": "\x00"},
        {"email": EMAIL, "password": ""},
        {"email": "", "password": PASSWORD},
    ],
)
async def test_what_no_form_of_ours_sends_is_not_asked_of_medusa(
    stranger: Browser, medusa: SimulatedMedusa, fields: dict[str, str]
) -> None:
    assert (await stranger.post("/grace/sign-in", fields)).status_code == 401
    assert medusa.asked == []


FOREIGN: dict[str, dict[str, str]] = {
    "another site": {"sec-fetch-site": "cross-site"},
    "a subdomain": {"sec-fetch-site": "same-site", "origin": "http://grace.test"},
    "another origin": {"origin": "http://evil.test"},
    "a name that begins alike": {"origin": "http://grace.test.evil.test"},
    "another port": {"origin": "http://grace.test:8080"},
    "an origin that is kept back": {"origin": "null"},
    "an origin that cannot be parsed": {"origin": "http://["},
    "nothing": {},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
async def test_the_form_is_not_accepted_from_elsewhere(
    stranger: Browser, medusa: SimulatedMedusa, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Login CSRF: it would sign the operator in to an account of the attacker's."""
    answer = await stranger.post("/grace/sign-in", {"email": EMAIL, "password": PASSWORD}, headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert medusa.asked == []
    [line] = events(caplog, "operator.form_refused")
    assert (line["path"], line["address"]) == ("/grace/sign-in", HERE)


async def test_the_form_is_accepted_from_our_page(stranger: Browser) -> None:
    fields = {"email": EMAIL, "password": PASSWORD}
    for headers in ({"sec-fetch-site": "same-origin"}, SAME_ORIGIN):
        assert (await stranger.post("/grace/sign-in", fields, headers)).status_code == 303


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """The fields of the log lines of a name."""
    records = [record.msg for record in caplog.get_records("call") if isinstance(record.msg, dict)]
    return [fields for fields in records if fields["event"] == name]


async def test_security_events_are_logged(
    stranger: Browser, api: Api, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await stranger.sign_in(password="wrong-word")
    await stranger.sign_in()
    await stranger.sign_in()
    page = await stranger.get("/grace")
    csrf = page.response.text.partition('name="csrf" value="')[2].partition('"')[0]
    await stranger.post("/grace/sign-out", {"csrf": "é"})
    await stranger.post("/grace/sign-out", {"csrf": csrf})
    await stranger.sign_in()
    await shop.conn.execute("update grace.operator_sessions set seen_at = now() - interval '1 hour'")
    for _ in range(2):
        await stranger.get("/grace")
    await attempts(api, 12)

    refused = events(caplog, "operator.sign_in_refused")
    assert {line["address"] for line in refused} == {HERE}
    assert len({line["account"] for line in refused}) == 1
    begun, ended = events(caplog, "operator.session_begun"), events(caplog, "operator.session_ended")
    assert [line["address"] for line in begun] == [HERE] * 3
    assert [line["actor"] for line in begun] == [EMAIL] * 3
    assert [line["reason"] for line in ended] == ["replaced", "signed_out", "idle"]
    assert [line["session"] for line in ended] == [line["session"] for line in begun]
    [limited] = events(caplog, "operator.sign_in_limited")
    assert (limited["limit"], limited["address"]) == ("address", HERE)
    assert len(events(caplog, "limit.exceeded")) == 1
    assert len(events(caplog, "operator.form_refused")) == 1
    log = "\n".join(str(record.msg) for record in caplog.get_records("call"))
    for secret in (PASSWORD, "wrong-word", "a guess", *stranger.cookies.values(), f"jwt-{EMAIL}"):
        assert secret not in log
    assert EMAIL not in str([refused, limited, ended])
