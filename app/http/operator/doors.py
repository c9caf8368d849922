"""Who may come in, and whether a form is really theirs."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import Cookie
from litestar.di import NamedDependency

from app.http.operator.desk import OperatorDesk
from app.http.operator.session import COOKIE, LASTS, PATH, Session
from app.ports import Admin, Unavailable

MEDUSA_COOKIE: Final = "connect.sid"

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


async def provide_operator(request: AnyRequest, operator_desk: NamedDependency[OperatorDesk]) -> Session:
    """Who looks at a page. Raises ``NotSignedIn``, or ``SignedInByMedusa`` at the first look."""
    session = operator_desk.sessions.read(request.cookies.get(COOKIE))
    if session is not None:
        return session
    if request.method == "GET":
        try:
            admin = await operator_desk.known.whoami(cookie=request.cookies.get(MEDUSA_COOKIE), authorization=None)
        except Unavailable:
            admin = None  # the sign-in page will say so
        if admin is not None:
            raise SignedInByMedusa(session_cookie(request, operator_desk, admin))
    raise NotSignedIn


async def check_form(request: AnyRequest, desk: OperatorDesk, session: Session) -> dict[str, str]:
    """The form's fields. Raises ``Forged`` unless it was sent by a page of this session."""
    check_origin(request)
    fields = await read_form(request)
    if not desk.sessions.is_form_token(session, fields.get("csrf", "")):
        raise Forged
    return fields


async def read_form(request: AnyRequest) -> dict[str, str]:
    """The text fields of a form."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def check_origin(request: AnyRequest) -> None:
    """Raise ``Forged`` when another site's page has sent the form. Browsers that tell neither are let through to
    the form's own token."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise Forged
        return
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forged


def session_cookie(request: AnyRequest, desk: OperatorDesk, admin: Admin) -> Cookie:
    """The cookie of a new session."""
    _, value = desk.sessions.begin(admin)
    return _cookie(request, desk, value, max_age=int(LASTS.total_seconds()))


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
        secure=_came_by_https(request, desk),
    )


def _came_by_https(request: AnyRequest, desk: OperatorDesk) -> bool:
    if request.url.scheme == "https":
        return True
    told = request.headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
    return told == "https" and desk.addresses.trusts(request.client.host if request.client else None)


def client_address(request: AnyRequest, desk: OperatorDesk) -> str:
    """Whose attempts to sign in are counted together."""
    peer = request.client.host if request.client else None
    return desk.addresses.of(peer, ",".join(request.headers.getall("x-forwarded-for", []))) or "proxy"
