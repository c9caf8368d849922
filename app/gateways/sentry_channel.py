"""Alerts to Sentry. The sdk spells the events; they are sent here, so that the rows know whether Sentry took them."""

from __future__ import annotations

import uuid
from typing import Any, Final

import httpx
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from app.domain.incidents import alert as sentence
from app.telling import Alert, AlertEvent

TIMEOUT: Final = 10.0


class _Outbox(Transport):
    """Keeps the envelope for ``send``."""

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)


class SentryChannel:
    """``app.telling.AlertChannel``. The message id is the event's id, by which Sentry drops repetitions.

    Nothing else of this process goes to Sentry: no integrations, no error reports, no host name.
    """

    def __init__(self, dsn: str) -> None:
        self._outbox = _Outbox({"dsn": dsn, "org_id": None})
        self._client = sentry_sdk.Client(
            dsn=dsn,
            transport=self._outbox,
            default_integrations=False,
            auto_enabling_integrations=False,
            send_client_reports=False,
            auto_session_tracking=False,
            server_name="",
        )
        self._http = httpx.AsyncClient(timeout=TIMEOUT)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        self._client.close(timeout=0)

    async def send(self, alert: Alert) -> str | None:
        """See ``app.telling.AlertChannel``."""
        self._outbox.envelopes.clear()
        self._client.capture_event(_event(alert))
        if not self._outbox.envelopes:
            return "the sdk made no event of it"
        body = self._outbox.envelopes.pop().serialize()
        assert self._outbox.parsed_dsn is not None
        auth = self._outbox.parsed_dsn.to_auth("medusa-grace")
        headers = {"x-sentry-auth": auth.to_header(), "content-type": "application/x-sentry-envelope"}
        try:
            answer = await self._http.post(auth.get_api_url(), content=body, headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__
        return None if answer.is_success else f"status {answer.status_code}"


def _event(alert: Alert) -> Any:
    opened = alert.event is AlertEvent.OPENED
    said = sentence(alert.kind, alert.order_id)
    return {
        "event_id": uuid.UUID(alert.message_id).hex,
        "level": "fatal" if opened else "info",
        "message": said if opened else f"Resolved ({alert.kind.value}): {said}",
        "logger": "medusa-grace",
        "fingerprint": ["medusa-grace", alert.kind.value, str(alert.incident_id), alert.event.value],
        "tags": {"order_id": alert.order_id, "kind": alert.kind.value, "event": alert.event.value},
        "extra": {
            "incident": alert.incident_id,
            "amount": None if alert.amount is None else str(alert.amount),
            "currency": alert.currency,
            "hold_lapses_at": alert.hold_lapses_at and alert.hold_lapses_at.isoformat(),
        },
    }
