"""Board and alert rules name metrics that exist, Prometheus accepts them, and the runbook says what to do."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.meters import names
from tests.deploy.pgbouncer import needed

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "app" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "grafana.json").read_text())["panels"]
RUNBOOK = ROOT / "docs" / "runbook.md"
CASES = Path(__file__).with_name("alerts.test.yaml")


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
    assert panel["targets"], "it shows nothing"
    for target in panel["targets"]:
        assert _named(target["expr"]), target
        assert _named(target["expr"]) <= names()


def test_the_runbook_has_a_heading_for_every_alert_and_for_no_other() -> None:
    section = RUNBOOK.read_text(encoding="utf-8").partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (.+)$", section, flags=re.MULTILINE) == [rule["alert"] for rule in RULES]
    assert section.count("- **Means**: ") == section.count("- **Do**: ") == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_links_to_its_heading_in_the_runbook(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_every_figure_is_on_the_board_or_in_an_alert() -> None:
    asked = {name for rule in RULES for name in _named(rule["expr"])}
    asked |= {name for panel in PANELS for target in panel["targets"] for name in _named(target["expr"])}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names()}
    assert families - {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} == set()


def test_what_prometheus_is_told_to_scrape() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    assert config["rule_files"] == ["alerts.yaml"]
    assert [job["job_name"] for job in config["scrape_configs"]] == ["medusa-grace"]
    for path in (FOLDER / "prometheus.yaml", FOLDER / "prometheus.compose.yaml"):
        _promtool("check", "config", "--syntax-only", str(path))


def test_each_alert_fires_when_it_should_and_is_silent_otherwise() -> None:
    _promtool("test", "rules", str(CASES))


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    firing = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert firing == silent == {rule["alert"] for rule in RULES}


def test_prometheus_can_read_every_question_of_the_board(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    rules = [{"record": f"panel:{n}", "expr": expr.replace("$__rate_interval", "5m")} for n, expr in enumerate(asked)]
    file = tmp_path / "board.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    assert f"{len(asked)} rules found" in _promtool("check", "rules", str(file))


def test_the_board_is_one_that_grafana_takes() -> None:
    board = json.loads((FOLDER / "grafana.json").read_text())
    assert board["title"]
    assert board["uid"]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert {"x", "y", "w", "h"} <= panel["gridPos"].keys()
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def _promtool(*arguments: str) -> str:
    """What it said; it ends with an error where it found one."""
    done = subprocess.run(
        [needed("promtool", "prometheus"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
