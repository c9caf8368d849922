"""Bodies of a cancel: all of it is optional, and what is wrong is refused whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.databases import one_database_a_file
from tests.http.answers import assert_answer, assert_refused
from tests.http.rows import everything
from tests.world import Api, Shop

database = one_database_a_file()

EXPECTED = 'Expected no body, {} or {"reason": "..."}'

GOOD = {
    "none": (b"", None),
    "blank": (b" \n", None),
    "empty": (b"{}", None),
    "null": (b'{"reason": null}', None),
    "blank reason": (b'{"reason": "  "}', None),
    "reason": (b'{"reason": "Wrong size"}', "Wrong size"),
    "trimmed": (b'{"reason": " Wrong size\\n"}', "Wrong size"),
    "any script": ('{"reason": "Größe 🙈"}'.encode(), "Größe 🙈"),
    "a pair of surrogates": (b'{"reason": "\\ud83d\\ude48"}', "🙈"),
    "500 characters": (b'{"reason": "%s"}' % ("ü" * 500).encode(), "ü" * 500),
}


@pytest.mark.parametrize(("content", "reason"), GOOD.values(), ids=GOOD.keys())
async def test_good(shop: Shop, api: Api, content: bytes, reason: str | None) -> None:
    order = await shop.place()
    answer = await api.cancel(order.id, content=content)
    assert answer.status_code == 200
    assert await shop.conn.fetchval("select reason from grace.cancellations where order_id = $1", order.id) == reason


BAD = {
    "array": (b"[]", "Expected `object`, got `array`."),
    "null": (b"null", "Expected `object`, got `null`."),
    "word": (b'"reason"', "Expected `object`, got `str`."),
    "cut off": (b'{"reason":', "Input data was truncated."),
    "not JSON": (b"reason=size", "JSON is malformed: invalid character (byte 0)."),
    "two": (b"{} {}", "JSON is malformed: trailing characters (byte 4)."),
    "unknown field": (b'{"nope": 1}', "Object contains unknown field `nope`."),
    "one too many": (b'{"reason": "size", "nope": 1}', "Object contains unknown field `nope`."),
    "number": (b'{"reason": 5}', "Expected `str | null`, got `int` - at `$.reason`."),
    "too long": (b'{"reason": "%s"}' % (b"x" * 501), "Expected `str` of length <= 500 - at `$.reason`."),
    "NUL": (b'{"reason": "a\\u0000b"}', "reason must not contain NUL characters"),
    "lone surrogate": (b'{"reason": "\\ud800"}', None),
    "other surrogate": (b'{"reason": "\\udc00 and more"}', None),
    "not UTF-8": (b'{"reason": "\xff"}', None),
    "byte order mark": ("\ufeff{}".encode(), None),
    "deep": (b'{"reason":' + b"[" * 16_000, None),
}


async def test_bad(shop: Shop, api: Api) -> None:
    order = await shop.place()
    before = await everything(shop.conn)
    for name, (content, problem) in BAD.items():
        answer = await api.cancel(order.id, content=content)
        assert answer.status_code == 400, name
        body = answer.json()
        message = body["message"]
        assert_answer(answer, 400, {"code": "invalid_data", "type": "invalid_data", "message": message})
        assert message.startswith("Invalid request: "), name
        if problem is not None:
            assert message.removeprefix("Invalid request: ") in {problem, f"{problem} {EXPECTED}"}, name
    assert await everything(shop.conn) == before


async def test_too_large(shop: Shop, api: Api) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        """Nobody said beforehand how much is to come."""
        for _ in range(17):
            yield b" " * 1024

    order = await shop.place()
    body = {"code": "invalid_data", "type": "invalid_data", "message": "Request Entity Too Large"}
    await assert_refused(shop, api, order.id, 400, body, content=b'{"reason": "%s"}' % (b"x" * 17_000))
    await assert_refused(shop, api, order.id, 400, body, content=in_pieces())


async def test_without_a_right_nobody_learns_what_is_wrong_with_the_body(shop: Shop, api: Api) -> None:
    order = await shop.place()
    answer = await api.cancel(order.id, token=None, content=b"{")
    assert answer.status_code == 401


async def test_a_body_of_another_type_is_read_as_json(shop: Shop, api: Api) -> None:
    """Medusa's js-sdk always sends JSON; what a form would mean is not guessed."""
    order = await shop.place()
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (await api.cancel(order.id, content=b"reason=size", headers=form)).status_code == 400
    assert (await api.cancel(order.id, content=b"", headers=form)).status_code == 200
