"""Every package has one version: in the environment of the tests, in pyproject.toml and in the image."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = dict(line.split("==") for line in PYPROJECT["tool"]["uv"]["constraint-dependencies"])
IMAGE = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE))


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9-]+", requirement)
    assert found is not None
    return found.group()


def test_every_package_that_is_pinned_is_installed_in_that_version() -> None:
    installed = {re.sub(r"[-_.]+", "-", found.name).lower(): found.version for found in distributions()}
    assert set(IMAGE) <= set(PINNED)
    assert {name: installed[name] for name in PINNED.keys() & installed if installed[name] != PINNED[name]} == {}


def test_the_image_installs_what_is_pinned_and_no_embedded_servers() -> None:
    assert {name: (version, PINNED[name]) for name, version in IMAGE.items() if PINNED[name] != version} == {}
    assert {_name(needed) for needed in PYPROJECT["project"]["dependencies"]} <= set(IMAGE)
    assert not {_name(server) for server in PYPROJECT["dependency-groups"]["embedded"]} & set(IMAGE)
    assert "uninstall" not in (ROOT / "Dockerfile").read_text()


def test_a_dependency_is_a_range_and_its_version_is_pinned_once() -> None:
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        assert ">=" in requirement, requirement
        assert "<" in requirement, requirement
    for requirement in chain(*groups.values()):
        assert "=" not in requirement.partition(";")[0], requirement
        assert _name(requirement) in PINNED, requirement
