"""When a job is tried again, and under which key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest
from msgspec.structs import astuple

from app.domain.jobs import (
    CALL_LIMIT,
    LEASE,
    PROCESSING_TRIES,
    QUICK_TRIES,
    Job,
    JobKind,
    JobRef,
    JobState,
    capture_key,
    processing_delay,
    retry_delay,
)
from tests.domain import builders as a

ID = "01M8ENPPEZFT6BX79QANHA0HAP"
FIVE_SECONDS, FIVE_MINUTES = timedelta(seconds=5), timedelta(minutes=5)


@pytest.mark.parametrize(
    ("failures", "failing_for", "delay"),
    [
        (1, timedelta(0), timedelta(milliseconds=400)),
        (2, timedelta(seconds=1), timedelta(milliseconds=800)),
        (2, timedelta(days=3), timedelta(milliseconds=800)),
        (3, timedelta(0), FIVE_SECONDS),
        (3, timedelta(seconds=49), FIVE_SECONDS),
        (3, timedelta(seconds=50), FIVE_SECONDS),
        (4, timedelta(minutes=1), timedelta(seconds=6)),
        (9, timedelta(minutes=10), timedelta(minutes=1)),
        (20, timedelta(minutes=50), FIVE_MINUTES),
        (20, timedelta(minutes=51), FIVE_MINUTES),
        (2000, timedelta(days=7), FIVE_MINUTES),
        (3, timedelta(seconds=-3), FIVE_SECONDS),
    ],
)
def test_retry_delay(failures: int, failing_for: timedelta, delay: timedelta) -> None:
    assert retry_delay(failures, failing_for) == delay


def test_the_quick_tries_end_within_two_seconds() -> None:
    """A shopper waits three: by then the incident is open."""
    waits = [retry_delay(failures, timedelta(seconds=1)) for failures in range(1, QUICK_TRIES)]
    assert len(waits) == 2
    assert sum(waits, timedelta(0)) < timedelta(seconds=2)


def test_calls_end_within_the_lease() -> None:
    assert CALL_LIMIT < LEASE
    assert timedelta(seconds=12) < CALL_LIMIT, "two calls to Stripe take six seconds each"
    assert timedelta(seconds=30) > LEASE, "the work of a killed worker is taken up within half a minute"


def test_idempotency_key() -> None:
    job = a.job(JobKind.CAPTURE, JobState.QUEUED, "pay_01", key_number=1)
    assert job.idempotency_key == "grace-capture-pay_01-1"


@pytest.mark.parametrize(
    "changed",
    [
        {"attempts": 7},
        {"generation": 9},
        {"failures": 3},
        {"in_doubt": True},
        {"id": ID[:-1] + "5"},
        {"installation": ID},
    ],
)
def test_the_same_key_as_long_as_the_outcome_is_unknown(changed: dict[str, Any]) -> None:
    """And over an upgrade: what identifies a job is no part of it."""
    facts: dict[str, Any] = {
        "id": ID,
        "kind": JobKind.VOID,
        "order_id": "order_1",
        "subject": "pay_01",
        "state": JobState.RUNNING,
    }
    job = Job(**facts)
    assert Job(**{**facts, **changed}).idempotency_key == job.idempotency_key


def test_another_key_for_another_try_kind_or_payment() -> None:
    keys = {
        a.job(kind, JobState.RUNNING, subject, key_number=number).idempotency_key
        for kind in JobKind
        for subject in ("pay_01", "pay_02")
        for number in (1, 2)
    }
    assert len(keys) == len(JobKind) * 4


def test_keys_fit_into_stripes_255_characters() -> None:
    job = a.job(JobKind.CAPTURE, JobState.RUNNING, "pay_01M82MGPYYHGSM41XBR1GMBMVJ", key_number=10**9)
    assert len(job.idempotency_key) < 255


def test_another_amount_is_another_key() -> None:
    """Stripe answers a key that comes with another amount with an error."""
    job = a.job(JobKind.CAPTURE, JobState.RUNNING, "pay_01")
    assert capture_key(job, 1000, 1000) == job.idempotency_key == "grace-capture-pay_01-1"
    assert capture_key(job, 999, 1000) == "grace-capture-pay_01-1-999"


def test_a_bank_is_given_about_a_day() -> None:
    waits = sum((processing_delay(attempts) for attempts in range(1, PROCESSING_TRIES)), timedelta(0))
    assert timedelta(hours=20) < waits < timedelta(hours=28)


def test_a_new_job_has_not_been_tried() -> None:
    job = Job(id="", kind=JobKind.VOID, order_id="order_1", subject="pay_1", state=JobState.SCHEDULED)
    assert (job.generation, job.attempts, job.failures, job.in_doubt, job.key_number) == (0, 0, 0, False, 1)


def test_the_message_of_a_job() -> None:
    job = a.job(JobKind.RELEASE, JobState.QUEUED, "order_1", generation=3)
    assert job.ref == JobRef(job.installation, job.id, JobKind.RELEASE, "order_1", 3)


FIELDS: Final = (ID, ID[::-1].replace("P", "0", 1), "void", "order_1", 3)


def test_a_message_is_read_as_it_was_written() -> None:
    ref = JobRef(ID, FIELDS[1], JobKind.VOID, "order_1", 3)
    assert JobRef.parse(FIELDS) == JobRef.parse(list(FIELDS)) == ref
    assert JobRef.parse(astuple(ref)) == ref


@pytest.mark.parametrize(
    "fields",
    [
        (4711, 3, "order_1"),  # of the version before
        (),
        FIELDS[:-1],
        (*FIELDS, 1),
        ("shop", *FIELDS[1:]),
        (ID.lower(), *FIELDS[1:]),
        (ID + "\n", *FIELDS[1:]),
        (ID, 4711, *FIELDS[2:]),
        (ID, "8" + ID[1:], *FIELDS[2:]),
        (ID, None, *FIELDS[2:]),
        (*FIELDS[:2], "void ", *FIELDS[3:]),
        (*FIELDS[:2], 0, *FIELDS[3:]),
        (*FIELDS[:3], "", 3),
        (*FIELDS[:3], None, 3),
        (*FIELDS[:3], {"id": "order_1"}, 3),
        (*FIELDS[:3], "order\x00", 3),
        (*FIELDS[:3], "\ud800", 3),
        (*FIELDS[:3], "o" * 501, 3),
        (*FIELDS[:4], -1),
        (*FIELDS[:4], 2**31),
        (*FIELDS[:4], 3.5),
        (*FIELDS[:4], "3"),
        (*FIELDS[:4], True),
        "void!",
        None,
        {"installation": ID},
    ],
)
def test_a_malformed_message_is_none(fields: object) -> None:
    assert JobRef.parse(fields) is None
