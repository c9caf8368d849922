"""The shop's event bus."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Something Medusa's subscribers are told: ``order.canceled`` of an order, ``payment.captured`` of a payment."""

    name: str
    id: str
    occurrence: str | None = None
    """Which time it is, where the same can happen to the same thing more than once: published once for each."""

    @property
    def subject(self) -> str:
        """The event as one word, as a job keeps it."""
        return ":".join(filter(None, (self.name, self.id, self.occurrence)))

    @classmethod
    def parse(cls, subject: str) -> Event:
        """The event of a job's subject."""
        name, _, rest = subject.partition(":")
        id_, _, occurrence = rest.partition(":")
        return cls(name, id_, occurrence or None)


class Events(Protocol):
    """The shop's event bus."""

    async def publish(self, event: Event) -> None:
        """Tell the shop's subscribers. May be told twice; raises ``Unavailable`` when it cannot be told."""
        ...
