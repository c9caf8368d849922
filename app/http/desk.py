"""What the routes work with."""

from __future__ import annotations

import msgspec

from app.http.clients import ClientAddresses
from app.http.tokens import TokenVerifier
from app.origins import AllowedOrigins
from app.ports import Hints, RateLimits, ReceiptKeys, Services, Storefront


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """The services, and what tells who is asking. Made once, by ``app.main``.

    One for all, since Litestar makes a task of each of several dependencies, at each request.
    """

    services: Services
    storefront: Storefront
    tokens: TokenVerifier
    origins: AllowedOrigins
    """Pages that may send the shop's session cookie."""
    limits: RateLimits
    addresses: ClientAddresses
    hints: Hints
    receipts: ReceiptKeys
    per_order: int
    """Requests a minute; 0 is no limit."""
    per_address: int
