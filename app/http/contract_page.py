"""The document for people: one page without scripts, fonts or links to elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h2{border-top:1px solid;padding-top:1rem}summary{cursor:pointer}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem;border:1px solid;padding:.5rem}"
)


def as_page(document: dict[str, Any]) -> str:
    """HTML of the whole document: operations with their answers, then the shapes."""
    info = document["info"]
    operations = "".join(
        _operation(path, method, item[method])
        for path, item in document["paths"].items()
        for method in ("get", "post")
        if method in item
    )
    shapes = "".join(
        f'<details id="{escape(name)}"><summary>{escape(name)}</summary>{_code(schema)}</details>\n'
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(info['title'])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(info['title'])}, contract {escape(info['version'])}</h1>\n<p>{escape(info['description'])} "
        f'The same for programs: <a href="openapi.json">openapi.json</a>.</p>\n'
        f"{operations}<h2>Shapes</h2>\n{shapes}</body>\n</html>\n"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    id_ = escape(operation["operationId"])
    parts = [
        f'<h2 id="{id_}">{method.upper()} {escape(path)}</h2>\n',
        f"<p><b>{escape(operation['summary'])}.</b> {escape(operation['description'])}</p>\n",
    ]
    headers = [parameter["name"] for parameter in operation.get("parameters", [])]
    if "security" in operation:
        headers = ["x-publishable-api-key", "x-modification-token or authorization: Bearer"]
    if headers:
        parts.append(f"<p>Headers: {escape(', '.join(headers))}.</p>\n")
    examples = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
    if examples:
        shown = " or ".join(f"<code>{escape(json.dumps(example['value']))}</code>" for example in examples.values())
        parts.append(f"<p>Body: none, {shown}.</p>\n")
    for status, response in operation["responses"].items():
        for media, content in response["content"].items():
            for name, example in content["examples"].items():
                when = f"<b>{status}</b> {escape(name)}: {escape(example['summary'])}"
                kind = "" if media == "application/json" else f" ({escape(media)})"
                parts.append(f"<details><summary>{when}{kind}</summary>{_code(example['value'])}</details>\n")
    return "".join(parts)


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"
