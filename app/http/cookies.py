"""Cookies of a request."""

from __future__ import annotations

from typing import Any

from litestar import Request


def read_cookie(request: Request[Any, Any, Any], name: str) -> str | None:
    """The first cookie of that name, as it was sent. Ours and Medusa's are never quoted, and unquoting them as
    ``http.cookies`` does takes time that grows with the square of their length."""
    for header in request.headers.getall("cookie", []):
        for pair in header.split(";"):
            key, _, value = pair.partition("=")
            if key.strip() == name:
                return value.strip()
    return None
