"""The request that work goes back to."""

from __future__ import annotations

from typing import Final

import msgspec


class Origin(msgspec.Struct, frozen=True):
    """The request that work goes back to, and the trace parent of what it is a part of. Jobs carry both on."""

    request_id: str | None = None
    traceparent: str | None = None


NO_ORIGIN: Final = Origin()
