"""Who may do what (docs.stripe.com/keys, docs.stripe.com/api/authentication)."""

from uuid import uuid4

import httpx
import pytest
import stripe
from stripe import PaymentIntentService

from app.embedded.stripe_sandbox.client import Sandbox
from tests.embedded.stripe_sandbox.conftest import Connect

pytestmark = pytest.mark.tools


async def test_without_a_key_nothing_is_answered(raw: httpx.AsyncClient) -> None:
    answer = await raw.get("/v1/payment_intents")
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_invalid_key_is_refused_and_not_shown(connect: Connect) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        await connect("nonsense_abcdefghijklmnop").v1.payment_intents.list_async()
    assert refused.value.http_status == 401
    assert "abcdefghijkl" not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    ["sk_live_abcdefghijklmnop", "rk_live_abcdefghijklmnop", "sk_abcdefghijklmnop", "sk_test_", "sk_test_a-b", "x"],
)
@pytest.mark.parametrize("path", ["/v1/payment_intents", "/_sandbox/ledger"])
async def test_a_key_that_is_none_of_test_mode(raw: httpx.AsyncClient, key: str, path: str) -> None:
    """The sandbox has no live mode; at Stripe a key of live mode does not open test mode either."""
    answer = await raw.get(path, auth=(key, ""))
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith("Invalid API Key provided: ")
    assert "defghijkl" not in answer.text


async def test_a_restricted_key_of_test_mode_is_taken(raw: httpx.AsyncClient) -> None:
    assert (await raw.get("/v1/payment_intents/pi_none", auth=(f"rk_test_{uuid4().hex}", ""))).status_code == 404


async def test_a_key_comes_as_bearer_or_as_a_user_name(account: Sandbox, raw: httpx.AsyncClient) -> None:
    held = await account.authorize(1000, "eur")
    path = f"/v1/payment_intents/{held['id']}"
    assert (await raw.get(path, auth=(account.key, ""))).status_code == 200
    assert (await raw.get(path, headers={"Authorization": f"Bearer {account.key}"})).status_code == 200
    assert (await raw.get(path, headers={"Authorization": "Basic %%%"})).status_code == 401


async def test_accounts_do_not_see_each_other(account: Sandbox, connect: Connect) -> None:
    held = await account.authorize(1000, "eur")
    theirs = Sandbox(account.url, f"sk_test_{uuid4().hex}")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await connect(theirs.key).v1.payment_intents.cancel_async(held["id"])
    assert refused.value.code == "resource_missing"
    assert await theirs.ledger() == {}
    await theirs.reset()
    assert (await account.intent(held["id"]))["status"] == "requires_capture"


async def test_reset_forgets_the_account(account: Sandbox, payments: PaymentIntentService) -> None:
    held = await account.authorize(1000, "eur")
    await account.fault("*", "error", times=None)
    await account.reset()
    assert (await account.ledger(), await account.requests()) == ({}, [])
    with pytest.raises(stripe.InvalidRequestError):
        await payments.retrieve_async(held["id"])


async def test_a_storefront_confirms_with_the_client_secret(account: Sandbox, raw: httpx.AsyncClient) -> None:
    state = httpx.BasicAuth(account.key, "")
    form = {"amount": "1000", "currency": "eur", "capture_method": "manual", "metadata[session_id]": "payses_1"}
    made = (await raw.post("/v1/payment_intents", data=form, auth=state)).json()
    browser = httpx.BasicAuth("pk_test_shop", "")
    path = f"/v1/payment_intents/{made['id']}"
    seen = (await raw.get(path, params={"client_secret": made["client_secret"]}, auth=browser)).json()
    assert (seen["status"], "metadata" in seen) == ("requires_payment_method", False)
    form = {"client_secret": made["client_secret"], "payment_method": "pm_card_visa"}
    confirmed = (await raw.post(f"{path}/confirm", data=form, auth=browser)).json()
    assert confirmed["status"] == "requires_capture"
    assert [seen["op"] for seen in await account.requests()] == [
        "payment_intents.create",
        "payment_intents.retrieve",
        "payment_intents.confirm",
    ]


async def test_a_storefront_may_do_nothing_else(account: Sandbox, raw: httpx.AsyncClient) -> None:
    held = await account.authorize(1000, "eur")
    browser = httpx.BasicAuth("pk_test_shop", "")
    path = f"/v1/payment_intents/{held['id']}"
    refused = await raw.post(f"{path}/cancel", data={"client_secret": held["client_secret"]}, auth=browser)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "secret_key_required")
    assert (await raw.get(path, params={"client_secret": "guess"}, auth=browser)).status_code == 400
    assert (await raw.get(path, auth=browser)).status_code == 400
    assert (await raw.get("/v1/payment_intents/pi_nobody", auth=browser)).status_code == 404
    assert (await raw.get("/_sandbox/state", auth=browser)).status_code == 401


async def test_an_address_stripe_does_not_have(account: Sandbox, raw: httpx.AsyncClient) -> None:
    for method, path in (("GET", "/v1/unicorns"), ("DELETE", "/v1/payment_intents/pi_1"), ("GET", "/")):
        assert (await raw.request(method, path, auth=(account.key, ""))).status_code == 404
