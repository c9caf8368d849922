"""Writes the table of settings into ``docs/configuration.md``: ``python -m app.configuration_page``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from app.environment import Setting
from app.settings_table import TABLE

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
_HEAD: Final = "| name | who | kind | default | what |\n| --- | --- | --- | --- | --- |\n"
_BEGIN, _END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def with_table(page: str) -> str:
    """The page with the table of settings, as it is in code, between its marks."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = "".join(map(_row, TABLE))
    return (
        f"{before}{_BEGIN}| name | who | kind | default | what |\n| --- | --- | --- | --- | --- |\n{rows}{_END}{after}"
    )


def _row(setting: Setting[Any]) -> str:
    default = setting.unset or (f"`{setting.default}`" if setting.default else "")
    return f"| `{setting.name}` | {', '.join(setting.roles)} | {setting.kind.shown} | {default} | {setting.help} |\n"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
