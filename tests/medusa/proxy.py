"""The reverse proxy in front of both: Caddy, with the very file that operators are given."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from app.embedded.processes import HOST, free_port
from tests.deploy.pgbouncer import needed

from .processes import Child, environment

_CADDYFILE = Path(__file__).parents[2] / "plugins" / "medusa_bridge" / "Caddyfile"


@asynccontextmanager
async def running_proxy(*, medusa: str, sidecar: str) -> AsyncIterator[str]:
    """The address under which a storefront sees one backend."""
    program, url = needed("caddy"), f"http://{HOST}:{(port := free_port())}"
    with tempfile.TemporaryDirectory() as home:
        env = environment(
            PORT=str(port),
            MEDUSA_UPSTREAM=urlsplit(medusa).netloc,
            GRACE_UPSTREAM=urlsplit(sidecar).netloc,
        ) | {"HOME": home}
        argv = [program, "run", "--config", str(_CADDYFILE), "--adapter", "caddyfile"]
        caddy = Child("caddy", argv, env=env, log=Path(home) / "caddy.log")
        try:
            await asyncio.to_thread(partial(caddy.await_ok, f"{url}/health", seconds=30))
            yield url
        finally:
            await asyncio.to_thread(caddy.stop)
