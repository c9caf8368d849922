"""Response specs: what a route answers, with an example of each. Refusals are made by the very code that refuses."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import PathParameter

from app.domain.cancellation import Refusal
from app.http import errors
from app.http.edge import MAX_HEAD_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES

JSON: Final = "application/json"
EXAMPLE_ORDER: Final = "order_01M82MGPYYHGSM41XBR1GMBMVJ"

OrderId = Annotated[str, PathParameter(min_length=1)]

Answer = tuple[int, Example]
"""A status, and an example of the body with its name and when it is given."""


def done(name: str, when: str, body: msgspec.Struct | str, *, status: int = 200) -> Answer:
    """An answer that is the one that was asked for."""
    return status, Example(id=name, summary=when, value=body)


def refused(name: str, when: str, problem: errors.Problem) -> Answer:
    """An answer that is not."""
    return problem.status, Example(id=name, summary=when, value=problem.body)


def specs(*answers: Answer, media: str = JSON) -> dict[int, ResponseSpec]:
    """For a handler's ``responses``. Those of any route, before anything else is looked at, are added."""
    by_status: dict[int, list[Example]] = {}
    for status, example in (*answers, *_OVERSIZED):
        by_status.setdefault(status, []).append(example)
    return {
        status: ResponseSpec(
            type(examples[0].value),
            generate_examples=False,
            description=described(example.summary for example in examples),
            media_type=media if status == 200 else JSON,
            examples=examples,
        )
        for status, examples in sorted(by_status.items())
    }


def described(whens: Any) -> str:
    """The description of a response, from those of its examples."""
    return "; ".join(whens)


FAILED: Final = refused("unknown_error", "a defect of the sidecar; its log has the request id", errors.unexpected())
TIMEOUT: Final = refused("request_timeout", "the body did not arrive in time", errors.request_timeout())
UNAVAILABLE: Final = refused(
    "service_unavailable", "the database does not answer, or the order stays locked", errors.service_unavailable()
)
_OVERSIZED: Final = (
    refused("uri_too_long", "path and query string are too long", errors.target_too_long(MAX_TARGET_BYTES)),
    refused(
        "headers_too_large",
        f"a header or all together are too large, or more than {MAX_HEADERS}",
        errors.headers_too_large(MAX_HEADER_BYTES, MAX_HEAD_BYTES),
    ),
)

ADMISSION: Final = (
    refused("token_required", "the request carries no token and no signed-in customer", errors.token_required()),
    refused("token_invalid", "the token proves nothing", errors.token_rejected(expired=False)),
    refused("token_expired", "the token is too old", errors.token_rejected(expired=True)),
    refused(
        "token_mismatch", "a valid token, for another order or from before it changed hands", errors.token_mismatch()
    ),
    refused(
        "not_found",
        "no such order, or another customer's: which of them is not told",
        errors.order_not_found(EXAMPLE_ORDER),
    ),
    refused("rate_limited", "too many requests of an address or for an order", errors.rate_limited(50)),
    FAILED,
)
"""What every route of an order may answer, besides what the shop says of a publishable key."""

RIGHTS: Final[list[dict[str, list[str]]]] = [
    {"publishableKey": [], "modificationToken": []},
    {"publishableKey": [], "customer": []},
]
"""What a request for an order shows: the ``security`` of its routes."""

REFUSALS: Final = {
    Refusal.CAPTURED: "the money is captured",
    Refusal.COMPLETED: "the order is completed",
    Refusal.FULFILLED: "the order is being fulfilled",
    Refusal.CAPTURE_IN_FLIGHT: "a capture is in flight",
    Refusal.GRACE_PERIOD_OVER: "the grace period is over",
    Refusal.ORDER_CHANGE_PENDING: "an edit, a return, a claim or an exchange is open",
    Refusal.PAYMENT_UNKNOWN: "the order owes money, and its links do not lead to who pays it",
    Refusal.PARTIAL_CAPTURE: "a part of the money is captured",
}
