"""The curl lines of ``/docs``: each gets the answer that it stands beside, as bash reads it."""

from __future__ import annotations

import html
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import httpx
import msgspec
import pytest

from app.embedded.stripe_sandbox.client import Sandbox
from app.http.api_docs import describe
from app.http.contract_curl import VARIABLES, curl
from app.main import HANDLERS
from app.settings import Settings
from plugins.medusa_bridge import KEY_PROBLEMS
from tests.databases import one_database_a_file
from tests.world import Api, Shop, settings_for, token_for

database = one_database_a_file()

DOCUMENT: Final[dict[str, Any]] = msgspec.json.decode(describe(HANDLERS, KEY_PROBLEMS))
UNKNOWN: Final = "order_01M82MGPYYHGSM41XBR1GMBMVJ"
ANY_STATE: Final = {
    "cancelable",
    "void_pending",
    "invalid_data",
    "publishable_key_missing",
    "publishable_key_not_valid",
    "token_required",
    "token_invalid",
    "token_expired",
    "token_mismatch",
    "no_receipt",
    "uri_too_long",
    "headers_too_large",
    "one",
    "none",
    "ok",
}
"""Answers to a placed order that a request alone brings about."""


def answers() -> Iterator[tuple[str, str, dict[str, Any], str, str, str]]:
    """Each answer of the contract: path, method, operation, status, its name and media type."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                for media, content in response["content"].items():
                    for name in content["examples"]:
                        yield path, method, operation, status, name, media


ALL: Final = list(answers())


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    return settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", STRIPE_WEBHOOK_SECRET="whsec_0123456789")


def expanded(line: str, **variables: str) -> list[str]:
    """Return curl's arguments as bash hands them over; what is repeated or waits does neither here."""
    short = line.replace("sleep 11", "true").replace("$(seq 1000)", "1")
    script = f"set -eu; curl() {{ printf '%s\\0' \"$@\"; }}; {short}"
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def request_of(arguments: list[str]) -> dict[str, Any]:
    """Return what curl would send."""
    sent: dict[str, Any] = {"method": "GET", "headers": {}}
    rest = iter(arguments)
    for argument in rest:
        if argument == "-X":
            sent["method"] = next(rest)
        elif argument == "-H":
            name, _, value = next(rest).partition(": ")
            sent["headers"][name] = value
        elif argument == "-d":
            sent["content"] = next(rest).encode()
        elif argument == "-T":
            assert next(rest) == "-"
        else:
            assert "url" not in sent
            sent["url"] = argument
    return sent


@pytest.mark.parametrize(("path", "method", "operation", "status", "name", "media"), ALL)
async def test_a_line_gets_its_answer(
    shop: Shop, api: Api, path: str, method: str, operation: dict[str, Any], status: str, name: str, media: str
) -> None:
    order = await shop.place()
    variables = {
        "SHOP": str(api.client.base_url).rstrip("/"),
        "KEY": api.key,
        "ORDER": UNKNOWN if name == "not_found" else order.id,
        "TOKEN": token_for(UNKNOWN if name == "not_found" else order.id),
        "EXPIRED_TOKEN": token_for(order.id, valid_for=timedelta(hours=-1)),
        "TOKEN_OF_ANOTHER_ORDER": token_for(UNKNOWN),
        "SIGNATURE": "t=1,v1=00",
        "EVENT": "{}",
    }
    line = curl(path, method, operation, name, media)
    sent = request_of(expanded(line, **variables))
    assert sent["method"] == method.upper()
    assert httpx.URL(sent["url"]).path == path.replace("{order_id}", variables["ORDER"])
    if "security" in operation and (name in ANY_STATE or name == "not_found"):
        answer = await api.client.request(**sent)
        assert str(answer.status_code) == status, (line, answer.text)
        if status >= "400" and not name.startswith("publishable_key"):
            assert answer.json()["code"] == name
    elif name in {"invalid_data", "uri_too_long", "headers_too_large", "one", "none"}:
        answer = await api.client.request(**sent)
        assert str(answer.status_code) == status, (line, answer.text)


def test_the_lines_of_a_media_type_ask_for_it() -> None:
    for path, method, operation, _, name, media in ALL:
        asks = "accept: " in curl(path, method, operation, name, media)
        assert asks == (media in {"text/html", "text/plain"})


async def test_the_page_has_every_line_and_explains_its_variables(api: Api) -> None:
    page = (await api.client.get("/docs")).text
    for path, method, operation, status, name, media in ALL:
        start = f'<details id="{operation["operationId"]}-{status}-{name}"'
        section = html.unescape(page.partition(start)[2].partition("</pre>")[0])
        line = curl(path, method, operation, name, media)
        assert section.endswith(line), start
        assert set(re.findall(r"\$([A-Z_]+)", line)) <= VARIABLES.keys()
    for name in VARIABLES:
        assert f"<dt><code>{name}</code></dt>" in page


async def test_the_contents_lead_to_every_operation_and_ids_are_unique(api: Api) -> None:
    page = (await api.client.get("/docs")).text
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    contents = set(re.findall(r'href="#([^"]+)"', page.partition("<nav")[2].partition("</nav>")[0]))
    assert contents == {operation["operationId"] for _, _, operation, *_ in ALL} | {"variables", "shapes"}
    assert contents <= set(ids)
