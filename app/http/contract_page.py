"""The OpenAPI document as one page to read: contents, a curl line and an example for each answer, no scripts."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

from app.http.contract_curl import VARIABLES, curl

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE: Final = """
:root{color-scheme:light dark;--page:#fff;--text:#18181b;--muted:#52525b;--line:#d4d4d8;--code:#f4f4f5;--link:#1d4ed8;
--good:#065f46;--bad:#9f1239}
@media(prefers-color-scheme:dark){:root{--page:#18181b;--text:#f4f4f5;--muted:#a1a1aa;--line:#3f3f46;--code:#27272a;
--link:#93c5fd;--good:#6ee7b7;--bad:#fda4af}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--page);color:var(--text);
font:16px/1.5 system-ui,sans-serif}
a{color:var(--link)}
nav a,p a{display:inline-block;padding:8px 0;overflow-wrap:anywhere}
nav ul{list-style:none;margin:0;padding:0}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.15rem;line-height:1.35;margin:2rem 0 .5rem;border-top:1px solid var(--line);padding-top:1.25rem;
overflow-wrap:anywhere}
h3{font-size:1rem;margin:1.25rem 0 0}
dl{display:grid;gap:.25rem 1rem;grid-template-columns:max-content minmax(0,1fr)}
dd{margin:0;color:var(--muted)}
summary{cursor:pointer;padding:9px 0;overflow-wrap:anywhere}
details{border-bottom:1px solid var(--line)}
nav details{border:1px solid var(--line);border-radius:8px;padding:0 .75rem}
summary b{font-variant-numeric:tabular-nums}
.done b{color:var(--good)}.refused b{color:var(--bad)}
pre{margin:0 0 .75rem;padding:.75rem;border-radius:8px;background:var(--code);white-space:pre-wrap;
overflow-wrap:anywhere;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.muted{color:var(--muted)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media(min-width:60rem){body{display:grid;grid-template-columns:19rem minmax(0,1fr);gap:0 3rem;padding:2rem}
header{grid-column:1/-1}nav{position:sticky;top:1rem;align-self:start;max-height:calc(100vh - 2rem);overflow:auto}
main h2:first-child{margin-top:0;border:0;padding:0}}
"""


def as_page(document: dict[str, Any]) -> str:
    """Return HTML of the whole document: contents, operations with their answers, then the shapes."""
    info = document["info"]
    operations = [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in ("get", "post")
        if method in item
    ]
    shapes = "".join(
        f'<details id="{escape(name)}"><summary>{escape(name)}</summary>{_code(schema)}</details>\n'
        for name, schema in document["components"]["schemas"].items()
    )
    variables = "".join(f"<dt><code>{name}</code></dt><dd>{escape(what)}</dd>" for name, what in VARIABLES.items())
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(info['title'])} API</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(info['title'])}, contract {escape(info['version'])}</h1>\n"
        f"<p>{escape(info['description'])} "
        f'The same for programs: <a href="openapi.json">openapi.json</a>.</p></header>\n'
        f"{_contents(operations)}<main>\n"
        '<h2 id="variables">Variables of the curl lines</h2>\n'
        "<p>Each answer below has the line that gets it, once the order or the service is in the state that it "
        f"describes. Set these in your shell first:</p>\n<dl>{variables}</dl>\n"
        f"{''.join(_operation(*operation) for operation in operations)}"
        f'<h2 id="shapes">Shapes</h2>\n{shapes}</main>\n</body>\n</html>\n'
    )


def _contents(operations: list[tuple[str, str, dict[str, Any]]]) -> str:
    entries = "".join(
        f'<li><a href="#{escape(operation["operationId"])}">{escape(operation["summary"])}</a></li>\n'
        for _, _, operation in operations
    )
    return (
        '<nav aria-label="Contents"><details open><summary>Contents</summary><ul>\n'
        f'<li><a href="#variables">Variables of the curl lines</a></li>\n{entries}'
        '<li><a href="#shapes">Shapes</a></li>\n</ul></details></nav>\n'
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    id_ = escape(operation["operationId"])
    parts = [
        f'<h2 id="{id_}">{method.upper()} {escape(path)}</h2>\n',
        f"<p><b>{escape(operation['summary'])}.</b> {escape(operation['description'])}</p>\n",
    ]
    headers = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"]
    if "security" in operation:
        headers = ["x-publishable-api-key", "x-modification-token or authorization: Bearer"]
    if headers:
        parts.append(f"<p>Headers: {escape(', '.join(headers))}.</p>\n")
    examples = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
    if examples:
        shown = " or ".join(f"<code>{escape(json.dumps(example['value']))}</code>" for example in examples.values())
        parts.append(f"<p>Body: none, {shown}.</p>\n")
    parts.append("<h3>Answers</h3>\n")
    for status, response in operation["responses"].items():
        tone = "done" if status < "300" else "refused"
        for media, content in response["content"].items():
            for name, example in content["examples"].items():
                when = f"<b>{status}</b> {escape(name)}: {escape(example['summary'])}"
                kind = "" if media == "application/json" else f" ({escape(media)})"
                anchor = f"{id_}-{status}-{escape(name)}"
                line = curl(path, method, operation, name, media)
                parts.append(
                    f'<details id="{anchor}" class="{tone}"><summary>{when}{kind}</summary>'
                    f"{_code(line)}{_code(example['value'])}</details>\n"
                )
    return "".join(parts)


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"
