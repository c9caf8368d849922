"""All of the shop's ports."""

from typing import Protocol

from app.ports.back_office import BackOffice
from app.ports.discovery import Discovery
from app.ports.orders import Orders
from app.ports.payments import Payments
from app.ports.reconciliation import Reconciliation


class Commerce(Orders, Payments, Discovery, Reconciliation, BackOffice, Protocol):
    """The shop's own tables and doors."""
