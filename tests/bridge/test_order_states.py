"""A canceled order that was archived is canceled still, and a draft is no order: to every statement that asks.

As in ``test_soft_deleted``: a shop is changed, the statement comes to the same, and each predicate is missed when it is
taken out.
"""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.bridge.test_soft_deleted import STATEMENTS, Scene, database, scene

__all__ = ["database", "scene"]

CANCELED: Final = {
    "archived since": "update \"order\" set status = 'archived' where status = 'canceled'",
    "completed since": "update \"order\" set status = 'completed' where status = 'canceled'",
    "without its moment": "update \"order\" set canceled_at = null where status = 'canceled'",
}
DRAFT: Final = {
    "by its flag": 'update "order" set is_draft_order = true',
    "by its status": "update \"order\" set status = 'draft'",
}
NO_ORDERS: Final = 'delete from "order"'
ASKS_IF_CANCELED: Final = sorted(
    name for name, text in STATEMENTS.items() if re.search(r"status = 'canceled' or", text)
)
ASKS_IF_DRAFT: Final = sorted(name for name, text in STATEMENTS.items() if "is_draft_order" in text)
ALTERNATIVE: Final = re.compile(r"o\.status = 'canceled' or |(?<=o\.status = 'canceled') or o\.canceled_at is not null")
EXCLUSION: Final = re.compile(r"not o\.is_draft_order|o\.status <> 'draft'")


def _guards(pattern: re.Pattern[str], names: list[str]) -> list[tuple[str, int]]:
    return [(name, n) for name in names for n, _ in enumerate(pattern.finditer(STATEMENTS[name]))]


def _without(pattern: re.Pattern[str], name: str, number: int, instead: str) -> str:
    text = STATEMENTS[name]
    found = list(pattern.finditer(text))[number]
    return f"{text[: found.start()]}{instead}{text[found.end() :]}"


@pytest.mark.parametrize("change", CANCELED)
@pytest.mark.parametrize("name", ASKS_IF_CANCELED)
async def test_a_canceled_order_stays_one(scene: Scene, name: str, change: str) -> None:
    text = STATEMENTS[name]
    before = await scene.changed(text, "select")
    assert any(before), "it finds nothing here"
    assert await scene.changed(text, CANCELED[change]) == before


@pytest.mark.parametrize(("name", "number"), _guards(ALTERNATIVE, ASKS_IF_CANCELED))
async def test_each_way_to_tell_a_cancel_would_be_missed(scene: Scene, name: str, number: int) -> None:
    text, before = _without(ALTERNATIVE, name, number, ""), await scene.changed(STATEMENTS[name], "select")
    assert any([await scene.changed(text, change) != before for change in CANCELED.values()]), text


@pytest.mark.parametrize("change", DRAFT)
@pytest.mark.parametrize("name", ASKS_IF_DRAFT)
async def test_a_draft_is_no_order(scene: Scene, name: str, change: str) -> None:
    text = STATEMENTS[name]
    assert await scene.changed(text, "select") != await scene.changed(text, NO_ORDERS)
    assert await scene.changed(text, DRAFT[change]) == await scene.changed(text, NO_ORDERS)


@pytest.mark.parametrize(("name", "number"), _guards(EXCLUSION, ASKS_IF_DRAFT))
async def test_each_way_to_tell_a_draft_would_be_missed(scene: Scene, name: str, number: int) -> None:
    text, none = _without(EXCLUSION, name, number, "true"), await scene.changed(STATEMENTS[name], NO_ORDERS)
    assert any([await scene.changed(text, change) != none for change in DRAFT.values()]), text
