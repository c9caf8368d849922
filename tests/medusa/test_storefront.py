"""Medusa's own js-sdk, unchanged, in front of a reverse proxy that knows one rule."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from .lab import Lab
from .orders import Medusa, Placed
from .proxy import running_proxy
from .sidecar import Sidecar, token

pytestmark = pytest.mark.medusa


async def test_the_sdk_cancels(medusa: Medusa, sidecar: Sidecar) -> None:
    placed = await medusa.place_order()

    seen = await _storefront(medusa.lab, sidecar, placed)

    assert seen["canceled"] == {"order_id": placed.id, "status": "canceled", "payment_action": "voided"}
    assert seen["order"]["status"] == "canceled"


async def test_the_sdk_shows_our_message_on_a_refusal(medusa: Medusa, sidecar: Sidecar) -> None:
    placed = await medusa.place_order()
    await medusa.fulfill(placed)

    seen = await _storefront(medusa.lab, sidecar, placed)

    assert (seen["status"], seen["refused"]) == (409, "Order already processed")
    assert seen["order"]["status"] == "pending"


async def test_the_sdk_shows_our_message_on_an_expired_token(medusa: Medusa, sidecar: Sidecar) -> None:
    placed = await medusa.place_order()

    seen = await _storefront(medusa.lab, sidecar, placed, exp=1_600_000_000)

    assert seen["status"] == 401
    assert "expired" in seen["refused"].lower()
    assert seen["order"]["status"] == "pending"


async def _storefront(lab: Lab, sidecar: Sidecar, placed: Placed, **claims: Any) -> dict[str, Any]:
    async with running_proxy(medusa=lab.url, sidecar=sidecar.url) as url:
        process = await asyncio.create_subprocess_exec(
            "node",
            "storefront.mjs",
            url,
            lab.shop.publishable_key,
            placed.id,
            token(placed.id, **claims),
            cwd=lab.directory / "backend",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return dict(json.loads(out))
