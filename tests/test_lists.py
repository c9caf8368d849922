"""Lists in which a kind could be forgotten: each is walked from the enum, or from what it must agree with."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from app.domain.cancellation import Refusal
from app.domain.incidents import INCIDENT_OF, TITLES, WORDS, IncidentKind, alert
from app.domain.jobs import JobKind
from app.domain.order import Provider
from app.domain.timeline import _DOING, REFUSALS, Act, Event, Tone, moments
from app.http.errors import cancel_refused
from app.usecases.heal_incidents import _SETTLED
from app.usecases.run_job import VERBS
from plugins.medusa_bridge.order_rows import provider_of
from tests.world import Shop
from workers.actors import _FIRST
from workers.broker import QUEUES

ROOT: Final = Path(__file__).resolve().parents[1]
API: Final = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
OURS: Final = "\n".join(path.read_text() for path in [*ROOT.glob("sql/*.sql"), *ROOT.glob("plugins/*/sql/**/*.sql")])
NOW: Final = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize("kind", JobKind)
def test_a_kind_of_job_has_a_verb_a_queue_a_place_and_an_incident(kind: JobKind) -> None:
    assert VERBS[kind].__name__.startswith(kind.value)
    assert kind.value in QUEUES[kind]
    assert _FIRST.count(kind) == 1
    assert INCIDENT_OF[kind] is IncidentKind(f"{kind.value}_failed")


def test_a_shopper_waits_for_the_void_and_money_for_the_capture() -> None:
    assert _FIRST[:3] == (JobKind.VOID, JobKind.CAPTURE, JobKind.REFUND)
    assert _FIRST[-1] is JobKind.PUBLISH
    assert len(set(QUEUES.values())) == len(JobKind)


@pytest.mark.parametrize("kind", IncidentKind)
def test_a_kind_of_incident_is_over_some_day_by_itself(kind: IncidentKind) -> None:
    """Once its job succeeds, or once the rows show that a person has settled it."""
    assert kind in INCIDENT_OF.values() or kind in _SETTLED


def test_incidents_are_told_apart() -> None:
    for texts in (TITLES.values(), [words.meaning for words in WORDS.values()], [alert(k, "x") for k in IncidentKind]):
        assert len(set(texts)) == len(IncidentKind)


@pytest.mark.parametrize("reason", Refusal)
def test_a_refusal_has_an_answer_words_and_a_line_on_the_page(reason: Refusal) -> None:
    problem = cancel_refused(reason)
    code = problem.body.code or ""
    shares_its_code = len(CODES[code]) > 1
    assert (problem.status, problem.body.reason) == ((422, None) if code == "partial_capture" else (409, reason.value))
    assert len(problem.body.message) > 20
    assert REFUSALS[reason.value]
    assert f"`{code}`" in API
    assert shares_its_code or code == reason.value


CODES: Final = {
    "late_cancel": {
        Refusal.COMPLETED,
        Refusal.CAPTURED,
        Refusal.FULFILLED,
        Refusal.CAPTURE_IN_FLIGHT,
        Refusal.GRACE_PERIOD_OVER,
    },
    "order_change_pending": {Refusal.ORDER_CHANGE_PENDING},
    "payment_unknown": {Refusal.PAYMENT_UNKNOWN},
    "partial_capture": {Refusal.PARTIAL_CAPTURE},
}


@pytest.mark.parametrize("code", CODES)
def test_a_refusals_code_is_the_contracts(code: str) -> None:
    assert {reason for reason in Refusal if cancel_refused(reason).body.code == code} == CODES[code]


EVENTS: Final[dict[str, dict[str, Any]]] = {
    "cancel_accepted": {},
    "cancel_refused": {"reason": "captured"},
    "job_claimed": {"job": "void", "in_doubt": False, "attempt": 1},
    "job_failed": {"job": "void"},
    "job_snoozed": {"job": "void"},
    "job_postponed": {"job": "void"},
    "job_done": {"job": "void"},
    "job_removed": {"job": "void"},
    "job_dead": {"job": "void"},
    "stripe_call": {"verb": "void", "outcome": "answered"},
    "incident_opened": {"incident": "void_failed"},
    "incident_closed": {"incident": "void_failed"},
    **{act.value: {"incident": "void_failed"} for act in Act},
}


def test_every_event_that_a_statement_records_is_known() -> None:
    recorded = set(re.findall(r"'((?:job|cancel|stripe|incident|act)_[a-z]+)'", OURS)) & _event_kinds()
    assert recorded <= set(EVENTS), recorded - set(EVENTS)


def _event_kinds() -> set[str]:
    inserts = re.findall(r"insert into grace\.events[^;]*", OURS)
    return {kind for text in inserts for kind in re.findall(r"'([a-z]+_[a-z]+)'", text)}


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_is_told_in_words(kind: str) -> None:
    event = Event(id=1, at=NOW, kind=kind, actor="user", request_id="r", detail=EVENTS[kind])
    (moment,) = moments([event], [], None)
    assert moment.title != kind
    assert "_" not in moment.title


@pytest.mark.parametrize("kind", JobKind)
def test_a_kind_of_job_is_told_in_words(kind: JobKind) -> None:
    event = Event(id=1, at=NOW, kind="job_failed", detail={"job": kind.value})
    (moment,) = moments([event], [], None)
    assert moment.title == f"Failed: {_DOING[kind.value]}"
    assert moment.tone is Tone.BAD


PROVIDERS: Final = {
    "pp_system_default": Provider.SYSTEM,
    "pp_stripe_stripe": Provider.STRIPE,
    "pp_stripe_shop-2": Provider.STRIPE,
    **{
        f"pp_stripe-{name}_stripe": Provider.STRIPE
        for name in ("bancontact", "blik", "giropay", "ideal", "przelewy24", "promptpay", "oxxo")
    },
    "pp_paypal_paypal": Provider.OTHER,
    "pp_stripes_stripe": Provider.OTHER,
    "pp_mystripe_stripe": Provider.OTHER,
    "pp_systematic_default": Provider.OTHER,
    "pp_klarna_stripe": Provider.OTHER,
}


@pytest.mark.parametrize("provider_id", PROVIDERS)
async def test_the_rules_and_the_search_for_new_holds_agree_about_providers(shop: Shop, provider_id: str) -> None:
    """All providers of Medusa's Stripe package are Stripe's: what is not found is never captured nor voided."""
    assert provider_of(provider_id) is PROVIDERS[provider_id]
    searched = re.search(
        r"provider_id ~ ('[^']+')", (ROOT / "plugins/medusa_bridge/sql/new_authorizations.sql").read_text()
    )
    assert searched is not None
    found = await shop.conn.fetchval(f"select $1::text ~ {searched[1]}", provider_id)
    assert found == (PROVIDERS[provider_id] is not Provider.OTHER)


async def test_every_state_and_kind_that_a_statement_names_exists(conn: asyncpg.Connection) -> None:
    """A misspelled one would compare with nothing."""
    kinds = {kind.value for kind in JobKind} | {kind.value for kind in IncidentKind} | set(EVENTS)
    named = set(re.findall(r"\bkind = '(\w+)'", OURS))
    for group in re.findall(r"\bkind in \(([^)]*)\)", OURS):
        named |= set(re.findall(r"'(\w+)'", group))
    assert named <= kinds, named - kinds
