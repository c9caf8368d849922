"""The statements about schema ``grace``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.sql_files import read_statement

SQL: Final = Path(__file__).resolve().parents[2] / "sql"


def statement(name: str) -> str:
    """Return the text of ``sql/name.sql``."""
    return read_statement(SQL, name)
