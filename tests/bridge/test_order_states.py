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
ONE_THAT_SHARES: Final = """
where id in (
    select max(l.order_id) from order_payment_collection as l group by l.payment_collection_id having count(*) > 1
)
"""
NO_ORDERS: Final = 'delete from "order"'
NOT_THAT_ONE: Final = NO_ORDERS + ONE_THAT_SHARES
DRAFT: Final = {
    "by its flag": ('update "order" set is_draft_order = true', NO_ORDERS),
    "by its status": ("update \"order\" set status = 'draft'", NO_ORDERS),
    "one that shares, by its flag": (f'update "order" set is_draft_order = true {ONE_THAT_SHARES}', NOT_THAT_ONE),
    "one that shares, by its status": (f"update \"order\" set status = 'draft' {ONE_THAT_SHARES}", NOT_THAT_ONE),
}
"""What makes drafts of orders, and what takes them away: a statement comes to the same by both."""
WALK: Final = {"overpaid_orders": "order_ids, received, totals, currencies"}
"""Of statements that tell how far they have walked: what they found."""
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
    before = await scene.changed(name, text, "select")
    assert any(before), "it finds nothing here"
    assert await scene.changed(name, text, CANCELED[change]) == before


@pytest.mark.parametrize(("name", "number"), _guards(ALTERNATIVE, ASKS_IF_CANCELED))
async def test_each_way_to_tell_a_cancel_would_be_missed(scene: Scene, name: str, number: int) -> None:
    text, before = _without(ALTERNATIVE, name, number, ""), await scene.changed(name, STATEMENTS[name], "select")
    assert any([await scene.changed(name, text, change) != before for change in CANCELED.values()]), text


@pytest.mark.parametrize("draft", DRAFT)
@pytest.mark.parametrize("name", ASKS_IF_DRAFT)
async def test_a_draft_is_no_order(scene: Scene, name: str, draft: str) -> None:
    text, (change, none) = _found(name, STATEMENTS[name]), DRAFT[draft]
    assert await scene.changed(name, text, "select") != await scene.changed(name, text, NO_ORDERS)
    assert await scene.changed(name, text, change) == await scene.changed(name, text, none)


@pytest.mark.parametrize(("name", "number"), _guards(EXCLUSION, ASKS_IF_DRAFT))
async def test_each_way_to_tell_a_draft_would_be_missed(scene: Scene, name: str, number: int) -> None:
    text = _found(name, _without(EXCLUSION, name, number, "true"))
    assert any(
        [
            await scene.changed(name, text, change) != await scene.changed(name, text, none)
            for change, none in DRAFT.values()
        ]
    ), text


def _found(name: str, text: str) -> str:
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("--"))
    return f"{comments}select {WALK[name]} from (\n{text}\n) as walked" if name in WALK else text
