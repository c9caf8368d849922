"""Tell what there is to attest of an order's cancellation."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from app.domain.order import OrderState
from app.domain.receipt import Receipt, make_receipt
from app.ports import Services
from app.store import cancellations
from app.usecases.await_void import read_payment_action
from app.usecases.cancel_order import NotFound


class Lack(StrEnum):
    """Why there is no receipt."""

    NOT_CANCELED = "not_canceled"
    TIME_UNKNOWN = "time_unknown"
    """Canceled, but no row says since when."""


class NoReceipt(msgspec.Struct, frozen=True):
    """The order is there and may be looked at, but has nothing to attest."""

    reason: Lack


async def read_receipt(
    services: Services, order_id: str, *, customer_id: str | None = None
) -> Receipt | NoReceipt | NotFound:
    """The receipt of a canceled order, whoever canceled it. Takes no lock and writes nothing.

    ``customer_id`` is set when the right to the order rests on being the customer who placed it. Raises
    ``Unavailable`` when the database does not answer.
    """
    async with services.db.transaction("receipt") as conn:
        order = await services.commerce.read_order(conn, order_id)
        if order is None or (customer_id is not None and customer_id != order.customer_id):
            return NotFound()
        if order.state is not OrderState.CANCELED:
            return NoReceipt(Lack.NOT_CANCELED)
        sheet = await services.commerce.read_sheet(conn, order_id)
        if sheet is None:
            return NotFound()
        receipt = make_receipt(
            order_id,
            sheet,
            await cancellations.read(conn, order_id),
            payment_action=await read_payment_action(services, conn, order_id),
            issued_at=order.read_at,
        )
    return receipt or NoReceipt(Lack.TIME_UNKNOWN)
