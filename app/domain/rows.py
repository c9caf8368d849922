"""What a rule reads of a row, whichever driver fetched it."""

from __future__ import annotations

from typing import Any, Protocol


class Row(Protocol):
    """Values by the names of their columns."""

    def __getitem__(self, name: str, /) -> Any: ...

    def get(self, name: str, default: Any, /) -> Any: ...
