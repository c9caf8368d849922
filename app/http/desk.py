"""What the routes need, beside the services, to tell who is asking."""

from __future__ import annotations

import msgspec

from app.http.clients import ClientAddresses
from app.http.tokens import TokenVerifier
from app.ports import Hints, RateLimits, ReceiptKeys, Storefront


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """Made once, by ``app.main``."""

    storefront: Storefront
    tokens: TokenVerifier
    limits: RateLimits
    addresses: ClientAddresses
    hints: Hints
    receipts: ReceiptKeys
    per_order: int
    """Requests a minute; 0 is no limit."""
    per_address: int
