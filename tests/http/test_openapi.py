"""The served document against the answers that the application gives, both ways, and against docs."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
from litestar.routes import HTTPRoute
from schemathesis.specs.openapi.definitions import OPENAPI_31

from app.domain.cancellation import PaymentAction, Refusal
from app.embedded.stripe_sandbox.client import Sandbox
from app.gateways.receipt_keys import new_key
from app.http import body_limits, stripe_webhook
from app.http.api_docs import describe
from app.main import HANDLERS, build_app
from app.ports import Unavailable
from app.settings import Settings
from app.store.database import PostgresDatabase
from plugins.medusa_bridge import KEY_PROBLEMS
from tests.databases import one_database_a_file
from tests.http.proofs import in_seconds, modification_token
from tests.http.test_cancel_contract import ALREADY, REFUSED, Situation
from tests.world import Api, Shop, serving, settings_for, token_for

database = one_database_a_file()

HOOK_SECRET = "whsec_of_the_document_0123456789"
ROOT = Path(__file__).parents[2]
CANCEL = "/store/orders/{order_id}/cancel"
RECEIPT = "/store/orders/{order_id}/cancellation"
KEYS = "/store/cancellation-keys"
HOOK = "/hooks/stripe"

Operation = tuple[str, str]
Sign = tuple[Any, ...]


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    changes = {"RECEIPT_SIGNING_KEY": new_key()[0], "CANCEL_REASONS": "mind=I changed my mind"}
    return settings_for(
        database, redis_url, sandbox, VOID_WAIT_SECONDS="0", STRIPE_WEBHOOK_SECRET=HOOK_SECRET, **changes
    )


@pytest.fixture
async def document(api: Api) -> dict[str, Any]:
    answer = await api.client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> dict[Operation, dict[str, Any]]:
    return {
        (method, path): item[method]
        for path, item in document["paths"].items()
        for method in ("get", "post", "put", "patch", "delete")
        if method in item
    }


def strict(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """A validator that takes no field of our own which the document does not name."""
    shapes = json.loads(json.dumps(document["components"]["schemas"]))
    for shape in shapes.values():
        if "properties" in shape:
            shape["additionalProperties"] = False
    return jsonschema_rs.Draft202012Validator({**schema, "components": {"schemas": shapes}}, validate_formats=True)


def sign(operation: Operation, status: int, media: str, body: Any) -> Sign:
    """What tells one answer of the contract from another."""
    if status >= 400:
        return (status, body.get("code"), body.get("reason"), body["message"] if body.get("code") is None else None)
    if media in {"text/html", "text/plain"}:
        return (status, media)
    telling = {
        ("post", CANCEL): ("message",),
        ("get", CANCEL): ("cancelable", "reason"),
        ("get", RECEIPT): ("canceled_by",),
    }
    return (status, *(body.get(name) for name in telling.get(operation, ())))


def examples(operation: dict[str, Any]) -> list[tuple[int, str, dict[str, Any], Any]]:
    """Status, media type, schema and body of every example."""
    return [
        (int(status), media, content["schema"], example["value"])
        for status, response in operation["responses"].items()
        for media, content in response["content"].items()
        for example in content["examples"].values()
    ]


def documented(document: dict[str, Any]) -> dict[Operation, set[Sign]]:
    return {
        operation: {sign(operation, status, media, body) for status, media, _, body in examples(described)}
        for operation, described in operations(document).items()
        if operation[1].startswith("/store/") or operation[1] == HOOK
    }


def test_the_document_names_every_route(settings: Settings) -> None:
    app = build_app(settings)
    served = {
        (method.lower(), route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods - {"OPTIONS"}
    }
    document = msgspec.json.decode(describe(HANDLERS, KEY_PROBLEMS))
    assert set(operations(document)) | {("get", "/openapi.json"), ("get", "/docs")} == served


async def test_the_document_says_what_it_said(document: dict[str, Any]) -> None:
    """Every status, header, example and shape of contract version 1: what is there stays."""
    snapshot = json.loads((Path(__file__).parent / "openapi_snapshot.json").read_text())
    found: dict[str, list[str]] = {}
    for (method, path), described in operations(document).items():
        for status, response in described["responses"].items():
            assert response["description"]
            for media, content in response["content"].items():
                for name, example in content["examples"].items():
                    headers = sorted(response.get("headers", {}))
                    row = [status, media, headers, name, example["summary"], example["value"]]
                    found.setdefault(json.dumps(row, sort_keys=True), []).append(f"{method} {path}")
    expected = {json.dumps(row["answer"], sort_keys=True): row["of"] for row in snapshot["answers"]}
    assert {row: sorted(of) for row, of in found.items()} == expected
    named = {
        f"{method} {path}": {name: described.get(name) for name in snapshot["operations"]["get /health/live"]}
        for (method, path), described in operations(document).items()
    }
    assert named == snapshot["operations"]
    assert {name: document["components"]["schemas"].get(name) for name in snapshot["shapes"]} == snapshot["shapes"]
    assert document["components"]["securitySchemes"] == snapshot["security"]


async def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    jsonschema_rs.validator_for(OPENAPI_31).validate(document)


def test_building_the_document_leaves_the_logs_alone() -> None:
    """Litestar configures the process's logging with each application, unless it is told not to."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    describe(HANDLERS, KEY_PROBLEMS)
    assert (list(root.handlers), root.level) == before


