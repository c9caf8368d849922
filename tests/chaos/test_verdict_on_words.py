"""The verdict on answers and on lateness: each way to break a promise is named, and what is excused is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.answers import bad_answers
from tests.chaos.captures import late_captures
from tests.chaos.records import Attempt, Fault, Heard, OrderRow, Plan
from tests.chaos.report import nothing_tried

pytestmark = pytest.mark.tools


PLACED = 1000.0
CANCELED = OrderRow("order_1", "canceled", PLACED, canceled_by="req_1", capture_state="removed")
KEPT = OrderRow("order_1", "pending", PLACED, capture_state="done", captured_at=PLACED + 6.2, capture_attempts=1)
DUE = KEPT.due_at
FIRST = {"payment_action": "voided"}
LATE = {"code": "late_cancel", "reason": "grace_period_over"}
UNCHANGED = {"code": "service_unavailable", "message": "Nothing was changed."}


def _asked(after: float, status: int | None, body: dict[str, Any] | None = None, **more: Any) -> Attempt:
    """A request so many seconds after the order, answered within a tenth of one, unless ``took`` says otherwise."""
    took, request_id = more.get("took", 0.1), more.get("request_id", "req_1")
    return Attempt("order_1", Plan.CANCEL, PLACED + after, PLACED + after + took, status, request_id, body or {})


def _fault(kind: str, begin: float, end: float) -> Fault:
    return Fault(kind, PLACED + begin, PLACED + end)


def _words(order: OrderRow | None, *attempts: Attempt, **heard: Any) -> list[str]:
    orders = {} if order is None else {order.id: order}
    return [words for _, words in bad_answers(orders, Heard(attempts, **heard))]


@pytest.mark.parametrize(
    ("order", "attempt", "words"),
    [
        (None, _asked(1, 200, FIRST), "answered 200, and the order is None"),
        (KEPT, _asked(1, 200, FIRST), "answered 200, and the order is pending"),
        (CANCELED, _asked(5.3, 200, FIRST), "canceled 0.3 s after the end of its grace period"),
        (KEPT, _asked(4, 409, LATE), "refused 0.9 s before the end of its grace period"),
        (CANCELED, _asked(6, 409, LATE), "refused, and this very request canceled the order"),
        (CANCELED, _asked(1, 200, FIRST, took=10.5), "a cancel took 10.5 s"),
        (KEPT, _asked(1, None), "no answer, although the API was not killed"),
        (KEPT, _asked(1, 503, UNCHANGED), "answered 5xx while Postgres was well"),
        (KEPT, _asked(1, 500), "answered 5xx while Postgres was well"),
        (KEPT, _asked(1, 401), "an answer that no shopper here can have earned"),
        (KEPT, _asked(1, 404), "an answer that no shopper here can have earned"),
        (KEPT, _asked(1, 429), "an answer that no shopper here can have earned"),
    ],
)
def test_a_bad_answer_is_named(order: OrderRow | None, attempt: Attempt, words: str) -> None:
    found = _words(order, attempt)
    assert len(found) == 1, found
    assert found[0].startswith(words)


@pytest.mark.parametrize("kind", ["valkey killed", "valkey flushed", "valkey stopped", "workers start without valkey"])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_no_5xx_is_excused_by_redis(kind: str, status: int) -> None:
    found = _words(KEPT, _asked(2, status, UNCHANGED), faults=[_fault(kind, 1, 4)])
    assert [one.startswith("answered 5xx while Postgres was well (Redis was not)") for one in found] == [True]


def test_postgres_excuses_a_503_and_nothing_else() -> None:
    faults = [_fault("postgres killed", 1, 2)]
    assert _words(KEPT, _asked(1.5, 503, UNCHANGED), faults=faults) == []
    assert _words(KEPT, _asked(3.9, 503, UNCHANGED), faults=faults) == [], "a pooled connection is found dead"
    assert len(_words(KEPT, _asked(4.1, 503, UNCHANGED), faults=faults)) == 1
    assert len(_words(KEPT, _asked(1.5, 500), faults=faults)) == 1
    (lie,) = _words(CANCELED, _asked(1.5, 503, UNCHANGED), faults=faults)
    assert lie.startswith("a 503 said that nothing was changed, and this very request canceled the order")


def test_no_answer_is_excused_while_the_api_is_dead_alone() -> None:
    for kind in ("API killed", "API killed, its serving process alone"):
        assert _words(KEPT, _asked(2, None), faults=[_fault(kind, 1, 4)]) == []
    for kind in ("worker killed", "postgres killed", "valkey killed", "stripe silent"):
        assert len(_words(KEPT, _asked(2, None), faults=[_fault(kind, 1, 4)])) == 1


def test_two_who_were_told_that_they_canceled_it() -> None:
    again = _asked(2, 200, FIRST | {"message": "Already canceled"}, request_id="req_2")
    assert _words(CANCELED, _asked(1, 200, FIRST), again) == []
    assert _words(CANCELED, _asked(1, 200, FIRST), replace(again, body=FIRST)) == [
        "2 requests were told that they canceled it"
    ]


def test_a_shopper_who_gave_up() -> None:
    assert _words(KEPT, gave_up=["order_1"]) == ["a shopper never got an answer"]


def test_an_answer_is_not_late_while_the_machine_stands_still() -> None:
    slow = _asked(1, 200, FIRST, took=14)
    assert _words(CANCELED, slow, stalls=[_fault("stall", 2, 3.5)]) == []
    assert len(_words(CANCELED, slow, stalls=[_fault("stall", 2, 3.2)])) == 1


def _late(captured_after: float, *faults: Fault, attempts: int = 1, stalls: tuple[Fault, ...] = ()) -> list[str]:
    order = replace(KEPT, captured_at=DUE + captured_after, capture_attempts=attempts)
    return [words for _, words in late_captures({order.id: order}, Heard(faults=faults, stalls=stalls))]


def _at(kind: str, begin: float, end: float) -> Fault:
    """In seconds after the capture was due."""
    return Fault(kind, DUE + begin, DUE + end)


def test_a_capture_has_thirty_seconds() -> None:
    assert _late(29.9) == []
    assert _late(30.1)[0].startswith("captured 30.1 s after it was due and every fault had ended")


def test_thirty_seconds_are_counted_from_the_end_of_the_fault() -> None:
    fault = _at("postgres killed", -2, 20)
    assert _late(49.9, fault) == []
    assert len(_late(50.1, fault)) == 2
    assert len(_late(31, _at("postgres killed", -9, -2))) == 2, "one that was over before excuses nothing"
    assert len(_late(31, _at("postgres killed", 32, 40))) == 2, "nor one that came afterwards"
    assert len(_late(31, _at("API killed", 0, 25))) == 2, "nor one that holds no capture up"


def test_faults_without_end_do_not_excuse_what_nobody_attempts() -> None:
    often = [_at("valkey flushed", number * 4.0, number * 4.0 + 1) for number in range(15)]
    (words,) = _late(60, *often)
    assert words == "captured 45.0 s after it was due, the faults taken out, in 1 attempts"
    assert _late(60, *often, attempts=2) == []


def test_a_capture_is_not_late_while_the_machine_stands_still() -> None:
    assert _late(38, stalls=(_at("stall", 10, 19),)) == []
    assert len(_late(40, stalls=(_at("stall", 10, 19),))) == 2
    assert len(_late(40, stalls=(_at("stall", -19, -10),))) == 2


def test_a_run_that_asked_for_nothing_shows_nothing() -> None:
    fault = _fault("stripe 429", 1, 2)
    request = {"fault": "error", "at": PLACED + 1.5}
    good = Heard([_asked(1, 200, FIRST)], [fault])
    assert list(nothing_tried(good, {"order_1": KEPT}, [request])) == []
    assert list(nothing_tried(good, {"order_1": CANCELED}, [request])) == [
        "no order was captured: this run shows nothing"
    ]
    assert list(nothing_tried(Heard(faults=[fault]), {"order_1": KEPT}, [{"fault": None, "at": PLACED + 1.5}])) == [
        "no order was canceled: this run shows nothing",
        "no request to Stripe met the fault: stripe 429",
    ]
