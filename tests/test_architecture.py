"""Imports point one way, and each outside part has its one home."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("app", "plugins", "workers", include_external_packages=True, cache_dir=None)


def test_the_contracts_in_pyproject() -> None:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


HOMES = {
    "stripe": {"app.gateways"},
    "dramatiq": {"workers"},
    "bullmq": {"plugins.medusa_bridge.events"},
    "redis": {"app.gateways", "app.runtime", "plugins.medusa_bridge", "workers"},
    "jwt": {
        "app.gateways.receipt_keys",
        "app.http.operator.session",
        "app.http.tokens",
        "plugins.medusa_bridge.customers",
    },
    "jinja2": {"app.http.operator.views"},
    "granian": {"app.embedded", "app.server"},
    "app.embedded": {"app.commands", "app.embedded"},
    "prometheus_client": {"app.meters"},
    "sentry_sdk": {"app.gateways.sentry_channel"},
    "opentelemetry": {"app.tracing"},
}


@pytest.mark.parametrize("part", HOMES)
def test_one_home(imports: grimp.ImportGraph, part: str) -> None:
    users = {
        importer
        for module in imports.modules
        if module == part or module.startswith(f"{part}.")
        for importer in imports.find_modules_that_directly_import(module)
    }
    assert users, "it is used under another name"
    strangers = {user for user in users if not any(user == home or user.startswith(f"{home}.") for home in HOMES[part])}
    assert not strangers


def test_every_package_is_in_a_layer() -> None:
    """A new package beside the layers would escape the contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    listed = {module for layer in layers for module in re.split(r"[\s:|]+", layer)}
    packages = {f"app.{path.stem}" for path in (ROOT / "app").iterdir() if path.suffix == ".py" or [*path.glob("*.py")]}
    assert packages - listed - {"app.__init__"} == {"app.logs"}, "app.logs is for everybody"


def test_nobody_reads_the_environment_but_the_entry_points() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for folder in ("app", "plugins", "workers")
        for path in (ROOT / folder).rglob("*.py")
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    }
    embedded = {reader for reader in readers if reader.startswith("app/embedded/")}
    assert readers - embedded <= {"app/commands.py", "app/main.py"}


HEAVY = ("litestar", "dramatiq", "stripe", "granian", "redis", "asyncpg", "httpx", "structlog")
LIGHT = {
    "import app.cli": HEAVY,
    "from app.cli import main; main(['--help'])": HEAVY,
    "import app.commands": HEAVY,
    "import app.receipts": ("litestar", "dramatiq", "stripe", "granian", "redis", "asyncpg"),
    "import workers.main": ("litestar", "granian"),
    "import app.main": ("dramatiq", "granian"),
}


@pytest.mark.parametrize("program", LIGHT)
def test_a_command_loads_what_it_needs(program: str) -> None:
    ended = f"try: {program}\nexcept SystemExit: pass\n"
    loaded = f"import sys\nprint([n for n in sys.modules if n in {LIGHT[program]} or n.startswith('app.embedded')])"
    done = subprocess.run(
        [sys.executable, "-c", ended + loaded], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
