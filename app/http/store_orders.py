"""``/store/orders/{id}/cancel``: POST cancels, GET tells what a cancel would do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example, OpenAPIMediaType, Operation, Reference, RequestBody

from app.domain.cancellation import PaymentAction, Refused
from app.domain.reasons import CancelReason
from app.http import errors
from app.http.admission import admit
from app.http.answers import (
    ADMISSION,
    EXAMPLE_ORDER,
    JSON,
    REFUSALS,
    RIGHTS,
    TIMEOUT,
    UNAVAILABLE,
    Answer,
    OrderId,
    done,
    refused,
    specs,
)
from app.http.desk import Desk
from app.http.tracing import TRACEPARENT
from app.usecases.cancel_order import Canceled, CancelRequest, FormerOwner, NotFound, SeenOrder, cancel_order
from app.usecases.preview_cancel import Preview, preview_cancel
from app.usecases.tell_refusal import tell_refusal


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a cancel, all of it optional."""

    reason: Annotated[
        Annotated[str, msgspec.Meta(max_length=500)] | None,
        msgspec.Meta(description="A code of the list that GET answers as reasons, or free text."),
    ] = None


class CanceledOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The order is canceled."""

    order_id: str
    status: Literal["canceled"]
    payment_action: PaymentAction
    message: Annotated[
        Literal["Already canceled"] | None, msgspec.Meta(description="Only where the order was canceled before.")
    ] = None


@dataclass
class _WithBody(Operation):
    """``cancel`` parses its body itself, as it may be left out."""

    def __post_init__(self) -> None:
        examples = {
            "code": Example(value={"reason": "changed_mind"}),
            "free_text": Example(value={"reason": "Ordered twice."}),
            "none": Example(value={}),
        }
        schema = Reference(f"#/components/schemas/{CancelBody.__name__}")
        self.request_body = RequestBody({JSON: OpenAPIMediaType(schema=schema, examples=dict(examples))})


def _canceled(
    name: str, when: str, action: PaymentAction, message: Literal["Already canceled"] | None = None
) -> Answer:
    body = CanceledOrder(order_id=EXAMPLE_ORDER, status="canceled", payment_action=action, message=message)
    return done(name, when, body)


def _previewed(name: str, when: str, action: PaymentAction, reason: str | None) -> Answer:
    placed = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    body = Preview(
        order_id=EXAMPLE_ORDER,
        cancelable=reason is None,
        reason=reason,
        cancelable_until=placed.replace(hour=11),
        server_time=placed.replace(minute=12, second=30),
        payment_action=action,
        reasons=(
            CancelReason("changed_mind", "I changed my mind"),
            CancelReason("too_slow", "Delivery is too slow"),
        ),
    )
    return done(name, when, body)


_CANCEL: Final = specs(
    _canceled("voided", "canceled; the hold is let go", PaymentAction.VOIDED),
    _canceled("void_pending", "canceled; Stripe has not answered yet", PaymentAction.VOID_PENDING),
    _canceled("void_failed", "canceled; the void is tried on, and a person is told", PaymentAction.VOID_FAILED),
    _canceled("none", "canceled; there was no hold", PaymentAction.NONE),
    _canceled("already_canceled", "canceled before", PaymentAction.VOIDED, "Already canceled"),
    refused(
        "invalid_data", "a wrong body", errors.invalid_data("Invalid request: reason must not contain NUL characters")
    ),
    TIMEOUT,
    *(refused(reason.value, when, errors.cancel_refused(reason)) for reason, when in REFUSALS.items()),
    UNAVAILABLE,
    refused(
        "service_unavailable_unconfirmed",
        "the database went away during the commit: ask again",
        errors.service_unavailable(unconfirmed=True),
    ),
    *ADMISSION,
)

_PREVIEW: Final = specs(
    _previewed("cancelable", "a cancel would be accepted now", PaymentAction.VOIDED, None),
    _previewed("canceled", "it is done already", PaymentAction.VOIDED, "canceled"),
    *(_previewed(reason.value, when, PaymentAction.NONE, reason.value) for reason, when in REFUSALS.items()),
    UNAVAILABLE,
    *ADMISSION,
)


@post(
    "/store/orders/{order_id:str}/cancel",
    status_code=200,
    operation_id="cancelOrder",
    summary="Cancel an order",
    description="Within its grace period. Safe to repeat. A reason is a code of those GET answers, or text.",
    operation_class=_WithBody,
    security=RIGHTS,
    responses=_CANCEL,
)
async def cancel(
    request: Request[Any, Any, Any],
    order_id: OrderId,
    desk: NamedDependency[Desk],
) -> Response[CanceledOrder]:
    """Cancel an order within its grace period. See docs/api.md."""
    received_at = time.monotonic()
    admitted = await admit(desk, request, order_id)
    right = admitted.right
    body = _parse(await request.body())
    asked = CancelRequest(
        order_id=order_id,
        request_id=request.state[errors.REQUEST_ID],
        traceparent=request.state.get(TRACEPARENT),
        canceled_by="token" if right.customer_id is None else f"customer:{right.customer_id}",
        received_at=received_at,
        reason=body.reason,
        customer_id=right.customer_id,
        token_issued_at=right.token_issued_at,
    )
    outcome = await cancel_order(desk.services, asked, SeenOrder(admitted.order, admitted.read_at))
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


@get(
    "/store/orders/{order_id:str}/cancel",
    operation_id="previewCancel",
    summary="Tell what a cancel would do",
    description="For a button and a countdown: count down by server_time, not by the shopper's clock. No promise.",
    security=RIGHTS,
    responses=_PREVIEW,
)
async def preview(
    request: Request[Any, Any, Any],
    order_id: OrderId,
    desk: NamedDependency[Desk],
) -> Response[Preview]:
    """Tell a storefront whether a cancel would be accepted now, and until when."""
    admitted = await admit(desk, request, order_id)
    outcome = await preview_cancel(desk.services, admitted.order)
    headers = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    return Response(outcome, headers=headers)


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


def _answer(canceled: Canceled, request: Request[Any, Any, Any]) -> Response[CanceledOrder]:
    request.state[errors.OUTCOME] = "already_canceled" if canceled.already else "canceled"
    body = CanceledOrder(
        order_id=canceled.order_id,
        status="canceled",
        payment_action=canceled.payment_action,
        message="Already canceled" if canceled.already else None,
    )
    headers = {"content-type": "application/json; charset=utf-8", "x-request-id": request.state[errors.REQUEST_ID]}
    return Response(body, headers=headers)
