"""Whether a saved receipt shows what its signature attests."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import zip_longest
from typing import Any, Final

import msgspec

from app.domain.receipt import Receipt, SignedReceipt
from app.gateways.receipt_keys import NotAttested
from app.http.receipt_page import as_html, as_text

_BLANKS: Final = re.compile(r"[ \t\r\n\f]+")
_HEAD: Final = frozenset({"html", "head", "meta", "title", "style"})
_BODY: Final = frozenset({"body", "h1", "h2", "dl", "dt", "dd", "p", "pre"})


def compare_json(shown: dict[str, Any], content: dict[str, Any]) -> None:
    """Raise ``NotAttested`` unless both have the same fields and values."""
    missing = object()
    names = sorted(shown.keys() | content.keys())
    differing = [name for name in names if not _same(shown.get(name, missing), content.get(name, missing))]
    if differing:
        message = f"altered: {', '.join(differing)} is not what was signed"
        raise NotAttested(message)


def compare_page(text: str, token: str, payload: bytes) -> None:
    """Raise ``NotAttested`` unless a page or text shows what ``payload`` says, and nothing besides.

    What should be shown is rendered from the payload. Of a page compared is what a reader sees, since browsers write
    the source again when they save it; elements and attributes that the rendered page has not could hide or add words.
    """
    try:
        fields = msgspec.json.decode(payload, type=Receipt)
    except msgspec.MsgspecError as error:
        message = f"not a receipt of this version: {error}"
        raise NotAttested(message) from error
    signed = SignedReceipt(**{name: getattr(fields, name) for name in fields.__struct_fields__}, receipt=token)
    if re.search(r"<(!doctype|html|body|dl|pre)\b", text, re.IGNORECASE):
        shown, expected = _Page.read(text), _Page.read(as_html(signed))
    else:
        shown, expected = _lines(text), _lines(as_text(signed))
    for one, other in zip_longest(shown, expected):
        if one != other:
            message = f"altered: it shows {_quoted(one)} where {_quoted(other)} was signed"
            raise NotAttested(message)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``json.loads``: raise ``ValueError`` where a name stands twice, of which readers may see either."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _same(one: object, other: object) -> bool:
    if isinstance(one, dict | list) and isinstance(other, dict | list):
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    return type(one) is type(other) and one == other


def _lines(text: str) -> list[str]:
    return [line.rstrip(" \t") for line in text.strip().replace("\r\n", "\n").split("\n")]


def _quoted(shown: str | None) -> str:
    return "nothing" if shown is None else json.dumps(shown[:200])


class _Page(HTMLParser):
    """Collects what a page shows, element by element. Comments are left out, as browsers add some."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        self._shown: list[str] = []

    @classmethod
    def read(cls, text: str) -> list[str]:
        page = cls()
        page.feed(text)
        page.close()
        parts = (_BLANKS.sub(" ", part).strip(" ") for part in page._shown)
        return [part for part in parts if not part.endswith(": ")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _HEAD | _BODY or (tag in _BODY and attrs) or (tag in {"title", "style"} and attrs):
            message = f"altered: the page has an element or attribute that no receipt has: {tag}"
            raise NotAttested(message)
        if tag != "meta":
            self._open.append(tag)
            self._shown.append(f"{tag}: ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        self._shown.append(f"{self._open[-1] if self._open else ''}: ")

    def handle_data(self, data: str) -> None:
        if self._shown:
            self._shown[-1] += data
        else:
            self._shown.append(f": {data}")

    def handle_decl(self, decl: str) -> None:
        if decl.lower() != "doctype html":
            self.unknown_decl(decl)

    def handle_pi(self, data: str) -> None:
        self.unknown_decl(data)

    def unknown_decl(self, data: str) -> None:
        message = f"altered: the page has a declaration that no receipt has: {data[:40]}"
        raise NotAttested(message)
