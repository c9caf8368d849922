"""Kinds of secrets and keys among the settings: each of its form, none guessable."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

from app.pem import LEAST_RSA_BITS, MOST_RSA_BITS, jwt_key_problem, receipt_keys, token_key_problem
from app.secret_strength import form_problem, is_guessable
from app.setting_kinds import Given, Kind, WrongValue
from app.telling import alert_key

MIN_SECRET: Final = 16
"""Characters. A shorter HMAC secret is refused; a shorter one of Medusa's gets a warning."""
MIN_OPERATOR_SECRET: Final = 32
"""Characters. Its owner may move money."""

BY_SECRET: Final = ("HS256", "HS384", "HS512")
BY_PUBLIC_KEY: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")

_GUESSABLE: Final = "can be guessed: expected a random one, such as `openssl rand -base64 32` makes"
_WEBHOOK_SECRET: Final = re.compile(r"whsec_[!-~]+")
_STRIPE_PROVIDER: Final = re.compile(r"pp_stripe(-[a-z0-9-]+)?(_[!-~]+)?|(?!pp_)[!-~]+")
_STRIPE_KEY: Final = re.compile(r"(sk|rk)_[A-Za-z0-9_]+")
_PATTERN: Final = re.compile(r"/.+/[a-z]*")
_AGE: Final = re.compile(r"(\d*\.?\d+) *([a-z]*)", re.ASCII | re.IGNORECASE)
_UNITS: Final[Mapping[str, Decimal]] = {
    name: Decimal(seconds)
    for names, seconds in (
        ("ms msec msecs millisecond milliseconds", "0.001"),
        ("s sec secs second seconds", "1"),
        ("m min mins minute minutes", "60"),
        ("h hr hrs hour hours", "3600"),
        ("d day days", "86400"),
        ("w week weeks", "604800"),
        ("y yr yrs year years", "31557600"),
    )
    for name in names.split()
}
_RSA: Final = f"RSA of {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits"
_MAX_AGE: Final = 100 * _UNITS["y"]


def secrets(least: int) -> Kind[tuple[str, ...]]:
    """Secrets separated by spaces, each of ``least`` characters or more and none guessable."""

    def read(given: Given) -> tuple[str, ...]:
        found = tuple(given.text.split())
        if problem := form_problem(given.name, given.text):
            raise WrongValue(problem)
        if any(len(secret) < least for secret in found):
            raise WrongValue(f"is too short: at least {least} characters each")
        if any(is_guessable(secret) for secret in found):
            raise WrongValue(_GUESSABLE)
        return found

    return Kind(f"secrets of {least} characters or more", read)


def public_key(shown: str, problem_of: Callable[[str], str | None]) -> Kind[str]:
    """A PEM public key, line ends also as ``\\n``."""

    def read(given: Given) -> str:
        key = given.text.replace("\\n", "\n")
        if problem := problem_of(key):
            raise WrongValue(problem)
        return key

    return Kind(shown, read)


def _stripe_key(given: Given) -> str:
    if given.text.startswith("pk_"):
        raise WrongValue("is a publishable key: expected a secret (sk_) or restricted (rk_) one")
    if _STRIPE_KEY.fullmatch(given.text) is None:
        raise WrongValue("is not a key of Stripe's: expected one that begins with sk_ or rk_")
    return given.text


def _stripe_providers(given: Given) -> tuple[str, ...]:
    names = tuple(given.text.replace(",", " ").split())
    problems = [
        f"has {name!r}: expected provider ids such as pp_stripe_stripe, or the id at their end"
        for name in names
        if not _STRIPE_PROVIDER.fullmatch(name)
    ]
    if problems:
        raise WrongValue(*problems)
    return names


def _medusa_key(given: Given) -> str:
    if re.fullmatch(r"sk_[!-~]+", given.text) is None:
        raise WrongValue("is not a secret API key of Medusa's: expected one that begins with sk_")
    return given.text


def _webhook_secrets(given: Given) -> tuple[str, ...]:
    found = tuple(given.text.split())
    if not all(_WEBHOOK_SECRET.fullmatch(secret) for secret in found):
        raise WrongValue("is not a signing secret of Stripe's: expected whsec_..., several separated by spaces")
    return found


