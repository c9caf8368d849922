"""Speed that breaks a promise is none: the checker of ``medusa-grace doctor`` looks at every shop after its run."""

from __future__ import annotations

import asyncpg

from app.domain.findings import Defect
from tests.benchmarks.figures import say
from tests.benchmarks.testbed import SHOP, Testbed
from tests.promises import broken_promises


async def prove(
    testbed: Testbed,
    database: str = SHOP,
    *,
    with_stripe: bool,
    but: frozenset[Defect] = frozenset(),
    but_orders: frozenset[str] = frozenset(),
) -> None:
    """Raise when a promise is broken. ``but`` is what the run itself did on purpose, as to these orders or to any."""
    conn = await asyncpg.connect(testbed.dsn(database))
    try:
        await conn.execute(
            "analyze"
        )  # autovacuum comes within a minute, and plans for the shop before the run take many
        findings = await broken_promises(conn, testbed.sandbox if with_stripe else None, at_rest=False)
    finally:
        await conn.close()
    ours = (Defect.WIDE_GRANT,)
    broken = [f for f in findings if f.defect not in (*but, *ours) and f.order_id not in but_orders]
    assert not broken, "\n  ".join(
        [f"{len(broken)} broken promises", *(f"{f.defect} {f.order_id} {f.detail}" for f in broken[:5])]
    )
    say(f"no promise is broken in {database}")
