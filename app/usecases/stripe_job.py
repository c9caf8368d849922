"""The skeleton of every job that speaks to Stripe: decide from the claim, call, record. A kind of job adds the rest."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from app.domain.incidents import IncidentKind
from app.domain.intents import Intent, in_words
from app.domain.jobs import CALL_LIMIT, Job, JobState
from app.domain.order import Order, Payment, PaymentSession, Provider
from app.ports import Answered, Call, Declined, Outcome, PaymentGateway, Unknown
from app.usecases.job_failures import record_trouble
from app.usecases.job_run import JobRun, Recording
from app.usecases.settle_shared import settle_shared

Answer = TypeVar("Answer")

NO_ANSWER: Final = f"no answer within {CALL_LIMIT.total_seconds():.0f} s"


class Step(ABC, Generic[Answer]):
    """What a claimed job asks Stripe, and how the answer is recorded."""

    name: str = "record"
    """Of the transaction that records the answer."""

    @abstractmethod
    async def call(self, gateway: PaymentGateway, calls: list[Call]) -> Answer:
        """Ask Stripe, in no transaction; ``calls`` takes what was asked. ``TimeoutError`` after ``CALL_LIMIT``."""

    @abstractmethod
    def no_answer(self) -> Answer:
        """The answer where there was none in time."""

    @abstractmethod
    async def record(self, recording: Recording, answer: Answer) -> Step[Any] | None:
        """Write what came of it, by the order as it is now, and end the job; or return what is to be asked next."""


@dataclass(frozen=True)
class IntentStep(Step[Outcome | None]):
    """A step about the intent of one payment or session."""

    job: Job
    money: Payment | PaymentSession
    compare: bool = field(default=False, kw_only=True)
    """Only retrieve the intent: what it says decides what is to be done."""

    @property
    def retrieves_first(self) -> bool:
        """Whether the intent is retrieved before anything else: an earlier attempt may have done it."""
        return self.compare or self.job.attempts > 1

    async def call(self, gateway: PaymentGateway, calls: list[Call]) -> Outcome | None:
        """Retrieve the intent before any second attempt, then act on it; ``None`` where the money is not at Stripe."""
        if self.money.provider is not Provider.STRIPE:
            return None
        if self.money.intent_id is None:
            return Declined(f"{self.money.id} has no PaymentIntent in its data")
        if not self.retrieves_first:
            return await self.act(gateway, calls, self.money.intent_id, None)
        seen = await gateway.look(self.money.intent_id, calls=calls)
        return await self.act(gateway, calls, self.money.intent_id, seen) if isinstance(seen, Answered) else seen

    def no_answer(self) -> Outcome | None:
        """It may have been done."""
        return Unknown(NO_ANSWER)

    @abstractmethod
    async def act(self, gateway: PaymentGateway, calls: list[Call], intent_id: str, seen: Answered | None) -> Outcome:
        """Change the intent, unless what was ``seen`` of it, where it was retrieved, is the answer already."""


async def run_stripe_job(
    run: JobRun,
    order: Order | None,
    *,
    decide: Callable[[Job, Order | None], Step[Any] | None],
    put_aside: Callable[[Recording], Awaitable[Step[Any] | None]],
) -> None:
    """Take the steps of a claimed job. Safe to run any number of times.

    ``decide`` is pure, and reads ``order`` as the claim read it under its locks. Where it has no step, ``put_aside``
    decides under the locks again, and records why there is none.
    """
    step = decide(run.job, order)
    if step is None:
        async with run.transaction("unwanted") as recording:
            step = None if recording is None else await put_aside(recording)
    while step is not None:
        try:
            async with asyncio.timeout(CALL_LIMIT.total_seconds()):
                answer = await step.call(run.services.gateway, run.calls)
        except TimeoutError:
            answer = step.no_answer()
        run.requests += len(run.calls)
        async with run.transaction(step.name) as recording:
            step = None if recording is None else await step.record(recording, answer)


def intent_of(outcome: Outcome | None) -> Intent | None:
    """The intent as the outcome shows it, where it does."""
    return outcome.intent if isinstance(outcome, Answered | Declined) else None


async def leave_to_others(recording: Recording, order: Order) -> None:
    """End the job: orders that are not canceled share the money."""
    await recording.finish(JobState.REMOVED, note="an order that is not canceled shares it")
    await recording.close_failure()
    await settle_shared(recording.services, recording.conn, order)


async def leave_to_provider(recording: Recording, money: Payment | PaymentSession) -> None:
    """End the job as dead: its provider is none of Stripe's accounts here, and a person has to do it."""
    detail = f"{money.id}: this sidecar cannot {recording.job.kind} for provider {money.provider_id}"
    await recording.give_up(IncidentKind.UNSUPPORTED_PROVIDER, detail)


async def record_vanished(recording: Recording, outcome: Outcome | None, what: str, *, done: bool, verb: str) -> None:
    """The shop has forgotten the payment or session; Stripe has not, unless its answer says that it is ``done``."""
    if done:
        await recording.complete(note=f"{verb}, and gone from the shop")
        return
    gone = f"{recording.job.subject} vanished from the shop while it was {verb}; look for its {what} at Stripe"
    intent = intent_of(outcome)
    await record_trouble(recording, gone if intent is None else f"{gone}. {in_words(intent)}")
