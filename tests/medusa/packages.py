"""Medusa's npm packages, installed once into a cache outside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .processes import Child, environment

BACKEND = Path(__file__).parent / "backend"
OLDEST_NODE = 20
_INSTALL_SECONDS = 900
_DONE = ".complete"
_DEFAULT: str = json.loads((BACKEND / "package.json").read_text())["dependencies"]["@medusajs/medusa"]
# Between them they name every part of Medusa.
_ROOTS = ("medusa", "framework", "admin-bundler", "dashboard")


def unless(why: str | None) -> None:
    """Go on, unless something is missing: then a skip at a desk, a failure where CI must not pass for nothing."""
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(why)


def node_is_missing() -> str | None:
    """Why Medusa cannot run here, or ``None``."""
    if not shutil.which("node") or not shutil.which("npm"):
        return f"a real Medusa needs Node {OLDEST_NODE} or later and npm on the PATH"
    if (found := _node_major()) < OLDEST_NODE:
        return f"a real Medusa needs Node {OLDEST_NODE} or later, this is {found}"
    return None


def installed_packages(say: Callable[[str], None]) -> Path:
    """The ``node_modules`` for ``backend/package.json``. Installs them when the cache has none.

    They are installed beside their final place and renamed, so what is found under the final name is whole.
    """
    cache = Path(os.environ.get("MEDUSA_GRACE_CACHE") or Path.home() / ".cache" / "medusa-grace")
    cache.mkdir(parents=True, exist_ok=True)
    manifest = _manifest()
    machine = f"node{_node_major()}-{platform.system()}-{platform.machine()}".lower()
    home = cache / f"{machine}-{hashlib.sha256(manifest).hexdigest()[:16]}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second run waits here instead of installing as well
        if not (home / _DONE).exists():
            shutil.rmtree(home, ignore_errors=True)
            for abandoned in cache.glob("partial-*"):
                shutil.rmtree(abandoned, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix="partial-", dir=cache))
            (partial / "package.json").write_bytes(manifest)
            _of_one_release(partial)
            _install(partial, say)
            (partial / _DONE).touch()
            partial.rename(home)
    return home / "node_modules"


def bundle(packages: Path, entry: str, into: Path) -> None:
    """One file of a package and all that it needs, for browsers."""
    argv = [str(packages / ".bin/esbuild"), str(packages / entry), "--bundle", "--format=esm", f"--outfile={into}"]
    Child("esbuild", argv, env=environment(), log=into.with_suffix(".log")).finish(seconds=120)


def _manifest() -> bytes:
    """``backend/package.json``, with the Medusa that ``MEDUSA_VERSION`` names where it names one."""
    text = (BACKEND / "package.json").read_text()
    version = os.environ.get("MEDUSA_VERSION", "")
    if version in ("", _DEFAULT):
        return text.encode()
    manifest = json.loads(text)
    of_medusa = {name: version for name, its in manifest["dependencies"].items() if its == _DEFAULT}
    manifest["dependencies"] |= of_medusa
    del manifest["dependencies"]["@medusajs/ui"]  # has numbers of its own; the dashboard brings its one
    return json.dumps(manifest, indent=2).encode()


def chosen_version() -> tuple[int, int]:
    """Major and minor of the Medusa under test.

    A test that holds another release to something else says so by this, and what that release does is asserted too.
    """
    major, minor, _ = (os.environ.get("MEDUSA_VERSION") or _DEFAULT).split(".", 2)
    return int(major), int(minor)


def _of_one_release(directory: Path) -> None:
    """Hold every part of Medusa at the release that the manifest names.

    Elder releases ask for their parts as ``^2.0.7``, and npm would mix them with the newest. They also check bodies
    with a zod that they share, which it would give to each of them apart.
    """
    path = directory / "package.json"
    manifest = json.loads(path.read_text())
    version = manifest["dependencies"]["@medusajs/medusa"]
    if version == _DEFAULT:
        return
    parts: dict[str, str] = {}
    for package in _ROOTS:
        argv = ["npm", "view", f"@medusajs/{package}@{version}", "dependencies", "--json"]
        needs = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
        parts |= {
            name: its.lstrip("^~") for name, its in needs.items() if name.startswith("@medusajs/") or name == "zod"
        }
    manifest["overrides"] = {name: its for name, its in parts.items() if its == version or name == "zod"}
    path.write_text(json.dumps(manifest, indent=2))


def _install(directory: Path, say: Callable[[str], None]) -> None:
    say("npm install of Medusa: about 1,100 packages and 2 minutes, once for this package.json")
    began = time.monotonic()
    argv = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    npm = Child("npm install", argv, env=dict(os.environ), log=directory / "npm.log", cwd=directory)
    told = began

    def finished() -> bool:
        nonlocal told
        if time.monotonic() - told > 15:
            told = time.monotonic()
            say(f"npm install: {told - began:.0f} s")
        return npm.ended

    npm.await_(finished, seconds=_INSTALL_SECONDS, what="end")
    npm.finish(seconds=1)
    say(f"npm install: done after {time.monotonic() - began:.0f} s")


def _node_major() -> int:
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.removeprefix("v").split(".")[0])
