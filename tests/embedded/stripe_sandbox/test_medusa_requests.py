"""What Medusa's Stripe provider sends, as its Node client spells it."""

import httpx
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.stripe_sandbox.form import parse_form

pytestmark = pytest.mark.tools


async def test_a_payment_session_as_medusa_creates_it(account: Sandbox, raw: httpx.AsyncClient) -> None:
    auth = httpx.BasicAuth(account.key, "")
    customer = (await raw.post("/v1/customers", data={"email": "a@b.test", "metadata[id]": "cus_1"}, auth=auth)).json()
    form = {
        "amount": "2974",
        "currency": "eur",
        "metadata[session_id]": "payses_01",
        "capture_method": "manual",
        "automatic_payment_methods[enabled]": "true",
        "setup_future_usage": "off_session",
        "description": "An order",
        "customer": customer["id"],
        "shipping[name]": "A B",
        "shipping[address][line1]": "Street 1",
        "expand[0]": "payment_method",
    }
    made = (await raw.post("/v1/payment_intents", data=form, auth=auth)).json()
    assert made["metadata"] == {"session_id": "payses_01"}
    assert made["automatic_payment_methods"] == {"allow_redirects": "always", "enabled": True}
    assert (made["customer"], made["setup_future_usage"]) == (customer["id"], "off_session")
    assert made["shipping"] == {"name": "A B", "address": {"line1": "Street 1"}}

    path = f"/v1/payment_intents/{made['id']}"
    updated = (await raw.post(path, data={"amount": "3000", "metadata[order]": "1"}, auth=auth)).json()
    assert (updated["amount"], updated["metadata"]) == (3000, {"session_id": "payses_01", "order": "1"})
    confirmed = await raw.post(
        f"{path}/confirm", data={"payment_method": "pm_card_visa", "expand[]": "payment_method"}, auth=auth
    )
    method = confirmed.json()["payment_method"]
    assert (method["card"]["last4"], method["customer"]) == ("4242", customer["id"])


async def test_customers_and_their_cards(account: Sandbox, raw: httpx.AsyncClient) -> None:
    auth = httpx.BasicAuth(account.key, "")
    made = (await raw.post("/v1/customers", data={"email": "a@b.test"}, auth=auth)).json()
    path = f"/v1/customers/{made['id']}"
    assert (await raw.post(path, data={"name": "A B"}, auth=auth)).json()["name"] == "A B"
    assert (await raw.get(path, auth=auth)).json()["email"] == "a@b.test"
    attached = await raw.post("/v1/payment_methods/pm_card_visa/attach", data={"customer": made["id"]}, auth=auth)
    card = attached.json()
    assert (await raw.get(f"/v1/payment_methods/{card['id']}", auth=auth)).json()["customer"] == made["id"]
    cards = (await raw.get(f"{path}/payment_methods", params={"limit": "100"}, auth=auth)).json()
    assert [one["id"] for one in cards["data"]] == [card["id"]]
    assert (await raw.get("/v1/customers", auth=auth)).json()["data"][0]["id"] == made["id"]
    assert (await raw.delete(path, auth=auth)).json()["deleted"] is True
    assert (await raw.get(path, auth=auth)).status_code == 404


def test_nested_parameters() -> None:
    assert parse_form("a[b][0]=c&a[b][1]=d&e[]=f&e[]=g&h=&i[j]=k%20l") == {
        "a": {"b": ["c", "d"]},
        "e": ["f", "g"],
        "h": "",
        "i": {"j": "k l"},
    }
    assert parse_form("") == {}
