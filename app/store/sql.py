"""Statements live in files, one a file, named for what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SQL: Final = Path(__file__).resolve().parents[2] / "sql"


def statement(name: str, folder: Path = SQL) -> str:
    """Return the text of ``folder/name.sql``."""
    return (folder / f"{name}.sql").read_text(encoding="utf-8")


def statements(folder: Path = SQL) -> list[tuple[str, str]]:
    """Return name and text of every statement in ``folder``."""
    return [(path.stem, statement(path.stem, folder)) for path in sorted(folder.glob("*.sql"))]
