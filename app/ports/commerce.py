"""All of the shop's ports."""

from typing import Protocol

from app.ports.orders import Orders
from app.ports.payments import Payments


class Commerce(Orders, Payments, Protocol):
    """The shop's own tables and doors."""
