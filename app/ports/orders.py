"""Read, lock and cancel orders; claim a job together with its order."""

from __future__ import annotations

from typing import Protocol

from app.domain.cancellation import NewCancellation
from app.domain.jobs import Job, JobRef
from app.domain.order import Order
from app.domain.receipt import OrderSheet
from app.ports.database import Connection


class KeyRejected(Exception):
    """A publishable key is missing or not valid. The message is the shop's own sentence about it."""


class Orders(Protocol):
    """Orders, with the payments and sessions that hang on them."""

    async def lock_order(self, conn: Connection, order_id: str) -> Order | None:
        """Lock the order row, then its payment rows, then read what only now is stable."""
        ...

    async def read_order(self, conn: Connection, order_id: str) -> Order | None:
        """Read the order without any lock: what is decided from it is written by a compare-and-set, as
        ``cancel_if_unchanged`` is."""
        ...

    async def read_with_key(self, conn: Connection, key: str | None, order_id: str | None) -> Order | None:
        """Check the publishable key of a request and read the order as ``read_order`` does, in one statement. Without
        an ``order_id`` the key alone is checked. Raises ``KeyRejected``."""
        ...

    async def read_sheet(self, conn: Connection, order_id: str) -> OrderSheet | None:
        """What a receipt says of the order: its number, its lines and their sum. No lock."""
        ...

    async def order_exists(self, conn: Connection, order_id: str) -> bool:
        """Whether there is such an order, be it a draft, which ``read_order`` does not give."""
        ...

    async def cancel_if_unchanged(self, conn: Connection, order: Order, new: NewCancellation) -> bool:
        """Lock the order as ``lock_order`` does and write its cancellation and what is ours of it, if the order still
        is as it was read: in one statement that wants no transaction around it. ``False``, and nothing is written,
        when it is not."""
        ...

    async def take_with_order(self, conn: Connection, ref: JobRef) -> tuple[Job, Order | None] | None:
        """Lock the order as ``lock_order`` does, make the job this worker's, and read the order: in one statement that
        wants no transaction around it. ``None`` when the message is stale."""
        ...
