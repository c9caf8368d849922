"""All ports that the use cases read, in one struct."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from app.ports.back_office import BackOffice
from app.ports.database import Database
from app.ports.discovery import Discovery
from app.ports.events import Events
from app.ports.inventory import Inventory
from app.ports.notifications import WorkerWakeup
from app.ports.order_locks import OrderLocks
from app.ports.orders import Orders
from app.ports.origin import NO_ORIGIN, Origin
from app.ports.payment_gateway import PaymentGateway
from app.ports.payments import Payments
from app.ports.policy import Policy
from app.ports.reconciliation import Reconciliation
from app.ports.stripe_budget import NoStripeBudget, StripeBudget
from app.telling import AlertChannel, NoVoidNews, VoidNews
from app.tracing import Tracing


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """All that a use case may reach for. Made once a process by ``app.runtime``; ``origin`` is a run's own."""

    db: Database
    orders: Orders
    events: Events
    inventory: Inventory
    discovery: Discovery
    reconciliation: Reconciliation
    back_office: BackOffice
    payments: Payments
    gateway: PaymentGateway
    locks: OrderLocks
    wakeup: WorkerWakeup
    void_news: VoidNews = NoVoidNews()
    stripe_budget: StripeBudget = NoStripeBudget()
    policy: Policy
    tracing: Tracing = Tracing()
    alert_channels: Mapping[str, AlertChannel] = {}
    origin: Origin = NO_ORIGIN
