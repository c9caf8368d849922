"""An explorer that finds nothing proves nothing until it has found what was broken on purpose."""

from __future__ import annotations

import itertools
import os

import pytest

from app.embedded.postgres import Postgres
from tests.races.explorer.crew import make_databases
from tests.races.explorer.hunt import findings_of, hunt
from tests.races.explorer.mutants import MUTANTS

pytestmark = pytest.mark.tools


_numbers = itertools.count()


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_missing_guard_is_found(name: str, postgres: Postgres, shop_template: str) -> None:
    """Within its bound; and with the guard in place, the very same schedules are in order."""
    mutant = MUTANTS[name]
    prefix = f"mutant_{os.getpid()}_{next(_numbers)}"
    [dsn] = await make_databases(postgres, shop_template, prefix, 1)

    with mutant.applied():
        hunted = await hunt(dsn, mutant.setup, mutant.within)
    healthy = await findings_of(dsn, hunted.played)

    assert hunted.caught is not None, f"{name} went unnoticed in {hunted.schedules} schedules"
    assert healthy == []
