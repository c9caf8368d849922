"""Stripe through its own async client, with time limits and every error told apart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import quote

import stripe
import structlog
from stripe import StripeResponse

from app.domain.intents import state_of
from app.gateways.stripe_http import StripeHttpClient
from app.meters import record_stripe_call
from app.ports import Answered, Call, Declined, Intent, IntentState, Outcome, Unknown, Unseen
from app.ports.stripe_budget import NoStripeBudget, StripeBudget
from app.tracing import Tracing

TIMEOUT: Final = 6.0
"""Seconds for one call; an attempt makes two at most, see ``app.domain.jobs.CALL_LIMIT``."""

_START_TIMEOUT: Final = 3.0
"""Seconds that Stripe has at the start to say what it thinks of the key."""
_NO_INTENT: Final = "pi_medusa_grace_tries_its_key"

_INTENTS: Final = "/v1/payment_intents"

_IN_WORDS: Final[Mapping[str, str]] = {
    "APIConnectionError": "Stripe did not answer",
    "AuthenticationError": "Stripe does not accept the API key",
    "CardError": "The card was declined",
    "IdempotencyError": "Stripe knows the idempotency key from another request",
    "InvalidRequestError": "Stripe refused",
    "PermissionError": "The API key may not do this",
    "RateLimitError": "Stripe is asked too often",
}
"""What operators read first of an error; what developers look for follows in brackets."""

log = structlog.get_logger()


class StripeGateway:
    """``app.ports.PaymentGateway`` for Stripe.

    The client makes no retries of its own: a second try needs a look at the intent first, and that is
    the business of the jobs.
    """

    def __init__(
        self,
        api_key: str,
        api_base: str | None = None,
        *,
        tracing: Tracing = Tracing(),  # noqa: B008 (it has no state)
        budget: StripeBudget = NoStripeBudget(),  # noqa: B008 (it has no state)
    ) -> None:
        self._tracing, self._budget = tracing, budget
        self._http = StripeHttpClient(TIMEOUT)
        self._client = stripe.StripeClient(
            api_key,
            http_client=self._http,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,
        )

    @classmethod
    def open(
        cls,
        api_key: str,
        api_base: str | None,
        *,
        tracing: Tracing = Tracing(),  # noqa: B008 (it has no state)
        budget: StripeBudget = NoStripeBudget(),  # noqa: B008 (it has no state)
    ) -> Self:
        """A gateway to ``api_base``, or to Stripe itself. It tells ``budget`` of each 429."""
        return cls(api_key, api_base.rstrip("/") if api_base else None, tracing=tracing, budget=budget)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()

    async def key_problem(self) -> str | None:
        """Why Stripe does not accept the key, in words; ``None`` when it does, or does not answer soon."""
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await self._client.raw_request_async("get", f"{_INTENTS}/{_NO_INTENT}")
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            return _IN_WORDS[type(error).__name__]
        except (stripe.StripeError, TimeoutError) as error:
            if isinstance(error, stripe.APIConnectionError | TimeoutError) or (error.http_status or 0) >= 500:
                log.warning("stripe.away", setting="STRIPE_API_BASE", error=type(error).__name__)
        return None

    async def look(self, intent_id: str, *, calls: list[Call] | None = None) -> Answered | Unseen:
        """See ``app.ports.PaymentGateway``."""
        asked = self._client.raw_request_async("get", f"{_INTENTS}/{_path(intent_id)}", expand=["latest_charge"])
        outcome = await self._outcome("look", intent_id, asked, calls)
        return outcome if isinstance(outcome, Answered) else Unseen(outcome.error)

    async def capture(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        """See ``app.ports.PaymentGateway``. A capture that was made before is answered, not declined."""
        path = f"{_INTENTS}/{_path(intent_id)}/capture"
        asked = self._client.raw_request_async("post", path, amount_to_capture=amount, idempotency_key=key)
        return _already(await self._outcome("capture", intent_id, asked, calls), IntentState.CAPTURED)

    async def void(self, intent_id: str, *, key: str, calls: list[Call] | None = None) -> Outcome:
        """See ``app.ports.PaymentGateway``. A hold that is gone already is answered, not declined."""
        path = f"{_INTENTS}/{_path(intent_id)}/cancel"
        asked = self._client.raw_request_async("post", path, idempotency_key=key)
        return _already(await self._outcome("void", intent_id, asked, calls), IntentState.CANCELED)

    async def refund(self, intent_id: str, *, amount: int, key: str, calls: list[Call] | None = None) -> Outcome:
        """See ``app.ports.PaymentGateway``. Looks afterwards, since a refund's answer has no intent in it."""
        asked = self._client.raw_request_async(
            "post", "/v1/refunds", payment_intent=intent_id, amount=amount, idempotency_key=key
        )
        answer = await self._ask("refund", intent_id, asked, calls)
        return await self.look(intent_id, calls=calls) if isinstance(answer, StripeResponse) else answer

    async def _outcome(
        self, verb: str, intent_id: str, asked: Awaitable[Any], calls: list[Call] | None
    ) -> Answered | Declined | Unknown:
        answer = await self._ask(verb, intent_id, asked, calls)
        return Answered(_intent(_plain(answer.data))) if isinstance(answer, StripeResponse) else answer

    async def _ask(
        self, verb: str, intent_id: str, asked: Awaitable[StripeResponse], calls: list[Call] | None
    ) -> StripeResponse | Declined | Unknown:
        noted = _Noted(verb, intent_id)
        try:
            with self._tracing.span(f"stripe {verb}"):
                noted.answer = await asked
        except stripe.StripeError as error:
            noted.outcome, noted.request_id = _told_apart(error), error.request_id
            log.warning("stripe.error", verb=verb, intent_id=intent_id, error=noted.outcome.error)
            if _is_rate_limit(error):
                await self._budget.slow_down()
            return noted.outcome
        finally:  # also where patience ended: then there is neither an answer nor an error
            made = noted.call()
            record_stripe_call(verb=verb, outcome=made.outcome, seconds=made.seconds)
            if calls is not None:
                calls.append(made)
        log.debug("stripe.answer", verb=verb, intent_id=intent_id)  # the job says at INFO what came of it
        return noted.answer


