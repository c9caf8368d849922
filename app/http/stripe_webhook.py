"""``POST /hooks/stripe``."""

from __future__ import annotations

from typing import Any

import structlog
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from ulid import ULID

from app.http import errors
from app.http.admission import count_webhook
from app.http.desk import Desk
from app.ports import HintRejected
from app.usecases.take_hint import take_hint

log = structlog.get_logger()

LARGEST_EVENT = 256 * 1024
"""Bytes."""

EVENTS_PER_ADDRESS = 3_000
"""A minute. Stripe sends from a dozen addresses, and a busy shop's events or retried ones in bursts."""


@post("/hooks/stripe", status_code=200, request_max_body_size=LARGEST_EVENT)
async def receive(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> dict[str, bool]:
    """Take an event in, or answer 400 to one that Stripe did not sign. 404 when no secret is set.

    The address, then the signature header's form and time, then the length are checked before the body is received.
    """
    if not desk.hints.expected:
        raise NotFoundException
    structlog.contextvars.bind_contextvars(request_id=str(ULID()))
    await count_webhook(desk, request, EVENTS_PER_ADDRESS)
    try:
        signature = desk.hints.check_signature(request.headers.getall("stripe-signature", []))
        hint = desk.hints.read(await request.body(), signature)
    except HintRejected as rejected:
        log.warning("webhook.rejected", error=str(rejected))
        raise errors.invalid_data(f"Invalid webhook: {rejected}") from rejected
    if hint is not None:
        await take_hint(desk.services, hint)
    return {"received": True}
