"""The operator's page beside the real Medusa: its accounts, its sessions, its cookies."""

from __future__ import annotations

import httpx
import pytest

from .conftest import PATIENT, Sidecars
from .orders import Medusa
from .seed import ADMIN, CUSTOMER
from .sidecar import Sidecar

pytestmark = pytest.mark.medusa

SETTINGS = {**PATIENT, "OPERATOR_SESSION_SECRET": "made-up-operator-session-secret-of-the-tests"}


@pytest.fixture
def sidecar(sidecars: Sidecars) -> Sidecar:
    return sidecars.use(SETTINGS)


async def post(sidecar: Sidecar, email: str, password: str) -> httpx.Response:
    fields = {"email": email, "password": password, "next": "/grace/orders"}
    return await sidecar.request("POST", "/grace/sign-in", data=fields, headers={"origin": sidecar.url})


async def test_an_admin_signs_in_and_a_stranger_does_not(sidecar: Sidecar) -> None:
    email, password = ADMIN
    answer = await post(sidecar, email, password)
    assert (answer.status_code, answer.headers["location"]) == (303, "/grace/orders"), answer.text
    cookie = answer.headers["set-cookie"].partition(";")[0]
    page = await sidecar.request("GET", "/grace", headers={"cookie": cookie})
    assert page.status_code == 200
    assert "Nothing needs a person." in page.text or "open. They close" in page.text
    for wrong in ((email, "wrong"), ("nobody@shop.test", password), ("no address", "x")):
        answer = await post(sidecar, *wrong)
        assert (answer.status_code, "Wrong e-mail address" in answer.text) == (401, True), wrong


async def test_medusas_own_session_cookie_and_bearer(medusa: Medusa, sidecar: Sidecar) -> None:
    placed = await medusa.place_order()
    bearer = {"authorization": await medusa.bearer("user", ADMIN)}
    async with httpx.AsyncClient(base_url=medusa.lab.url, timeout=30) as browser:
        # As its proxy tells it: Medusa sets its cookie over https alone.
        session = await browser.post("/auth/session", headers={**bearer, "x-forwarded-proto": "https"})
    assert session.status_code == 200, session.text
    cookie = {"cookie": session.headers["set-cookie"].partition(";")[0]}
    assert cookie["cookie"].startswith("connect.sid=")
    silent = await sidecar.request("GET", "/grace", headers=cookie)
    assert "grace_operator=" in silent.headers["set-cookie"]
    for headers in (cookie, bearer):
        answer = await sidecar.request("GET", f"/grace/api/orders/{placed.id}", headers=headers)
        assert (answer.status_code, answer.json()["canceled"]) == (200, False)
    assert (await sidecar.request("GET", f"/grace/api/orders/{placed.id}")).status_code == 401


async def test_a_customer_is_no_operator(medusa: Medusa, sidecar: Sidecar) -> None:
    bearer = {"authorization": await medusa.bearer("customer", CUSTOMER)}
    placed = await medusa.place_order()
    assert (await sidecar.request("GET", f"/grace/api/orders/{placed.id}", headers=bearer)).status_code == 401
    assert (await post(sidecar, *CUSTOMER)).status_code == 401


async def test_the_whole_story_is_told(medusa: Medusa, sidecar: Sidecar) -> None:
    """A real order, canceled: its timeline has the call to Stripe; a search finds it by its number."""
    placed = await medusa.place_order()
    await sidecar.cancel(placed.id)
    email, password = ADMIN
    cookie = (await post(sidecar, email, password)).headers["set-cookie"].partition(";")[0]
    page = await sidecar.request("GET", f"/grace/orders/{placed.id}", headers={"cookie": cookie})
    for words in (
        "Canceled by the link in the confirmation",
        "Stripe asked to void: answered",
        "Void of the hold: done",
    ):
        assert words in page.text, words


