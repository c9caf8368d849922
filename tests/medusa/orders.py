"""Clients of Medusa's APIs, and orders placed through its store API as a storefront places them."""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict, Unpack

import httpx

from .lab import Lab
from .seed import ADMIN, STOCKED, Shop

PROVIDERS = {"stripe": "pp_stripe_stripe", "system": "pp_system_default"}
_guests = itertools.count(1)


class OrderDetails(TypedDict, total=False):
    """How an order differs from a guest's order of one shirt in euro, paid by Stripe."""

    provider: Literal["stripe", "system"]
    quantity: int
    skus: tuple[str, ...]
    region: Literal["eur", "jpy", "kwd"]
    customer: tuple[str, str]
    promotion: str


@dataclass(frozen=True)
class Cart:
    """A cart one click before it becomes an order."""

    id: str
    intent_id: str | None
    headers: dict[str, str]


@dataclass(frozen=True)
class Placed:
    """An order a shopper has just placed, its money held and its stock reserved."""

    id: str
    payment_id: str
    intent_id: str | None
    item_ids: tuple[str, ...]


class Medusa:
    """The store and admin APIs of one Medusa, logged in as its admin."""

    def __init__(self, lab: Lab, store: httpx.AsyncClient, admin: httpx.AsyncClient, stripe: httpx.AsyncClient):
        self.lab, self.store, self.admin, self._stripe = lab, store, admin, stripe

    @classmethod
    async def connect(cls, lab: Lab, stack: AsyncExitStack) -> Self:
        """Clients that close with the stack."""

        async def client(url: str, **headers: str) -> httpx.AsyncClient:
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers, timeout=60))

        store = await client(lab.url, **{"x-publishable-api-key": lab.shop.publishable_key})
        admin = await client(lab.url)
        stripe = await client(lab.surroundings.stripe_url, authorization="Bearer pk_test_made_up")
        medusa = cls(lab, store, admin, stripe)
        admin.headers["authorization"] = await medusa.bearer("user", ADMIN)
        return medusa

    @property
    def shop(self) -> Shop:
        """What was seeded."""
        return self.lab.shop

    async def bearer(self, actor: str, credentials: tuple[str, str]) -> str:
        """The Authorization header of a login, as a storefront keeps it."""
        email, password = credentials
        answer = await self.admin.post(f"/auth/{actor}/emailpass", json={"email": email, "password": password})
        return f"Bearer {_json(answer)['token']}"

    async def place_order(self, **order: Unpack[OrderDetails]) -> Placed:
        """Fill a cart, choose shipping, pay, complete."""
        return await self.complete(await self.fill_cart(**order))

    async def fill_cart(self, **order: Unpack[OrderDetails]) -> Cart:
        """All of it but the last click."""
        customer, promotion, region = order.get("customer"), order.get("promotion"), order.get("region", "eur")
        provider, quantity = order.get("provider", "stripe"), order.get("quantity", 1)
        headers = {"authorization": await self.bearer("customer", customer)} if customer else {}

        async def store(path: str, **body: Any) -> Any:
            return _json(await self.store.post(path, json=body, headers=headers))

        cart = (await store("/store/carts", region_id=self.shop.regions[region]))["cart"]["id"]
        for sku in order.get("skus", STOCKED[:1]):
            line = {"variant_id": self.shop.variants[sku], "quantity": quantity}
            await store(f"/store/carts/{cart}/line-items", **line)
        await store(
            f"/store/carts/{cart}",
            email=customer[0] if customer else f"guest-{next(_guests)}@shop.test",
            shipping_address=(address := _address(self.shop.country(region))),
            billing_address=address,
            promo_codes=[promotion] if promotion else [],
        )
        await store(f"/store/carts/{cart}/shipping-methods", option_id=self.shop.shipping_option)
        collection = (await store("/store/payment-collections", cart_id=cart))["payment_collection"]["id"]
        sessions = f"/store/payment-collections/{collection}/payment-sessions"
        paying = await store(sessions, provider_id=PROVIDERS[provider])
        session = paying["payment_collection"]["payment_sessions"][0]
        if provider == "stripe":
            await self._confirm(session["data"])
        return Cart(cart, session["data"].get("id"), headers)

    async def complete(self, cart: Cart) -> Placed:
        """The last click: the money is held and the stock reserved."""
        completed = _json(await self.store.post(f"/store/carts/{cart.id}/complete", headers=cart.headers))
        assert completed["type"] == "order", completed
        return await self._placed(completed["order"]["id"], cart.intent_id)

    async def admin_post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """An act of the shop's operator that is expected to work."""
        return _json(await self.admin.post(path, json=body or {}))

    async def order(self, order_id: str, fields: str = "") -> Any:
        """The order as the admin shows it; ``fields`` adds to it, as in ``+canceled_at``."""
        query = {"fields": fields} if fields else {}
        return _json(await self.admin.get(f"/admin/orders/{order_id}", params=query))["order"]

    async def edit(self, placed: Placed, quantity: int) -> None:
        """Change how many of its first item the order has, as the operator does on the customer's behalf."""
        await self.admin_post("/admin/order-edits", {"order_id": placed.id})
        edit = f"/admin/order-edits/{placed.id}"
        await self.admin_post(f"{edit}/items/item/{placed.item_ids[0]}", {"quantity": quantity})
        await self.admin_post(f"{edit}/confirm")

    async def fulfill(self, placed: Placed) -> None:
        """Send every item of the order from the depot."""
        items = _items(await self.order(placed.id))
        body = {"items": items, "location_id": self.shop.stock_location}
        await self.admin_post(f"/admin/orders/{placed.id}/fulfillments", body)

    async def try_to_fulfill(self, placed: Placed) -> httpx.Response:
        """The same, when Medusa may refuse."""
        body = {"items": _items(await self.order(placed.id)), "location_id": self.shop.stock_location}
        return await self.admin.post(f"/admin/orders/{placed.id}/fulfillments", json=body)

    async def _confirm(self, intent: dict[str, Any]) -> None:
        """What Stripe.js does in the shopper's browser."""
        form = {"payment_method": "pm_card_visa", "client_secret": intent["client_secret"]}
        answer = await self._stripe.post(f"/v1/payment_intents/{intent['id']}/confirm", data=form)
        assert _json(answer)["status"] == "requires_capture", answer.text

    async def _placed(self, order_id: str, intent_id: str | None) -> Placed:
        order = await self.order(order_id, "id,*payment_collections.payments,*items")
        [collection] = order["payment_collections"]
        [payment] = collection["payments"]
        return Placed(order_id, payment["id"], intent_id, tuple(item["id"] for item in order["items"]))


def _items(order: Any) -> list[dict[str, Any]]:
    return [{"id": item["id"], "quantity": item["quantity"]} for item in order["items"]]


def _address(country: str) -> dict[str, str]:
    return {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "address_1": "Main street 2",
        "city": "Somewhere",
        "postal_code": "10115",
        "country_code": country,
    }


def _json(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json()
