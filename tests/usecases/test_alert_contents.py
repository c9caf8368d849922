"""What an alert says of the money: the sum as a bank shows it, and when the first hold lapses."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from app.domain.incidents import IncidentKind
from app.embedded.shop_acts import capture_by_medusa
from app.store import incidents
from app.telling import Alert, AlertEvent
from app.usecases.announce_incidents import announce_incidents
from app.usecases.deliver_alerts import deliver_alerts
from tests.usecases.hand import Hand
from tests.world import Shop


class Box:
    """Takes every alert."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    async def send(self, alert: Alert) -> str | None:
        """See ``app.telling.AlertChannel``."""
        self.alerts.append(alert)
        return None


async def told(hand: Hand, order_id: str, kind: IncidentKind, *, over: bool = False) -> list[Alert]:
    """The alerts of an incident."""
    box = Box()
    telling = replace(hand, services=msgspec.structs.replace(hand.services, alert_channels={"box": box}))
    await incidents.open_(hand.shop.conn, order_id, kind, "x")
    await announce_incidents(telling.services)
    await deliver_alerts(telling.services)
    if over:
        await incidents.close(hand.shop.conn, order_id, kind)
        await announce_incidents(telling.services)
        await deliver_alerts(telling.services)
    return box.alerts


@pytest.mark.parametrize(
    ("amounts", "currency", "sum_"),
    [(("29.7381", "10.004"), "eur", "39.74"), (("3500.5",), "jpy", "3501"), (("1.234",), "kwd", "1.240")],
)
async def test_the_sum_of_all_payments_each_rounded(
    hand: Hand, shop: Shop, amounts: tuple[str, ...], currency: str, sum_: str
) -> None:
    order = await shop.place(amounts=amounts, currency=currency)
    (alert,) = await told(hand, order.id, IncidentKind.RELEASE_FAILED)
    assert (str(alert.amount), alert.currency, alert.order_id) == (sum_, currency, order.id)
    assert (alert.event, alert.resolved_at, alert.hold_lapses_at) == (AlertEvent.OPENED, None, None)


async def test_an_order_that_the_shop_lost(hand: Hand) -> None:
    (alert,) = await told(hand, "order_gone", IncidentKind.VOID_FAILED)
    assert (alert.amount, alert.currency, alert.hold_lapses_at) == (None, None, None)


async def test_a_lapse_is_told_where_a_hold_waits_for_a_person(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    alerts = [alert for kind in IncidentKind for alert in await told(hand, order.id, kind)]
    waits = {IncidentKind.VOID_FAILED, IncidentKind.CAPTURE_FAILED}
    assert {alert.kind: alert.hold_lapses_at is not None for alert in alerts} == {
        kind: kind in waits for kind in IncidentKind
    }
    assert len(await hand.ops(order)) == len(waits), "Stripe is not asked for the others"


async def test_a_resolution_tells_when_and_asks_nobody(hand: Hand, shop: Shop) -> None:
    order = await shop.place()
    opened, resolved = await told(hand, order.id, IncidentKind.VOID_FAILED, over=True)
    assert (opened.event, opened.resolved_at) == (AlertEvent.OPENED, None)
    assert opened.hold_lapses_at is not None
    assert (resolved.event, resolved.hold_lapses_at) == (AlertEvent.RESOLVED, None)
    assert resolved.resolved_at is not None
    assert resolved.resolved_at >= opened.opened_at == resolved.opened_at
    assert resolved.message_id != opened.message_id
    assert await hand.ops(order) == ["retrieve"]


async def test_what_is_captured_lapses_no_more(hand: Hand, shop: Shop) -> None:
    order = await shop.place(amounts=("10", "20"))
    await capture_by_medusa(shop.conn, order, order.payment_ids[0])
    (alert,) = await told(hand, order.id, IncidentKind.CAPTURE_FAILED)
    assert alert.hold_lapses_at is not None
    assert (await hand.ops(order, 0), await hand.ops(order, 1)) == ([], ["retrieve"])
