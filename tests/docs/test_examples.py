"""What a reader copies from the pages works: commands, settings, SQL, YAML, units of systemd."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import yaml

from app.cli import _parser
from app.commands import COMMANDS
from app.settings_table import TABLE
from tests.docs.pages import PAGES, ROOT, Block, blocks, name_of
from tests.world import Shop

NOT_SETTINGS: Final = {
    "BROWSER_SHOTS", "MEDUSA_VERSION", "PICTURES",  # of the tests
    "PLUGIN_MEDUSA_GRACE_URL",  # of the admin's build
    "MEDUSA_JWT_IGNORE_EXPIRATION",  # refused by name
    "OWNER", "PASSWORD", "PUBLIC", "ORDER_ID", "COMMAND", "FILE", "KEY", "ROLE", "PAYMENT",  # stand for something
}  # fmt: skip
_NAME: Final = re.compile(r"\b(?:[A-Z]+_)+[A-Z]+\b")

_NAMED: Final = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 63}},
}
_PROBE: Final = {
    "type": "object",
    "required": ["httpGet"],
    "properties": {
        "httpGet": {"type": "object", "required": ["path", "port"], "properties": {"path": {"pattern": "^/"}}}
    },
}
_CONTAINER: Final = {
    "type": "object",
    "required": ["name", "image", "args"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string", "pattern": "^[a-z0-9./-]+:[a-z0-9.-]+$"},
        "args": {"type": "array", "items": {"type": "string"}},
        "envFrom": {"type": "array", "items": {"required": ["secretRef"], "properties": {"secretRef": _NAMED}}},
        "env": {
            "type": "array",
            "items": {"required": ["name", "value"], "properties": {"value": {"type": "string"}}},
        },
        "ports": {"type": "array", "items": {"required": ["containerPort"]}},
        "readinessProbe": _PROBE,
        "livenessProbe": _PROBE,
        "securityContext": {"type": "object"},
    },
}
_POD: Final = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "metadata": {"type": "object", "required": ["labels"]},
        "spec": {
            "type": "object",
            "required": ["containers"],
            "properties": {"containers": {"type": "array", "minItems": 1, "items": _CONTAINER}},
        },
    },
}
_KINDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "Job": ("batch/v1", {"required": ["template"], "properties": {"template": _POD}}),
    "Deployment": (
        "apps/v1",
        {
            "required": ["replicas", "selector", "template"],
            "properties": {
                "replicas": {"type": "integer", "minimum": 1},
                "selector": {"type": "object", "required": ["matchLabels"]},
                "template": _POD,
            },
        },
    ),
    "Service": ("v1", {"required": ["selector", "ports"], "properties": {"ports": {"items": {"required": ["port"]}}}}),
}
"""What Kubernetes requires of the kinds that the pages use, by apiVersion and spec."""


def _yaml(what: str) -> list[dict[str, Any]]:
    return [one for block in blocks("yaml") if what in block.text for one in yaml.safe_load_all(block.text)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_commands_and_settings_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))
    named = set(re.findall(r"\bmedusa-grace (?:--\w+ )?([a-z-]+)\b", code)) - {"worker@2", "API"}
    assert named <= {*COMMANDS, *_parser_commands()}
    assert set(_NAME.findall(code)) <= {row.name for row in TABLE} | NOT_SETTINGS


def _parser_commands() -> set[str]:
    [commands] = [action for action in _parser()._actions if action.metavar == "COMMAND"]
    return set(commands.choices or ())


def test_every_command_stands_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {command for command in COMMANDS if f"medusa-grace {command}" not in text} == set()


@pytest.mark.parametrize("block", blocks("sql"), ids=lambda block: block.text[:40].strip())
async def test_every_statement_runs(block: Block, shop: Shop) -> None:
    """As an administrator, in a transaction that is rolled back."""
    transaction = shop.conn.transaction()
    await transaction.start()
    try:
        await shop.conn.execute("create role grace")
        await shop.conn.execute('grant select on "order", grace.jobs to grace')
        await shop.conn.execute(block.text)
        left = await shop.conn.fetchval("select count(*) from pg_roles where rolname = 'grace'")
    finally:
        await transaction.rollback()
    assert left == ("drop role grace" not in block.text)


@pytest.mark.parametrize("block", blocks("ini"), ids=lambda block: block.text.splitlines()[0].rpartition("/")[2])
def test_a_unit_is_one_that_systemd_takes(block: Block, tmp_path: Path) -> None:
    text = block.text.replace("/opt/medusa-grace/.venv/bin/medusa-grace", str(Path(sys.executable).with_name("python")))
    unit = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read_string(text)
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    started = re.search(r"^ExecStart=\S+medusa-grace (.+)$", block.text, flags=re.MULTILINE)
    assert started is not None
    _parser().parse_args(started[1].split())
    file = tmp_path / block.text.splitlines()[0].rpartition("/")[2].replace("@.", "@2.")
    file.write_text(text)
    if (program := shutil.which("systemd-analyze")) is not None:
        done = subprocess.run([program, "verify", str(file)], capture_output=True, text=True, timeout=60, check=False)
        said = [line for line in done.stderr.splitlines() if file.name.partition("@")[0] in line]
        assert said == []


def test_compose_starts_commands_that_exist() -> None:
    [compose] = _yaml("services:")
    services = compose["services"]
    assert {"grace-migrate", "grace-api", "grace-worker"} <= services.keys()
    for service in services.values():
        assert service["image"]
        assert service.get("depends_on", {}).keys() <= services.keys()
        if "medusa-grace" in service["image"]:
            _parser().parse_args(service["command"])
            assert service.get("environment", {}).keys() <= {row.name for row in TABLE}


def test_the_image_is_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert version is not None
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert set(re.findall(r"medusa-grace:(\d[\d.]*\d)", text)) == {version[1]}


def test_kubernetes_has_what_its_kinds_require() -> None:
    found = _yaml("apiVersion:")
    assert [one["kind"] for one in found] == ["Job", "Deployment", "Deployment", "Service"]
    for one in found:
        version, spec = _KINDS[one["kind"]]
        shape = {
            "type": "object",
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "additionalProperties": False,
            "properties": {
                "apiVersion": {"const": version},
                "kind": {"type": "string"},
                "metadata": _NAMED,
                "spec": {"type": "object", **spec},
            },
        }
        errors = [str(error) for error in jsonschema_rs.Draft202012Validator(shape).iter_errors(one)]
        assert errors == [], one["metadata"]["name"]


def test_kubernetes_starts_commands_and_probes_that_exist() -> None:
    *workloads, service = _yaml("apiVersion:")
    labels = []
    for one in workloads:
        pod = one["spec"]["template"]
        [container] = pod["spec"]["containers"]
        _parser().parse_args(container["args"])
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("readinessProbe", "livenessProbe"):
            if probe in container:
                assert container[probe]["httpGet"]["port"] in ports
                assert container[probe]["httpGet"]["path"] in {"/health/ready", "/health/live"}
        assert {entry["name"] for entry in container.get("env", [])} <= {row.name for row in TABLE}
        if one["kind"] == "Deployment":
            assert one["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
            assert pod["spec"]["terminationGracePeriodSeconds"] > 33
            labels.append((pod["metadata"]["labels"], ports))
        else:
            assert pod["spec"]["restartPolicy"] in {"Never", "OnFailure"}
    [ports] = [ports for label, ports in labels if label == service["spec"]["selector"]]
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
