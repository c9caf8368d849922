"""The page about doctor names each finding, and no other."""

from __future__ import annotations

import re

from app.domain.findings import Defect
from tests.docs.pages import ROOT


def test_the_page_names_every_finding() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    table = page.partition("| finding | what |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \| .+ \|$", table, flags=re.MULTILINE) == [defect.value for defect in Defect]
