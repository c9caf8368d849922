"""How many processes share the tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

BESIDE: Final = 1
"""More processes than cores: most tests wait for a while."""
AT_MOST: Final = 8


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """For ``-n auto``: several processes for all tests, each with servers of its own.

    This one alone for tests that are named, which are done before another has started, and for those that share one
    real Medusa.
    """
    named = {Path(argument).resolve() for argument in config.args}
    marked = str(config.option.markexpr)
    if named != {config.rootpath / "tests"} or not (marked == "tools" or marked.startswith("not ")):
        return 0
    return min(len(os.sched_getaffinity(0)) + BESIDE, AT_MOST)
