"""Only admins of the shop come in, by Medusa's own sign-in, and forms are only taken from our own pages."""

from __future__ import annotations

import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.http.operator.doors import own_page
from app.http.operator.session import Sessions
from app.ports import Admin
from tests.http.operator.browser import SAME_ORIGIN, SESSION_SECRET, Browser
from tests.http.operator.troubles import late_money
from tests.simulated_medusa import EMAIL, PASSWORD, SimulatedMedusa
from tests.world import Api, Shop, serving, settings_for

PAGES = ["/grace", "/grace?show=closed", "/grace/orders", "/grace/orders/order_1"]


async def test_who_is_not_signed_in_is_sent_to_the_form_and_back(stranger: Browser) -> None:
    for path in PAGES:
        page = await stranger.get(path)
        assert page.response.status_code == 303
        assert page.response.headers["location"].startswith("/grace/sign-in?next=%2Fgrace")
        form = await stranger.get(page.response.headers["location"])
        assert f'name="next" value="{path}"' in form.response.text


async def test_an_admin_signs_in(stranger: Browser, medusa: SimulatedMedusa) -> None:
    answer = await stranger.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/grace")
    [cookie] = answer.headers.get_list("set-cookie")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/grace", "max-age=28800"} <= attributes
    assert "secure" not in attributes, "this came over http"
    assert medusa.asked == ["POST /auth/user/emailpass", "GET /admin/users/me"]
    page = await stranger.get("/grace")
    assert page.response.status_code == 200
    assert "Ada" in page.text


async def test_the_cookie_is_secure_where_a_trusted_proxy_says_https(medusa: SimulatedMedusa, api: Api) -> None:
    """The test's client has a public address, whose word is not taken."""
    browser = Browser(api)
    fields = {"email": EMAIL, "password": PASSWORD}
    liar = await browser.post("/grace/sign-in", fields, {"x-forwarded-proto": "https", **SAME_ORIGIN})
    assert "secure" not in liar.headers["set-cookie"].lower()
    api.client._transport.client = ("10.0.0.7", 4711)  # type: ignore[attr-defined]
    told = await browser.post("/grace/sign-in", fields, {"x-forwarded-proto": "https", **SAME_ORIGIN})
    assert "secure" in told.headers["set-cookie"].lower()


async def test_a_wrong_password(stranger: Browser) -> None:
    answer = await stranger.sign_in(password="wrong")
    assert answer.status_code == 401
    assert "Wrong e-mail address or password." in answer.text
    assert f'value="{EMAIL}"' in answer.text
    assert "set-cookie" not in answer.headers
    assert "wrong" not in answer.text.replace("Wrong", "")


async def test_an_account_that_needs_more_than_a_password(stranger: Browser, medusa: SimulatedMedusa) -> None:
    medusa.second_factor = True
    answer = await stranger.sign_in()
    assert answer.status_code == 401
    assert "Sign in to Medusa&#39;s admin first" in answer.text


async def test_an_account_that_is_no_admin(stranger: Browser, medusa: SimulatedMedusa) -> None:
    medusa.is_admin = False
    assert (await stranger.sign_in()).status_code == 401
    assert (await stranger.get("/grace")).response.status_code == 303


async def test_medusa_is_down(stranger: Browser, medusa: SimulatedMedusa) -> None:
    medusa.down = True
    answer = await stranger.sign_in()
    assert answer.status_code == 503
    assert "Medusa does not answer just now" in answer.text


async def test_nobody_is_sent_elsewhere_after_the_sign_in(stranger: Browser) -> None:
    for next_ in ("https://evil.test", "/grace//evil.test", "/grace/%2e%2e/admin"):
        answer = await stranger.post("/grace/sign-in", {"email": EMAIL, "password": PASSWORD, "next": next_})
        assert answer.headers["location"] == "/grace"


OURS = [
    "/grace",
    "/grace?show=closed&sort=lapse",
    "/grace/orders",
    "/grace/orders/order_1",
    "/grace/orders/a%20b?said=x",
]
NOT_OURS = [
    "https://evil.test",
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "/grace//evil.test",
    "/admin",
    "/graceful",
    "/grace/../x",
    "/grace/%2e%2e/x",
    "/grace/%2E%2E",
    "/grace/.%2e/x",
    "/grace/orders/..",
    "/grace/orders/%2e%2e",
    "/grace/orders/.%2E",
    "/grace/orders/..%2f..%2fadmin",
    "/grace/orders/%2e%2e%5cadmin",
    "/grace/orders/%252e%252e%252fadmin",
    "/grace/orders/%00",
    "/grace/orders/%0d%0ax",
    "/grace/orders/order_1/../../../admin",
    "/grace/sign-out",
    "/grace/incidents/1/refund",
    "/grace?next=//evil.test",
    "/grace#//evil.test",
    "/grace\n",
    " /grace",
    "javascript:alert(1)",
    "",
]


