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
