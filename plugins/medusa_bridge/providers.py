"""Which payment providers are served: Medusa's own, and those of the Stripe account that the key is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from app.domain.order import Order, Payment, PaymentSession, Provider
from app.ports import Connection
from plugins.medusa_bridge.order_rows import provider_of
from plugins.medusa_bridge.sqlfile import statement

_PROVIDERS: Final = statement("providers_of_payments")


def account_of(provider_id: str) -> str:
    """The ``id`` that a shop gives to an entry of its Stripe provider: each entry has an API key of its own."""
    return provider_id.removeprefix("pp_").partition("_")[2]


class ServedProviders:
    """Narrows Stripe's providers down to those that are named, by their provider id or by their account's ``id``.

    Without a name every provider of Stripe's is served. The others are ``Provider.OTHER``, as any that is not Stripe's.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)

    def of(self, provider_id: str) -> Provider:
        """The provider, as far as this sidecar may speak to it."""
        provider = provider_of(provider_id)
        if provider is Provider.STRIPE and self._names and not self._names & {provider_id, account_of(provider_id)}:
            return Provider.OTHER
        return provider

    def order(self, order: Order) -> Order:
        """The order with only those payments and sessions as Stripe's that are served."""
        if not self._names:
            return order
        return msgspec.structs.replace(
            order,
            payments=tuple(self.payment(payment) for payment in order.payments),
            sessions=tuple(self.session(session) for session in order.sessions),
        )

    def payment(self, payment: Payment) -> Payment:
        """The payment, as Stripe's only where it is served."""
        return msgspec.structs.replace(payment, provider=self.of(payment.provider_id))

    def session(self, session: PaymentSession) -> PaymentSession:
        """The session, as Stripe's only where it is served."""
        return msgspec.structs.replace(session, provider=self.of(session.provider_id))

    async def survey(self, conn: Connection) -> list[str]:
        """What the shop's payments tell about STRIPE_PROVIDERS: left open, or naming none of them."""
        found = [row["provider_id"] for row in await conn.fetch(_PROVIDERS)]
        stripe = [provider_id for provider_id in found if provider_of(provider_id) is Provider.STRIPE]
        accounts: Mapping[str, None] = dict.fromkeys(account_of(provider_id) for provider_id in stripe)
        if not self._names and len(accounts) > 1:
            several = f"payments are of several Stripe accounts ({', '.join(accounts)})"
            return [f"STRIPE_PROVIDERS is not set, and {several}: expected those that STRIPE_API_KEY is for"]
        if self._names and stripe and not any(self.of(provider_id) is Provider.STRIPE for provider_id in stripe):
            names = ", ".join(sorted(self._names))
            return [f"STRIPE_PROVIDERS names {names}, and the shop's payments are of {', '.join(stripe)}"]
        return []
