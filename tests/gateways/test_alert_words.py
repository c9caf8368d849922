"""What a receiver of alerts is told, of one that opens and of one that is over."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from app.domain.incidents import IncidentKind
from app.domain.incidents import alert as sentence
from app.gateways.alert_webhook import content
from app.gateways.sentry_channel import SentryChannel
from app.telling import Alert, AlertEvent

OPENED_AT, LAPSES_AT, CLOSED_AT = (datetime(2026, 11, day, 9, 5, tzinfo=UTC) for day in (1, 7, 2))
PLAIN = Alert(
    message_id="0193a1f2-0000-7000-8000-000000000007",
    event=AlertEvent.OPENED,
    incident_id=7,
    order_id="order_1",
    kind=IncidentKind.VOID_FAILED,
    opened_at=OPENED_AT,
)
SAID = sentence(PLAIN.kind, PLAIN.order_id)
MONEY = {"amount": Decimal("12.50"), "currency": "eur"}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, SAID),
        (MONEY, f"{SAID} (12.50 EUR)"),
        ({"amount": Decimal(3)}, SAID),
        ({"currency": "eur"}, SAID),
        ({"hold_lapses_at": LAPSES_AT}, f"{SAID} (hold lapses 2026-11-07 09:05 UTC)"),
        ({**MONEY, "hold_lapses_at": LAPSES_AT}, f"{SAID} (12.50 EUR, hold lapses 2026-11-07 09:05 UTC)"),
        ({**MONEY, "event": AlertEvent.RESOLVED, "resolved_at": CLOSED_AT}, f"Resolved (void_failed): {SAID}"),
    ],
)
def test_the_line_for_people(given: dict[str, Any], text: str) -> None:
    assert content(replace(PLAIN, **given))["text"] == text


def test_the_facts_for_machines_are_those_that_are_known() -> None:
    facts = {
        "incident": 7,
        "event": "opened",
        "order_id": "order_1",
        "kind": "void_failed",
        "opened_at": "2026-11-01T09:05:00+00:00",
    }
    assert content(PLAIN)["metadata"] == {"event_type": "grace_incident_opened", "event_payload": facts}
    over = replace(PLAIN, **MONEY, event=AlertEvent.RESOLVED, resolved_at=CLOSED_AT, hold_lapses_at=LAPSES_AT)
    assert content(over)["metadata"] == {
        "event_type": "grace_incident_resolved",
        "event_payload": {
            **facts,
            "event": "resolved",
            "amount": "12.50",
            "currency": "eur",
            "hold_lapses_at": "2026-11-07T09:05:00+00:00",
            "resolved_at": "2026-11-02T09:05:00+00:00",
        },
    }


async def test_sentry_is_told_of_the_end_as_of_another_issue(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    channel = SentryChannel("http://public@127.0.0.1:9/42")
    monkeypatch.setattr(channel._client, "capture_event", told.append)
    over = replace(PLAIN, **MONEY, event=AlertEvent.RESOLVED, hold_lapses_at=LAPSES_AT)
    for alert in (PLAIN, over):
        assert await channel.send(alert) == "the sdk made no event of it"
    await channel.close()
    opened, resolved = told
    assert (opened["level"], opened["message"]) == ("fatal", SAID)
    assert (resolved["level"], resolved["message"]) == ("info", f"Resolved (void_failed): {SAID}")
    assert opened["fingerprint"] == ["medusa-grace", "void_failed", "7", "opened"]
    assert resolved["fingerprint"] == ["medusa-grace", "void_failed", "7", "resolved"]
    assert opened["event_id"] == PLAIN.message_id.replace("-", "")
    assert resolved["tags"] == {"order_id": "order_1", "kind": "void_failed", "event": "resolved"}
    assert opened["extra"] == {"incident": 7, "amount": None, "currency": None, "hold_lapses_at": None}
    assert resolved["extra"] == {
        "incident": 7,
        "amount": "12.50",
        "currency": "eur",
        "hold_lapses_at": "2026-11-07T09:05:00+00:00",
    }
