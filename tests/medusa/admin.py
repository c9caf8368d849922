"""Medusa's admin with our widget in it, built with Medusa's own tools as docs/operator-page.md says."""

from __future__ import annotations

import shutil
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .processes import Child, environment

WIDGET = Path(__file__).parents[2] / "plugins" / "medusa_bridge" / "admin_widget"
_NAME = "medusa-grace-admin-widget"
_BUILD_SECONDS = 600


def packed_widget(packages: Path, directory: Path, say: Callable[[str], None]) -> Path:
    """The archive that ``npm pack`` makes of the widget after type-checking and building it."""
    say("widget: npm pack")
    source = directory / "admin_widget"
    shutil.copytree(WIDGET, source, ignore=shutil.ignore_patterns("node_modules", ".medusa"))
    (source / "node_modules").symlink_to(packages)
    env = environment(MEDUSA_DISABLE_TELEMETRY="true")
    argv = ["npm", "pack", "--pack-destination", str(directory), "--loglevel=error"]
    Child("npm pack", argv, env=env, log=directory / "npm-pack.log", cwd=source).finish(seconds=_BUILD_SECONDS)
    [archive] = directory.glob(f"{_NAME}-*.tgz")
    return archive


def install_widget(archive: Path, backend: Path) -> None:
    """Put it where ``npm install`` would. The folder becomes the shop's own, the packages in it stay links."""
    installed = backend / "node_modules"
    packages = installed.resolve()
    installed.unlink()
    installed.mkdir()
    for package in packages.iterdir():
        (installed / package.name).symlink_to(package)
    with tarfile.open(archive) as packed:
        packed.extractall(directory := backend / ".unpacked", filter="data")
    (directory / "package").rename(installed / _NAME)


def build_admin(backend: Path, env: Mapping[str, str], log: Path, say: Callable[[str], None]) -> None:
    """Build the admin and put it where ``medusa start`` serves it from."""
    say("medusa: build the admin, about a minute")
    began = time.monotonic()
    # The bundler lies in the shared packages and looks for classes of plugins beside itself: NODE_PATH shows it ours.
    env = {**env, "NODE_PATH": str(backend / "node_modules")}
    argv = ["node", "node_modules/@medusajs/cli/cli.js", "build", "--admin-only"]
    Child("medusa build", argv, env=env, log=log, cwd=backend).finish(seconds=_BUILD_SECONDS)
    shutil.copytree(backend / ".medusa" / "admin", backend / "public" / "admin")
    say(f"medusa: the admin is built, {time.monotonic() - began:.0f} s")
