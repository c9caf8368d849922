"""Every refusal as Medusa words its errors: ``{code, type, message}``, and ``reason`` where a code has several."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Meta

from app.domain.cancellation import Refusal
from app.ports import CommitUnknown, TurnedAway, Unavailable
from app.usecases.read_receipt import Lack

log = structlog.get_logger()

REQUEST_ID: Final = "request_id"
"""Where a request's id is kept in its state."""

OUTCOME: Final = "grace_outcome"
"""Where a request keeps what came of it, in one word, for the meters."""

_BODY_ENDED_EARLY: Final = "client disconnected prematurely"
"""Litestar's words, in an InternalServerException, for a body that is cut off or badly chunked."""

_BEING_PROCESSED = "Order is already being processed. Please contact support for a refund."
_PROCESSED = "Order already processed"


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Medusa's error body. Its js-sdk keeps the message alone, so messages are written for shoppers."""

    code: Annotated[str | None, Meta(description="Missing where Medusa's own body has none.")] = None
    type: str
    message: Annotated[str, Meta(description="For shoppers: Medusa's js-sdk passes on nothing else.")]
    reason: Annotated[str | None, Meta(description="Where a code has several causes.")] = None


class Problem(Exception):
    """An answer that is not the one that was asked for."""

    def __init__(self, status: int, body: ErrorBody, *, retry_after: int | None = None) -> None:
        super().__init__(body.message)
        self.status = status
        self.body = body
        self.retry_after = retry_after


def key_refused(message: str) -> Problem:
    """Medusa's own 400 about the publishable key, letter for letter."""
    return Problem(400, ErrorBody(type="not_allowed", message=message))


def invalid_data(message: str) -> Problem:
    """400: the request itself is wrong."""
    return Problem(400, ErrorBody(code="invalid_data", type="invalid_data", message=message))


def token_required() -> Problem:
    """401: the request carries no token and no signed-in customer."""
    message = "Please sign in, or use the link in your order confirmation, to cancel this order."
    return Problem(401, ErrorBody(code="token_required", type="unauthorized", message=message))


def token_rejected(*, expired: bool) -> Problem:
    """401: the token proves nothing."""
    if expired:
        message = "This link has expired. Please sign in, or ask for a new link, to cancel this order."
        return Problem(401, ErrorBody(code="token_expired", type="unauthorized", message=message))
    message = "This link is not valid. Please sign in, or use the link in your order confirmation."
    return Problem(401, ErrorBody(code="token_invalid", type="unauthorized", message=message))


def token_mismatch() -> Problem:
    """403: a valid token, for another order."""
    return Problem(
        403, ErrorBody(code="token_mismatch", type="forbidden", message="This link belongs to another order.")
    )


def order_not_found(order_id: str) -> Problem:
    """404, in Medusa's own words."""
    return Problem(404, ErrorBody(code="not_found", type="not_found", message=f"Order id not found: {order_id}"))


def no_receipt(reason: Lack) -> Problem:
    """404: the order is there, and nothing can be attested of a cancellation."""
    message = "This order is not canceled."
    if reason is Lack.TIME_UNKNOWN:
        message = "It is not known since when this order is canceled. Please contact support."
    return Problem(404, ErrorBody(code="no_receipt", type="not_found", message=message, reason=reason.value))


def cancel_refused(reason: Refusal) -> Problem:
    """409 or 422: the order may not be canceled."""
    match reason:
        case Refusal.COMPLETED | Refusal.CAPTURED | Refusal.FULFILLED:
            return _conflict("late_cancel", _PROCESSED, reason)
        case Refusal.CAPTURE_IN_FLIGHT | Refusal.GRACE_PERIOD_OVER:
            return _conflict("late_cancel", _BEING_PROCESSED, reason)
        case Refusal.ORDER_CHANGE_PENDING:
            message = "Order is being changed. Please try again when the change is settled, or contact support."
            return _conflict("order_change_pending", message, reason)
        case Refusal.PAYMENT_UNKNOWN:
            message = (
                "This order cannot be canceled online: it is not clear which payment is for it. Please contact support."
            )
            return _conflict("payment_unknown", message, reason)
        case Refusal.PARTIAL_CAPTURE:
            message = "Cannot cancel partially captured order"
            return Problem(422, ErrorBody(code="partial_capture", type="not_allowed", message=message))


