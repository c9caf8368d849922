"""Stripe for a process that only retrieves, beside a fleet whose Redis it has not."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Self

from stripe import StripeResponse

from app.gateways.local_stripe_budget import SHARE, LocalStripeBudget
from app.gateways.stripe_gateway import StripeGateway
from app.ports import Call, Declined, Unknown
from app.ports.stripe_budget import CallClass


class PacedStripeGateway(StripeGateway):
    """Waits before each call for a request of its ``SHARE`` of the fleet's budget."""

    _own: LocalStripeBudget

    @classmethod
    def paced(cls, api_key: str, api_base: str | None, requests_per_second: int) -> Self:
        """A gateway whose calls stay within its share of ``requests_per_second``."""
        budget = LocalStripeBudget(requests_per_second * SHARE)
        gateway = cls.open(api_key, api_base, budget=budget)
        gateway._own = budget
        return gateway

    async def _ask(
        self, verb: str, intent_id: str, asked: Awaitable[StripeResponse], calls: list[Call] | None
    ) -> StripeResponse | Declined | Unknown:
        await self._own.wait(CallClass.RECONCILE)
        return await super()._ask(verb, intent_id, asked, calls)
