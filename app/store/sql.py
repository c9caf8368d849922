"""Statements live in files, one a file, named for what they do."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

SQL: Final = Path(__file__).resolve().parents[2] / "sql"


_PART: Final = re.compile(r"\{(\w+)\}")


def statement(name: str, folder: Path = SQL) -> str:
    """Return the text of ``folder/name.sql``.

    ``folder/parts/part.sql`` comes in place of each ``{part}``; a function of ``folder/definers`` is named as in the
    database.
    """
    return _whole((folder / f"{name}.sql").read_text(encoding="utf-8"), folder)


def statements(folder: Path = SQL) -> list[tuple[str, str]]:
    """Return name and text of every statement in ``folder``."""
    return [(path.stem, statement(path.stem, folder)) for path in sorted(folder.glob("*.sql"))]


def function_name(name: str, text: str) -> str:
    """Return the name of a function in the database, which ends with a digest of its text."""
    return f"grace.{name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _whole(text: str, folder: Path) -> str:
    """A name without a part of its own stays as it is: templates of functions have such names."""

    def part(found: re.Match[str]) -> str:
        path = folder / "parts" / f"{found[1]}.sql"
        if path.exists():
            return path.read_text(encoding="utf-8").strip()
        path = folder / "definers" / f"{found[1]}.sql"
        return function_name(found[1], path.read_text(encoding="utf-8")) if path.exists() else found[0]

    return _PART.sub(part, text)
