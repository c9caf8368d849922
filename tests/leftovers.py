"""Close what a failed test leaves open, and limit each test's time: no failure fails or hangs a later test."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

SLOW: Final = {
    "medusa": 1800,  # the first test installs a Medusa from npm
    "browser": 1800,
    "long": 3600,
    "tools": 600,
    "chaos": 600,
    "benchmarks": 600,
    "races": 600,
    "deploy": 300,
    "hostile": 300,
}
"""Seconds for a test, by its marker or its folder; all others have ``timeout`` of pyproject.toml."""

_ROOT: Final = Path(__file__).parents[1]
_LOOP: Final = pytest.StashKey[asyncio.AbstractEventLoop]()
_PATIENCE: Final = 5.0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of the slow suites their time."""
    for item in items:
        limits = [seconds for name, seconds in SLOW.items() if item.get_closest_marker(name) or name in item.path.parts]
        if limits and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(max(limits)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Cancel the tasks that a failed test began, before its fixtures close what the tasks use."""
    loop = item.stash.get(_LOOP, None)
    before = set() if loop is None else asyncio.all_tasks(loop)
    try:
        yield
    except BaseException:
        for task in _begun(loop, before):
            task.cancel()
        raise


@pytest.fixture(autouse=True)
async def no_leftovers(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """End the tasks and close the connections that the test and its fixtures left open."""
    loop = asyncio.get_running_loop()
    request.node.stash[_LOOP] = loop
    before = asyncio.all_tasks(loop)
    opened: list[asyncpg.Connection] = []
    streams: list[asyncio.StreamWriter] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg, "connect", _recording(asyncpg.connect, opened))
        patch.setattr(asyncio, "start_server", _closing_connections(asyncio.start_server))
        patch.setattr(asyncio, "open_connection", _recording_streams(asyncio.open_connection, streams))
        yield
    tasks = _begun(loop, before)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_PATIENCE)
    for stream in streams:
        stream.close()
    for connection in opened:
        if not connection.is_closed():
            connection.terminate()
    await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that is closed with the block, even when a task is left that still uses it."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        try:
            await connection.close(timeout=_PATIENCE)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            connection.terminate()


def _recording(
    connect: Callable[..., Awaitable[asyncpg.Connection]], opened: list[asyncpg.Connection]
) -> Callable[..., Awaitable[asyncpg.Connection]]:
    async def record(*arguments: Any, **options: Any) -> asyncpg.Connection:
        connection = await connect(*arguments, **options)
        opened.append(connection)
        return connection

    return record


def _closing_connections(
    start_server: Callable[..., Awaitable[asyncio.Server]],
) -> Callable[..., Awaitable[asyncio.Server]]:
    """``start_server`` whose connections are closed when their handler ends, also when it is cancelled.

    A handler that is no coroutine only begins to answer, and closes its connections itself.
    """

    async def start(
        answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], *arguments: Any, **options: Any
    ) -> asyncio.Server:
        if not inspect.iscoroutinefunction(answer):
            return await start_server(answer, *arguments, **options)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(asyncio.CancelledError):
                await answer(reader, writer)

        return await start_server(serve, *arguments, **options)

    return start


def _recording_streams(
    connect: Callable[..., Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    opened: list[asyncio.StreamWriter],
) -> Callable[..., Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    async def record(*arguments: Any, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await connect(*arguments, **options)
        opened.append(writer)
        return reader, writer

    return record


def _begun(loop: asyncio.AbstractEventLoop | None, before: Iterable[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Unfinished tasks that run code of this repository: a library's session-wide tasks are its own."""
    if loop is None:
        return set()
    begun = asyncio.all_tasks(loop) - set(before)
    current = asyncio.current_task(loop)
    return {task for task in begun if task is not current and _is_ours(task)}


def _is_ours(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and Path(code.co_filename).is_relative_to(_ROOT) and ".venv" not in code.co_filename
