"""Imports point one way, and each outside part has its one home."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
JOBS = (
    "run_job",
    "job_run",
    "job_failures",
    "stripe_job",
    "capture_payment",
    "capture_step",
    "void_payment",
    "void_session",
    "refund_payment",
    "refund_session",
    "look_at_payment",
    "look_at_session",
    "release_stock",
    "publish_event",
)


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


PRIVATE = {"app/database_address.py": "asyncpg", "app/server.py": "granian"}
"""The one file for each library that reaches names which the library does not promise to keep."""


OURS = {"app", "plugins", "workers"}


def _private_names(path: Path) -> set[str]:
    """Underscore names that a file imports from elsewhere, or reaches on what is not its own."""
    found: set[str] = set()
    own: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                found |= {alias.name for alias in names if "._" in alias.name}
            case ast.ImportFrom(module=str(module), names=names) if not module.startswith(
                ("app", "plugins", "workers")
            ):
                found |= {alias.name for alias in names if alias.name.startswith("_") or "._" in module}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                found.add(name)
    return found - own - {"_replace", "_exit"}  # documented, of namedtuple and os


def test_private_names_of_a_library_are_reached_in_one_file_that_says_so() -> None:
    files = {path for folder in ("app", "plugins", "workers") for path in (ROOT / folder).rglob("*.py")}
    reaching = {str(path.relative_to(ROOT)): names for path in files if (names := _private_names(path))}
    assert reaching.keys() == PRIVATE.keys(), reaching
    for file, package in PRIVATE.items():
        assert f'with reaching_into("{package}", __file__):' in (ROOT / file).read_text()


@pytest.mark.parametrize(
    ("module", "moved"),
    [
        ("app.server", "import granian._signals; del granian._signals.set_loop_signals"),
        ("app.server", "import granian; del granian.server.common.AbstractServer._stop_workers"),
        (
            "app.server",
            "from granian.server.common import AbstractServer as it; it._init_shared_socket = lambda it: it.shared()",
        ),
        ("app.database_address", "from asyncpg import connect_utils as it; del it._parse_connect_dsn_and_args"),
    ],
)
def test_a_release_that_moved_a_private_name_is_met_at_the_import(module: str, moved: str) -> None:
    program = f"{moved}\nimport {module}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    file = module.replace(".", "/") + ".py"
    assert subprocess.run([sys.executable, "-c", f"import {module}"], timeout=60, check=True)
    assert re.search(rf"^ImportError: mend \S*{file}: {PRIVATE[file]} ", done.stderr, re.MULTILINE), done.stderr


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


def test_no_six_lines_stand_twice_among_the_jobs() -> None:
    """What two kinds of job have in common is the skeleton's. Imports and blank lines are not counted."""
    modules = [ROOT / "app" / "usecases" / f"{name}.py" for name in JOBS]
    seen: dict[tuple[str, ...], str] = {}
    for path in modules:
        written = [line.strip() for line in path.read_text().splitlines()]
        lines = [line for line in written if line and not line.startswith(("from ", "import "))]
        for number in range(len(lines) - 5):
            six = tuple(lines[number : number + 6])
            assert six not in seen, f"{path.name} repeats {seen[six]}: {six}"
            seen[six] = path.name


_WRITES_GRACE = re.compile(r"\b(insert\s+into|update|delete\s+from)\s+grace\.", re.IGNORECASE)


def test_no_statement_of_the_bridge_writes_a_table_of_schema_grace() -> None:
    """What writes both schemas is a function of a migration."""

    def writing(folder: str) -> set[str]:
        return {path.name for path in (ROOT / folder).glob("*.sql") if _WRITES_GRACE.search(path.read_text())}

    assert writing("sql"), "it is written in another way"
    assert writing("plugins/medusa_bridge/sql") == set()
