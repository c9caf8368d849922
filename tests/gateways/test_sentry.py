"""What Sentry is told: the alert and nothing of this machine."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.domain.incidents import IncidentKind
from app.gateways.sentry_channel import SentryChannel
from app.telling import Alert, AlertEvent
from tests.embedded.stripe_sandbox.mailbox import Mailbox

ALERT = Alert(
    message_id=str(uuid.uuid4()),
    event=AlertEvent.OPENED,
    incident_id=7,
    order_id="order_1",
    kind=IncidentKind.LATE_MONEY,
    opened_at=datetime.now(UTC),
    amount=Decimal("12.50"),
    currency="eur",
)


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """Where the DSN leads."""
    box = Mailbox()
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    box.url = f"http://public@127.0.0.1:{server.sockets[0].getsockname()[1]}/42"
    yield box
    server.close()


async def test_an_alert_is_one_event_under_its_own_id(mailbox: Mailbox) -> None:
    channel = SentryChannel(mailbox.url)
    assert await channel.send(ALERT) is None
    assert await channel.send(ALERT) is None
    await channel.close()
    ids = set()
    for headers, body in mailbox.arrived:
        assert "sentry_key=public" in headers["x-sentry-auth"]
        envelope = [json.loads(line) for line in body.splitlines()]
        event = envelope[2]
        ids.add(event["event_id"])
        assert event["level"] == "fatal"
        assert event["tags"]["order_id"] == "order_1"
        assert event["extra"]["amount"] == "12.50"
        assert socket.gethostname() not in body.decode()
    assert ids == {uuid.UUID(ALERT.message_id).hex}


async def test_a_refusal_is_told(mailbox: Mailbox) -> None:
    channel = SentryChannel(mailbox.url)
    mailbox.answers = [429]
    assert await channel.send(ALERT) == "status 429"
    assert await channel.send(ALERT) is None
    await channel.close()


async def test_nobody_answers() -> None:
    channel = SentryChannel("http://public@127.0.0.1:9/42")
    assert await channel.send(ALERT) == "ConnectError"
    await channel.close()
