"""Every route, every place where a client may write: hostile bytes are refused and never fail the server."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from litestar import Litestar

from app.embedded.stripe_sandbox.client import Sandbox
from app.settings import Settings
from tests.http.operator.browser import SAME_ORIGIN, SESSION_SECRET, Browser
from tests.http.operator.troubles import late_money
from tests.world import Api, Shop, settings_for

HEADERS = [
    "accept",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "authorization",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "hx-current-url",
    "hx-request",
    "hx-target",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "origin",
    "range",
    "referer",
    "sec-fetch-site",
    "stripe-signature",
    "traceparent",
    "tracestate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-modification-token",
    "x-publishable-api-key",
    "x-request-id",
]
FIELDS = ["act", "back", "csrf", "email", "name", "next", "note", "password"]
QUERY_FIELDS = ["q", "said", "sort", "kind", "show", "next", "out"]
DEEP_HEADER = "W1tb" * 1000  # base64 of thousands of opened brackets

HEADER_VALUES: list[bytes] = [
    b"\xff\xfe",
    "é".encode("latin-1"),
    "🙈".encode(),
    b"\x01\x7f",
    b"Bearer \xe9",
    b"Bearer " + b"[" * 3000,
    b"Bearer " + f"{DEEP_HEADER}.e30.AA".encode(),
    f"{DEEP_HEADER}.e30.AA".encode(),
    "connect.sid=s:é; grace_operator=é".encode("latin-1"),
    b"connect.sid=\x01; grace_operator=a.b.c",
    b'connect.sid="\\"; grace_operator="\\400"',
    b"http://[",
    b"http://\xbd.test:99999999",
    b"[",
    b"a:b:c",
    b"*/*;q=inf, text/html;q=NaN, ;;;=,",
    b"t=1,v1=\xe9",
    b"t=99999999999999999999999,v1=a",
    b'multipart/form-data; boundary="',
    b"multipart/form-data; boundary=\xe9",
    b"application/x-www-form-urlencoded; charset=no-such-charset",
    b"bytes=9-1,-,a-",
    b'W/"',
    b"9" * 5000,
    b"," * 4000,
    b";" * 4000,
    b'\\"' * 2000,
    b"%00%ff%ed%a0%80",
    b"",
]
WORDS = [
    "%00",
    "a%00b",
    "%FF",
    "%ED%A0%80",
    "%F0%9F%98%80",
    "%",
    "%zz",
    "%e2%80%ae",
    "..",
    "%2e%2e",
    "%2e%2e%2fetc",
    "a%0d%0ab",
    "x" * 300,
    "x" * 5000,
    "9" * 30,
    "9" * 5000,
    "-9223372036854775809",
    "9223372036854775808",
    "-1",
    "0",
    "1e3",
    "%5c",
    "~",
]


@pytest.fixture
def settings(database: str, redis_url: str, sandbox: Sandbox) -> Settings:
    return settings_for(
        database,
        redis_url,
        sandbox,
        VOID_WAIT_SECONDS="0",
        MEDUSA_BACKEND_URL="http://medusa.test",
        OPERATOR_SESSION_SECRET=SESSION_SECRET,
        ADMIN_CORS="http://admin.test",
        STRIPE_WEBHOOK_SECRET="whsec_of_the_walk_0123456789",
        RATE_LIMIT_PER_ORDER="0",
        RATE_LIMIT_PER_ADDRESS="0",
    )


@pytest.fixture(autouse=True)
def no_failure_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No request of the test fails in a way that the code did not foresee."""
    yield
    failed = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert failed == []


def routes(api: Api) -> list[tuple[str, str]]:
    """Method and path of every route of the application."""
    app: Litestar = api.client._transport.app  # type: ignore[attr-defined]
    found = sorted(
        (method, route.path_format)
        for route in app.routes
        for method in getattr(route, "methods", ())
        if method not in {"OPTIONS", "HEAD"}
    )
    assert {"/grace", "/grace/sign-in", "/hooks/stripe", "/store/orders/{order_id}/cancel"} <= {
        path for _, path in found
    }
    return found


def filled(path: str, word: str) -> str:
    """The path with ``word`` for each of its parameters."""
    return re.sub(r"\{[^}]*\}", lambda _: word, path)


_addresses = itertools.count(1)


