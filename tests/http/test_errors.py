"""Every refusal to the byte: status, body and headers; and what becomes of other errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from litestar import Request
from litestar.exceptions import HTTPException

from app.domain.cancellation import Refusal
from app.http import errors
from app.http.errors import ErrorBody, Problem
from app.ports import CommitUnknown, TurnedAway, Unavailable
from app.usecases.read_receipt import Lack

PROCESSED = "Order already processed"
BEING_PROCESSED = "Order is already being processed. Please contact support for a refund."
CONFLICTS: dict[Refusal, tuple[str, str]] = {
    Refusal.COMPLETED: ("late_cancel", PROCESSED),
    Refusal.CAPTURED: ("late_cancel", PROCESSED),
    Refusal.FULFILLED: ("late_cancel", PROCESSED),
    Refusal.CAPTURE_IN_FLIGHT: ("late_cancel", BEING_PROCESSED),
    Refusal.GRACE_PERIOD_OVER: ("late_cancel", BEING_PROCESSED),
    Refusal.ORDER_CHANGE_PENDING: (
        "order_change_pending",
        "Order is being changed. Please try again when the change is settled, or contact support.",
    ),
    Refusal.PAYMENT_UNKNOWN: (
        "payment_unknown",
        "This order cannot be canceled online: it is not clear which payment is for it. Please contact support.",
    ),
}
SIGN_IN = "Please sign in, or use the link in your order confirmation"

TOO_LARGE = (
    "The headers of this request are too large: expected at most 9 bytes each, 20 together. "
    "Please clear this site's cookies and try again."
)

# How it is made, its status, the body's code, type and message, and after how many seconds to ask again.
PROBLEMS: dict[str, tuple[Any, int, str | None, str, str, int | None]] = {
    "key": (lambda: errors.key_refused("No key"), 400, None, "not_allowed", "No key", None),
    "data": (lambda: errors.invalid_data("No"), 400, "invalid_data", "invalid_data", "No", None),
    "no token": (
        errors.token_required,
        401,
        "token_required",
        "unauthorized",
        f"{SIGN_IN}, to cancel this order.",
        None,
    ),
    "expired": (
        lambda: errors.token_rejected(expired=True),
        401,
        "token_expired",
        "unauthorized",
        "This link has expired. Please sign in, or ask for a new link, to cancel this order.",
        None,
    ),
    "invalid": (
        lambda: errors.token_rejected(expired=False),
        401,
        "token_invalid",
        "unauthorized",
        f"This link is not valid. {SIGN_IN}.",
        None,
    ),
    "mismatch": (
        errors.token_mismatch,
        403,
        "token_mismatch",
        "forbidden",
        "This link belongs to another order.",
        None,
    ),
    "no order": (
        lambda: errors.order_not_found("order_1"),
        404,
        "not_found",
        "not_found",
        "Order id not found: order_1",
        None,
    ),
    "no route": (errors.no_such_route, 404, "not_found", "not_found", "Not found", None),
    "timeout": (
        errors.request_timeout,
        408,
        "request_timeout",
        "not_allowed",
        "The request did not arrive completely. Please try again.",
        None,
    ),
    "limited": (
        lambda: errors.rate_limited(17),
        429,
        "rate_limited",
        "not_allowed",
        "Too many requests. Please try again in a moment.",
        17,
    ),
    "away": (
        errors.service_unavailable,
        503,
        "service_unavailable",
        "unexpected_state",
        "The order could not be canceled just now. Nothing was changed. Please try again in a moment.",
        2,
    ),
    "unconfirmed": (
        lambda: errors.service_unavailable(unconfirmed=True),
        503,
        "service_unavailable",
        "unexpected_state",
        "It could not be confirmed that the order is canceled. Please try again in a moment.",
        2,
    ),
    "no receipt now": (
        errors.receipt_unavailable,
        503,
        "service_unavailable",
        "unexpected_state",
        "The receipt could not be looked up just now. Please try again in a moment.",
        2,
    ),
    "target": (
        lambda: errors.target_too_long(9),
        414,
        "uri_too_long",
        "invalid_data",
        "The address of this request is too long: expected at most 9 bytes.",
        None,
    ),
    "headers": (
        lambda: errors.headers_too_large(9, 20),
        431,
        "headers_too_large",
        "invalid_data",
        TOO_LARGE,
        None,
    ),
    "unexpected": (errors.unexpected, 500, "unknown_error", "unknown_error", "An unknown error occurred.", None),
    "partly captured": (
        lambda: errors.cancel_refused(Refusal.PARTIAL_CAPTURE),
        422,
        "partial_capture",
        "not_allowed",
        "Cannot cancel partially captured order",
        None,
    ),
}


@pytest.mark.parametrize(
    ("make", "status", "code", "type_", "message", "seconds"), PROBLEMS.values(), ids=PROBLEMS.keys()
)
def test_a_refusal(make: Any, status: int, code: str | None, type_: str, message: str, seconds: int | None) -> None:
    problem = make()
    assert (problem.status, problem.retry_after) == (status, seconds)
    assert problem.body == ErrorBody(code=code, type=type_, message=message)
    assert str(problem) == message


@pytest.mark.parametrize("reason", CONFLICTS)
def test_a_cancel_that_comes_too_late_or_too_early(reason: Refusal) -> None:
    code, message = CONFLICTS[reason]
    problem = errors.cancel_refused(reason)
    assert (problem.status, problem.retry_after) == (409, None)
    assert problem.body == ErrorBody(code=code, type="conflict", message=message, reason=reason.value)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (Lack.NOT_CANCELED, "This order is not canceled."),
        (Lack.TIME_UNKNOWN, "It is not known since when this order is canceled. Please contact support."),
    ],
)
def test_nothing_to_attest(reason: Lack, message: str) -> None:
    problem = errors.no_receipt(reason)
    assert problem.status == 404
    assert problem.body == ErrorBody(code="no_receipt", type="not_found", message=message, reason=reason.value)


def request(path: str = "/store/orders/order_1/cancel", **state: str) -> Request[Any, Any, Any]:
    """A request for the path."""
    scope: Any = {"type": "http", "path": path, "state": dict(state), "headers": []}
    return Request(scope)


def headers(answer: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def test_an_answer_is_json_and_kept_by_nobody() -> None:
    asked = request()
    answer = errors.answer_problem(asked, Problem(404, ErrorBody(type="not_found", message="No")))
    assert (answer.status_code, answer.content) == (404, b'{"type":"not_found","message":"No"}')
    assert headers(answer) == {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    assert asked.scope["state"][errors.OUTCOME] == "not_found", "its type, without a code"


def test_an_answer_names_its_request_and_when_to_ask_again() -> None:
    asked = request(request_id="01R")
    answer = errors.answer_problem(asked, errors.rate_limited(9))
    assert headers(answer)["x-request-id"] == "01R"
    assert headers(answer)["retry-after"] == "9"
    assert asked.scope["state"][errors.OUTCOME] == "rate_limited"


def test_of_a_request_without_a_state_too() -> None:
    scope: Any = {"type": "http", "path": "/", "headers": []}
    asked: Request[Any, Any, Any] = Request(scope)
    scope.pop("state", None)
    assert errors.answer_problem(asked, errors.no_such_route()).status_code == 404
    assert asked.scope["state"] == {errors.OUTCOME: "not_found"}


@pytest.mark.parametrize(
    ("path", "error", "expected"),
    [
        ("/store/orders/order_1/cancel", Unavailable("db"), errors.service_unavailable()),
        ("/store/orders/order_1/cancel", TurnedAway("overloaded"), errors.service_unavailable()),
        ("/store/orders/order_1/cancel", CommitUnknown("lost"), errors.service_unavailable(unconfirmed=True)),
        ("/store/orders/order_1/cancellation", Unavailable("db"), errors.receipt_unavailable()),
        ("/store/orders/cancellation/cancel", Unavailable("db"), errors.service_unavailable()),
    ],
)
def test_what_is_away(path: str, error: Unavailable, expected: Problem) -> None:
    answer = errors.answer_unavailable(request(path), error)
    assert (answer.status_code, json.loads(answer.content)["message"]) == (503, expected.body.message)
    assert headers(answer)["retry-after"] == "2"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            HTTPException(status_code=500, detail="client disconnected prematurely"),
            errors.invalid_data("Invalid request: the body ended early"),
        ),
        (HTTPException(status_code=400, detail="Wrong"), errors.invalid_data("Wrong")),
        (HTTPException(status_code=413, detail="Too Large"), errors.invalid_data("Too Large")),
        (HTTPException(status_code=404, detail="x"), errors.no_such_route()),
        (HTTPException(status_code=408, detail="x"), errors.request_timeout()),
        (
            HTTPException(status_code=405, detail="Method Not Allowed"),
            Problem(405, ErrorBody(code="not_allowed", type="not_allowed", message="Method Not Allowed")),
        ),
    ],
)
def test_what_the_framework_refuses(error: HTTPException, expected: Problem) -> None:
    answer = errors.answer_http_exception(request(), error)
    assert answer.status_code == expected.status
    assert answer.content == errors.answer_problem(request(), expected).content


def test_the_frameworks_headers_stay() -> None:
    error = HTTPException(status_code=405, detail="No", headers={"Allow": "GET"})
    answer = errors.answer_http_exception(request(), error)
    assert headers(answer)["allow"] == "GET"
    assert headers(answer)["cache-control"] == "no-store"


def test_what_nobody_expected_says_nothing_of_itself() -> None:
    answer = errors.answer_unexpected(request(), RuntimeError("secret"))
    assert (answer.status_code, json.loads(answer.content)["code"]) == (500, "unknown_error")
    assert b"secret" not in answer.content
