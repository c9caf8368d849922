"""Alerts to a webhook: a message that Slack shows, with the facts for machines, signed as Standard Webhooks has it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx

from app.domain.incidents import alert as sentence
from app.telling import Alert, AlertEvent, alert_key

TIMEOUT: Final = 10.0
"""Seconds that the receiver has in all to answer with 2xx."""


class AlertWebhook:
    """``app.telling.AlertChannel``.

    The body is Slack's: ``text``, and ``metadata`` (``event_type`` and a flat ``event_payload``), which Slack keeps
    with the message unseen. Any other receiver finds the facts at the same place. Redirects are not followed.
    """

    def __init__(self, url: str, secrets: Sequence[str]) -> None:
        self._url = url
        self._keys = [alert_key(secret) for secret in secrets]
        self._http = httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, alert: Alert) -> str | None:
        """See ``app.telling.AlertChannel``. Errors never name the address: Slack's is a secret."""
        body = json.dumps(content(alert), separators=(",", ":")).encode()
        timestamp = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "user-agent": "medusa-grace",
            "webhook-id": alert.message_id,
            "webhook-timestamp": timestamp,
        }
        if self._keys:
            signatures = (sign(key, alert.message_id, timestamp, body) for key in self._keys)
            headers["webhook-signature"] = " ".join(signatures)
        try:
            async with self._http.stream("POST", self._url, content=body, headers=headers) as answer:
                return None if answer.is_success else f"status {answer.status_code}"
        except httpx.HTTPError as error:
            return type(error).__name__


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """One ``v1`` signature. Source: Standard Webhooks, "Signature scheme"."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def content(alert: Alert) -> dict[str, Any]:
    """The body. ``metadata`` is a documented part of Slack's incoming webhooks; it takes no nested values."""
    facts = {
        "incident": alert.incident_id,
        "event": alert.event.value,
        "order_id": alert.order_id,
        "kind": alert.kind.value,
        "amount": None if alert.amount is None else str(alert.amount),
        "currency": alert.currency,
        "hold_lapses_at": alert.hold_lapses_at and alert.hold_lapses_at.isoformat(),
        "opened_at": alert.opened_at.isoformat(),
        "resolved_at": alert.resolved_at and alert.resolved_at.isoformat(),
    }
    return {
        "text": text(alert),
        "metadata": {
            "event_type": f"grace_incident_{alert.event.value}",
            "event_payload": {name: value for name, value in facts.items() if value is not None},
        },
    }


def text(alert: Alert) -> str:
    """One line for people."""
    said = sentence(alert.kind, alert.order_id)
    if alert.event is AlertEvent.RESOLVED:
        return f"Resolved ({alert.kind.value}): {said}"
    more = []
    if alert.amount is not None and alert.currency is not None:
        more.append(f"{alert.amount} {alert.currency.upper()}")
    if alert.hold_lapses_at is not None:
        more.append(f"hold lapses {alert.hold_lapses_at:%Y-%m-%d %H:%M} UTC")
    return f"{said} ({', '.join(more)})" if more else said
