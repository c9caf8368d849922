"""What an operator does. Every form is sent once, however often it is pressed."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from app.http.operator.desk import OperatorDesk
from app.http.operator.doors import Forged, check_form, confirm_operator, own_page
from app.http.operator.session import Session
from app.http.tracing import origin_of
from app.ports import Services
from app.usecases.operator_acts import Acted, ActRequest
from app.usecases.refund_late_money import refund_late_money
from app.usecases.retry_incident import retry_incident
from app.usecases.settle_incident import settle_incident

LONGEST_NAME: Final = 100
LONGEST_NOTE: Final = 1000
_TOKEN: Final = re.compile(r"[0-9A-Z]{26}")


@post("/incidents/{incident_id:int}/retry")
async def retry(
    request: Request[Any, Any, Any],
    incident_id: FromPath[int],
    services: NamedDependency[Services],
    operator_desk: NamedDependency[OperatorDesk],
    operator: NamedDependency[Session],
) -> Response[Any]:
    """Try it now."""
    fields = await check_form(request, operator_desk, operator)
    await confirm_operator(operator_desk, services, operator)
    return _answer(await retry_incident(services, _asked(request, incident_id, operator, fields)), "retry", fields)


@post("/incidents/{incident_id:int}/refund")
async def refund(
    request: Request[Any, Any, Any],
    incident_id: FromPath[int],
    services: NamedDependency[Services],
    operator_desk: NamedDependency[OperatorDesk],
    operator: NamedDependency[Session],
) -> Response[Any]:
    """Give late money back."""
    fields = await check_form(request, operator_desk, operator)
    await confirm_operator(operator_desk, services, operator)
    return _answer(await refund_late_money(services, _asked(request, incident_id, operator, fields)), "refund", fields)


@post("/incidents/{incident_id:int}/settle")
async def settle(
    request: Request[Any, Any, Any],
    incident_id: FromPath[int],
    services: NamedDependency[Services],
    operator_desk: NamedDependency[OperatorDesk],
    operator: NamedDependency[Session],
) -> Response[Any]:
    """I did it by hand."""
    fields = await check_form(request, operator_desk, operator)
    await confirm_operator(operator_desk, services, operator)
    asked = _asked(request, incident_id, operator, fields)
    name, note = fields.get("name", "").strip(), fields.get("note", "").strip()
    if not _is_text(name, LONGEST_NAME) or not _is_text(note, LONGEST_NOTE):
        return _back(fields, "incomplete")
    return _answer(await settle_incident(services, asked, name=name, note=note), "settle", fields)


def _asked(request: Request[Any, Any, Any], incident_id: int, operator: Session, fields: dict[str, str]) -> ActRequest:
    token = fields.get("act", "")
    if not _TOKEN.fullmatch(token):
        raise Forged
    if not 0 < incident_id < 2**63:
        raise NotFoundException
    return ActRequest(incident_id=incident_id, actor=operator.email, token=token, origin=origin_of(request))


def _is_text(words: str, longest: int) -> bool:
    return 0 < len(words) <= longest and "\x00" not in words


def _answer(acted: Acted, verb: str, fields: dict[str, str]) -> Response[Any]:
    if acted is Acted.UNKNOWN:
        raise NotFoundException
    return _back(fields, f"done-{verb}" if acted is Acted.DONE else acted.value)


def _back(fields: dict[str, str], said: str) -> Response[Any]:
    """To the page that the form stood on, by an address of ours alone; a reload there sends nothing again."""
    back = own_page(fields.get("back", "")) or "/grace"
    return Redirect(f"{back}{'&' if '?' in back else '?'}said={quote(said)}", status_code=303)
