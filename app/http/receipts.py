"""``/store/orders/{id}/cancellation``: the receipt of a cancellation, and the keys that receipts are signed with."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.domain.receipt import Receipt, SignedReceipt
from app.http import errors, receipt_page
from app.http.admission import admit
from app.http.desk import Desk
from app.usecases.cancel_order import NotFound
from app.usecases.read_receipt import NoReceipt, read_receipt

JSON: Final = "application/json"
HTML: Final = "text/html"
TEXT: Final = "text/plain"


@get("/store/orders/{order_id:str}/cancellation")
async def receipt(
    request: Request[Any, Any, Any],
    order_id: FromPath[str],
    desk: NamedDependency[Desk],
) -> Response[bytes]:
    """Confirm a cancellation: JSON, or a page or a text to keep where ``Accept`` prefers one."""
    admitted = await admit(desk, request, order_id)
    outcome = await read_receipt(desk.services, admitted.order)
    if isinstance(outcome, NotFound):
        raise errors.order_not_found(order_id)
    if isinstance(outcome, NoReceipt):
        raise errors.no_receipt(outcome.reason)
    signed = _sign(desk, outcome)
    headers = {
        "cache-control": "no-store",
        "vary": "Accept",
        "x-content-type-options": "nosniff",
        "x-request-id": request.state[errors.REQUEST_ID],
    }
    match _form(request):
        case "text/html":
            headers |= {"content-type": f"{HTML}; charset=utf-8", "content-security-policy": receipt_page.POLICY}
            return Response(receipt_page.as_html(signed).encode(), headers=headers)
        case "text/plain":
            headers |= {"content-type": f"{TEXT}; charset=utf-8"}
            return Response(receipt_page.as_text(signed).encode(), headers=headers)
        case _:
            headers |= {"content-type": f"{JSON}; charset=utf-8"}
            return Response(msgspec.json.encode(signed), headers=headers)


@get("/store/cancellation-keys")
async def keys(desk: NamedDependency[Desk]) -> Response[bytes]:
    """The public keys of receipts, for anybody: a JWK set."""
    headers = {"content-type": "application/jwk-set+json", "cache-control": "public, max-age=3600"}
    return Response(desk.receipts.public(), headers=headers)


def _form(request: Request[Any, Any, Any]) -> str:
    """The media type to answer in. Litestar stumbles over q=inf and q=NaN."""
    try:
        return request.accept.best_match([JSON, HTML, TEXT], default=JSON) or JSON
    except (ValueError, OverflowError):
        return JSON


def _sign(desk: Desk, content: Receipt) -> SignedReceipt:
    attestation = desk.receipts.sign(msgspec.json.encode(content))
    fields = {name: getattr(content, name) for name in content.__struct_fields__}
    return SignedReceipt(**fields, receipt=attestation)
