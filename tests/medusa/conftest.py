"""One real Medusa for all tests, and one sidecar beside it at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import asyncpg
import pytest

from app.embedded.postgres import Postgres
from app.embedded.valkey import DATABASES, Valkey

from .browser import Chromium, chromium_is_missing, running_chromium
from .lab import Lab, Surroundings, start_lab
from .orders import Medusa
from .packages import installed_packages, node_is_missing, unless
from .sidecar import Sidecar, running_sidecar

# Databases of one Valkey that no other test uses: theirs are numbered from 1 upwards.
_MEDUSA_REDIS, _OUR_REDIS = 0, DATABASES - 1

PATIENT = {"GRACE_PERIOD_SECONDS": "3600"}
HASTY = {"GRACE_PERIOD_SECONDS": "4"}


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Progress that is shown although pytest captures output: the first run takes minutes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    terminal = request.config.pluginmanager.getplugin("terminalreporter")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(f"  {line}")

    return write


@pytest.fixture(scope="session")
def packages(say: Callable[[str], None]) -> Path:
    """Medusa's ``node_modules``. Without Node: a skip at a desk, a failure where CI must not pass for nothing."""
    unless(node_is_missing())
    return installed_packages(say)


@pytest.fixture(scope="session")
async def surroundings(packages: Path, postgres: Postgres, valkey: Valkey, sandbox_url: str) -> Surroundings:
    """An empty database, Redis and Stripe. ``packages`` comes first: a missing Node skips everything."""
    conn = await asyncpg.connect(postgres.dsn())
    await conn.execute("create database medusa")
    await conn.close()
    return Surroundings(postgres.dsn("medusa"), valkey.url(_MEDUSA_REDIS), sandbox_url, "sk_test_made_up_for_medusa")


@pytest.fixture(scope="session")
def lab(
    surroundings: Surroundings,
    packages: Path,
    tmp_path_factory: pytest.TempPathFactory,
    say: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> Iterator[Lab]:
    """The running, seeded Medusa. Its admin is built only when a test looks at it: that takes a minute."""
    looked_at = any(item.get_closest_marker("browser") for item in request.session.items)
    started = start_lab(surroundings, packages, tmp_path_factory.mktemp("medusa"), say, admin=looked_at)
    yield started
    started.process.stop()


@pytest.fixture(scope="session")
async def medusa(lab: Lab) -> AsyncIterator[Medusa]:
    """Its APIs."""
    async with AsyncExitStack() as stack:
        yield await Medusa.connect(lab, stack)


@pytest.fixture(scope="session")
async def shop_db(lab: Lab) -> AsyncIterator[asyncpg.Connection]:
    """A look at the database, Medusa's tables and ours."""
    conn = await asyncpg.connect(lab.surroundings.database)
    yield conn
    await conn.close()


class Sidecars:
    """At most one sidecar: two with different grace periods would both watch the same orders."""

    def __init__(self, lab: Lab, redis: str, directory: Path):
        self._lab, self._redis, self._directory = lab, redis, directory
        self._settings: dict[str, str] | None = None
        self._current: Sidecar | None = None
        self._stack = ExitStack()
        self._started = 0

    def use(self, settings: dict[str, str]) -> Sidecar:
        """One with these settings: the running one, or a new one in its place."""
        if self._current is None or settings != self._settings:
            self.stop()
            self._started += 1
            starting = running_sidecar(
                self._lab, redis=self._redis, directory=self._directory / str(self._started), settings=settings
            )
            self._current, self._settings = self._stack.enter_context(starting), settings
        return self._current

    def stop(self) -> None:
        """End the running one."""
        self._current = None
        self._stack.close()


@pytest.fixture(scope="session")
def sidecars(lab: Lab, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecars]:
    """Starts sidecars and stops them."""
    started = Sidecars(lab, valkey.url(_OUR_REDIS), tmp_path_factory.mktemp("sidecar"))
    yield started
    started.stop()


@pytest.fixture
def sidecar(sidecars: Sidecars) -> Sidecar:
    """One that gives shoppers an hour."""
    return sidecars.use(PATIENT)


@pytest.fixture
def hasty_sidecar(sidecars: Sidecars) -> Sidecar:
    """One that captures after seconds."""
    return sidecars.use(HASTY)


@pytest.fixture(scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    """A browser. Without one: as without Node."""
    unless(chromium_is_missing())
    async with running_chromium(tmp_path_factory.mktemp("screenshots")) as started:
        yield started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what Medusa and the sidecar had to say."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for made in item.funcargs.values():
            if isinstance(made, Sidecar):
                report.sections.append(("the sidecar's logs", made.logs()))
            elif isinstance(made, Medusa):
                report.sections.append(("Medusa's log", made.lab.process.tail(15)))
    return report
