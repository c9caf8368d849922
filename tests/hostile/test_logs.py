"""What a worker at work logs, at its most talkative: no key of Stripe's, no address with a password."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import pytest

from app.domain.jobs import JobKind
from app.settings import Settings
from tests.usecases.hand import Hand, opened
from tests.world import Shop


async def test_a_worker_in_trouble_logs_no_key(
    shop: Shop, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    order = await shop.place()
    async with opened(settings) as services:
        hand = Hand(services, shop)
        await hand.schedule(order, JobKind.CAPTURE)
        for status in (401, 402, 500):
            await shop.sandbox.fault("payment_intents.capture", "error", status=status)
            await hand.run(order, JobKind.CAPTURE)
        await shop.sandbox.fault("payment_intents.capture", "reset")
        await hand.run(order, JobKind.CAPTURE)
    line = logging.Formatter()
    log = "\n".join(line.format(record) + str(record.args) for record in caplog.get_records("call"))
    assert "capture.failed" in log
    for secret in (settings.stripe_api_key, settings.database_url, urlsplit(settings.database_url).password):
        assert secret is None or secret not in log
