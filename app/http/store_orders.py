"""``/store/orders/{id}/cancel``: POST cancels, GET tells what a cancel would do."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Final

import msgspec
import structlog
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from ulid import ULID

from app.domain.cancellation import Refused
from app.http import errors
from app.http.desk import Desk
from app.ports import Services, TokenRejected
from app.usecases.cancel_order import Canceled, CancelRequest, NotFound, cancel_order
from app.usecases.preview_cancel import preview_cancel
from app.usecases.tell_refusal import tell_refusal

_ORDER_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a cancel, all of it optional."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class CanceledOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The order is canceled."""

    order_id: str
    status: str
    payment_action: str
    message: str | None = None


@post("/store/orders/{order_id:str}/cancel", status_code=200)
async def cancel(
    request: Request[Any, Any, Any],
    order_id: FromPath[str],
    services: NamedDependency[Services],
    desk: NamedDependency[Desk],
) -> Response[bytes]:
    """Cancel an order within its grace period. See the contract in the README."""
    received_at = time.monotonic()
    customer_id = await _admit(services, desk, request, order_id)
    body = _parse(await request.body())
    asked = CancelRequest(
        order_id=order_id,
        request_id=request.state[errors.REQUEST_ID],
        canceled_by="token" if customer_id is None else f"customer:{customer_id}",
        received_at=received_at,
        reason=body.reason,
        customer_id=customer_id,
    )
    outcome = await cancel_order(services, asked)
    match outcome:
        case Canceled():
            return _answer(outcome, request)
        case NotFound():
            raise errors.order_not_found(order_id)
        case Refused(reason=reason):
            await tell_refusal(services, asked, outcome)
            raise errors.cancel_refused(reason)


@get("/store/orders/{order_id:str}/cancel")
async def preview(
    request: Request[Any, Any, Any],
    order_id: FromPath[str],
    services: NamedDependency[Services],
    desk: NamedDependency[Desk],
) -> Response[bytes]:
    """Tell a storefront whether a cancel would be accepted now, and until when."""
    customer_id = await _admit(services, desk, request, order_id)
    outcome = await preview_cancel(services, order_id, customer_id=customer_id)
    if isinstance(outcome, NotFound):
        raise errors.order_not_found(order_id)
    headers = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    return Response(msgspec.json.encode(outcome), headers=headers)


async def _admit(services: Services, desk: Desk, request: Request[Any, Any, Any], order_id: str) -> str | None:
    """Let the request in, or raise what Medusa's manners ask for. The customer whose order it must be, if any."""
    request_id = request.state[errors.REQUEST_ID] = str(ULID())
    structlog.contextvars.bind_contextvars(request_id=request_id, order_id=order_id[:128])
    address = _address(desk, request)
    if address is not None:
        await _check_limit(desk, f"address:{address}", desk.per_address)
    await _check_key(services, desk, request)
    customer_id = _identify(desk, request, order_id)
    await _check_limit(desk, f"order:{order_id[:128]}:{customer_id or 'token'}", desk.per_order)
    if not _ORDER_ID.fullmatch(order_id):
        raise errors.order_not_found(order_id[:128])
    return customer_id


def _address(desk: Desk, request: Request[Any, Any, Any]) -> str | None:
    peer = request.client.host if request.client else None
    return desk.addresses.of(peer, ",".join(request.headers.getall("x-forwarded-for", [])))


async def _check_limit(desk: Desk, key: str, limit: int) -> None:
    seconds = await desk.limits.exceeded(key, limit)
    if seconds is not None:
        raise errors.rate_limited(seconds)


async def _check_key(services: Services, desk: Desk, request: Request[Any, Any, Any]) -> None:
    async with services.db.transaction("store.key") as conn:
        problem = await desk.storefront.key_problem(conn, request.headers.get("x-publishable-api-key"))
    if problem is not None:
        raise errors.key_refused(problem)


def _identify(desk: Desk, request: Request[Any, Any, Any], order_id: str) -> str | None:
    """The customer whose order it must be, or ``None`` when the token is for this very order."""
    token = request.headers.get("x-modification-token")
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    try:
        if token:
            if desk.tokens.order_id(token) != order_id:
                raise errors.token_mismatch()
            return None
        if scheme.lower() == "bearer" and bearer:
            return desk.storefront.customer_id(bearer.strip())
    except TokenRejected as rejected:
        raise errors.token_rejected(expired=rejected.expired) from rejected
    raise errors.token_required()


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
    body = CanceledOrder(
        order_id=canceled.order_id,
        status="canceled",
        payment_action=canceled.payment_action.value,
        message="Already canceled" if canceled.already else None,
    )
    headers = {"content-type": "application/json; charset=utf-8", "x-request-id": request.state[errors.REQUEST_ID]}
    return Response(msgspec.json.encode(body), headers=headers)
