"""Tell what there is to attest of an order's cancellation."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from app.domain.order import Order, OrderState
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


async def read_receipt(services: Services, order: Order) -> Receipt | NoReceipt | NotFound:
    """Return the receipt of an order that was read before, by any canceler. Takes no lock and writes nothing.

    Raises ``Unavailable`` when the database does not answer.
    """
    if order.state is not OrderState.CANCELED:
        return NoReceipt(Lack.NOT_CANCELED)
    async with services.db.transaction("receipt") as conn:
        sheet = await services.orders.read_sheet(conn, order.id)
        if sheet is None:
            return NotFound()
        receipt = make_receipt(
            order.id,
            sheet,
            await cancellations.read(conn, order.id),
            payment_action=await read_payment_action(services, conn, order.id),
            issued_at=order.read_at,
        )
    return receipt or NoReceipt(Lack.TIME_UNKNOWN)
