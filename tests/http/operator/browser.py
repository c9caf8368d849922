"""A browser's part: cookies, forms, and what a reader finds on a page."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import httpx

from tests.simulated_medusa import EMAIL, PASSWORD
from tests.world import Api

SESSION_SECRET = "the-operator-session-secret-of-the-tests"
SAME_ORIGIN = {"origin": "http://grace.test"}


@dataclass
class Page:
    """An answer with what a browser would find in it."""

    response: httpx.Response

    @property
    def text(self) -> str:
        """What a reader reads: tags away, entities read."""
        words = re.sub(r"<(script|style|title)\b.*?</\1>|<[^>]*>", " ", self.response.text, flags=re.DOTALL)
        return " ".join(html.unescape(words).split())

    def forms(self, verb: str) -> list[tuple[str, dict[str, str]]]:
        """Address and hidden fields of the forms of a verb."""
        found = []
        for action, inside in re.findall(
            r'<form[^>]*action="(/grace/incidents/\d+/\w+)"[^>]*>(.*?)</form>', self.response.text, re.DOTALL
        ):
            if action.endswith(f"/{verb}"):
                fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', inside))
                found.append((action, {name: html.unescape(value) for name, value in fields.items()}))
        return found


class Browser:
    """One operator at one browser."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> Page:
        """A page."""
        answer = await self.api.client.get(path, headers=self._headers(headers))
        self._keep(answer)
        return Page(answer)

    async def post(self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
        """A form, as a browser sends it."""
        sent = self._headers(SAME_ORIGIN if headers is None else headers)
        answer = await self.api.client.post(path, data=fields, headers=sent)
        self._keep(answer)
        return answer

    async def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> httpx.Response:
        """By the form."""
        return await self.post("/grace/sign-in", {"email": email, "password": password, "next": "/grace"})

    async def press(self, page: Page, verb: str, **fields: str) -> httpx.Response:
        """The first form of a verb."""
        action, hidden = page.forms(verb)[0]
        return await self.post(action, {**hidden, **fields})

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {**({"cookie": cookie} if cookie else {}), **headers}

    def _keep(self, answer: httpx.Response) -> None:
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in line:
                del self.cookies[name]
        self.api.client.cookies.clear()