class Operator:
    """Somebody at the operator's page."""

    def __init__(self, sidecar: Sidecar, cookie: str) -> None:
        self._sidecar = sidecar
        self._cookie = {"cookie": cookie}

    async def looks(self) -> int:
        """The status of the page."""
        return (await self._sidecar.request("GET", "/grace", headers=self._cookie)).status_code

    async def csrf(self) -> str:
        """What the page's forms bring along."""
        page = await self._sidecar.request("GET", "/grace", headers=self._cookie)
        return page.text.partition('name="csrf" value="')[2].partition('"')[0]

    async def acts(self, csrf: str) -> httpx.Response:
        """On an incident that is not there: 404 says that the act was let through."""
        fields = {"csrf": csrf, "act": "0" * 26, "name": "Ada", "note": "done"}
        headers = {**self._cookie, "origin": self._sidecar.url}
        return await self._sidecar.request("POST", "/grace/incidents/999999/settle", data=fields, headers=headers)

    async def signs_out(self, csrf: str) -> None:
        """By the button."""
        headers = {**self._cookie, "origin": self._sidecar.url}
        await self._sidecar.request("POST", "/grace/sign-out", data={"csrf": csrf}, headers=headers)


async def another_admin(medusa: Medusa, email: str, password: str) -> str:
    """Invited, and come. The user's id."""
    ours = {"authorization": await medusa.bearer("user", ADMIN)}
    async with httpx.AsyncClient(base_url=medusa.lab.url, timeout=30) as client:
        invite = await client.post("/admin/invites", json={"email": email}, headers=ours)
        given = {"email": email, "password": password}
        registered = await client.post("/auth/user/emailpass/register", json=given)
        accepted = await client.post(
            "/admin/invites/accept",
            params={"token": invite.json()["invite"]["token"]},
            json={"email": email, "first_name": "Bob", "last_name": "Other"},
            headers={"authorization": f"Bearer {registered.json()['token']}"},
        )
    assert accepted.status_code == 200, accepted.text
    return str(accepted.json()["user"]["id"])


async def test_an_admin_who_is_deleted_in_medusa_does_nothing_more(medusa: Medusa, sidecar: Sidecar) -> None:
    email, password = "leaving@shop.test", "made-up-password-of-bob"
    user_id = await another_admin(medusa, email, password)
    bob = Operator(sidecar, (await post(sidecar, email, password)).headers["set-cookie"].partition(";")[0])
    csrf = await bob.csrf()
    assert (await bob.acts(csrf)).status_code == 404
    ours = {"authorization": await medusa.bearer("user", ADMIN)}
    async with httpx.AsyncClient(base_url=medusa.lab.url, timeout=30) as client:
        gone = await client.delete(f"/admin/users/{user_id}", headers=ours)
    assert gone.status_code == 200, gone.text
    refused = await bob.acts(csrf)
    assert (refused.status_code, refused.headers["location"]) == (303, "/grace/sign-in")
    assert await bob.looks() == 303
    assert (await post(sidecar, email, password)).status_code == 401


async def test_a_session_of_medusas_that_ended_ends_ours(medusa: Medusa, sidecar: Sidecar) -> None:
    bearer = {"authorization": await medusa.bearer("user", ADMIN)}
    proxied = {"x-forwarded-proto": "https"}
    async with httpx.AsyncClient(base_url=medusa.lab.url, timeout=30) as browser:
        session = await browser.post("/auth/session", headers={**bearer, **proxied})
        theirs = {"cookie": session.headers["set-cookie"].partition(";")[0]}
        silent = await sidecar.request("GET", "/grace", headers=theirs)
        ada = Operator(sidecar, silent.headers["set-cookie"].partition(";")[0])
        csrf = await ada.csrf()
        assert (await ada.acts(csrf)).status_code == 404
        await browser.delete("/auth/session", headers={**theirs, **proxied})
    assert (await ada.acts(csrf)).headers.get("location") == "/grace/sign-in"


async def test_a_copied_cookie_is_dead_after_the_sign_out(medusa: Medusa, sidecar: Sidecar) -> None:
    cookie = (await post(sidecar, *ADMIN)).headers["set-cookie"].partition(";")[0]
    ada, copy = Operator(sidecar, cookie), Operator(sidecar, cookie)
    assert await copy.looks() == 200
    await ada.signs_out(await ada.csrf())
    assert await copy.looks() == 303
