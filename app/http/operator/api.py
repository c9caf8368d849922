"""What a widget in Medusa's admin asks: how an order stands."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.domain.incidents import WORDS
from app.domain.timeline import who
from app.domain.unseen_characters import visible
from app.http import errors
from app.http.cookies import read_cookie
from app.http.operator.desk import OperatorDesk
from app.http.operator.doors import MEDUSA_COOKIE, find_operator
from app.http.operator.views import plain
from app.ports import Services, Unavailable
from app.usecases.order_timeline import OrderStory, order_timeline

log = structlog.get_logger()

_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


class IncidentBody(msgspec.Struct, frozen=True, kw_only=True):
    """An open incident."""

    kind: str
    detail: str
    what_to_do: str
    opened_at: datetime


class OrderBody(msgspec.Struct, frozen=True, kw_only=True):
    """How an order stands."""

    order_id: str
    canceled: bool
    canceled_at: datetime | None
    canceled_by: str | None
    """``None`` as well when it was not canceled here."""
    reason: str | None
    payment_action: str
    incidents: list[IncidentBody]
    url: str


@get("/api/orders/{order_id:str}")
async def order_status(
    request: Request[Any, Any, Any],
    order_id: FromPath[str],
    services: NamedDependency[Services],
    operator_desk: NamedDependency[OperatorDesk],
) -> Response[bytes]:
    """The order's state for whoever Medusa, or we, know as an admin."""
    try:
        await _admit(request, operator_desk, services)
        known = _ID.fullmatch(order_id) is not None
        story = await order_timeline(services, order_id) if known else None
    except Unavailable as error:
        log.warning("request.unavailable", path=request.scope["path"], error=str(error))
        message = "The order's state is not known just now. Please try again in a moment."
        body = errors.ErrorBody(code="service_unavailable", type="unexpected_state", message=message)
        raise errors.Problem(503, body, retry_after=2) from error
    if story is None or story.order is None:
        raise errors.order_not_found(order_id[:128])
    headers = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    return Response(msgspec.json.encode(_body(story)), headers=headers)


async def _admit(request: Request[Any, Any, Any], desk: OperatorDesk, services: Services) -> None:
    if await find_operator(request, desk, services, active=False) is not None:
        return
    admin = await desk.known.whoami(
        cookie=read_cookie(request, MEDUSA_COOKIE), authorization=request.headers.get("authorization")
    )
    if admin is None:
        body = errors.ErrorBody(code="unauthorized", type="unauthorized", message="Unauthorized")
        raise errors.Problem(401, body)


def _body(story: OrderStory) -> OrderBody:
    assert story.order is not None
    made = story.cancellation if story.order.canceled else None
    return OrderBody(
        order_id=story.order_id,
        canceled=story.order.canceled,
        canceled_at=story.order.canceled_at,
        canceled_by=who(made.canceled_by) if made is not None else None,
        reason=visible(made.reason_label or made.reason or "") or None if made is not None else None,
        payment_action=story.payment_action.value,
        incidents=[
            IncidentBody(
                kind=one.incident.kind.value,
                detail=visible(one.incident.last_error or one.incident.detail),
                what_to_do=plain(WORDS[one.incident.kind].what_to_do),
                opened_at=one.incident.opened_at,
            )
            for one in story.incidents
            if one.incident.closed_at is None
        ],
        url=f"/grace/orders/{quote(story.order_id, safe='')}",
    )
