"""The HTTP client under Stripe's own: one try of what changes anything, one limit of time, no redirects."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import stripe


class StripeLine(stripe.HTTPClient):
    """Kept connections through aiohttp. The clients that come with ``stripe`` cost several times the processor time, or
    let errors through that came while a body was read."""

    name = "aiohttp"

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """See ``stripe.HTTPClient``. Raises ``stripe.APIConnectionError`` where there is no whole answer."""
        if self._session is None:
            authorities = ssl.create_default_context(cafile=stripe.ca_bundle_path)
            # As many connections as there are jobs at work: their number is bounded elsewhere.
            connector = aiohttp.TCPConnector(limit=0, ssl=authorities)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, proxy=_proxy(url))
        try:
            async with self._session.request(
                method, url, headers=headers, data=post_data, allow_redirects=False
            ) as answer:
                return await answer.read(), answer.status, answer.headers
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = f"no answer from Stripe: {type(error).__name__}: {error}".rstrip(": ")
            raise stripe.APIConnectionError(message) from error  # type: ignore[no-untyped-call]

    async def close_async(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for ``url``. aiohttp's own ``trust_env`` would ask for it at every call, in
    another thread, and would refuse to send our key where the machine has a ``.netrc``."""
    address = urlsplit(url)
    return None if proxy_bypass(address.netloc) else getproxies().get(address.scheme)
