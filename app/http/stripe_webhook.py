"""``POST /hooks/stripe``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Parameter, RequestBody, Schema
from ulid import ULID

from app.http import errors
from app.http.admission import count_webhook
from app.http.answers import FAILED, JSON, TIMEOUT, done, refused, specs
from app.http.desk import Desk
from app.http.tracing import origin_of
from app.ports import HintRejected
from app.usecases.take_hint import take_hint

log = structlog.get_logger()

LARGEST_EVENT = 256 * 1024
"""Bytes."""

EVENTS_PER_ADDRESS = 3_000
"""A minute. Stripe sends from a dozen addresses, and a busy shop's events or retried ones in bursts."""


class Received(msgspec.Struct, frozen=True):
    """The event is taken in."""

    received: bool


_HOOK: Final = specs(
    done("received", "taken in", Received(received=True)),
    refused(
        "invalid_data",
        "not signed by Stripe, too old or of the future, or unreadable",
        errors.invalid_data("Invalid webhook: the signature does not fit the body"),
    ),
    TIMEOUT,
    refused("rate_limited", "too many webhooks of an address", errors.rate_limited(50)),
    refused("not_found", "STRIPE_WEBHOOK_SECRET is not set", errors.no_such_route()),
    refused("service_unavailable", "the database does not answer: Stripe sends it again", errors.service_unavailable()),
    FAILED,
)


@dataclass
class _WithEvent(Operation):
    """The body is verified as it was sent, and parsed by Stripe's own library."""

    def __post_init__(self) -> None:
        self.parameters = [Parameter("stripe-signature", "header", Schema(type=OpenAPIType.STRING), required=False)]
        self.request_body = RequestBody({JSON: OpenAPIMediaType(schema=Schema())})


@post(
    "/hooks/stripe",
    status_code=200,
    request_max_body_size=LARGEST_EVENT,
    operation_id="takeHint",
    summary="Stripe's webhooks",
    description="Only hints to look; see the README.",
    operation_class=_WithEvent,
    responses=_HOOK,
)
async def receive(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Received:
    """Take an event in, or answer 400 to one that Stripe did not sign. 404 when no secret is set.

    The address, then the signature header's form and time, then the length are checked before the body is received.
    """
    if not desk.hints.expected:
        raise NotFoundException
    request_id = str(ULID())
    structlog.contextvars.bind_contextvars(request_id=request_id)
    await count_webhook(desk, request, EVENTS_PER_ADDRESS)
    try:
        signature = desk.hints.check_signature(request.headers.getall("stripe-signature", []))
        hint = desk.hints.read(await request.body(), signature)
    except HintRejected as rejected:
        log.warning("webhook.rejected", error=str(rejected))
        raise errors.invalid_data(f"Invalid webhook: {rejected}") from rejected
    if hint is not None:
        await take_hint(desk.services, hint, origin_of(request, request_id))
    return Received(received=True)
