"""The HTTP client under Stripe's own: one attempt, one time limit for the whole answer, no redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx
import stripe

_KEEP_ALIVE: Final = 15.0
"""Seconds that an idle connection is kept: the next call saves its TLS handshake."""


class StripeHttpClient(stripe.HTTPClient):
    """Sends requests through httpx.

    ``stripe.HTTPXClient`` limits each read, not the whole answer, and takes no connection limits: it refuses the 101st
    call at the same time and closes idle connections after 5 seconds.
    """

    name = "httpx"

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            follow_redirects=False,
            # As many connections as there are jobs at work: their number is bounded elsewhere.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEP_ALIVE),
            timeout=timeout,
            verify=ssl.create_default_context(cafile=stripe.ca_bundle_path),
        )

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """See ``stripe.HTTPClient``. Raises ``stripe.APIConnectionError`` where there is no whole answer."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._http.request(method, url, headers=headers, content=post_data)
        except (TimeoutError, httpx.HTTPError, OSError) as error:
            message = f"no answer from Stripe: {type(error).__name__}: {error}".rstrip(": ")
            raise stripe.APIConnectionError(message) from error  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers

    async def close_async(self) -> None:
        """Close the connections."""
        await self._http.aclose()
