"""The board and the alert rules name metrics that are there, and the README tells what to do about each alert."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.gateways.prometheus_meters import names

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "app" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "grafana.json").read_text())["panels"]


def _named(query: str) -> set[str]:
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"", "", query)
    return set(re.findall(r"\b(?:grace_\w+|up\b)", bare)) - {"up"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_names_metrics_that_exist(rule: dict[str, Any]) -> None:
    assert _named(rule["expr"]) <= names()
    assert _named(rule["expr"]) or rule["expr"].startswith("up{")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_metrics_that_exist(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert _named(target["expr"]), target
        assert _named(target["expr"]) <= names()


def test_the_readme_has_a_line_for_every_alert_and_for_no_other() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(Grace\w+)` \|", readme, flags=re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_every_figure_is_on_the_board_or_in_an_alert() -> None:
    asked = {name for rule in RULES for name in _named(rule["expr"])}
    asked |= {name for panel in PANELS for target in panel["targets"] for name in _named(target["expr"])}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names()}
    assert families - {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} == set()


def test_what_prometheus_is_told_to_scrape() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    assert config["rule_files"] == ["alerts.yaml"]
    assert [job["job_name"] for job in config["scrape_configs"]] == ["medusa-grace"]
