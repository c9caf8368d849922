"""Who may come in, and whether a form is really theirs."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from litestar import Request
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import ClientException

from app.http.cookies import read_cookie
from app.http.operator.desk import OperatorDesk
from app.http.operator.session import COOKIE, PATH, Session
from app.ports import Admin, Credential, Services, Unavailable
from app.usecases.operator_sessions import (
    LIFETIME,
    EndReason,
    begin_session,
    confirm_admin,
    end_session,
    find_session,
    recheck_admin,
)

MEDUSA_COOKIE: Final = "connect.sid"
MAX_FIELDS: Final = 20
_OWN_PAGE: Final = re.compile(
    r"/grace(/orders(/(?P<segment>[A-Za-z0-9_.~%-]{1,384}))?)?(\?[A-Za-z0-9_=&%.-]{0,100})?", re.ASCII
)

AnyRequest = Request[Any, Any, Any]


class NotSignedIn(Exception):
    """Nobody we know of is asking."""


class SignedInByMedusa(Exception):
    """The shop's own session cookie speaks for an admin: a session of ours begins."""

    def __init__(self, cookie: Cookie) -> None:
        super().__init__("signed in by Medusa")
        self.cookie = cookie


class Forged(Exception):
    """A form that this session did not make, or that another page sent."""


async def provide_operator(
    request: AnyRequest, operator_desk: NamedDependency[OperatorDesk], services: NamedDependency[Services]
) -> Session:
    """Who looks at a page. Raises ``NotSignedIn``, or ``SignedInByMedusa`` at the first look."""
    renews_itself = "hx-request" in request.headers
    session = await find_operator(request, operator_desk, services, active=not renews_itself)
    if session is not None:
        return session
    if request.method == "GET":
        credential = Credential(cookie=read_cookie(request, MEDUSA_COOKIE))
        try:
            admin = await operator_desk.known.whoami(cookie=credential.cookie, authorization=None)
        except Unavailable:
            admin = None  # the sign-in page will say so
        if admin is not None:
            raise SignedInByMedusa(await start_session(request, operator_desk, services, admin, credential))
    raise NotSignedIn


async def find_operator(request: AnyRequest, desk: OperatorDesk, services: Services, *, active: bool) -> Session | None:
    """The live session of the request's cookie, which only an ``active`` operator keeps alive.

    Raises ``Unavailable`` when the database does not answer.
    """
    session = desk.sessions.read(read_cookie(request, COOKIE))
    if session is None:
        return None
    row = await find_session(services, session.id_hash, active=active)
    if row is None:
        return None
    if row.check_due:
        credential = desk.sessions.unseal(session, row.credential)
        if not await recheck_admin(services, desk.admins, session.id_hash, session.admin_id, credential):
            return None
    return session


async def confirm_operator(desk: OperatorDesk, services: Services, session: Session) -> None:
    """Ask Medusa, ahead of an act that moves money, whether the operator still is an admin.

    Raises ``NotSignedIn``, and ``Unavailable`` when Medusa does not answer: nothing may be done then.
    """
    row = await find_session(services, session.id_hash, active=True)
    credential = None if row is None else desk.sessions.unseal(session, row.credential)
    if not await confirm_admin(services, desk.admins, session.id_hash, session.admin_id, credential):
        raise NotSignedIn


async def check_form(request: AnyRequest, desk: OperatorDesk, session: Session) -> dict[str, str]:
    """The form's fields. Raises ``Forged`` unless it was sent by a page of this session."""
    check_origin(request, desk)
    fields = await read_form(request)
    if not desk.sessions.is_form_token(session, fields.get("csrf", "")):
        raise Forged
    return fields


async def read_form(request: AnyRequest) -> dict[str, str]:
    """The fields of a URL-encoded form, which is what our pages send; of a repeated one, the first."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise ClientException(f"Expected a form as application/x-www-form-urlencoded, not {media_type[:80]!r}")
    try:
        pairs = parse_qsl((await request.body()).decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise ClientException(f"Expected a form of at most {MAX_FIELDS} fields") from error
    return dict(reversed(pairs))


def own_page(path: str) -> str | None:
    """The path, if it leads to one of our pages for reading, however a browser or a proxy decodes it; else ``None``."""
    match = _OWN_PAGE.fullmatch(path)
    if match is None:
        return None
    segment = unquote(match["segment"] or "x")
    leads_elsewhere = not segment.strip(".") or not segment.isprintable() or set(segment) & set("%/\\")
    return None if leads_elsewhere else path


def check_origin(request: AnyRequest, desk: OperatorDesk, *, required: bool = False) -> None:
    """Raise ``Forged`` when another site's page has sent the form. A client that tells neither is let through to the
    form's own token, or refused where there is none (``required``)."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise Forged
    vouched = site is not None and desk.origin.public_url is None  # a proxy may have put its own name into Host
    if origin is not None and not vouched and not desk.origin.is_own(request, origin):
        raise Forged
    if site is None and origin is None and required:
        raise Forged


async def start_session(
    request: AnyRequest, desk: OperatorDesk, services: Services, admin: Admin, credential: Credential
) -> Cookie:
    """Begin a session in place of the browser's last one, if it had any, and give its cookie."""
    last = desk.sessions.read(read_cookie(request, COOKIE))
    if last is not None:
        await end_session(services, last.id_hash, EndReason.REPLACED)
    session, value = desk.sessions.begin(admin)
    address = client_address(request, desk)
    await begin_session(
        services,
        session.id_hash,
        admin,
        credential=desk.sessions.seal(session, credential),
        origin=desk.sessions.origin_hash(admin.email, address),
        address=address,
    )
    return _cookie(request, desk, value, max_age=int(LIFETIME.total_seconds()))


def no_cookie(request: AnyRequest, desk: OperatorDesk) -> Cookie:
    """What ends a session at the browser."""
    return _cookie(request, desk, "", max_age=0)


def _cookie(request: AnyRequest, desk: OperatorDesk, value: str, *, max_age: int) -> Cookie:
    return Cookie(
        key=COOKIE,
        value=value,
        path=PATH,
        max_age=max_age,
        httponly=True,
        samesite="strict",
        secure=desk.origin.is_https(request),
    )


def client_address(request: AnyRequest, desk: OperatorDesk) -> str | None:
    """The address whose attempts to sign in are counted together; ``None`` where a proxy does not name it."""
    peer = request.client.host if request.client else None
    return desk.addresses.of(peer, ",".join(request.headers.getall("x-forwarded-for", [])))
