"""The statements about Medusa's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.sql_files import read_statement

FOLDER: Final = Path(__file__).parent / "sql"


def statement(name: str) -> str:
    """Return the text of ``plugins/medusa_bridge/sql/name.sql``."""
    return read_statement(FOLDER, name)
