"""People are told once that an incident is open and once that it is over, whatever the receiver is up to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.embedded.shop import PlacedOrder
from app.gateways.alert_webhook import AlertWebhook
from app.store import incidents
from app.telling import Alert
from app.usecases.announce_incidents import announce_incidents
from app.usecases.deliver_alerts import deliver_alerts
from tests.embedded.stripe_sandbox.mailbox import Mailbox
from tests.usecases.hand import Hand, Killed
from tests.world import Shop

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OLD_KEY = bytes(24)


@dataclass(frozen=True)
class Desk:
    """People at a webhook, and a worker that tells them."""

    hand: Hand
    mailbox: Mailbox

    async def round(self) -> None:
        """What a worker does every second, with every wait over."""
        await announce_incidents(self.hand.services)
        await self.hand.shop.conn.execute("update grace.alerts set next_at = now() where delivered_at is null")
        await deliver_alerts(self.hand.services)

    def told(self) -> list[tuple[str, str]]:
        """Event and order of all that arrived."""
        bodies = [json.loads(body)["metadata"] for _, body in self.mailbox.arrived]
        return [(body["event_type"], body["event_payload"]["order_id"]) for body in bodies]


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A real HTTP server."""
    box = Mailbox()
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    box.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield box
    server.close()


@pytest.fixture
async def desk(hand: Hand, mailbox: Mailbox) -> AsyncIterator[Desk]:
    """With a webhook that is signed with a new and an old secret."""
    webhook = AlertWebhook(mailbox.url, [SECRET, "whsec_" + base64.b64encode(OLD_KEY).decode()])
    services = msgspec.structs.replace(hand.services, alert_channels={"webhook": webhook})
    yield Desk(replace(hand, services=services), mailbox)
    await webhook.close()


async def _failing_void(desk: Desk, times: int = 20) -> PlacedOrder:
    order = await desk.hand.shop.place()
    await desk.hand.cancel(order)
    await desk.hand.shop.sandbox.fault("payment_intents.cancel", "error", times=times, status=500)
    return order


async def test_twenty_retries_are_one_alert_and_the_end_is_one_resolution(desk: Desk, shop: Shop) -> None:
    order = await _failing_void(desk)
    for _ in range(20):
        await desk.hand.run(order, JobKind.VOID)
        await desk.round()
    assert desk.told() == [("grace_incident_opened", order.id)]
    await desk.hand.run(order, JobKind.VOID)
    for _ in range(3):
        await desk.round()
    assert desk.told() == [("grace_incident_opened", order.id), ("grace_incident_resolved", order.id)]
    assert await shop.conn.fetchval("select count(*) from grace.alerts where delivered_at is null") == 0


