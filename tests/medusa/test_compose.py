"""compose.yaml without a container engine: each service's own command and environment, here, beside a real Medusa.

Only addresses and ports are others than in the file, since all of it shares one host here.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
import yaml

from app.embedded.processes import HOST, free_port
from app.embedded.valkey import DATABASES, Valkey
from tests.deploy.pgbouncer import needed

from .conftest import Sidecars
from .lab import JWT_SECRET, Lab
from .orders import Medusa
from .processes import Child, environment
from .proxy import running_proxy

pytestmark = pytest.mark.medusa

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
PROGRAM = Path(sys.executable).with_name("medusa-grace")
_REDIS = DATABASES - 2


class House:
    """The services of the file that are ours, as processes."""

    def __init__(self, lab: Lab, redis: str, directory: Path) -> None:
        self._directory = directory
        database, redis_host = urlsplit(lab.surroundings.database), urlsplit(redis)
        self._here = {
            "medusa:made-up-password-of-medusa@": f"{database.username}:{database.password}@",
            "@postgres:5432/medusa": f"@{database.hostname}:{database.port}{database.path}",
            "redis://valkey:6379/0": redis,
            "redis://valkey:6379/1": lab.surroundings.redis,
            "http://stripe:12111": lab.surroundings.stripe_url,
            COMPOSE["api"]["environment"]["STRIPE_API_KEY"]: lab.surroundings.stripe_key,
            COMPOSE["api"]["environment"]["MEDUSA_JWT_SECRET"]: JWT_SECRET,
        }
        assert redis_host.scheme == "redis"
        self._stack = ExitStack()

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, service: str, name: str, **moved: str) -> Child:
        """A service of the file; ``moved`` are words of it that are others here."""
        about = COMPOSE[service]
        text = {key: self._moved(str(value), moved) for key, value in about["environment"].items()}
        argv = [str(PROGRAM), *(self._moved(word, moved) for word in about["command"])]
        child = Child(name, argv, env=environment(**text), log=self._directory / f"{name}.log", on_our_death=15)
        self._stack.callback(child.stop)
        return child

    def _moved(self, word: str, moved: dict[str, str]) -> str:
        for there, here in (self._here | moved).items():
            word = word.replace(there, here)
        return word


async def test_the_services_of_the_file_cancel_an_order_together(
    medusa: Medusa, sidecars: Sidecars, valkey: Valkey, tmp_path: Path
) -> None:
    sidecars.stop()  # its workers would take the jobs
    prometheus = needed("prometheus")
    api, *metrics = [str(free_port()) for _ in range(4)]
    with House(medusa.lab, valkey.url(_REDIS), tmp_path) as house:
        house.start("migrate", "migrate").finish(seconds=60)
        serve = house.start("api", "api", **{"0.0.0.0": HOST, "9100": api, "9101": metrics[0]})
        workers = [house.start("worker", f"worker-{n}", **{"0.0.0.0": HOST, "9101": metrics[n]}) for n in (1, 2)]
        serve.await_ok(f"http://{HOST}:{api}/health/ready", seconds=60)
        for worker, port in zip(workers, metrics[1:], strict=True):
            worker.await_ok(f"http://{HOST}:{port}/health/live", seconds=60)
        assert len(workers) == COMPOSE["worker"]["deploy"]["replicas"]
        _probe(COMPOSE["worker"]["healthcheck"]["test"], {"9101": metrics[1]})
        _probe(_healthcheck_of_image(), {"9100": api})
        async with running_proxy(medusa=medusa.lab.url, sidecar=f"http://{HOST}:{api}") as shop:
            placed = await medusa.place_order()
            secret = COMPOSE["api"]["environment"]["MODIFICATION_TOKEN_SECRET"]
            token = jwt.encode({"order_id": placed.id, "exp": 4_000_000_000}, secret, "HS256")
            headers = {"x-publishable-api-key": medusa.shop.publishable_key, "x-modification-token": token}
            async with httpx.AsyncClient(base_url=shop, headers=headers, timeout=30) as http:
                answer = await http.post(f"/store/orders/{placed.id}/cancel")
                assert answer.json() == {"order_id": placed.id, "status": "canceled", "payment_action": "voided"}
                receipt = await http.get(f"/store/orders/{placed.id}/cancellation")
                assert receipt.json()["canceled_by"] == "token"
        await _seen_by_prometheus(prometheus, tmp_path, metrics)


def _probe(test: list[str], moved: dict[str, str]) -> None:
    """A health check as the engine would run it."""
    _, *argv = test
    for there, here in moved.items():
        argv = [word.replace(there, here) for word in argv]
    subprocess.run([str(PROGRAM.with_name(argv[0])), *argv[1:]], check=True, timeout=30)


def _healthcheck_of_image() -> list[str]:
    line = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.lstrip().startswith('CMD ["py'))
    return ["CMD", *yaml.safe_load(line.strip().removeprefix("CMD "))]


async def _seen_by_prometheus(program: str, directory: Path, ports: list[str]) -> None:
    """Prometheus with the file's own settings: every process is up, the rules are loaded, the cancel is counted."""
    folder = ROOT / "app" / "monitoring"
    config = yaml.safe_load((folder / "prometheus.compose.yaml").read_text())
    mounted = [volume.split(":")[0] for volume in COMPOSE["prometheus"]["volumes"]]
    assert [ROOT / path for path in mounted] == [folder / "prometheus.compose.yaml", folder / "alerts.yaml"]
    serve, workers = config["scrape_configs"]
    assert serve["static_configs"][0]["targets"] == ["api:9101"]
    serve["static_configs"][0]["targets"] = [f"{HOST}:{ports[0]}"]
    assert workers.pop("dns_sd_configs") == [{"names": ["worker"], "type": "A", "port": 9101}]
    workers["static_configs"] = [{"targets": [f"{HOST}:{port}" for port in ports[1:]]}]
    config |= {"global": {"scrape_interval": "1s"}, "rule_files": [str(folder / "alerts.yaml")]}
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    argv = [program, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb"]
    argv.append(f"--web.listen-address={HOST}:{port}")
    child = Child("prometheus", argv, env=environment(), log=directory / "prometheus.log")
    try:
        await asyncio.to_thread(child.await_ok, f"http://{HOST}:{port}/-/ready", seconds=60)
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}/api/v1", timeout=10) as http:
            rules = (await http.get("/rules")).json()["data"]["groups"][0]["rules"]
            assert len(rules) == len(yaml.safe_load((folder / "alerts.yaml").read_text())["groups"][0]["rules"])
            assert await _settled(http, 'count(up{job=~"medusa-grace.*"} == 1)', "3")
            assert await _settled(http, 'sum(grace_cancels_total{outcome="canceled"})', "1")
            assert await _settled(http, 'sum(grace_job_runs_total{kind="void",outcome="done"})', "1")
    finally:
        await asyncio.to_thread(child.stop)


async def _settled(http: httpx.AsyncClient, query: str, wanted: str) -> bool:
    for _ in range(60):
        result = (await http.get("/query", params={"query": query})).json()["data"]["result"]
        if result and result[0]["value"][1] == wanted:
            return True
        await asyncio.sleep(0.5)
    return False
