"""Sign in with the Medusa admin account, and out."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from app.http.cookies import read_cookie
from app.http.operator.desk import OperatorDesk
from app.http.operator.doors import (
    check_form,
    check_origin,
    client_address,
    no_cookie,
    own_page,
    read_form,
    start_session,
)
from app.http.operator.guesses import PACE
from app.http.operator.session import COOKIE
from app.http.operator.views import HEADERS, page
from app.ports import Services, SignInRefused, Unavailable
from app.usecases.operator_sessions import EndReason, end_session, is_known_origin

log = structlog.get_logger()

LONGEST_EMAIL: Final = 200
LONGEST_PASSWORD: Final = 500
"""As the form has them."""

WRONG: Final = "Wrong e-mail address or password."
ELSEWHERE: Final = (
    "Medusa asks for more than a password for this account. Sign in to Medusa's admin first, then open this page again."
)
DOWN: Final = "Medusa does not answer just now, so nobody can sign in. Please try again in a moment."
SLOWLY: Final = "Too many attempts. Please wait a minute, or sign in to Medusa's admin first and open this page again."


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What the form was sent with, and from where."""

    email: str = ""
    password: str = ""
    next: str = ""
    address: str | None = None

    @property
    def is_credible(self) -> bool:
        """Whether it is worth asking Medusa."""
        return (
            0 < len(self.email) <= LONGEST_EMAIL
            and 0 < len(self.password) <= LONGEST_PASSWORD
            and self.email.isprintable()
            and "\x00" not in self.password
        )


@get("/sign-in")
async def show(next: FromQuery[str] = "", out: FromQuery[str] = "") -> Template:  # noqa: A002 (the field's name)
    """The form."""
    return _form(Attempt(next=next), signed_out=bool(out))


@post("/sign-in")
async def sign_in(
    request: Request[Any, Any, Any], operator_desk: NamedDependency[OperatorDesk], services: NamedDependency[Services]
) -> Response[Any]:
    """Ask Medusa, and begin a session."""
    check_origin(request, operator_desk, required=True)
    fields = await read_form(request)
    attempt = Attempt(
        email=fields.get("email", "").strip(),
        password=fields.get("password", ""),
        next=fields.get("next", ""),
        address=client_address(request, operator_desk),
    )
    if attempt.address is not None:
        seconds = await operator_desk.guesses.exceeded(f"address:{attempt.address}")
        if seconds is not None:
            return _limited(operator_desk, attempt, "address", seconds)
    if not attempt.is_credible:
        return _refused(operator_desk, attempt)
    account = operator_desk.sessions.account_hash(attempt.email)
    origin = operator_desk.sessions.origin_hash(attempt.email, attempt.address)
    async with operator_desk.guesses.pace(account, partial(is_known_origin, services, origin)) as admitted:
        if not admitted:
            return _limited(operator_desk, attempt, "account", ceil(PACE))
        try:
            admin, credential = await operator_desk.admins.sign_in(attempt.email, attempt.password)
        except SignInRefused as refused:
            return _refused(operator_desk, attempt, elsewhere=refused.elsewhere)
        except Unavailable as error:
            log.warning("operator.sign_in_unavailable", error=str(error))
            return _form(attempt, DOWN, status=503)
    cookies = [await start_session(request, operator_desk, services, admin, credential)]
    return Redirect(_next(attempt.next), status_code=303, cookies=cookies, headers=dict(HEADERS))


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


def _refused(desk: OperatorDesk, attempt: Attempt, *, elsewhere: bool = False) -> Template:
    account = desk.sessions.account_hash(attempt.email)
    log.warning("operator.sign_in_refused", address=attempt.address, account=account, elsewhere=elsewhere)
    return _form(attempt, ELSEWHERE if elsewhere else WRONG, status=401)


def _limited(desk: OperatorDesk, attempt: Attempt, limit: str, seconds: int) -> Template:
    account = desk.sessions.account_hash(attempt.email)
    if desk.guesses.is_news(f"{limit}:{attempt.address if limit == 'address' else account}"):
        log.warning("operator.sign_in_limited", limit=limit, address=attempt.address, account=account)
    return _form(attempt, SLOWLY, status=429, retry_after=seconds)


def _form(
    attempt: Attempt,
    error: str | None = None,
    *,
    signed_out: bool = False,
    status: int = 200,
    retry_after: int | None = None,
) -> Template:
    context = {
        "email": attempt.email[:LONGEST_EMAIL],
        "next": _next(attempt.next),
        "error": error,
        "signed_out": signed_out,
    }
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return page("sign_in.html", context, status=status, headers=headers)


def _next(path: str) -> str:
    """A page of ours and nothing else."""
    return own_page(path) or "/grace"