async def test_every_example_is_of_its_shape(document: dict[str, Any]) -> None:
    count = 0
    for described in operations(document).values():
        for _, _, schema, body in examples(described):
            strict(document, schema).validate(body)
            count += 1
        for content in described.get("requestBody", {}).get("content", {}).values():
            for example in content.get("examples", {}).values():
                strict(document, content["schema"]).validate(example["value"])
    assert count > 60


async def test_the_document_is_sound(document: dict[str, Any]) -> None:
    """Its shapes are JSON Schema, every reference leads somewhere, and examples name all there is to name."""
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))
    post = operations(document)["post", CANCEL]
    actions = {body["payment_action"] for status, _, _, body in examples(post) if status == 200}
    assert actions == set(PaymentAction)
    preview = operations(document)["get", CANCEL]
    reasons = {body["reason"] for status, _, _, body in examples(preview) if status == 200}
    assert reasons == {None, "canceled", *Refusal}


async def test_the_page_tells_the_same_offline(api: Api, document: dict[str, Any]) -> None:
    answer = await api.client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<script|src=|https?://", answer.text)
    for (method, path), described in operations(document).items():
        assert f"{method.upper()} {path}" in answer.text
        for status, response in described["responses"].items():
            for content in response["content"].values():
                for name in content["examples"]:
                    assert f"<b>{status}</b> {name}: " in answer.text


