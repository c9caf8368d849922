"""``/store/orders/{id}/cancellation``: the receipt of a cancellation, and the keys that receipts are signed with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema

from app.domain.cancellation import PaymentAction
from app.domain.receipt import CanceledBy, OrderLine, Receipt, SignedReceipt
from app.http import errors, receipt_page
from app.http.admission import admit
from app.http.answers import ADMISSION, EXAMPLE_ORDER, JSON, RIGHTS, OrderId, done, refused, specs
from app.http.desk import Desk
from app.usecases.cancel_order import NotFound
from app.usecases.read_receipt import Lack, NoReceipt, read_receipt

JWK_SET: Final = "application/jwk-set+json"
HTML: Final = "text/html"
TEXT: Final = "text/plain"


class Jwk(msgspec.Struct, frozen=True):
    """A public key. Its RFC 7638 thumbprint is its kid."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    kid: str
    use: Literal["sig"]
    alg: Literal["EdDSA"]


class JwkSet(msgspec.Struct, frozen=True):
    """RFC 7517."""

    keys: tuple[Jwk, ...]


def _receipt(by: CanceledBy, *, signed: bool) -> SignedReceipt:
    chosen = by is not CanceledBy.SHOP
    token = "eyJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiIsInR5cCI6Ii4uLiJ9.eyIuLi4iOiIuLi4ifQ.c2lnbmF0dXJl"  # noqa: S105
    return SignedReceipt(
        order_id=EXAMPLE_ORDER,
        display_id="1042",
        canceled_at=datetime(2026, 11, 23, 10, 12, 31, 482_000, tzinfo=UTC),
        canceled_by=by,
        reason_code="changed_mind" if chosen else None,
        reason="I changed my mind" if chosen else None,
        items=(OrderLine(title="Shirt", subtitle="M", quantity=2),),
        total="29.74",
        currency="eur",
        payment_action=PaymentAction.VOIDED,
        issued_at=datetime(2026, 11, 23, 10, 13, tzinfo=UTC),
        receipt=token if signed else None,
    )


_SIGNED: Final = _receipt(CanceledBy.TOKEN, signed=True)

_RECEIPT: Final = specs(
    done("signed", "canceled, and attested", _SIGNED),
    done("unsigned", "canceled, by a shop without RECEIPT_SIGNING_KEY", _receipt(CanceledBy.CUSTOMER, signed=False)),
    done("by_the_shop", "canceled in Medusa's admin", _receipt(CanceledBy.SHOP, signed=True)),
    refused("no_receipt", "the order is not canceled", errors.no_receipt(Lack.NOT_CANCELED)),
    refused("no_receipt_time", "canceled, and no row says when", errors.no_receipt(Lack.TIME_UNKNOWN)),
    refused("service_unavailable", "the database does not answer", errors.receipt_unavailable()),
    *ADMISSION,
)

# The key of RFC 8037's appendix, which is no shop's.
_JWK: Final = Jwk(
    "OKP",
    "Ed25519",
    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "sig",
    "EdDSA",
)

_KEYS: Final = specs(
    done("one", "always", JwkSet((_JWK,))), done("none", "without RECEIPT_SIGNING_KEY", JwkSet(())), media=JWK_SET
)


@dataclass
class _WithPages(Operation):
    """The receipt is a page or a text, too."""

    def __post_init__(self) -> None:
        found = (self.responses or {})["200"]
        assert isinstance(found, OpenAPIResponse)
        for media, name, text in (
            (HTML, "page", receipt_page.as_html(_SIGNED)),
            (TEXT, "text", receipt_page.as_text(_SIGNED)),
        ):
            example = Example(summary=f"for Accept: {media}", value=text)
            content = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING), examples={name: example})
            found.content = {**(found.content or {}), media: content}
            found.description += f"; {example.summary}"


@get(
    "/store/orders/{order_id:str}/cancellation",
    operation_id="readReceipt",
    summary="Confirm a cancellation",
    description="To be kept: JSON, or a page (Accept: text/html) or a text (text/plain) to save and print. receipt "
    "is a compact JWS over all the other fields. Refusals are JSON whatever is accepted.",
    operation_class=_WithPages,
    security=RIGHTS,
    responses=_RECEIPT,
)
async def receipt(
    request: Request[Any, Any, Any],
    order_id: OrderId,
    desk: NamedDependency[Desk],
) -> Response[SignedReceipt | bytes]:
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
            return Response(signed, headers=headers)


@get(
    "/store/cancellation-keys",
    operation_id="readKeys",
    summary="The public keys of receipts",
    description="For anybody, without a publishable key. Cacheable.",
    responses=_KEYS,
)
async def keys(desk: NamedDependency[Desk]) -> Response[bytes]:
    """The public keys of receipts, for anybody: a JWK set."""
    headers = {"content-type": JWK_SET, "cache-control": "public, max-age=3600"}
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
