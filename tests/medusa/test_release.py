"""The release of Medusa that its tables tell is the one that runs."""

from __future__ import annotations

import pytest

from plugins.medusa_bridge.releases import find_release

from .packages import chosen_version
from .twins import Connection

pytestmark = pytest.mark.medusa


async def test_the_tables_tell_the_release_that_made_them(shop_db: Connection) -> None:
    release = await find_release(shop_db)

    first, _, last = release.name.partition(" to ")
    assert _minor(first) <= chosen_version() <= _minor(last or first)
    assert (release.unsupported is None) == (chosen_version() >= (2, 14))


def _minor(release: str) -> tuple[int, int]:
    major, minor, *_ = release.split(".")
    return int(major), int(minor)