class Provoked:
    """Asks the application, and holds every answer against the document at once."""

    def __init__(self, shop: Shop, api: Api, document: dict[str, Any]) -> None:
        self.shop, self.api = shop, api
        self.document = document
        self.seen: dict[Operation, set[Sign]] = {operation: set() for operation in documented(document)}

    async def ask(
        self, operation: Operation, order_id: str = "order_1", *, api: Api | None = None, **request: Any
    ) -> httpx.Response:
        api = api or self.api
        method, path = operation
        headers = {"x-publishable-api-key": api.key, "x-modification-token": token_for(order_id)}
        headers = {**headers, **request.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        url = path.replace("{order_id}", order_id)
        answer = await api.client.request(method, url, headers=headers, **request)
        media = answer.headers["content-type"].partition(";")[0]
        described = operations(self.document)[operation]["responses"]
        assert str(answer.status_code) in described, f"{operation}: {answer.status_code} is not documented"
        response = described[str(answer.status_code)]
        body = answer.text if media.startswith("text/") else answer.json()
        strict(self.document, response["content"][media]["schema"]).validate(body)
        for name in response.get("headers", {}):
            assert name in answer.headers
        self.seen[operation].add(sign(operation, answer.status_code, media, body))
        return answer


OF_AN_ORDER: list[Operation] = [("post", CANCEL), ("get", CANCEL), ("get", RECEIPT)]


@pytest.fixture
async def provoked(shop: Shop, api: Api, document: dict[str, Any]) -> Provoked:
    return Provoked(shop, api, document)


async def test_the_document_and_the_answers_are_the_same(
    provoked: Provoked, settings: Settings, database: str, redis_url: str, sandbox: Sandbox, monkeypatch: Any
) -> None:
    """Every answer that is documented is given, and every answer given here is documented."""
    shop = provoked.shop
    await _admission(provoked)
    await _outcomes(provoked)
    await _hooks(provoked)
    await _half_bodies(provoked, monkeypatch)
    await _oversized(provoked)
    await provoked.ask(("get", KEYS))
    await _limits_and_no_hooks(provoked, settings_for(database, redis_url, sandbox, RATE_LIMIT_PER_ORDER="1"))
    await shop.conn.execute("alter table api_key rename to lost")
    for operation in OF_AN_ORDER:
        await provoked.ask(operation)
    await shop.conn.execute("alter table lost rename to api_key")
    await _failing_hook(provoked, monkeypatch)
    for way in ("transaction", "read"):
        monkeypatch.setattr(PostgresDatabase, way, _gone)
    for operation in [*OF_AN_ORDER, ("post", HOOK)]:
        await provoked.ask(operation, **(_hook() if operation[1] == HOOK else {}))

    assert provoked.seen == documented(provoked.document)


def _gone(self: object, name: str) -> None:
    raise Unavailable(name)


async def _admission(provoked: Provoked) -> None:
    mismatch = token_for("order_2")
    expired = modification_token("order_1", exp=in_seconds(-60))
    for operation in OF_AN_ORDER:
        for headers in (
            {"x-publishable-api-key": None},
            {"x-publishable-api-key": "pk_wrong"},
            {"x-modification-token": None},
            {"x-modification-token": "garbage"},
            {"x-modification-token": expired},
            {"x-modification-token": mismatch},
            {},
        ):
            await provoked.ask(operation, headers=headers)


async def _outcomes(provoked: Provoked) -> None:
    shop = provoked.shop
    situations: list[Situation] = [situation for situation, _, _ in REFUSED.values()]
    for situation in situations:
        order = await situation(shop)
        for operation in OF_AN_ORDER:
            await provoked.ask(operation, order.id)
    order = await shop.place(account=True)
    await provoked.ask(("get", CANCEL), order.id)
    await provoked.ask(("post", CANCEL), order.id, content=b"{")
    await provoked.ask(("post", CANCEL), order.id, json={"reason": "mind"})
    await provoked.ask(("post", CANCEL), order.id)
    await provoked.ask(("get", CANCEL), order.id)
    for accept in ("application/json", "text/html", "text/plain"):
        await provoked.ask(("get", RECEIPT), order.id, headers={"accept": accept})
    by_shop = await ALREADY["by the admin"][0](shop)
    await provoked.ask(("get", RECEIPT), by_shop.id)
    await shop.conn.execute("update grace.cancellations set canceled_by = 'customer:x' where order_id = $1", order.id)
    await provoked.ask(("get", RECEIPT), order.id)
    await shop.conn.execute('update "order" set canceled_at = null where id = $1', by_shop.id)
    await provoked.ask(("get", RECEIPT), by_shop.id)


def _hook(secret: str = HOOK_SECRET) -> dict[str, Any]:
    data = {"object": {"id": "pi_1", "object": "payment_intent", "metadata": {"session_id": "payses_1"}}}
    event = {"id": "evt_1", "object": "event", "type": "payment_intent.canceled", "data": data}
    raw, now = json.dumps(event), int(time.time())
    signature = hmac.new(secret.encode(), f"{now}.{raw}".encode(), hashlib.sha256).hexdigest()
    return {"content": raw.encode(), "headers": {"stripe-signature": f"t={now},v1={signature}"}}


async def _hooks(provoked: Provoked) -> None:
    assert (await provoked.ask(("post", HOOK), **_hook())).status_code == 200
    assert (await provoked.ask(("post", HOOK), **_hook("another"))).status_code == 400


async def _half_bodies(provoked: Provoked, monkeypatch: Any) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)
        yield b"}"

    order = await provoked.shop.place()
    with monkeypatch.context() as patch:
        patch.setattr(body_limits, "BODY_TIMEOUT", 0.1)
        assert (await provoked.ask(("post", CANCEL), order.id, content=half())).status_code == 408
        assert (await provoked.ask(("post", HOOK), **(_hook() | {"content": half()}))).status_code == 408
        patch.setattr(stripe_webhook, "EVENTS_PER_ADDRESS", 1)
        assert 429 in [(await provoked.ask(("post", HOOK), **_hook())).status_code for _ in range(4)]


async def _oversized(provoked: Provoked) -> None:
    for operation in provoked.seen:
        assert (await provoked.ask(operation, params={"x": "y" * 9_000})).status_code == 414
        assert (await provoked.ask(operation, headers={"cookie": "y" * 17_000})).status_code == 431


async def _failing_hook(provoked: Provoked, monkeypatch: Any) -> None:
    def broken(self: object, name: str) -> None:
        raise RuntimeError(name)

    with monkeypatch.context() as patch:
        patch.setattr(PostgresDatabase, "transaction", broken)
        assert (await provoked.ask(("post", HOOK), **_hook())).status_code == 500


