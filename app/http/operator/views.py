"""Templates, the headers of every page, and how sums and times are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar.datastructures import Cookie
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from markupsafe import Markup, escape

from app.domain.incidents import TITLES, WORDS
from app.domain.money import decimal_digits
from app.domain.risk import SeenOrder
from app.domain.timeline import who
from app.domain.unseen_characters import visible

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"

_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC")

HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def template_engine() -> JinjaTemplateEngine:
    """Jinja, escaping everything, with our filters."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "money": money,
        "stamp": stamp,
        "iso": iso,
        "until": until,
        "who": who,
        "plain": plain,
        "timed": timed,
    }
    environment.globals |= {
        "titles": TITLES,
        "words": WORDS,
        "version": sha256(b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))).hexdigest()[:12],
    }
    return JinjaTemplateEngine(engine_instance=environment)


def page(
    name: str,
    context: dict[str, Any],
    *,
    status: int = 200,
    cookies: Sequence[Cookie] = (),
    headers: Mapping[str, str] | None = None,
) -> Template:
    """A page, or a part of one."""
    return Template(
        template_name=name,
        context=context,
        status_code=status,
        media_type="text/html",
        headers={**HEADERS, **(headers or {})},
        cookies=list(cookies),
    )


def money(amount: Decimal, currency: str) -> str:
    """``1,234.50 EUR``."""
    return f"{amount:,.{decimal_digits(currency)}f} {currency.upper()}"


def stamp(at: datetime | None) -> str:
    """A moment as people read it; the page's script makes it local time."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: datetime | None) -> str:
    """A moment as machines read it."""
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def timed(words: str) -> Markup:
    """Words with the moments in them marked up, so that the page's script makes these local time, too."""
    return Markup(_MOMENT.sub(r'<time datetime="\1T\2Z" data-local>\g<0></time>', str(escape(visible(words)))))  # noqa: S704


def _shown(value: Any) -> Any:
    """What a template writes: text without characters that could reorder or hide it."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def until(at: datetime) -> str:
    """``in 3 h``, ``2 days ago``, ``now``."""
    left = at - datetime.now(UTC)
    ago = left < timedelta(0)
    minutes = int(abs(left).total_seconds() // 60)
    if minutes == 0:
        return "now"
    if minutes < 60:
        length = f"{minutes} min"
    elif minutes < 48 * 60:
        length = f"{minutes // 60} h"
    else:
        length = f"{minutes // (24 * 60)} days"
    return f"{length} ago" if ago else f"in {length}"


def plain(words: str) -> str:
    """The runbook's words as a page shows them: a sentence, without the marks of code."""
    words = words.replace("`", "")
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


def stripe_links(order: SeenOrder | None, *, test_money: bool) -> list[tuple[str, str]]:
    """Id and address of each PaymentIntent in Stripe's dashboard."""
    if order is None:
        return []
    links = []
    for seen in order.payments:
        intent_id = seen.payment.intent_id
        if intent_id is not None and intent_id.startswith("pi_") and intent_id.replace("_", "").isalnum():
            test = "test/" if (not seen.live if seen.live is not None else test_money) else ""
            links.append((intent_id, f"https://dashboard.stripe.com/{test}payments/{intent_id}"))
    return links
