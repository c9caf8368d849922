"""Statements live in files, one a file, named for what they do."""

from __future__ import annotations

from pathlib import Path


def read_statement(folder: Path, name: str) -> str:
    """Return the text of ``folder/name.sql``."""
    return (folder / f"{name}.sql").read_text(encoding="utf-8")


def read_statements(folder: Path) -> list[tuple[str, str]]:
    """Return name and text of every statement in ``folder``."""
    return [(path.stem, read_statement(folder, path.stem)) for path in sorted(folder.glob("*.sql"))]
