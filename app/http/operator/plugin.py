"""The operator's page as one part of the application."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import structlog
from litestar import Request, Response, Router
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotFoundException
from litestar.plugins import InitPlugin
from litestar.plugins.htmx import ClientRefresh, HTMXRequest
from litestar.response import Redirect, Template
from litestar.template import TemplateConfig

from app.http.operator import acts, api, assets, pages, sign_in
from app.http.operator.desk import OperatorDesk
from app.http.operator.doors import Forged, NotSignedIn, SignedInByMedusa, client_address, own_page, provide_operator
from app.http.operator.session import PATH
from app.http.operator.views import HEADERS, page, template_engine
from app.ports import Unavailable

log = structlog.get_logger()

AnyRequest = Request[Any, Any, Any]


class OperatorPlugin(InitPlugin):
    """Puts the pages under ``/grace``."""

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add routes, templates and static files."""
        app_config.template_config = TemplateConfig(instance=template_engine())
        app_config.route_handlers += [
            Router(
                PATH,
                route_handlers=[
                    pages.incidents,
                    pages.search,
                    pages.order,
                    pages.nowhere,
                    acts.retry,
                    acts.refund,
                    acts.settle,
                    sign_in.show,
                    sign_in.sign_in,
                    sign_in.sign_out,
                ],
                request_class=HTMXRequest,
                dependencies={"operator_desk": Provide(_provide_desk), "operator": Provide(provide_operator)},
                exception_handlers={
                    NotSignedIn: _answer_not_signed_in,
                    SignedInByMedusa: _answer_signed_in,
                    Forged: _answer_forged,
                    Unavailable: _answer_unavailable,
                    NotFoundException: _answer_missing,
                    HTTPException: _answer_wrong,
                    Exception: _answer_unexpected,
                },
            ),
            Router(PATH, route_handlers=[api.order_status], dependencies={"operator_desk": Provide(_provide_desk)}),
            Router(f"{PATH}/static", route_handlers=[assets.asset]),
        ]
        return app_config


async def _provide_desk(state: State) -> OperatorDesk:
    desk: OperatorDesk = state.operator_desk
    return desk


def _answer_not_signed_in(request: AnyRequest, _: NotSignedIn) -> Response[Any]:
    """To the sign-in page. A link on another site brings no strict cookie along: the browser is asked once more."""
    if request.headers.get("hx-request"):
        return ClientRefresh()
    if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        return page("again.html", {})
    query = request.scope["query_string"].decode("latin-1")
    here = quote(request.scope["path"]) + (f"?{query}" if query else "")
    where = f"?next={quote(here, safe='')}" if request.method == "GET" and own_page(here) else ""
    return Redirect(f"{PATH}/sign-in{where}", status_code=303, headers=dict(HEADERS))


def _answer_signed_in(_: AnyRequest, signed_in: SignedInByMedusa) -> Template:
    """The same page once more, with the new cookie; by the page itself, since a strict cookie does not go along
    with a redirect that another site began."""
    return page("again.html", {}, cookies=[signed_in.cookie])


def _answer_forged(request: AnyRequest, _: Forged) -> Template:
    address = client_address(request, request.app.state.operator_desk)
    log.warning("operator.form_refused", path=request.scope["path"], address=address)
    return _trouble(403, "This form is not valid any more", "Nothing was changed. Go back, reload the page, try again.")


def _answer_unavailable(request: AnyRequest, error: Unavailable) -> Template:
    log.warning("request.unavailable", path=request.scope["path"], error=str(error))
    words = (
        "Medusa or the database does not answer, or the order stays locked. Nothing was changed. "
        "Please try again in a moment."
    )
    return _trouble(503, "Not just now", words, {"retry-after": "2"})


def _answer_missing(_request: AnyRequest, _: NotFoundException) -> Template:
    return _trouble(404, "Not found", "There is no such page, order or incident.")


def _answer_wrong(_: AnyRequest, error: HTTPException) -> Template:
    return _trouble(error.status_code, "That did not work", "The request was not understood. Nothing was changed.")


def _answer_unexpected(request: AnyRequest, error: Exception) -> Response[Any]:
    log.error("request.failed", path=request.scope["path"], exc_info=error)
    return _trouble(500, "Something went wrong", "The reason is in the log of this process. Nothing more is known.")


def _trouble(status: int, title: str, words: str, headers: dict[str, str] | None = None) -> Template:
    return page("trouble.html", {"title": title, "words": words}, status=status, headers=headers)
