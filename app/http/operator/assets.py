"""Stylesheet, scripts and icon: a few small files, read once. Nothing else has an address here."""

from __future__ import annotations

from typing import Any, Final

from litestar import HttpMethod, Response, route
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from app.http.operator.views import STATIC

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FILES: Final = {path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in STATIC.iterdir()}


@route("/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def asset(name: FromPath[str]) -> Response[Any]:
    """A file by its name. Addresses on our pages carry a hash of all files, so answers may be kept for a day."""
    if name not in _FILES:
        raise NotFoundException
    content, media_type = _FILES[name]
    headers = {"cache-control": "public, max-age=86400", "x-content-type-options": "nosniff"}
    return Response(content, media_type=media_type, headers=headers)
