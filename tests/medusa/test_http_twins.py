"""Our one route answers as Medusa's own routes do, where those have an opinion."""

from __future__ import annotations

import httpx
import pytest

from .orders import Medusa
from .packages import chosen_version
from .sidecar import Sidecar, token

pytestmark = pytest.mark.medusa

_THEIRS = "/store/carts/cart_01ARZ3NDEKTSV4RRFFQ69G5FAV/complete"
_OURS = "/store/orders/order_01ARZ3NDEKTSV4RRFFQ69G5FAV/cancel"
_INVALID, _FAULT = (400, "invalid_data"), (500, "unknown_error")
_NO_JSON = (b"{bad", b'"text"')
# Allowed by name, allowed by pattern, not allowed, nearly allowed, none.
_ORIGINS = (
    "http://storefront.test",
    "https://branch-1.PREVIEW.test",
    "http://elsewhere.test",
    "http://storefront.test/",
    None,
)


def _cors(answer: httpx.Response) -> dict[str, str]:
    names = [name for name in answer.headers if name.startswith("access-control-") or name == "vary"]
    return {name: answer.headers[name] for name in sorted(names)}


@pytest.mark.parametrize("key", [None, "", "pk_of_nobody", "secret", "revoked"])
async def test_a_publishable_key_is_checked_as_medusa_checks_it(
    medusa: Medusa, sidecar: Sidecar, key: str | None
) -> None:
    if key == "secret":
        key = medusa.shop.secret_key
    if key == "revoked":
        body = {"title": "Old storefront", "type": "publishable"}
        made = (await medusa.admin_post("/admin/api-keys", body))["api_key"]
        await medusa.admin_post(f"/admin/api-keys/{made['id']}/revoke")
        key = made["token"]
    headers = {} if key is None else {"x-publishable-api-key": key}
    headers["x-modification-token"] = token("order_01ARZ3NDEKTSV4RRFFQ69G5FAV")

    async with httpx.AsyncClient(base_url=medusa.lab.url) as client:
        theirs = await client.post(_THEIRS, headers=headers)
    ours = await sidecar.request("POST", _OURS, headers=headers)

    assert ours.content == theirs.content
    assert ours.status_code == theirs.status_code == 400
    assert ours.headers["content-type"] == theirs.headers["content-type"]


async def test_an_unknown_order_is_told_as_medusa_tells_it(medusa: Medusa, sidecar: Sidecar) -> None:
    unknown = "order_01ARZ3NDEKTSV4RRFFQ69G5FAV"

    theirs = (await medusa.store.get(f"/store/orders/{unknown}")).json()
    answer = await sidecar.cancel(unknown)

    assert answer.status_code == 404
    assert {name: answer.json()[name] for name in theirs} == theirs


@pytest.mark.parametrize("body", [b"{bad", b'{"nope": 1}', b"[]", b'"text"'])
async def test_a_bad_body_is_refused_as_medusa_refuses_one(medusa: Medusa, sidecar: Sidecar, body: bytes) -> None:
    placed = await medusa.place_order()
    headers = {"content-type": "application/json", "x-publishable-api-key": medusa.shop.publishable_key}
    path = f"/store/orders/{placed.id}/cancel"

    theirs = await medusa.store.post("/store/carts/cart_01ARZ3NDEKTSV4RRFFQ69G5FAV", content=body, headers=headers)
    ours = await sidecar.request(
        "POST", path, content=body, headers=headers | {"x-modification-token": token(placed.id)}
    )

    is_strange = chosen_version() < (2, 17) and body in _NO_JSON  # to it, who sent no JSON had found a fault of its own
    assert (theirs.status_code, theirs.json()["type"]) == (_FAULT if is_strange else _INVALID)
    assert (ours.status_code, ours.json()["type"]) == _INVALID
    assert (await medusa.order(placed.id))["status"] == "pending"


@pytest.mark.parametrize("asked", ["content-type,x-modification-token,x-publishable-api-key", None])
@pytest.mark.parametrize("origin", _ORIGINS)
async def test_preflights_are_answered_as_medusa_answers_them(
    medusa: Medusa, sidecar: Sidecar, origin: str | None, asked: str | None
) -> None:
    headers = {"access-control-request-method": "POST"}
    headers |= {"origin": origin} if origin else {}
    headers |= {"access-control-request-headers": asked} if asked else {}

    async with httpx.AsyncClient(base_url=medusa.lab.url) as client:
        theirs = await client.options(_THEIRS, headers=headers)
    ours = await sidecar.request("OPTIONS", _OURS, headers=headers)

    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content) == (204, b"")
    assert _cors(ours) == _cors(theirs)


@pytest.mark.parametrize("origin", _ORIGINS)
async def test_answers_carry_the_cors_headers_that_medusas_carry(
    medusa: Medusa, sidecar: Sidecar, origin: str | None
) -> None:
    headers = {"origin": origin} if origin else {}

    theirs = await medusa.store.get("/store/orders/order_01ARZ3NDEKTSV4RRFFQ69G5FAV", headers=headers)
    ours = await sidecar.send("order_01ARZ3NDEKTSV4RRFFQ69G5FAV", **headers)  # refused: it brings no token
    without_key = await sidecar.request("POST", _OURS, headers=headers)

    assert _cors(ours) == _cors(theirs) == _cors(without_key)
