"""Find out whether a Redis that gave no usable answer encrypts where its address says otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

import redis

_TIMEOUT: Final = 1.0
_ANSWERS: Final = (b"+", b"-")
"""How a line of Redis's begins; of TLS's none does."""


async def encryption_problem(url: str) -> str | None:
    """Connect as ``url`` does not say, with TLS or without: what to write instead where that is answered.

    No password is sent. A server that waits for the end of a line takes the first bytes of TLS for its beginning, so
    that a client only sees it time out.
    """
    place = redis.ConnectionPool.from_url(url).connection_kwargs
    if "path" in place:
        return None
    encrypted = url.lower().startswith("rediss://")
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(
                place.get("host", "localhost"), place.get("port", 6379), ssl=None if encrypted else _any_certificate()
            )
            try:
                if not encrypted:
                    return "it speaks TLS: write rediss:// instead of redis://"
                writer.write(b"PING\r\n")
                if (await reader.readline()).startswith(_ANSWERS):
                    return "it does not speak TLS: write redis:// instead of rediss://"
            finally:
                writer.close()
    return None


def _any_certificate() -> ssl.SSLContext:
    """Nothing is sent, so that nothing depends on whose server it is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
