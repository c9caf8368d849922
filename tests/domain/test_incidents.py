"""The CRITICAL lines, letter for letter: people search their logs and page by them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from app.domain.incidents import TITLES, WORDS, IncidentKind, alert, alert_delay

RUNBOOK: Final = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
INCIDENTS: Final = RUNBOOK.partition("\n## Incidents\n")[2].partition("\n## ")[0]

LINES = {
    "void_failed": "Order order_1 Canceled but Payment Void Failed. Manual Void Required.",
    "capture_failed": "Order order_1 Payment Capture Failed. Manual Capture Required.",
    "authorization_lost": "Order order_1 Authorization Lost before Capture. Do Not Ship Unpaid.",
    "late_money": "Order order_1 Canceled but Payment Captured. Refund Required.",
    "partial_capture": "Order order_1 Partially Captured. Decide About the Rest by Hand.",
    "over_captured": "Order order_1 Captured beyond Its Total. Refund the Difference.",
    "payment_shared": (
        "Order order_1 Canceled but Its Payment Is Shared with Open Orders. Nothing Voided or Refunded."
    ),
    "fulfilled": "Order order_1 Canceled but Being Fulfilled. Do Not Ship.",
    "unsupported_provider": (
        "Order order_1 has a Payment of an Unsupported Provider. Manual Void or Capture Required."
    ),
    "refund_failed": "Order order_1 Refund of a Late Capture Failed. Manual Refund Required.",
    "release_failed": "Order order_1 Canceled but Stock Not Released. Manual Release Required.",
    "look_failed": "Order order_1 Changed at Stripe but Could Not Be Looked At. Compare by Hand.",
    "publish_failed": "Order order_1 Event Not Published to Medusa. Subscribers Were Not Told.",
}


def test_the_storys_line() -> None:
    """Story 3.4, "Compensation Failure (The Zombie Case)"."""
    template = "Order {id} Canceled but Payment Void Failed. Manual Void Required."
    order_id = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
    assert alert(IncidentKind.VOID_FAILED, order_id) == template.replace("{id}", order_id)


@pytest.mark.parametrize("kind", IncidentKind)
def test_every_kind_has_its_line(kind: IncidentKind) -> None:
    assert alert(kind, "order_1") == LINES[kind.value]


@pytest.mark.parametrize("kind", IncidentKind)
def test_the_runbook_says_what_the_page_says(kind: IncidentKind) -> None:
    section = INCIDENTS.partition(f"\n### {kind.value}\n")[2].partition("\n### ")[0]
    words = WORDS[kind]
    assert f"\n- **Means**: {words.meaning}.\n- **Do**: {words.what_to_do}.\n" in section
    assert f"\nLog line: `{alert(kind, 'order_...')}`\n" in section
    assert TITLES[kind]


def test_the_runbook_has_a_heading_for_every_kind_and_for_no_other() -> None:
    headings = re.findall(r"^### (.+)$", INCIDENTS, flags=re.MULTILINE)
    assert sorted(headings) == sorted(kind.value for kind in IncidentKind)


def test_an_alert_that_is_not_taken_is_sent_again_ever_more_rarely() -> None:
    waits = [alert_delay(attempts).total_seconds() for attempts in range(1, 12)]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert alert_delay(10**6).total_seconds() == 300


TITLED = {
    "void_failed": "Hold not let go",
    "late_money": "Captured although canceled",
    "refund_failed": "Refund failed",
    "capture_failed": "Money not captured",
    "authorization_lost": "Hold lost before capture",
    "partial_capture": "Captured in part",
    "over_captured": "Captured too much",
    "payment_shared": "Payment shared with an open order",
    "fulfilled": "Canceled but being sent",
    "unsupported_provider": "Unsupported payment provider",
    "release_failed": "Stock not released",
    "look_failed": "Stripe could not be asked",
    "publish_failed": "Subscribers not told",
}


@pytest.mark.parametrize("kind", IncidentKind)
def test_every_kind_has_its_title(kind: IncidentKind) -> None:
    assert TITLES[kind] == TITLED[kind.value]
