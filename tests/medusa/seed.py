"""Fills an empty Medusa through its own admin API, as the owner of a small shop would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

ADMIN = ("admin@shop.test", "made-up-admin-password")
CUSTOMER = ("ada@shop.test", "made-up-customer-password")
OTHER_CUSTOMER = ("grace@shop.test", "made-up-other-password")
PROMOTION = "LAB10"
# Prices whose order totals no currency can show exactly: 19 % of 19.99 EUR; and a third decimal for KWD.
_PRICES = {"eur": 19.99, "jpy": 3000, "kwd": 6.123}
_SHIPPING = {"eur": 5, "jpy": 500, "kwd": 1.5}
_COUNTRIES = {"eur": ("Germany", "de"), "jpy": ("Japan", "jp"), "kwd": ("Kuwait", "kw")}
STOCKED = ("SHIRT-M", "SHIRT-L")
UNSTOCKED = "GIFT-CARD"


@dataclass
class Shop:
    """The keys and ids of a seeded Medusa."""

    url: str
    publishable_key: str = ""
    secret_key: str = ""
    sales_channel: str = ""
    stock_location: str = ""
    shipping_option: str = ""
    regions: dict[str, str] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)
    inventory_items: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def country(region: str) -> str:
        """Where the customers of a region live."""
        return _COUNTRIES[region][1]


def seed(url: str) -> Shop:
    """Make regions, stock, products, a promotion, keys and customers. The admin user must exist."""
    shop = Shop(url)
    with httpx.Client(base_url=url, timeout=60) as client:
        admin = _Api(client, _login(client, "user", ADMIN))
        _keys_and_regions(admin, shop)
        _shipping(admin, shop, profile := _profile(admin))
        _products(admin, shop, profile)
        _promotion(admin)
        for credentials in (CUSTOMER, OTHER_CUSTOMER):
            _register(client, shop, *credentials)
    return shop


class _Api:
    def __init__(self, client: httpx.Client, token: str, **headers: str):
        self._client, self._headers = client, {"authorization": f"Bearer {token}"} | headers

    def get(self, path: str) -> Any:
        return self._sent("GET", path)

    def knows(self, path: str) -> bool:
        return self._client.get(path, headers=self._headers).is_success

    def post(self, path: str, **body: Any) -> Any:
        return self._sent("POST", path, json=body)

    def _sent(self, method: str, path: str, **kwargs: Any) -> Any:
        answer = self._client.request(method, path, headers=self._headers, **kwargs)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


def _login(client: httpx.Client, actor: str, credentials: tuple[str, str]) -> str:
    email, password = credentials
    answer = client.post(f"/auth/{actor}/emailpass", json={"email": email, "password": password})
    return str(answer.raise_for_status().json()["token"])


def _register(client: httpx.Client, shop: Shop, email: str, password: str) -> None:
    answer = client.post("/auth/customer/emailpass/register", json={"email": email, "password": password})
    token = answer.raise_for_status().json()["token"]
    _Api(client, token, **{"x-publishable-api-key": shop.publishable_key}).post("/store/customers", email=email)


def _keys_and_regions(admin: _Api, shop: Shop) -> None:
    store = admin.get("/admin/stores")["stores"][0]["id"]
    currencies = [{"currency_code": code, "is_default": code == "eur"} for code in _PRICES]
    admin.post(f"/admin/stores/{store}", supported_currencies=currencies)
    shop.sales_channel = admin.post("/admin/sales-channels", name="Storefront")["sales_channel"]["id"]
    key = admin.post("/admin/api-keys", title="Storefront", type="publishable")["api_key"]
    admin.post(f"/admin/api-keys/{key['id']}/sales-channels", add=[shop.sales_channel])
    shop.publishable_key = key["token"]
    shop.secret_key = admin.post("/admin/api-keys", title="Sidecar", type="secret")["api_key"]["token"]
    for currency, (name, country) in _COUNTRIES.items():
        region = admin.post(
            "/admin/regions",
            name=name,
            currency_code=currency,
            countries=[country],
            payment_providers=["pp_system_default", "pp_stripe_stripe"],
            automatic_taxes=True,
        )
        shop.regions[currency] = region["region"]["id"]
    vat = {"rate": 19, "name": "VAT", "code": "vat19"}
    named = {"provider_id": "tp_system"} if admin.knows("/admin/tax-providers") else {}  # elder releases have just one
    admin.post("/admin/tax-regions", country_code="de", **named, default_tax_rate=vat)


def _profile(admin: _Api) -> str:
    return str(admin.post("/admin/shipping-profiles", name="Parcels", type="parcel")["shipping_profile"]["id"])


def _shipping(admin: _Api, shop: Shop, profile: str) -> None:
    address = {"address_1": "Depot street 1", "city": "Berlin", "country_code": "DE"}
    location = admin.post("/admin/stock-locations", name="Depot", address=address)["stock_location"]["id"]
    at = f"/admin/stock-locations/{location}"
    admin.post(f"{at}/fulfillment-providers", add=["manual_manual"])
    admin.post(f"{at}/sales-channels", add=[shop.sales_channel])
    made = admin.post(f"{at}/fulfillment-sets?fields=*fulfillment_sets", name="Delivery", type="shipping")
    fulfillment_set = made["stock_location"]["fulfillment_sets"][0]["id"]
    zones = [{"type": "country", "country_code": country} for _, country in _COUNTRIES.values()]
    made = admin.post(
        f"/admin/fulfillment-sets/{fulfillment_set}/service-zones?fields=*service_zones", name="All", geo_zones=zones
    )
    option = admin.post(
        "/admin/shipping-options",
        name="Standard",
        service_zone_id=made["fulfillment_set"]["service_zones"][0]["id"],
        shipping_profile_id=profile,
        provider_id="manual_manual",
        price_type="flat",
        type={"label": "Standard", "description": "2-3 days", "code": "standard"},
        prices=[{"currency_code": code, "amount": amount} for code, amount in _SHIPPING.items()],
        rules=[
            {"attribute": "enabled_in_store", "value": "true", "operator": "eq"},
            {"attribute": "is_return", "value": "false", "operator": "eq"},
        ],
    )
    shop.stock_location, shop.shipping_option = location, option["shipping_option"]["id"]


def _products(admin: _Api, shop: Shop, profile: str) -> None:
    prices = [{"currency_code": code, "amount": amount} for code, amount in _PRICES.items()]
    for title, skus in (("Shirt", STOCKED), ("Gift card", (UNSTOCKED,))):
        product = admin.post(
            "/admin/products",
            title=title,
            status="published",
            shipping_profile_id=profile,
            sales_channels=[{"id": shop.sales_channel}],
            options=[{"title": "Kind", "values": list(skus)}],
            variants=[
                {
                    "title": sku,
                    "sku": sku,
                    "manage_inventory": sku in STOCKED,
                    "options": {"Kind": sku},
                    "prices": prices,
                }
                for sku in skus
            ],
        )["product"]
        shop.variants |= {variant["sku"]: variant["id"] for variant in product["variants"]}
    for item in admin.get("/admin/inventory-items?limit=50")["inventory_items"]:
        levels = f"/admin/inventory-items/{item['id']}/location-levels"
        admin.post(levels, location_id=shop.stock_location, stocked_quantity=1000)
        shop.inventory_items[item["sku"]] = item["id"]


def _promotion(admin: _Api) -> None:
    admin.post(
        "/admin/promotions",
        code=PROMOTION,
        type="standard",
        status="active",
        is_automatic=False,
        campaign={
            "name": "Opening",
            "campaign_identifier": "opening",
            "budget": {"type": "usage", "limit": 1000},
        },
        application_method={
            "type": "percentage",
            "target_type": "items",
            "allocation": "across",
            "value": 10,
            "currency_code": "eur",
        },
    )
