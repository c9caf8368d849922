"""Statements by the names of their files, so that traces can be read."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from app.sql_files import read_statements
from app.store.sql import SQL
from plugins.medusa_bridge.sqlfile import FOLDER

_KNOWN: Final = {text.strip(): name for folder in (SQL, FOLDER) for name, text in read_statements(folder)}
_COMMENT: Final = re.compile(r"--.*")
_WRITES: Final = re.compile(r"\binsert into\b|(?<!for )\bupdate\b|\bdelete from\b", re.IGNORECASE)


@lru_cache(maxsize=2_000)
def label(statement: str) -> str:
    """The file of a statement, or how it begins."""
    text = statement.strip()
    if text in _KNOWN:
        return _KNOWN[text]
    return " ".join(_COMMENT.sub("", text).split())[:60]


def learn(statement: str, name: str) -> None:
    """A statement that has no file, by the name of the one it stands in for."""
    _KNOWN[statement.strip()] = name
    label.cache_clear()


@lru_cache(maxsize=2_000)
def writes(statement: str) -> bool:
    """Whether a statement changes rows."""
    return bool(_WRITES.search(" ".join(_COMMENT.sub("", statement).split())))
