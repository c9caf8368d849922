"""``/store/orders/{id}/cancel``: POST cancels, GET tells what a cancel would do."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.domain.cancellation import PaymentAction, Refused
from app.http import errors
from app.http.admission import admit
from app.http.desk import Desk
from app.usecases.cancel_order import Canceled, CancelRequest, FormerOwner, NotFound, cancel_order
from app.usecases.preview_cancel import preview_cancel
from app.usecases.tell_refusal import tell_refusal


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a cancel, all of it optional."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class CanceledOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The order is canceled."""

    order_id: str
    status: Literal["canceled"]
    payment_action: PaymentAction
    message: Literal["Already canceled"] | None = None


@post("/store/orders/{order_id:str}/cancel", status_code=200)
async def cancel(
    request: Request[Any, Any, Any],
    order_id: FromPath[str],
    desk: NamedDependency[Desk],
) -> Response[bytes]:
    """Cancel an order within its grace period. See the contract in the README."""
    received_at = time.monotonic()
    admitted = await admit(desk, request, order_id)
    right = admitted.right
    body = _parse(await request.body())
    asked = CancelRequest(
        order_id=order_id,
        request_id=request.state[errors.REQUEST_ID],
        canceled_by="token" if right.customer_id is None else f"customer:{right.customer_id}",
        received_at=received_at,
        reason=body.reason,
        customer_id=right.customer_id,
        token_issued_at=right.token_issued_at,
    )
    outcome = await cancel_order(desk.services, asked, admitted.order)
    match outcome:
        case Canceled():
            return _answer(outcome, request)
        case NotFound():
            raise errors.order_not_found(order_id)
        case FormerOwner():
            raise errors.token_mismatch()
        case Refused(reason=reason):
            await tell_refusal(desk.services, asked, outcome)
            raise errors.cancel_refused(reason)


@get("/store/orders/{order_id:str}/cancel")
async def preview(
    request: Request[Any, Any, Any],
    order_id: FromPath[str],
    desk: NamedDependency[Desk],
) -> Response[bytes]:
    """Tell a storefront whether a cancel would be accepted now, and until when."""
    admitted = await admit(desk, request, order_id)
    outcome = await preview_cancel(desk.services, admitted.order)
    headers = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    return Response(msgspec.json.encode(outcome), headers=headers)


def _parse(raw: bytes) -> CancelBody:
    if not raw.strip():
        return CancelBody()
    try:
        body = msgspec.json.decode(raw, type=CancelBody)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f'Invalid request: {error}. Expected no body, {{}} or {{"reason": "..."}}'
        raise errors.invalid_data(message) from error
    reason = (body.reason or "").strip() or None
    if reason is not None and "\x00" in reason:
        raise errors.invalid_data("Invalid request: reason must not contain NUL characters")
    return CancelBody(reason)


def _answer(canceled: Canceled, request: Request[Any, Any, Any]) -> Response[bytes]:
    request.state[errors.OUTCOME] = "already_canceled" if canceled.already else "canceled"
    body = CanceledOrder(
        order_id=canceled.order_id,
        status="canceled",
        payment_action=canceled.payment_action,
        message="Already canceled" if canceled.already else None,
    )
    headers = {"content-type": "application/json; charset=utf-8", "x-request-id": request.state[errors.REQUEST_ID]}
    return Response(msgspec.json.encode(body), headers=headers)
