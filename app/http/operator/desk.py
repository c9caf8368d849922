"""What the operator's page needs, beside the services."""

from __future__ import annotations

import msgspec

from app.http.clients import ClientAddresses
from app.http.operator.guesses import SignInLimits
from app.http.operator.known import KnownAdmins
from app.http.operator.origin import PageOrigin
from app.http.operator.session import Sessions
from app.ports import Admins


class OperatorDesk(msgspec.Struct, frozen=True, kw_only=True):
    """Made once, by ``app.main``."""

    admins: Admins
    known: KnownAdmins
    sessions: Sessions
    guesses: SignInLimits
    addresses: ClientAddresses
    origin: PageOrigin
    test_money: bool
    """Whether intents that do not say so themselves are of Stripe's test mode."""
