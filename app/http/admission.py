"""Who may come to an order's desk: limits, publishable key, then the right to this very order."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import structlog
from litestar import Request
from ulid import ULID

from app.http import errors
from app.http.desk import Desk
from app.ports import TokenRejected, TurnedAway

TURNED_AWAY_AFTER: Final = 0.5
"""Seconds. Long enough that most of the machine is left to those who are served, short enough that a crowd behind the
door gets its answers too."""
_ORDER_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


async def admit(desk: Desk, request: Request[Any, Any, Any], order_id: str) -> str | None:
    """Let the request in, or raise what Medusa's manners ask for. The customer whose order it must be, if any."""
    request_id = request.state[errors.REQUEST_ID] = str(ULID())
    structlog.contextvars.bind_contextvars(request_id=request_id, order_id=order_id[:128])
    await _turn_away(desk)  # ahead of all work: under a flood even refusals must be cheap
    try:
        customer_id = _identify(desk, request, order_id)
        stranger = None
    except errors.Problem as problem:
        customer_id, stranger = None, problem
    await _count(desk, request, None if stranger else f"order:{order_id[:128]}:{customer_id or 'token'}")
    await _turn_away(desk)  # again: a crowd that came in at once has passed the first
    await _check_key(desk, request)
    if stranger is not None:
        raise stranger
    if not _ORDER_ID.fullmatch(order_id):
        raise errors.order_not_found(order_id[:128])
    return customer_id


async def _turn_away(desk: Desk) -> None:
    """Raise ``TurnedAway`` while a crowd waits for the database, but not at once: whoever is told at once makes room
    for the next to be told, which takes the time that those would need who are being served."""
    if desk.services.db.crowded:
        await asyncio.sleep(TURNED_AWAY_AFTER)
        raise TurnedAway("too many requests wait for a connection")


async def _count(desk: Desk, request: Request[Any, Any, Any], of_order: str | None) -> None:
    """Against the limits of its address and, where it has a right to the order, of the order: a stranger must not use
    up the owner's."""
    address = _address(desk, request)
    budgets = [] if address is None else [(f"address:{address}", desk.per_address)]
    if of_order is not None:
        budgets.append((of_order, desk.per_order))
    seconds = await desk.limits.exceeded(*budgets)
    if seconds is not None:
        raise errors.rate_limited(seconds)


async def count_webhook(desk: Desk, request: Request[Any, Any, Any], limit: int) -> None:
    """Count a webhook against its address, apart from a shopper's requests. No limit where addresses have none."""
    address = _address(desk, request)
    if address is None or not desk.per_address:
        return
    seconds = await desk.limits.exceeded((f"webhooks:{address}", limit))
    if seconds is not None:
        raise errors.rate_limited(seconds)


def _address(desk: Desk, request: Request[Any, Any, Any]) -> str | None:
    peer = request.client.host if request.client else None
    return desk.addresses.of(peer, ",".join(request.headers.getall("x-forwarded-for", [])))


async def _check_key(desk: Desk, request: Request[Any, Any, Any]) -> None:
    async with desk.services.db.read("store.key") as conn:
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
