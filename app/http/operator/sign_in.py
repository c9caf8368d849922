"""Sign in with the Medusa admin account, and out."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import structlog
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from app.http.operator.desk import OperatorDesk
from app.http.operator.doors import (
    check_form,
    check_origin,
    client_address,
    no_cookie,
    own_page,
    read_cookie,
    read_form,
    start_session,
)
from app.http.operator.session import COOKIE
from app.http.operator.views import HEADERS, page
from app.ports import Services, SignInRefused, Unavailable
from app.usecases.operator_sessions import EndReason, end_session

log = structlog.get_logger()

ATTEMPTS_A_MINUTE: Final = 10
"""Of one address, and for one account."""

WRONG: Final = "Wrong e-mail address or password."
ELSEWHERE: Final = (
    "Medusa asks for more than a password for this account. Sign in to Medusa's admin first, then open this page again."
)
DOWN: Final = "Medusa does not answer just now, so nobody can sign in. Please try again in a moment."
SLOWLY: Final = "Too many attempts. Please wait a minute."


@get("/sign-in")
async def show(next: FromQuery[str] = "", out: FromQuery[str] = "") -> Template:  # noqa: A002 (the field's name)
    """The form."""
    return _form(next_=next, signed_out=bool(out))


@post("/sign-in")
async def sign_in(
    request: Request[Any, Any, Any], operator_desk: NamedDependency[OperatorDesk], services: NamedDependency[Services]
) -> Response[Any]:
    """Ask Medusa, and begin a session."""
    check_origin(request)
    fields = await read_form(request)
    email, password, next_ = fields.get("email", "").strip(), fields.get("password", ""), fields.get("next", "")
    account = hashlib.sha256(email.lower().encode(errors="replace")).hexdigest()[:24]
    for key in (f"sign-in:{client_address(request, operator_desk)}", f"sign-in:{account}"):
        seconds = await operator_desk.limits.exceeded((key, ATTEMPTS_A_MINUTE))
        if seconds is not None:
            return _form(email, next_, SLOWLY, status=429, retry_after=seconds)
    if not email or not password:
        return _form(email, next_, WRONG, status=401)
    try:
        admin, credential = await operator_desk.admins.sign_in(email, password)
    except SignInRefused as refused:
        log.warning("operator.sign_in_refused", elsewhere=refused.elsewhere)
        return _form(email, next_, ELSEWHERE if refused.elsewhere else WRONG, status=401)
    except Unavailable as error:
        log.warning("operator.sign_in_unavailable", error=str(error))
        return _form(email, next_, DOWN, status=503)
    cookies = [await start_session(request, operator_desk, services, admin, credential)]
    return Redirect(_next(next_), status_code=303, cookies=cookies, headers=dict(HEADERS))


@post("/sign-out")
async def sign_out(
    request: Request[Any, Any, Any], operator_desk: NamedDependency[OperatorDesk], services: NamedDependency[Services]
) -> Response[Any]:
    """End the session: its cookie, and every copy of it, is dead in every process."""
    session = operator_desk.sessions.read(read_cookie(request, COOKIE))
    if session is not None:
        await check_form(request, operator_desk, session)
        await end_session(services, session.id_hash, EndReason.SIGNED_OUT)
    cookies = [no_cookie(request, operator_desk)]
    return Redirect("/grace/sign-in?out=1", status_code=303, cookies=cookies, headers=dict(HEADERS))


def _form(
    email: str = "",
    next_: str = "",
    error: str | None = None,
    *,
    signed_out: bool = False,
    status: int = 200,
    retry_after: int | None = None,
) -> Template:
    context = {"email": email[:200], "next": _next(next_), "error": error, "signed_out": signed_out}
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return page("sign_in.html", context, status=status, headers=headers)


def _next(path: str) -> str:
    """A page of ours and nothing else."""
    return own_page(path) or "/grace"
