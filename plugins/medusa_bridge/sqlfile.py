"""The bridge's own statements."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.store.sql import statement as _statement

FOLDER: Final = Path(__file__).parent / "sql"


def statement(name: str) -> str:
    """The text of ``plugins/medusa_bridge/sql/name.sql``."""
    return _statement(name, FOLDER)
