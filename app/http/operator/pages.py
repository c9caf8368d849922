"""What an operator looks at."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final
from urllib.parse import quote

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery
from litestar.plugins.htmx import HTMXRequest
from litestar.response import Redirect, Template
from ulid import ULID

from app.domain.incidents import IncidentKind
from app.domain.risk import Sort
from app.domain.timeline import moments
from app.http.operator.desk import OperatorDesk
from app.http.operator.session import Session
from app.http.operator.views import page, stripe_links
from app.ports import Services
from app.usecases.count_day import count_day
from app.usecases.find_orders import find_orders
from app.usecases.list_incidents import Listed, count_open_incidents, list_incidents, money_at_risk
from app.usecases.order_timeline import order_timeline
from app.usecases.retry_incident import JOB_OF, LOOKED_AT

SAID: Final = {
    "done-retry": "It is tried now. This page shows what comes of it.",
    "done-refund": "The refund is on its way. The incident closes when Stripe has confirmed it.",
    "done-settle": "Closed, with your name and note.",
    "before": "That was done already; it was not done again.",
    "closed": "That incident is closed already.",
    "nothing": "There is nothing to be done about it from here any more.",
    "incomplete": "Please give your name and a note: both are kept with the incident.",
}
_SEARCH_LENGTH: Final = 254
"""Characters: the longest e-mail address."""
_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


@get("/")
async def incidents(
    request: HTMXRequest,
    services: NamedDependency[Services],
    operator_desk: NamedDependency[OperatorDesk],
    operator: NamedDependency[Session],
    sort: FromQuery[str] = "money",
    kind: FromQuery[str] = "",
    show: FromQuery[str] = "open",
    said: FromQuery[str] = "",
) -> Template:
    """What needs a person."""
    if request.htmx.target == "numbers":
        return page("_numbers.html", {"numbers": await count_day(services)})
    open_only = show != "closed"
    by = Sort.LAPSE if sort == Sort.LAPSE else Sort.MONEY
    of_kind = IncidentKind(kind) if kind in set(IncidentKind) else None
    listed = await list_incidents(services, sort=by, open_only=open_only)
    shown = [one for one in listed if of_kind is None or one.incident.kind is of_kind]
    counts = await count_open_incidents(services) if open_only else Counter(one.incident.kind for one in listed)
    if of_kind is not None and counts.get(of_kind, 0) > len(shown):  # some are beyond the newest that are listed
        shown = await list_incidents(services, sort=by, open_only=open_only, kind=of_kind)
    context: dict[str, Any] = {
        **common(operator_desk, operator, "closed" if not open_only else "open"),
        "rows": [_row(operator_desk, one) for one in shown],
        "at_risk": money_at_risk(listed) if open_only else {},
        "count": sum(counts.values()),
        "listed": len(shown),
        "matching": sum(counts.values()) if of_kind is None else counts.get(of_kind, 0),
        "kinds": sorted(counts),
        "kind": of_kind,
        "sort": by.value,
        "open_only": open_only,
        "said": SAID.get(said),
        "here": f"/grace?show={'open' if open_only else 'closed'}&sort={by.value}&kind={of_kind or ''}",
    }
    if request.htmx:
        return page("_incidents.html", context)
    context["numbers"] = await count_day(services)
    return page("incidents.html", context)


@get("/orders")
async def search(
    services: NamedDependency[Services],
    operator_desk: NamedDependency[OperatorDesk],
    operator: NamedDependency[Session],
    q: FromQuery[str] = "",
) -> Response[Any]:
    """Find an order. A single hit is shown at once."""
    words = q.strip()
    searched = 0 < len(words) <= _SEARCH_LENGTH and words.isprintable()
    found = await find_orders(services, words) if searched else {}
    if len(found) == 1:
        return Redirect(f"/grace/orders/{quote(next(iter(found)), safe='')}", status_code=303)
    context = {
        **common(operator_desk, operator, "search"),
        "words": words[:_SEARCH_LENGTH],
        "searched": searched,
        "found": sorted(found.values(), key=lambda order: order.placed_at, reverse=True),
    }
    return page("search.html", context)


@get("/orders/{order_id:str}")
async def order(
    request: HTMXRequest,
    order_id: FromPath[str],
    services: NamedDependency[Services],
    operator_desk: NamedDependency[OperatorDesk],
    operator: NamedDependency[Session],
    said: FromQuery[str] = "",
) -> Template:
    """An order, what is wrong with it, and all that happened to it."""
    story = await order_timeline(services, order_id) if _ID.fullmatch(order_id) else None
    if story is None:
        return page("missing.html", common(operator_desk, operator, "search"), status=404)
    context: dict[str, Any] = {
        **common(operator_desk, operator, "order"),
        "story": story,
        "order": story.order,
        "rows": [_row(operator_desk, one) for one in story.incidents],
        "links": stripe_links(story.order, test_money=operator_desk.test_money),
        "moments": moments(story.events, story.jobs, story.order.placed_at if story.order else None),
        "said": SAID.get(said),
        "here": f"/grace/orders/{quote(order_id, safe='')}",
    }
    return page("_order.html" if request.htmx else "order.html", context)


@get("/{path:path}")
async def nowhere(path: FromPath[str]) -> None:
    """Any other address below: a page that says so, not the body that programs get."""
    raise NotFoundException(path)


def common(desk: OperatorDesk, operator: Session, place: str) -> dict[str, Any]:
    """What every page of somebody who is signed in shows."""
    return {"operator": operator, "csrf": desk.sessions.form_token(operator), "place": place}


def _row(desk: OperatorDesk, listed: Listed) -> dict[str, Any]:
    incident = listed.incident
    return {
        "incident": incident,
        "listed": listed,
        "order": listed.order,
        "links": stripe_links(listed.order, test_money=desk.test_money),
        "error": incident.last_error or incident.detail,
        "retry": _retry(incident.kind) if incident.closed_at is None else None,
        "token": str(ULID()),
        "url": f"/grace/orders/{quote(incident.order_id, safe='')}",
    }


def _retry(kind: IncidentKind) -> str | None:
    if kind in JOB_OF:
        return "Retry now"
    return "Look at Stripe now" if kind in LOOKED_AT else None
