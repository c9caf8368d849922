"""Two twins' changes side by side, and the differences between Medusa's way and ours that are meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from .rows import Change

Whose = Literal["only Medusa", "only ours", "both"]
_NOTHING = "(nothing)"


@dataclass(frozen=True)
class Difference:
    """A row that only one of the two touched, or (with ``column``) a column that ends otherwise."""

    table: str
    act: str
    row: str
    column: str | None
    medusa: str
    ours: str

    @property
    def whose(self) -> Whose:
        """Who did something here."""
        if self.ours == _NOTHING:
            return "only Medusa"
        return "only ours" if self.medusa == _NOTHING else "both"

    def __str__(self) -> str:
        where = f"{self.act} {self.row}" + (f", column {self.column}" if self.column else "")
        return f"{where}\n    Medusa: {self.medusa}\n    ours:   {self.ours}"


@dataclass(frozen=True)
class Explained:
    """A difference that is meant to be. ``column`` None: the whole row."""

    whose: Whose
    act: str
    table: str
    column: str | None
    because: str

    def covers(self, difference: Difference) -> bool:
        """Whether it is this one."""
        mine = (self.whose, self.act, self.table, self.column)
        return mine == (difference.whose, difference.act, difference.table, difference.column)

    def __str__(self) -> str:
        return f"{self.whose}: {self.act} {self.table}.{self.column or '*'} ({self.because})"


def compare(medusa: Iterable[Change], ours: Iterable[Change]) -> list[Difference]:
    """Everything in which the two acts differ, table by table, row by row, column by column."""
    theirs = {(change.table, change.act, change.row): change for change in medusa}
    mine = {(change.table, change.act, change.row): change for change in ours}
    found = []
    for key in sorted(theirs.keys() | mine.keys()):
        left, right = theirs.get(key), mine.get(key)
        if left is None or right is None:
            found.append(Difference(*key, None, _row(left), _row(right)))
            continue
        for column in sorted(left.columns.keys() | right.columns.keys()):
            was, is_ = left.columns.get(column, _NOTHING), right.columns.get(column, _NOTHING)
            if was != is_:
                found.append(Difference(*key, column, was, is_))
    return found


def assert_explained(differences: Sequence[Difference], explanations: Sequence[Explained]) -> None:
    """Fail on a difference that is not explained, and on an explanation that explains nothing."""
    unexplained = [one for one in differences if not any(each.covers(one) for each in explanations)]
    idle = [each for each in explanations if not any(each.covers(one) for one in differences)]
    lines = [
        *(f"not explained: {one}" for one in unexplained),
        *(f"explains nothing: {each}" for each in idle),
    ]
    assert not lines, "\n".join(["the rows differ from Medusa's own", *lines])


def _row(change: Change | None) -> str:
    if change is None:
        return _NOTHING
    return ", ".join(f"{column}: {value}" for column, value in change.columns.items()) or "(deleted)"