class Walk:
    """Asks, each time from another address, and keeps the answers that fail."""

    def __init__(self, api: Api, headers: dict[str, str]) -> None:
        self._api = api
        self._headers = headers
        self.signed_in = "cookie" in headers
        self.failed: list[object] = []

    async def ask(self, what: object, method: str, path: str, **request: object) -> None:
        number = next(_addresses)
        self._api.client._transport.client = (f"198.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1)  # type: ignore[attr-defined]
        extra: dict[str, bytes] = request.pop("headers", {})  # type: ignore[assignment]
        headers = {**{name: value.encode() for name, value in self._headers.items()}, **extra}
        built = httpx.Request(method, f"http://grace.test{path}", headers=headers, **request)  # type: ignore[arg-type]
        answer = await self._api.client.send(built)
        self._api.client.cookies.clear()
        if answer.status_code >= 500:
            self.failed.append((what, method, path[:60], answer.status_code))


@pytest.fixture(params=["a stranger", "an operator"])
async def walk(request: pytest.FixtureRequest, api: Api, shop: Shop) -> Walk:
    """One who is signed in, and one who is not."""
    await late_money(shop)
    headers = dict(SAME_ORIGIN)
    if request.param == "an operator":
        browser = Browser(api)
        await browser.sign_in()
        headers["cookie"] = f"grace_operator={browser.cookies['grace_operator']}"
    return Walk(api, headers)


@pytest.mark.parametrize("share", [7, pytest.param(1, marks=pytest.mark.long)], ids=["every seventh", "all"])
async def test_headers(walk: Walk, api: Api, share: int) -> None:
    """Every seventh: each value at each route, each header at each route, each value in each header."""
    combinations = itertools.product(enumerate(routes(api)), enumerate(HEADERS), enumerate(HEADER_VALUES))
    for (i, (method, path)), (j, name), (k, value) in combinations:
        if (i + j + k) % share == 0 and (path.startswith("/grace") or not walk.signed_in):
            await walk.ask((name, value[:40]), method, filled(path, "1"), headers={name: value})
    assert walk.failed == []


async def test_paths(walk: Walk, api: Api) -> None:
    for (method, path), word in itertools.product(routes(api), WORDS):
        if "{" in path:
            await walk.ask(word[:40], method, filled(path, word))
        await walk.ask(word[:40], method, f"{path.partition('{')[0].rstrip('/')}/{word}")
    assert walk.failed == []


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.long)], ids=["every fifth", "all"])
async def test_query_strings(walk: Walk, api: Api, share: int) -> None:
    """Every fifth: each word in each field, each field at each route, each word at each route."""
    words = [*WORDS, "&" * 3000, "=" * 3000, "a=1&" * 1500]
    combinations = itertools.product(enumerate(routes(api)), enumerate(words), enumerate(QUERY_FIELDS))
    for (i, (method, path)), (j, word), (k, name) in combinations:
        if (i + j + k) % share == 0:
            await walk.ask((name, word[:40]), method, f"{filled(path, '1')}?{name}={word}&{word}")
    assert walk.failed == []


def _form(field: str, word: str) -> tuple[bytes, bytes]:
    return b"application/x-www-form-urlencoded", f"{field}={word}&{word}={word}".encode()


def _raw_form(field: str, word: str) -> tuple[bytes, bytes]:
    return b"application/x-www-form-urlencoded", field.encode() + b"=\xff\xe9" + word.encode()


def _multipart(field: str, word: str) -> tuple[bytes, bytes]:
    head = f'--b\r\ncontent-disposition: form-data; name="{field}"\r\ncontent-type: text/plain; charset=nope\r\n\r\n'
    return b"multipart/form-data; boundary=b", head.encode() + b"\xff" + word.encode() + b"\r\n--b--\r\n"


def _file(field: str, word: str) -> tuple[bytes, bytes]:
    head = f'--b\r\ncontent-disposition: form-data; name="{field}"; filename="{word}"\r\n\r\n'
    return b"multipart/form-data; boundary=b", head.encode() + b"\r\n--b--\r\n"


def _many_parts(field: str, _: str) -> tuple[bytes, bytes]:
    part = f'--b\r\ncontent-disposition: form-data; name="{field}"\r\n\r\n\r\n'
    return b"multipart/form-data; boundary=b", (part * 200 + "--b--").encode()


def _json(field: str, word: str) -> tuple[bytes, bytes]:
    return b"application/json", f'{{"{field}": "{word}\\ud800"}}'.encode()


BODIES: list[Callable[[str, str], tuple[bytes, bytes]]] = [_form, _raw_form, _multipart, _file, _many_parts, _json]


@pytest.mark.parametrize("body", BODIES, ids=[body.__name__ for body in BODIES])
async def test_bodies(walk: Walk, api: Api, body: Callable[[str, str], tuple[bytes, bytes]]) -> None:
    for method, path in routes(api):
        if method != "POST":
            continue
        for field, word in itertools.product(FIELDS, WORDS):
            content_type, content = body(field, word)
            await walk.ask(
                (field, word[:40]), method, filled(path, "1"), headers={"content-type": content_type}, content=content
            )
    assert walk.failed == []


async def test_forms_of_an_operator_with_a_good_token(ada: Browser, shop: Shop) -> None:
    """Past the form's token: fields and numbers of incidents."""
    page = await ada.get(f"/grace/orders/{(await late_money(shop)).id}")
    action, hidden = page.forms("settle")[0]
    failed = []
    for field, word in itertools.product([*hidden, "name", "note"], [*WORDS, "é", "\x00", "🙈" * 500]):
        if field != "csrf":
            answer = await ada.post(action, {"name": "Ada", "note": "done", **hidden, field: word})
            if answer.status_code >= 500:
                failed.append((field, word))
    for number in ("-9223372036854775809", "-1", "0", "9223372036854775808", "9" * 5000):
        for verb in ("retry", "refund", "settle"):
            answer = await ada.post(f"/grace/incidents/{number}/{verb}", {"name": "Ada", "note": "done", **hidden})
            assert answer.status_code == 404, number[:30]
    assert failed == []
