"""The process: how it starts, listens and stops."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.embedded.stripe_sandbox.client import Sandbox, running_sandbox

pytestmark = pytest.mark.tools


COMMAND = (sys.executable, "-m", "app.embedded.stripe_sandbox")


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


async def url_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    return (await process.stdout.readline()).decode().strip()


async def ends(process: asyncio.subprocess.Process) -> float:
    started = time.monotonic()
    async with asyncio.timeout(5):
        await process.communicate()
    return time.monotonic() - started


async def test_it_stops_at_once_though_a_client_hangs() -> None:
    process = await start()
    url = await url_of(process)
    account = Sandbox(url, "sk_test_1")
    await account.fault("*", "timeout")
    async with httpx.AsyncClient(trust_env=False) as client:
        hanging = asyncio.create_task(client.get(f"{url}/v1/events", auth=("sk_test_1", "")))
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert await ends(process) < 2
        await asyncio.wait([hanging])
        assert isinstance(hanging.exception(), httpx.TransportError)
    assert process.returncode == 0


async def test_it_stops_on_sigint() -> None:
    process = await start()
    await url_of(process)
    process.send_signal(signal.SIGINT)
    assert await ends(process) < 2
    assert process.returncode == 0


async def test_it_can_end_with_its_parent() -> None:
    process = await start("--until-stdin-closes")
    await url_of(process)
    assert process.stdin
    process.stdin.close()
    assert await ends(process) < 2
    assert process.returncode == 0


async def test_it_writes_its_port_to_a_file(tmp_path: Path) -> None:
    process = await start("--port-file", str(tmp_path / "port"))
    url = await url_of(process)
    assert url == f"http://127.0.0.1:{(tmp_path / 'port').read_text()}"
    process.terminate()
    await ends(process)


async def test_it_says_when_a_port_is_taken(sandbox_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--port", sandbox_url.rpartition(":")[2], stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"cannot listen on port" in said


async def test_it_explains_itself() -> None:
    process = await start("--help")
    assert process.stdout
    assert b"--latency-ms" in await process.stdout.read()
    await process.communicate()


async def test_latency_can_be_set_at_the_start() -> None:
    async with running_sandbox(latency=0.2) as url:
        started = time.monotonic()
        await Sandbox(url, "sk_test_1").authorize(1000, "eur")
        assert time.monotonic() - started >= 0.2
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            await client.get(f"{url}/_sandbox/health")
        except httpx.ConnectError:
            return
    raise AssertionError("it still answers")


async def test_it_is_healthy_without_a_key(sandbox_url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{sandbox_url}/_sandbox/health")).json() == {"ok": True}


async def test_requests_in_pieces_and_in_a_row_are_answered_in_order(sandbox_url: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sandbox_url.rpartition(":")[2]))
    one = b"GET /_sandbox/health HTTP/1.1\r\nHost: x\r\n\r\n"
    for piece in (one[:10], one[10:] + one, b"BREW /_sandbox/health HTTP/1.1\r\n\r\n"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.05)
    heads = []
    for _ in range(3):
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        await reader.readexactly(int(heads[-1].partition("Content-Length: ")[2].split("\r\n")[0]))
    assert [head.split()[1] for head in heads] == ["200", "200", "401"]
    writer.write(b"nonsense\r\n\r\n")
    assert b" 400 " in await reader.readuntil(b"\r\n\r\n")
    assert await reader.read() == b"{}"
    writer.close()
    await writer.wait_closed()
