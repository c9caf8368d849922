"""``ownership``: whose an order is."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from app.domain.ownership import Ownership, ownership
from tests.domain import builders as a

OWNER, FORMER, NONE = Ownership.OWNER, Ownership.FORMER_OWNER, Ownership.NONE
HANDED_OVER = a.PLACED_AT.replace(microsecond=500_000)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("customer", "whose"), [("cus_1", OWNER), ("cus_2", NONE), ("CUS_1", NONE), ("", NONE), ("cus_1 ", NONE)]
)
@pytest.mark.parametrize("handed_over_at", [None, HANDED_OVER])
def test_a_customer_is_the_orders_or_none(customer: str, whose: Ownership, handed_over_at: datetime | None) -> None:
    """Also after it changed hands: then it is the new one's. When a token was issued has no say."""
    order = a.order(customer_id="cus_1", handed_over_at=handed_over_at)
    for issued_at in (None, a.PLACED_AT - SECOND, a.PLACED_AT + SECOND):
        assert ownership(order, customer_id=customer, token_issued_at=issued_at) is whose


def test_an_order_of_a_guest_is_no_customers() -> None:
    assert ownership(a.order(), customer_id="cus_1", token_issued_at=None) is NONE


@pytest.mark.parametrize("customer", [None, "cus_1"])
def test_no_order_is_nobodys(customer: str | None) -> None:
    assert ownership(None, customer_id=customer, token_issued_at=a.PLACED_AT) is NONE


@pytest.mark.parametrize("issued_at", [None, a.PLACED_AT - timedelta(days=900), a.PLACED_AT])
def test_a_token_is_good_for_an_order_that_never_changed_hands(issued_at: datetime | None) -> None:
    order = a.order(customer_id="cus_1")
    assert ownership(order, customer_id=None, token_issued_at=issued_at) is OWNER


@pytest.mark.parametrize(
    ("issued_at", "whose"),
    [
        (None, FORMER),
        (HANDED_OVER - SECOND, FORMER),
        (HANDED_OVER, FORMER),
        (HANDED_OVER.replace(microsecond=999_999), FORMER),  # of the same second: it may be older
        (HANDED_OVER.replace(microsecond=0) + SECOND, OWNER),
        (HANDED_OVER + timedelta(days=1), OWNER),
    ],
)
def test_a_token_is_good_from_the_second_after_the_order_changed_hands(
    issued_at: datetime | None, whose: Ownership
) -> None:
    order = a.order(customer_id="cus_1", handed_over_at=HANDED_OVER)
    assert ownership(order, customer_id=None, token_issued_at=issued_at) is whose
