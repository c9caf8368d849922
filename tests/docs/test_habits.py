"""What a contributor runs is what CI runs, and the files that a repository should have agree with the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import yaml

from tests.docs.pages import ROOT

CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
CHECKS = [line for line in CI.splitlines() if re.match(r"uv run (ruff|mypy|lint-imports)\b", line)]


def _targets() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if line.startswith("\t"):
            found[list(found)[-1]].append(line.strip())
        elif match := re.fullmatch(r"([a-z]+):", line):
            found[match[1]] = []
    return found


def test_the_hooks_run_the_checks_of_ci() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert len(CHECKS) == 4
    assert [hook["entry"] for hook in hooks] == CHECKS
    assert {hook["language"] for hook in hooks} == {"system"}
    assert not any(hook["pass_filenames"] for hook in hooks)


def test_the_makefile_has_the_five_commands_and_they_are_those_of_ci() -> None:
    targets = _targets()
    assert list(targets) == ["setup", "demo", "check", "test", "ci"]
    assert targets["check"] == CHECKS
    assert targets["test"][0] in CI
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `make (\w+)` \|", page, flags=re.MULTILINE) == list(targets)
    if (make := shutil.which("make")) is not None:
        done = subprocess.run([make, "-n", *targets], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.splitlines() == [line for lines in targets.values() for line in lines]


def test_the_licence_is_the_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n")


def test_the_changelog_begins_with_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d{2}-\d{2})?$", text, flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", heading) for heading in headings[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, flags=re.MULTILINE)) <= kinds