def request_timeout() -> Problem:
    """408: the body did not arrive in time."""
    message = "The request did not arrive completely. Please try again."
    return Problem(408, ErrorBody(code="request_timeout", type="not_allowed", message=message))


def rate_limited(seconds: int) -> Problem:
    """429: too many requests of this address or for this order."""
    message = "Too many requests. Please try again in a moment."
    return Problem(429, ErrorBody(code="rate_limited", type="not_allowed", message=message), retry_after=seconds)


def service_unavailable(*, unconfirmed: bool = False) -> Problem:
    """503: nothing was changed; or ``unconfirmed``, when the connection was lost while it was."""
    message = "The order could not be canceled just now. Nothing was changed. Please try again in a moment."
    if unconfirmed:
        message = "It could not be confirmed that the order is canceled. Please try again in a moment."
    return Problem(503, ErrorBody(code="service_unavailable", type="unexpected_state", message=message), retry_after=2)


def receipt_unavailable() -> Problem:
    """503: the receipt cannot be looked up now."""
    message = "The receipt could not be looked up just now. Please try again in a moment."
    return Problem(503, ErrorBody(code="service_unavailable", type="unexpected_state", message=message), retry_after=2)


def no_such_route() -> Problem:
    """404: nothing is served at this path."""
    return Problem(404, ErrorBody(code="not_found", type="not_found", message="Not found"))


def target_too_long(limit: int) -> Problem:
    """414: path and query string are longer than any of ours."""
    message = f"The address of this request is too long: expected at most {limit} bytes."
    return Problem(414, ErrorBody(code="uri_too_long", type="invalid_data", message=message))


def headers_too_large(each: int, together: int) -> Problem:
    """431: headers, most often cookies, that are not worth parsing."""
    message = (
        f"The headers of this request are too large: expected at most {each} bytes each, {together} together. "
        "Please clear this site's cookies and try again."
    )
    return Problem(431, ErrorBody(code="headers_too_large", type="invalid_data", message=message))


def unexpected() -> Problem:
    """500, as Medusa words it."""
    body = ErrorBody(code="unknown_error", type="unknown_error", message="An unknown error occurred.")
    return Problem(500, body)


def _conflict(code: str, message: str, reason: Refusal) -> Problem:
    return Problem(409, ErrorBody(code=code, type="conflict", message=message, reason=reason.value))


def answer_problem(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    """The problem as an HTTP answer."""
    headers = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    state = request.scope.setdefault("state", {})
    state[OUTCOME] = problem.body.code or problem.body.type
    request_id = state.get(REQUEST_ID)
    if request_id is not None:
        headers["x-request-id"] = request_id
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    return Response(msgspec.json.encode(problem.body), status_code=problem.status, headers=headers)


def answer_unavailable(request: Request[Any, Any, Any], error: Unavailable) -> Response[bytes]:
    """503 when the database does not answer or the order stays locked."""
    tell = log.debug if isinstance(error, TurnedAway) else log.warning  # a crowd would fill the disk
    tell("request.unavailable", path=request.scope["path"], error=str(error))
    if request.scope["path"].endswith("/cancellation"):  # "could not be canceled" would frighten who has canceled
        return answer_problem(request, receipt_unavailable())
    return answer_problem(request, service_unavailable(unconfirmed=isinstance(error, CommitUnknown)))


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Litestar's own refusals (no such route, wrong method, body too large) in Medusa's words."""
    if error.detail == _BODY_ENDED_EARLY:
        return answer_problem(request, invalid_data("Invalid request: the body ended early"))
    if error.status_code in {400, 413}:
        return answer_problem(request, invalid_data(error.detail))
    answer = answer_problem(request, _refused_by_litestar(error))
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


def _refused_by_litestar(error: HTTPException) -> Problem:
    if error.status_code == 404:
        return no_such_route()
    if error.status_code == 408:
        return request_timeout()
    body = ErrorBody(code="not_allowed", type="not_allowed", message=error.detail)
    return Problem(error.status_code, body)


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """500, as Medusa words it; the reason is for the log alone."""
    log.error("request.failed", path=request.scope["path"], exc_info=error)
    return answer_problem(request, unexpected())
