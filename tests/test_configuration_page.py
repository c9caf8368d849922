"""The settings' table: what the page and ``--help`` say of it, and what the processes read of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from app import settings, settings_table
from app.configuration_page import PAGE, with_table
from app.environment import Environment, Setting
from app.settings_table import TABLE, Role, listed, settings_of

ROOT: Final = Path(__file__).resolve().parents[1]
ENVIRON: Final = {
    "DATABASE_URL": "postgres://grace@db/shop",
    "REDIS_URL": "redis://cache/0",
    "STRIPE_API_KEY": "sk_test_hunter2",
    "MEDUSA_LOCKING": "postgres",
    "MEDUSA_REDIS_URL": "redis://cache/1",
    "MODIFICATION_TOKEN_SECRET": "7f3k9q2m5x8r1v6z",
}
NAMES: Final = {row.name for row in TABLE}


def test_the_page_is_the_tables() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "uv run python -m app.configuration_page"
    for name in NAMES:
        assert page.count(f"\n| `{name}` |") == 1
    assert with_table(page.replace("`3600`", "`7200`")) == page


def test_names_are_the_rows_own() -> None:
    assert {name for name, row in vars(settings_table).items() if isinstance(row, Setting)} == NAMES
    assert len(TABLE) == len(NAMES)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_row_is_complete(row: Setting[Any]) -> None:
    assert row.help
    assert "\n" not in row.help
    assert "|" not in f"{row.help}{row.kind.shown}{row.unset}"
    assert row.roles
    assert set(row.roles) <= set(Role)
    environment = Environment({})
    assert row.default is None or environment.read(row) is not None
    assert environment.problems == []


@pytest.mark.parametrize("role", [Role.SERVE, Role.WORKER, Role.MIGRATE])
def test_a_process_reads_the_settings_of_its_row(monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    """One that is not read would be explained for nothing, and one that is read of another command's would surprise."""
    read: set[str] = set()

    class Noting(Environment):
        def text(self, setting: Setting[Any], *, need: str | None = None) -> str | None:
            read.add(setting.name)
            return super().text(setting, need=need)

    monkeypatch.setattr(settings, "Environment", Noting)
    if role is Role.MIGRATE:
        settings.read_migration_settings(ENVIRON)
        assert read == {row.name for row in settings_of(role)}
    else:
        settings.read_settings(ENVIRON, role)
        assert read == {row.name for row in TABLE if {*row.roles} & {Role.SERVE, Role.WORKER}}


@pytest.mark.parametrize("role", Role)
def test_the_help_of_a_command_lists_its_settings(role: Role) -> None:
    text = listed(role)
    for row in settings_of(role):
        assert (f"{row.name} ({row.default})" if row.default else row.name) in text


def test_the_pages_and_compose_name_settings_of_the_table() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    section = page.partition("### Settings\n")[2].partition("\n## ")[0]
    defaults = {row.name: row.unset or str(row.default) for row in TABLE}
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \| `?([^|`]*?)`? \|", section, re.MULTILINE)
    assert len(rows) > 4
    for names, default in rows:
        for name in names.replace("`", "").split(", "):
            assert defaults[name] == default
    block = re.search(r"begins with\n\n +```\n(.*?)```", page, re.DOTALL)
    assert block is not None
    assert set(re.findall(r"^ +([A-Z_]+)=", block[1], re.MULTILINE)) <= NAMES
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name in ("migrate", "api", "worker"):
        assert set(services[name]["environment"]) <= NAMES
