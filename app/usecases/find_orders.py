"""Find an order by what an operator has at hand."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.risk import SeenOrder
from app.ports import BackOffice, Services


async def find_orders(services: Services, backoffice: BackOffice, words: str) -> Mapping[str, SeenOrder]:
    """Up to 20 orders by id or number, or by the id of a payment or PaymentIntent."""
    async with services.db.transaction("operator.search") as conn:
        return await backoffice.see_orders(conn, await backoffice.search_orders(conn, words))
