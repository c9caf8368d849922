"""The bridge's own statements."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.store.functions import Function
from app.store.sql import statement as _statement

FOLDER: Final = Path(__file__).parent / "sql"


def statement(name: str) -> str:
    """The text of ``plugins/medusa_bridge/sql/name.sql``."""
    return _statement(name, FOLDER)


def definer(name: str) -> Function:
    """The function of ``plugins/medusa_bridge/sql/definers/name.sql``."""
    return Function.definer(name, (FOLDER / "definers" / f"{name}.sql").read_text(encoding="utf-8"), table="order")