def _alert_secrets(given: Given) -> tuple[str, ...]:
    found = tuple(given.text.split())
    try:
        keys = [alert_key(secret) for secret in found]
    except ValueError:
        raise WrongValue("is not whsec_ and the base64 of 24 to 64 bytes") from None
    if any(len(set(key)) < 6 for key in keys):
        raise WrongValue(f"{_GUESSABLE.replace('openssl', 'echo whsec_$(openssl')})")
    return found


def _receipt_keys(given: Given) -> tuple[str, ...]:
    """The first signs, the others are published."""
    keys = receipt_keys(given.text) if given.text else ()
    if keys is None:
        raise WrongValue(
            "is not a key we know: expected a PEM private key, Ed25519 (medusa-grace receipt-key makes one), and after "
            "it, if you like, older keys that are still to be published"
        )
    return keys


def _jwt_secret(given: Given) -> str:
    """Medusa's own choice: a weak one is its operator's to change."""
    if "-----BEGIN" in given.text:
        raise WrongValue(
            "is a key and no secret: expected its public key in MEDUSA_JWT_PUBLIC_KEY, and the private one with Medusa "
            "alone"
        )
    if problem := form_problem(given.name, given.text):
        given.warn(f"{problem}, unless Medusa's http.jwtSecret is the same")
    elif len(given.text) < MIN_SECRET or is_guessable(given.text):
        given.warn(
            "can be guessed, and with it tokens of any customer and admin can be made, for Medusa too: change "
            "http.jwtSecret there, then here"
        )
    return given.text


def _algorithms(given: Given) -> tuple[str, ...]:
    algorithms = tuple(given.text.split())
    unknown = [name for name in algorithms if name not in (*BY_SECRET, *BY_PUBLIC_KEY)]
    if unknown:
        raise WrongValue(f"has {unknown[0]!r}: expected some of {', '.join((*BY_SECRET, *BY_PUBLIC_KEY))}")
    return algorithms


def _audiences(given: Given) -> tuple[str, ...]:
    audiences = tuple(given.text.split())
    patterns = [audience for audience in audiences if _PATTERN.fullmatch(audience)]
    if patterns:
        raise WrongValue(
            f"has {patterns[0]!r}: a regular expression is not understood; expected each audience that it stands for, "
            "separated by spaces"
        )
    return audiences


def _max_age(given: Given) -> timedelta:
    """A number is seconds, as a number is in Medusa; text with a unit is as ms reads it there."""
    found = _AGE.fullmatch(given.text)
    unit = None if found is None else _UNITS.get(found[2].lower() or "s")
    age = Decimal(0) if found is None or unit is None else Decimal(found[1]) * unit
    if not 0 < age <= _MAX_AGE:
        raise WrongValue(
            f"is {given.text!r}: expected seconds, or a number with ms, s, m, h, d, w or y, above 0 and at most 100 "
            "years"
        )
    return timedelta(seconds=float(age))


STRIPE_KEY: Final = Kind("`sk_...` or `rk_...`", _stripe_key)
STRIPE_PROVIDERS: Final = Kind("ids, separated by spaces", _stripe_providers)
MEDUSA_KEY: Final = Kind("`sk_...`", _medusa_key)
WEBHOOK_SECRETS: Final = Kind("secrets, `whsec_...`", _webhook_secrets)
ALERT_SECRETS: Final = Kind("secrets, `whsec_...`", _alert_secrets)
RECEIPT_KEYS: Final = Kind("PEM private key, Ed25519", _receipt_keys)
TOKEN_KEY: Final = public_key(f"PEM public key, {_RSA}, P-256 or Ed25519", token_key_problem)
JWT_SECRET: Final = Kind("secret", _jwt_secret)
JWT_KEY: Final = public_key(f"PEM public key, {_RSA}, P-256, P-384 or P-521", jwt_key_problem)
ALGORITHMS: Final = Kind("algorithms, separated by spaces", _algorithms)
AUDIENCES: Final = Kind("words, separated by spaces", _audiences)
MAX_AGE: Final = Kind("seconds, or a number with a unit", _max_age)