@pytest.mark.parametrize("path", NOT_OURS)
def test_what_is_no_page_of_ours(path: str) -> None:
    """However often a browser or a proxy decodes it."""
    assert own_page(path) is None


@pytest.mark.parametrize("path", OURS)
def test_pages_of_ours(path: str) -> None:
    assert own_page(path) == path


async def test_signing_out(ada: Browser) -> None:
    page = await ada.get("/grace")
    csrf = page.response.text.partition('name="csrf" value="')[2].partition('"')[0]
    assert (await ada.post("/grace/sign-out", {"csrf": "wrong"})).status_code == 403
    answer = await ada.post("/grace/sign-out", {"csrf": csrf})
    assert answer.headers["location"] == "/grace/sign-in?out=1"
    assert (await ada.get("/grace")).response.status_code == 303


async def test_medusas_own_session_signs_in_silently(stranger: Browser, medusa: SimulatedMedusa) -> None:
    stranger.cookies["connect.sid"] = "s:ada"
    page = await stranger.get("/grace")
    assert page.response.status_code == 200
    assert 'http-equiv="refresh"' in page.response.text
    assert "grace_operator" in stranger.cookies
    assert "Incidents" in (await stranger.get("/grace")).text
    assert medusa.asked == ["GET /admin/users/me"]


async def test_medusas_session_alone_sends_no_form(stranger: Browser, shop: Shop) -> None:
    await late_money(shop)
    stranger.cookies["connect.sid"] = "s:ada"
    answer = await stranger.post("/grace/incidents/1/refund", {"csrf": "", "act": "0" * 26})
    assert (answer.status_code, answer.headers["location"]) == (303, "/grace/sign-in")


async def test_a_stale_session_of_medusas_shows_the_form(stranger: Browser) -> None:
    stranger.cookies["connect.sid"] = "s:nobody"
    assert (await stranger.get("/grace")).response.headers["location"].startswith("/grace/sign-in")


async def test_a_link_on_another_site_is_followed_with_the_session(ada: Browser) -> None:
    """The browser leaves a strict cookie away: it is asked to come once more by itself."""
    kept, ada.cookies = ada.cookies, {}
    page = await ada.get("/grace", **{"sec-fetch-site": "cross-site"})
    assert 'http-equiv="refresh"' in page.response.text
    ada.cookies = kept
    assert (await ada.get("/grace", **{"sec-fetch-site": "same-origin"})).response.status_code == 200


async def test_forged_and_foreign_cookies(stranger: Browser) -> None:
    admin = Admin("user_1", EMAIL)
    _, forged = Sessions(["another-secret-of-thirty-two-letters!"]).begin(admin)
    for value in (forged, "", "x", "a.b.c", forged[:-2]):
        stranger.cookies["grace_operator"] = value
        assert (await stranger.get("/grace")).response.status_code == 303
    _, of_no_row = Sessions([SESSION_SECRET]).begin(admin)  # as the version before made them
    stranger.cookies["grace_operator"] = of_no_row
    assert (await stranger.get("/grace")).response.status_code == 303


def test_a_secret_is_rotated() -> None:
    session, cookie = Sessions(["old-secret-old-secret-old-secret-old"]).begin(Admin("user_1", EMAIL, "Ada"))
    old = Sessions(["old-secret-old-secret-old-secret-old"]).form_token(session)
    both = Sessions(["new-secret-new-secret-new-secret-new", "old-secret-old-secret-old-secret-old"])
    assert both.read(cookie) == session
    assert both.is_form_token(session, old)
    assert not both.is_form_token(Sessions(["x" * 32]).begin(Admin("user_1", EMAIL))[0], old)


async def test_a_poll_without_a_session_reloads_the_page(stranger: Browser) -> None:
    answer = (await stranger.get("/grace", **{"hx-request": "true"})).response
    assert answer.headers["hx-refresh"] == "true"


async def test_headers_and_assets_are_our_own(ada: Browser) -> None:
    page = (await ada.get("/grace")).response
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert "//" not in page.text.replace("https://dashboard.stripe.com", "").replace("<!doctype", "")
    assert "<style" not in page.text
    assert "style=" not in page.text
    for name in ("htmx.min.js", "grace.js", "grace.css", "icon.svg"):
        assert f"/grace/static/{name}" in page.text
        assert (await ada.get(f"/grace/static/{name}")).response.status_code == 200
    assert (await ada.get("/grace/static/..%2Fviews.py")).response.status_code == 404
    assert "Zero-Clause BSD" in (await ada.get("/grace/static/htmx.LICENSE.txt")).response.text


async def test_without_a_secret_there_is_no_such_page(
    database: str, redis_url: str, sandbox: Sandbox, shop: Shop
) -> None:
    async with serving(settings_for(database, redis_url, sandbox), shop.key) as api:
        for path in (*PAGES, "/grace/sign-in", "/grace/api/orders/order_1", "/grace/static/grace.css"):
            assert (await api.client.get(path)).status_code == 404
