"""Ids as Medusa makes them, and cursors that sort among them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.embedded import shop_rows
from plugins.medusa_bridge.ids import earlier, later, made_at, new_id, passed, payment_id_at

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LATE = timedelta(minutes=2)


def test_a_new_id_is_a_prefix_and_a_ulid() -> None:
    ids = {new_id("capt") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"capt_[0-7][0-9A-HJKMNP-TV-Z]{25}", id_) for id_ in ids)


def test_a_cursor_sorts_before_every_id_of_its_moment_and_after_every_id_before() -> None:
    cursor = payment_id_at(NOON)
    for _ in range(50):
        assert shop_rows.new_id("pay", NOON) > cursor
        assert shop_rows.new_id("pay", NOON - timedelta(milliseconds=1)) < cursor


def test_an_id_tells_when_it_was_made() -> None:
    assert made_at(shop_rows.new_id("pay", NOON)) == NOON
    assert made_at(payment_id_at(NOON)) == NOON, "a cursor too"


@pytest.mark.parametrize(
    "strange", ["", "pay_", "pay_not-a-ulid", "pay_" + "Z" * 26, "pay_8" + "0" * 25, "x" * 40, "é"]
)
def test_what_is_no_id_has_no_time_and_raises_nothing(strange: str) -> None:
    moment = made_at(strange)
    assert moment is None or moment.tzinfo is not None
    assert earlier(strange, LATE, NOON) <= payment_id_at(NOON - LATE)


def test_a_search_begins_a_little_before_its_cursor() -> None:
    cursor = shop_rows.new_id("pay", NOON)
    assert earlier(cursor, LATE, NOON + SECOND) == payment_id_at(NOON - LATE)


def test_a_cursor_ahead_of_the_database_begins_a_little_before_now() -> None:
    tomorrow = shop_rows.new_id("pay", NOON + timedelta(days=1))
    assert earlier(tomorrow, LATE, NOON) == payment_id_at(NOON - LATE)


def test_a_cursor_moves_on_to_the_newest_id() -> None:
    cursor, newest = payment_id_at(NOON - LATE), shop_rows.new_id("pay", NOON - SECOND)
    assert later(cursor, newest, NOON) == newest
    assert later(newest, cursor, NOON) == newest, "and never back"
    assert later(cursor, None, NOON) == cursor, "there are no payments"


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "pay_~",
        "pay_zzzz",
        "payé",
        "pay_7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "pay_" + "z" * 26,
        "PAY_01M82MGPYYHGSM41XBR1GMBMVJ",
        pytest.param(shop_rows.new_id("pay", NOON + timedelta(days=400)), id="of next year"),
        pytest.param(shop_rows.new_id("pay", NOON).lower(), id="in small letters"),
        pytest.param("pay_" + shop_rows.new_id("pay", NOON + LATE)[4:].lower(), id="in small letters, of later"),
    ],
)
def test_no_id_can_carry_a_cursor_beyond_what_comes_next(odd: str) -> None:
    """Wherever it stands, as the newest id or as the cursor that was left, the next payment is after it."""
    upcoming = shop_rows.new_id("pay", NOON + SECOND)
    cursor = payment_id_at(NOON - LATE)
    for moved in (later(cursor, odd, NOON), later(odd, cursor, NOON), later(odd, None, NOON)):
        assert moved <= payment_id_at(NOON) < upcoming
        assert earlier(moved, LATE, NOON + SECOND) < upcoming
        assert later(moved, upcoming, NOON + LATE) == upcoming, "it is not stuck"
    hour_ago = payment_id_at(NOON - timedelta(hours=1))
    assert hour_ago < later(hour_ago, passed(odd, NOON), NOON) <= payment_id_at(NOON), (
        "nor while the odd one stays the newest"
    )
