"""What a widget in Medusa's admin is told."""

from __future__ import annotations

from app.embedded.shop import PlacedOrder
from tests.http.operator.browser import Browser
from tests.http.operator.troubles import late_money, trouble
from tests.simulated_medusa import EMAIL, SimulatedMedusa
from tests.world import Api, Shop

BEARER = {"authorization": f"Bearer jwt-{EMAIL}"}


async def test_an_order_that_a_shopper_canceled(api: Api, medusa: SimulatedMedusa, shop: Shop) -> None:
    order = await shop.place()
    await api.cancel(order.id, json={"reason": "too slow"})
    number = await trouble(shop, order, "void_failed", "APIError 500: no")
    answer = await api.client.get(f"/grace/api/orders/{order.id}", headers=BEARER)
    body = answer.json()
    opened_at = await shop.conn.fetchval("select opened_at from grace.incidents where id = $1", number)
    assert body.pop("canceled_at")
    assert body.pop("incidents") == [
        {
            "kind": "void_failed",
            "detail": "APIError 500: no",
            "what_to_do": "Cancel the PaymentIntent in Stripe's dashboard, or wait: the next try sees it.",
            "opened_at": opened_at.isoformat().replace("+00:00", "Z"),
        }
    ]
    assert body == {
        "order_id": order.id,
        "canceled": True,
        "canceled_by": "the link in the confirmation",
        "reason": "too slow",
        "payment_action": "void_failed",
        "url": f"/grace/orders/{order.id}",
    }
    assert answer.headers["cache-control"] == "no-store"


async def test_orders_that_were_not_canceled_here(api: Api, medusa: SimulatedMedusa, shop: Shop) -> None:
    still, elsewhere = await shop.place(), await late_money(shop)
    body = (await api.client.get(f"/grace/api/orders/{still.id}", headers=BEARER)).json()
    assert (body["canceled"], body["canceled_at"], body["incidents"]) == (False, None, [])
    body = (await api.client.get(f"/grace/api/orders/{elsewhere.id}", headers=BEARER)).json()
    assert (body["canceled"], body["canceled_by"]) == (True, None)
    assert body["canceled_at"] is not None


async def test_a_stranger_learns_nothing(api: Api, medusa: SimulatedMedusa, shop: Shop) -> None:
    """Before an admin asked, and after: what is remembered of an admin is nobody else's."""
    order = await shop.place()
    await _learns_nothing(api, order)
    admins: list[dict[str, str]] = [BEARER, {"cookie": "connect.sid=s:ada"}]
    for headers in admins:
        assert (await api.client.get(f"/grace/api/orders/{order.id}", headers=headers)).status_code == 200
    await _learns_nothing(api, order)


async def _learns_nothing(api: Api, order: PlacedOrder) -> None:
    for headers in ({}, {"authorization": "Bearer x"}, {"cookie": "connect.sid=s:nobody"}, {"cookie": "a=b"}):
        for order_id in (order.id, "order_nobody"):
            answer = await api.client.get(f"/grace/api/orders/{order_id}", headers=headers)
            assert (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")


async def test_cookies_of_medusas_and_of_ours_are_good(
    api: Api, medusa: SimulatedMedusa, ada: Browser, shop: Shop
) -> None:
    order = await shop.place()
    path = f"/grace/api/orders/{order.id}"
    assert (await api.client.get(path, headers={"cookie": "connect.sid=s:ada"})).status_code == 200
    assert (await ada.get(path)).response.status_code == 200


async def test_an_unknown_order(api: Api, medusa: SimulatedMedusa) -> None:
    for order_id in ("order_nobody", "%00"):
        assert (await api.client.get(f"/grace/api/orders/{order_id}", headers=BEARER)).status_code == 404


async def test_medusa_is_asked_once_for_a_while(api: Api, medusa: SimulatedMedusa, shop: Shop) -> None:
    order = await shop.place()
    for _ in range(3):
        await api.client.get(f"/grace/api/orders/{order.id}", headers=BEARER)
    assert medusa.asked == ["GET /admin/users/me"]


async def test_medusa_is_down(api: Api, medusa: SimulatedMedusa, shop: Shop) -> None:
    medusa.down = True
    answer = await api.client.get(f"/grace/api/orders/{(await shop.place()).id}", headers=BEARER)
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert "canceled" not in answer.json()["message"]


async def test_an_admin_on_another_origin_may_read_it(api: Api, medusa: SimulatedMedusa, shop: Shop) -> None:
    path = f"/grace/api/orders/{(await shop.place()).id}"
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    preflight = await api.client.options(path, headers={"origin": "http://admin.test", **asked})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "http://admin.test"
    answer = await api.client.get(path, headers={"origin": "http://admin.test", **BEARER})
    assert answer.headers["access-control-allow-origin"] == "http://admin.test"
    assert answer.headers["access-control-allow-credentials"] == "true"
    for origin in ("http://evil.test", "http://shop.test"):
        answer = await api.client.get(path, headers={"origin": origin, **BEARER})
        assert "access-control-allow-origin" not in answer.headers
    page = await api.client.get("/grace", headers={"origin": "http://admin.test"})
    assert "access-control-allow-origin" not in page.headers