async def test_what_it_says_and_nothing_else(desk: Desk) -> None:
    order = await _failing_void(desk)
    for _ in range(3):
        await desk.hand.run(order, JobKind.VOID)
    await desk.round()
    ((headers, raw),) = desk.mailbox.arrived
    body = json.loads(raw)
    assert set(body) == {"text", "metadata"}
    assert set(body["metadata"]) == {"event_type", "event_payload"}
    payload: dict[str, Any] = body["metadata"]["event_payload"]
    assert payload.keys() == {
        "incident", "event", "order_id", "kind", "amount", "currency", "hold_lapses_at", "opened_at",
    }  # fmt: skip
    assert (payload["kind"], payload["amount"], payload["currency"]) == ("void_failed", "29.74", "eur")
    assert body["text"].startswith(
        f"Order {order.id} Canceled but Payment Void Failed. Manual Void Required. (29.74 EUR"
    )
    assert "hold lapses 20" in body["text"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    signatures = ["v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in (KEY, OLD_KEY)]
    assert headers["webhook-signature"] == " ".join(signatures).lower()  # the mailbox lowers its headers


@pytest.mark.parametrize("status", [500, 404, 302, 410])
async def test_a_receiver_that_refuses_is_asked_again_under_the_same_id(desk: Desk, shop: Shop, status: int) -> None:
    order = await _failing_void(desk)
    desk.mailbox.answers = [status] * 3
    for _ in range(6):
        await desk.hand.run(order, JobKind.VOID)
        await desk.round()
    assert desk.told() == [("grace_incident_opened", order.id)] * 4
    assert len({headers["webhook-id"] for headers, _ in desk.mailbox.arrived}) == 1
    row = await shop.row("select attempts, last_error, delivered_at from grace.alerts")
    assert (row["attempts"], row["last_error"]) == (4, None)
    assert row["delivered_at"] is not None


async def test_a_resolution_waits_for_its_alert(desk: Desk) -> None:
    order = await _failing_void(desk, times=3)
    desk.mailbox.answers = [500, 500]
    for _ in range(4):
        await desk.hand.run(order, JobKind.VOID)
    for _ in range(5):
        await desk.round()
    assert [event for event, _ in desk.told()] == ["grace_incident_opened"] * 3 + ["grace_incident_resolved"]
    assert len({headers["webhook-id"] for headers, _ in desk.mailbox.arrived}) == 2


async def test_nobody_is_there_and_then_somebody_is(hand: Hand, shop: Shop, mailbox: Mailbox) -> None:
    nowhere = AlertWebhook("http://127.0.0.1:9/hook", [])
    desk = Desk(
        replace(hand, services=msgspec.structs.replace(hand.services, alert_channels={"webhook": nowhere})), mailbox
    )
    await incidents.open_(shop.conn, "order_gone", IncidentKind.LATE_MONEY, "secret detail")
    await desk.round()
    row = await shop.row("select attempts, last_error, delivered_at, next_at > now() as later from grace.alerts")
    assert tuple(row) == (1, "ConnectError", None, True)
    await deliver_alerts(desk.hand.services)
    assert await shop.conn.fetchval("select attempts from grace.alerts") == 1, "it waits for its turn"
    webhook = AlertWebhook(mailbox.url, [])
    services = msgspec.structs.replace(hand.services, alert_channels={"webhook": webhook})
    await Desk(replace(hand, services=services), mailbox).round()
    assert desk.told() == [("grace_incident_opened", "order_gone")]
    assert b"secret detail" not in mailbox.arrived[0][1]
    assert "webhook-signature" not in mailbox.arrived[0][0]
    for channel in (nowhere, webhook):
        await channel.close()


async def test_a_worker_killed_before_or_after_the_call_is_followed_by_another(desk: Desk, shop: Shop) -> None:
    await incidents.open_(shop.conn, "order_1", IncidentKind.LATE_MONEY, "")
    await announce_incidents(desk.hand.services)
    with pytest.raises(Killed):
        await deliver_alerts(desk.hand.dying_at("alerts.record").services)
    assert len(desk.told()) == 1, "sent, and not recorded"
    await deliver_alerts(desk.hand.services)
    assert len(desk.told()) == 1, "its lease runs"
    await desk.round()
    assert [event for event, _ in desk.told()] == ["grace_incident_opened"] * 2
    assert len({headers["webhook-id"] for headers, _ in desk.mailbox.arrived}) == 1
    await desk.round()
    assert len(desk.told()) == 2


async def test_workers_at_once_send_each_alert_once(desk: Desk, shop: Shop) -> None:
    for number in range(30):
        await incidents.open_(shop.conn, f"order_{number}", IncidentKind.LATE_MONEY, "")
    await asyncio.gather(*(announce_incidents(desk.hand.services) for _ in range(4)))
    for _ in range(4):
        await asyncio.gather(*(deliver_alerts(desk.hand.services) for _ in range(4)))
    assert sorted(desk.told()) == sorted(("grace_incident_opened", f"order_{number}") for number in range(30))


async def test_without_a_channel_nothing_waits_and_nothing_is_told_later(hand: Hand, desk: Desk, shop: Shop) -> None:
    await incidents.open_(shop.conn, "order_1", IncidentKind.LATE_MONEY, "")
    await announce_incidents(hand.services)
    await incidents.close(shop.conn, "order_1", IncidentKind.LATE_MONEY)
    await desk.round()
    assert desk.told() == []
    assert await shop.conn.fetchval("select count(*) from grace.alerts") == 0


async def test_of_a_long_error_its_beginning_is_kept(hand: Hand, shop: Shop) -> None:
    class Talkative:
        async def send(self, alert: Alert) -> str | None:
            """See ``app.telling.AlertChannel``."""
            return f"{'0123456789' * 50}and so on" * 99

    services = msgspec.structs.replace(hand.services, alert_channels={"talkative": Talkative()})
    await incidents.open_(shop.conn, "order_1", IncidentKind.LATE_MONEY, "")
    await announce_incidents(services)
    await deliver_alerts(services)
    assert await shop.conn.fetchval("select last_error from grace.alerts") == "0123456789" * 50
