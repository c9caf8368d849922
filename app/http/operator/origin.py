"""Scheme and origin of the operator's page, as the browser sees them."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request

from app.http.clients import ClientAddresses


class PageOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """``PUBLIC_URL`` decides where it is set; else what a trusted proxy says, and the connection itself."""

    public_url: str | None
    addresses: ClientAddresses

    def is_https(self, request: Request[Any, Any, Any]) -> bool:
        """Whether the cookie is for HTTPS alone. Plain HTTP has to be certain: a trusted proxy that does not name the
        scheme leaves it in doubt, unless the browser is on the same machine."""
        if self.public_url is not None:
            return self.public_url.startswith("https://")
        if request.scope["scheme"] == "https":
            return True
        if not self.addresses.trusts(request.client.host if request.client else None):
            return False
        named = request.headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        return named != "http" if named else not _is_loopback(request.headers.get("host", ""))

    def is_own(self, request: Request[Any, Any, Any], origin: str) -> bool:
        """Whether ``origin``, as a browser names the page that sent a form, is that of this page."""
        if self.public_url is not None:
            return origin == self.public_url
        scheme, _, host = origin.partition("://")
        return scheme in {"http", "https"} and host == request.headers.get("host")


def _is_loopback(host: str) -> bool:
    name = host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
    return name in {"localhost", "::1"} or name.endswith(".localhost") or name.startswith("127.")
