"""Links of the README and of docs lead somewhere, and what they promise is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name_of

README = ROOT / "README.md"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_resolves(page: Path) -> None:
    broken = []
    for target in links(page):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = re.findall(
        r"(?<![\w/.-])((?:docs|app|tests|plugins|sql|workers)/[\w./-]*\w)", page.read_text(encoding="utf-8")
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = {README}, [README]
    while waiting:
        page = waiting.pop()
        for target in links(page):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.is_file() and file not in reached:
                reached.add(file)
                waiting.append(file)
    assert set(PAGES) - reached == set()


def test_the_readme_fits() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 160


def test_the_pages_that_the_readme_lists_are_there() -> None:
    names = "api storefront install configuration deploy medusa-versions architecture runbook operator-page doctor "
    names += "benchmarks testing privacy uninstall glossary adr/README"
    assert {f"docs/{name}.md" for name in names.split()} <= set(links(README)) | {"docs/adr/README.md"}


def promises() -> list[str]:
    """The node ids in the README's table of promises."""
    section = README.read_text(encoding="utf-8").partition("## Promises")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [row.split("`")[1] for row in rows]


def test_every_promise_names_a_test_that_exists() -> None:
    assert len(promises()) > 8
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-n",
        "0",
        "-m",
        "",
        "-p",
        "no:cacheprovider",
        *promises(),
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert collected == set(promises())