async def _limits_and_no_hooks(provoked: Provoked, settings: Settings) -> None:
    async with serving(settings, provoked.shop.key) as api:
        for operation in OF_AN_ORDER:
            statuses = [(await provoked.ask(operation, api=api)).status_code for _ in range(4)]
            assert 429 in statuses
        assert (await provoked.ask(("post", HOOK), api=api, **_hook())).status_code == 404


async def test_health_is_documented(provoked: Provoked, monkeypatch: Any) -> None:
    described = operations(provoked.document)
    for path, status in (("/health/live", 200), ("/health/ready", 200), ("/health/ready", 503)):
        with monkeypatch.context() as patch:
            if status == 503:
                patch.setattr(PostgresDatabase, "transaction", _gone)
            answer = await provoked.api.client.get(path)
        assert answer.status_code == status
        schema = described["get", path]["responses"][str(status)]["content"]["application/json"]["schema"]
        strict(provoked.document, schema).validate(answer.json())


ODD: dict[str, dict[str, Any]] = {
    "plain": {},
    "a long address": {"params": {"next": "x" * 9_000}},
    "a large cookie": {"headers": {"cookie": "x" * 17_000}},
    "large headers": {"headers": {f"x-{n}": "x" * 1_000 for n in range(40)}},
    "many headers": {"headers": {f"x-{n}": "" for n in range(120)}},
    "a large body": {"content": b"x" * 300_000},
    "a body without its length": {"content": b"x" * 300_000, "headers": {"transfer-encoding": "chunked"}},
    "another media type": {"content": b"<a/>", "headers": {"content-type": "application/xml"}},
    "no UTF-8": {"content": b"\xff\xfe", "headers": {"content-type": "application/json; charset=utf-16"}},
    "another encoding": {"content": b"{}", "headers": {"content-encoding": "gzip"}},
    "an odd Accept": {"headers": {"accept": "image/png;q=x, */*;q=0"}},
    "a range": {"headers": {"range": "bytes=0-1"}},
    "a condition": {"headers": {"if-match": '"x"', "if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}},
    "an expectation": {"headers": {"expect": "200-ok"}},
    "an upgrade": {"headers": {"connection": "upgrade", "upgrade": "websocket"}},
    "a foreign host": {"headers": {"host": "evil.test:1"}},
    "a foreign origin": {"headers": {"origin": "https://evil.test"}},
    "a length that is none": {"content": b"{}", "headers": {"content-length": "x"}},
}
IDS = ["order_1", "a b", "%00", "%ff", "..%2f..", "x" * 200, "\u00e9", ";a=b", "%"]


@pytest.mark.parametrize("order_id", IDS)
async def test_no_route_gives_a_status_that_is_not_documented(
    api: Api, document: dict[str, Any], order_id: str
) -> None:
    """Whatever is asked of it by its own method."""
    for (method, path), described in operations(document).items():
        if "{" not in path and order_id != IDS[0]:
            continue
        for name, odd in ODD.items():
            for key in (None, api.key):
                own = {"x-modification-token": token_for(order_id)} | ({"x-publishable-api-key": key} if key else {})
                request = {**odd, "headers": {**own, **odd.get("headers", {})}}
                answer = await api.client.request(method, path.replace("{order_id}", order_id), **request)
                assert str(answer.status_code) in described["responses"], (method, path, name, answer.text)


def test_the_page_has_the_storefronts_very_lines() -> None:
    """The page of ``tests/medusa/storefront`` is what tries them."""
    block = re.search(r"```js\n(// headers.+?)```", (ROOT / "docs/storefront.md").read_text(), flags=re.DOTALL)
    assert block is not None
    assert block[1] == (ROOT / "tests/medusa/storefront/cancellation.js").read_text()


async def test_the_page_states_no_other_contract(document: dict[str, Any]) -> None:
    """Each row of its table, by status and codes, is in the document, and the other way round."""
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \| ", (ROOT / "docs/api.md").read_text(), flags=re.MULTILINE)
    told = {(int(status), code) for status, cells in rows for code in re.findall(r"`([a-z_]+)`", cells)}
    signs = {sign for operation in OF_AN_ORDER for sign in documented(document)[operation]}
    codes = {(status, code) for status, code, *_ in (sign for sign in signs if sign[0] >= 400) if code}
    assert told - {(200, "payment_action")} == codes - {(500, "unknown_error")}
    assert {status for status, _ in told} | {200} >= {int(status) for status, _ in rows}