class _Noted:
    """A call to Stripe while it is made."""

    def __init__(self, verb: str, intent_id: str) -> None:
        self._verb, self._intent_id = verb, intent_id
        self._began_at, self._began = datetime.now(UTC), time.monotonic()
        self.answer: StripeResponse | None = None
        self.outcome: Declined | Unknown = Unknown("no answer")
        self.request_id: str | None = None

    def call(self) -> Call:
        """What is to be told of it."""
        outcome, intent = "answered", None
        if self.answer is None:
            outcome = "declined" if isinstance(self.outcome, Declined) else "unknown"
            intent = self.outcome.intent if isinstance(self.outcome, Declined) else None
        return Call(
            verb=self._verb,
            intent_id=self._intent_id,
            began_at=self._began_at,
            seconds=time.monotonic() - self._began,
            outcome=outcome,
            error=self.outcome.error if self.answer is None else None,
            state=intent.state.value if intent is not None else _status(self.answer),
            request_id=self.request_id if self.answer is None else self.answer.request_id,
        )


def _status(answer: StripeResponse | None) -> str | None:
    """Of the intent, or of the refund."""
    return None if answer is None else _plain(answer.data).get("status")


def _plain(data: object) -> dict[str, Any]:
    """Objects of Stripe's, as ``raw_request`` hands them out."""
    assert isinstance(data, dict), data
    return data


def _path(intent_id: str) -> str:
    """An id as a part of an address: it comes from the shop's rows, and they may hold anything."""
    return quote(intent_id, safe="")


def _told_apart(error: stripe.StripeError) -> Declined | Unknown:
    """Definite, or unknown.

    Source: docs.stripe.com/error-low-level and docs.stripe.com/api/idempotent_requests. A 4xx did nothing,
    save 409, which says that a request with this key is still going on. A 5xx or no answer may have done it;
    a 5xx is saved and would be replayed for the same key.
    """
    status = error.http_status
    details = _details(error)
    words = [type(error).__name__, str(status or "without an answer"), str(error.code or details.get("code") or "")]
    said = " ".join((error.user_message or str(error)).split())
    text = f"{_IN_WORDS.get(words[0], 'Stripe had a fault of its own')}: {said} ({' '.join(filter(None, words))})"
    if status is None or status == 409 or status < 400:
        return Unknown(text)
    if status >= 500:
        return Unknown(text, saved=True)
    intent = details.get("payment_intent")
    return Declined(text, _intent(intent) if isinstance(intent, dict) else None)


def _is_rate_limit(error: stripe.StripeError) -> bool:
    """Whether there were too many requests in all. Source: docs.stripe.com/rate-limits and docs.stripe.com/error-codes.

    A 429 may also be about one object: it is locked by another request, or has a limit of its own.
    """
    reason = (error.headers or {}).get("stripe-rate-limited-reason")
    return isinstance(error, stripe.RateLimitError) and error.code != "lock_timeout" and reason != "resource-specific"


def _details(error: stripe.StripeError) -> dict[str, Any]:
    """The ``error`` object of the answer, as plain values; empty where the answer was none of Stripe's."""
    body = error.json_body
    details = body.get("error") if isinstance(body, dict) else None
    return details if isinstance(details, dict) else {}


def _already(outcome: Outcome, wanted: IntentState) -> Outcome:
    """Stripe declines what is done already and shows the intent: that is as good as doing it."""
    if isinstance(outcome, Declined) and outcome.intent is not None and outcome.intent.state is wanted:
        return Answered(outcome.intent)
    return outcome


def _given_back(charge: dict[str, Any]) -> int:
    """What was refunded of captured money. A released remainder counts as refunded at Stripe, but was never taken."""
    if not charge.get("captured"):
        return 0
    never_taken = charge["amount"] - charge["amount_captured"]
    return max(int(charge["amount_refunded"]) - int(never_taken), 0)


def _lapses_at(charge: dict[str, Any]) -> datetime | None:
    """The end of a card's authorization; other means of payment do not say."""
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    moment = card.get("capture_before")
    return datetime.fromtimestamp(moment, UTC) if isinstance(moment, int) else None


def _intent(raw: dict[str, Any]) -> Intent:
    charge = raw.get("latest_charge")
    refunded, lapses_at = 0, None
    if isinstance(charge, dict):
        refunded, lapses_at = _given_back(charge), _lapses_at(charge)
        raw = {**raw, "latest_charge": charge["id"]}
    return Intent(
        id=raw["id"],
        state=state_of(raw["status"]),
        currency=raw["currency"],
        amount=raw["amount"],
        amount_capturable=raw.get("amount_capturable") or 0,
        amount_received=raw.get("amount_received") or 0,
        amount_refunded=refunded,
        knows_refunds=isinstance(charge, dict),
        lapses_at=lapses_at,
        raw=raw,
    )
