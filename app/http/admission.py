"""Admission for the routes of an order: load shedding, rate limits, publishable key, ownership."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from litestar import Request
from ulid import ULID

from app.domain.order import Order
from app.domain.ownership import Ownership, ownership
from app.http import errors
from app.http.cookies import read_cookie
from app.http.desk import Desk
from app.ports import KeyRejected, TokenRejected, TurnedAway

TURNED_AWAY_AFTER: Final = 0.5
"""Seconds. Long enough that most of the machine is left to those who are served, short enough that a crowd behind the
door gets its answers too."""
_ORDER_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's right to the order rests on: a signed-in customer, or else a modification token for it."""

    customer_id: str | None = None
    token_issued_at: datetime | None = None
    """Of the token, where it says so."""


class _Session(msgspec.Struct, frozen=True):
    """A session cookie of the shop, whose customer is still to be asked for."""

    cookie: str
    publishable_key: str


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the order's owner, and the order as it was read for it, without a lock."""

    order: Order
    read_at: float
    """``time.monotonic()`` when it had been read."""
    right: Right


async def admit(desk: Desk, request: Request[Any, Any, Any], order_id: str) -> Admitted:
    """Authorize the request for the order, or raise the matching ``Problem``.

    The limit of an address is counted ahead of everything, the limit of an order only once it is known who asks:
    requests without a right to the order use up nothing of its owner's.
    """
    request_id = request.state[errors.REQUEST_ID] = str(ULID())
    structlog.contextvars.bind_contextvars(request_id=request_id, order_id=order_id[:128])
    await _turn_away(desk)  # ahead of all work: under a flood even refusals must be cheap
    try:
        right: Right | _Session | errors.Problem = _identify(desk, request, order_id)
    except errors.Problem as problem:
        right = problem
    address = _address(desk, request)
    if address is not None:
        await _count(desk, f"address:{address}", desk.per_address)
    await _turn_away(desk)  # again: a crowd that came in at once has passed the first
    order = await _look_up(desk, request, None if isinstance(right, errors.Problem) else order_id)
    read_at = time.monotonic()
    if isinstance(right, errors.Problem):
        raise right
    if isinstance(right, _Session):
        right = await _signed_in(desk, right)
    return Admitted(order=await _own(desk, right, order_id, order), read_at=read_at, right=right)


async def _signed_in(desk: Desk, session: _Session) -> Right:
    """Ask the shop whose session it is, once the address is counted and the key is checked."""
    customer_id = await desk.storefront.customer_of_session(session.cookie, session.publishable_key)
    if customer_id is None:
        raise errors.token_required()
    return Right(customer_id=customer_id)


async def _own(desk: Desk, right: Right, order_id: str, order: Order | None) -> Order:
    """Return the order to its owner. An order that is not there is counted and answered as another customer's is."""
    owned = ownership(order, customer_id=right.customer_id, token_issued_at=right.token_issued_at)
    by = "former" if owned is Ownership.FORMER_OWNER else right.customer_id or "token"
    await _count(desk, f"order:{order_id[:128]}:{by}", desk.per_order)
    if owned is Ownership.FORMER_OWNER:
        raise errors.token_mismatch()
    if order is None or owned is Ownership.NONE:
        raise errors.order_not_found(order_id[:128])
    return order


async def _turn_away(desk: Desk) -> None:
    """Raise ``TurnedAway`` while a crowd waits for the database, but not at once: whoever is told at once makes room
    for the next to be told, which takes the time that those would need who are being served."""
    if desk.services.db.crowded:
        await asyncio.sleep(TURNED_AWAY_AFTER)
        raise TurnedAway("too many requests wait for a connection")


async def _count(desk: Desk, budget: str, limit: int) -> None:
    seconds = await desk.limits.exceeded((budget, limit))
    if seconds is not None:
        raise errors.rate_limited(seconds)


async def count_webhook(desk: Desk, request: Request[Any, Any, Any], limit: int) -> None:
    """Count a webhook against its address, apart from a shopper's requests. No limit where addresses have none."""
    address = _address(desk, request)
    if address is None or not desk.per_address:
        return
    await _count(desk, f"webhooks:{address}", limit)


def _address(desk: Desk, request: Request[Any, Any, Any]) -> str | None:
    peer = request.client.host if request.client else None
    return desk.addresses.of(peer, ",".join(request.headers.getall("x-forwarded-for", [])))


async def _look_up(desk: Desk, request: Request[Any, Any, Any], order_id: str | None) -> Order | None:
    """Check the publishable key, and read the order that the request may ask for."""
    key = request.headers.get("x-publishable-api-key")
    if order_id is not None and not _ORDER_ID.fullmatch(order_id):
        order_id = None
    async with desk.services.db.read("store.admit") as conn:
        try:
            return await desk.services.orders.read_with_key(conn, key, order_id)
        except KeyRejected as refused:
            raise errors.key_refused(str(refused)) from refused


def _identify(desk: Desk, request: Request[Any, Any, Any], order_id: str) -> Right | _Session:
    """Return what the request shows for its right to the order, whose owner it may not be."""
    token = request.headers.get("x-modification-token")
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    try:
        if token:
            shown = desk.tokens.verify(token)
            if shown.order_id != order_id:
                raise errors.token_mismatch()
            return Right(token_issued_at=shown.issued_at)
        if scheme.lower() == "bearer" and bearer:
            return Right(customer_id=desk.storefront.customer_id(bearer.strip()))
    except TokenRejected as rejected:
        raise errors.token_rejected(expired=rejected.expired) from rejected
    session = _session(desk, request)
    if session is None:
        raise errors.token_required()
    return session


def _session(desk: Desk, request: Request[Any, Any, Any]) -> _Session | None:
    """Return the shop's session cookie, where the request comes from a page of the storefront.

    A browser sends a cookie along with requests that pages of other sites make it send: those name another origin, or
    none. Only to read may a request name none: browsers leave it out for the pages of the very same origin.
    """
    name = desk.storefront.session_cookie
    cookie = None if name is None else read_cookie(request, name)
    if not cookie:
        return None
    origins = request.headers.getall("origin", [])
    if origins:
        from_storefront = len(origins) == 1 and desk.origins.allow(origins[0])
    else:
        from_storefront = request.method == "GET" and request.headers.get("sec-fetch-site") in {None, "same-origin"}
    if not from_storefront:
        return None
    return _Session(cookie, request.headers.get("x-publishable-api-key", ""))
