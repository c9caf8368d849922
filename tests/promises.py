"""The checker of the promises, as every test may end: nothing is broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import asyncpg

from app.domain.findings import Finding, IntentFacts
from app.embedded.stripe_sandbox.client import Sandbox
from app.embedded.stripe_sandbox.facts import facts_of
from app.ports import Examination
from app.usecases.check_promises import check_promises
from plugins.medusa_bridge import BridgeConfig, MedusaBridge
from tests.world import Shop

_EXAMINATION: Final = MedusaBridge(BridgeConfig(), None, None).examination


async def stripe_facts(sandbox: Sandbox) -> Mapping[str, IntentFacts]:
    """The truth about every intent of the account, with how often each thing was done."""
    return facts_of(await sandbox.ledger())


async def broken_promises(
    shop_or_conn: Shop | asyncpg.Connection,
    sandbox: Sandbox | None,
    examination: Examination | None = None,
    at_rest: bool = True,
) -> list[Finding]:
    """What the checker finds. ``sandbox=None`` believes the rows; ``at_rest=False`` is a live shop.

    Looks through the connection's own transaction, if it is in one.
    """
    conn = shop_or_conn.conn if isinstance(shop_or_conn, Shop) else shop_or_conn
    facts = None if sandbox is None else await stripe_facts(sandbox)
    return await check_promises(conn, examination or _EXAMINATION, stripe=facts, at_rest=at_rest)
