"""Answers that shoppers must not get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.chaos.records import Attempt, Heard, OrderRow, Orders

LONGEST_CANCEL: Final = 10.0
IN_TURN: Final = 3
"""Processes that an answer waits for one after the other (shopper, API, Postgres): a starved machine starves each."""
AFTERMATH: Final = 2.0
"""Seconds after a restart in which pooled connections to the old server may still be found dead."""
SAME_MOMENT: Final = 0.1
"""Seconds by which a shopper's and the database's view of one moment may differ."""


def bad_answers(orders: Orders, heard: Heard) -> Iterator[tuple[str, str]]:
    """Order by order: what was told that is not so, came too late, or was refused without a reason."""
    firsts = Counter(one.order_id for one in heard.attempts if one.is_first)
    for order_id, count in firsts.items():
        if count > 1:
            yield order_id, f"{count} requests were told that they canceled it"
    for one in heard.attempts:
        for words in _wrong_with(one, orders.get(one.order_id), heard):
            yield one.order_id, f"{words} [{one.outcome}, request {one.request_id}, sent {one.sent:.2f}]"
    for order_id in heard.gave_up:
        yield order_id, "a shopper never got an answer"


def _wrong_with(one: Attempt, order: OrderRow | None, heard: Heard) -> Iterator[str]:
    if one.seconds - IN_TURN * heard.lost(one.sent, one.answered) > LONGEST_CANCEL:
        yield f"a cancel took {one.seconds:.1f} s"
    if one.status is None:
        if not _during(one, heard, "API killed"):
            yield "no answer, although the API was not killed"
    elif one.status >= 500:
        yield from _wrong_with_5xx(one, order, heard)
    elif one.status == 200:
        if order is None or order.status != "canceled":
            yield f"answered 200, and the order is {order and order.status}"
        elif one.is_first and one.sent > order.cancelable_until + SAME_MOMENT:
            yield f"canceled {one.sent - order.cancelable_until:.1f} s after the end of its grace period"
    elif one.status != 409:
        yield "an answer that no shopper here can have earned"
    elif order is not None:
        if _did_cancel(one, order):
            yield "refused, and this very request canceled the order"
        if one.answered < order.cancelable_until - SAME_MOMENT:
            yield f"refused {order.cancelable_until - one.answered:.1f} s before the end of its grace period"


def _wrong_with_5xx(one: Attempt, order: OrderRow | None, heard: Heard) -> Iterator[str]:
    if not _during(one, heard, "postgres"):
        yield "answered 5xx while Postgres was well" + (" (Redis was not)" if _during(one, heard, "valkey") else "")
    elif one.status != 503:
        yield "answered 5xx, and not the 503 that says what to do"
    elif "Nothing was changed" in str(one.body.get("message")) and _did_cancel(one, order):
        yield "a 503 said that nothing was changed, and this very request canceled the order"


def _did_cancel(one: Attempt, order: OrderRow | None) -> bool:
    return order is not None and order.canceled_by is not None and order.canceled_by == one.request_id


def _during(one: Attempt, heard: Heard, part: str) -> bool:
    return any(
        fault.is_of(part) and one.sent < fault.end + AFTERMATH + heard.lost(fault.end, one.sent)
        and one.answered > fault.begin
        for fault in heard.faults
    )  # fmt: skip
