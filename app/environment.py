"""One setting at a time from the environment, and a list of what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

from app.network_address import AddressError
from app.setting_kinds import Given, Kind, WrongValue

T = TypeVar("T")


class Setting(msgspec.Struct, Generic[T], frozen=True):
    """A row of the table of settings (``app.settings_table``). Without a ``default`` it is read as ``None``."""

    name: str
    kind: Kind[T]
    roles: tuple[str, ...]
    """The commands that make use of it."""
    default: str | None = None
    """What is read where it is not set."""
    unset: str = ""
    """What it means that it is not set, in words, where ``default`` does not show that."""
    help: str = ""

    def explained(self, text: str) -> Setting[T]:
        """The same with its help: Markdown, on one line."""
        return msgspec.structs.replace(self, help=text)


class Environment:
    """Reads settings. What is missing or malformed becomes a line of ``problems``; reading goes on.

    What works and is unwise becomes a line of ``warnings``.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._read: set[str] = set()
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def read(self, setting: Setting[T], *, need: str | None = None) -> T:
        """The value, or that of the default where it is not set or is wrong. With ``need`` a missing one is a problem:
        what is expected."""
        if (text := self.text(setting, need=need)) is not None:
            try:
                return self._parsed(setting, text)
            except (WrongValue, AddressError) as error:
                self.problems += [f"{setting.name} {problem}" for problem in error.args]
        return self._parsed(setting, setting.default) if setting.default is not None else None  # type: ignore[return-value]  # T has None where there is no default: see optional()

    def text(self, setting: Setting[T], *, need: str | None = None) -> str | None:
        """The value as it is set, without the space around it; ``None`` where it is not."""
        name = setting.name
        self._read.add(name)
        value = self._environ.get(name, "")
        if value.strip():
            return value.strip() if setting.kind.trimmed else value
        if need is not None:
            self.problems.append(f"{name} is missing: {need}")
        return None

    def is_set(self, name: str) -> bool:
        """Whether something is set by a name that is no setting's."""
        return bool(self._environ.get(name, "").strip())

    def refuse_files(self) -> None:
        """Name each ``..._FILE`` beside a setting that was read and is not set: images that take one are not ours."""
        self.problems += [
            f"{name}_FILE is not read: expected the value itself in {name}"
            for name in sorted(self._read)
            if self._environ.get(f"{name}_FILE") and not self.is_set(name)
        ]

    def _parsed(self, setting: Setting[T], text: str) -> T:
        name = setting.name
        return setting.kind.read(
            Given(name, text, self._environ, lambda words: self.warnings.append(f"{name} {words}"))
        )
