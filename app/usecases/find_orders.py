"""Find an order by what an operator has at hand."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.risk import SeenOrder
from app.ports import Services


async def find_orders(services: Services, words: str) -> Mapping[str, SeenOrder]:
    """Up to 20 orders by id or number, or by the id of a payment or PaymentIntent."""
    async with services.db.transaction("operator.search") as conn:
        found = await services.back_office.search_orders(conn, words)
        return await services.back_office.see_orders(conn, found)
