"""How the shop's Medusa signs customer tokens: ``http.jwtSecret``, ``http.jwtPublicKey`` and ``http.jwtOptions``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec

from app.environment import Environment
from app.pem import jwt_key_algorithms, jwt_key_problem
from app.secret_strength import form_problem, is_guessable

MIN_SECRET: Final = 16
"""Characters. A shorter one of Medusa's gets a warning."""

_BY_SECRET: Final = ("HS256", "HS384", "HS512")
_BY_PUBLIC_KEY: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_CLAIMS: Final = {"MEDUSA_JWT_SUBJECT": "sub", "MEDUSA_JWT_JWTID": "jti", "MEDUSA_JWT_NONCE": "nonce"}
_NOT_HONORED: Final = {
    "MEDUSA_JWT_IGNORE_EXPIRATION": "expired tokens are not accepted; MEDUSA_JWT_CLOCK_TOLERANCE allows for clocks",
    "MEDUSA_JWT_IGNORE_NOT_BEFORE": "nbf is kept; MEDUSA_JWT_CLOCK_TOLERANCE allows for clocks",
    "MEDUSA_JWT_CLOCK_TIMESTAMP": "times are compared with this host's clock",
    "MEDUSA_JWT_ALLOW_INVALID_ASYMMETRIC_KEY_TYPES": "a key has to fit its algorithm",
    "MEDUSA_JWT_COMPLETE": "Medusa finds no customer in what it gives",
}
"""Other options of jsonwebtoken's ``verify``, as a shop might spell them here, and why each is refused."""

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
_MAX_AGE: Final = 100 * _UNITS["y"]
_MAX_TOLERANCE: Final = _UNITS["d"]


class MedusaJwt(msgspec.Struct, frozen=True, kw_only=True):
    """What customer tokens are verified with. Without a secret and a public key they are not accepted."""

    secret: str | None = None
    public_key: str | None = None
    algorithms: tuple[str, ...] = ("HS256",)
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    claims: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What a token must say word for word, by the claim's name."""
    max_age: timedelta | None = None
    """How long after ``iat`` a token is accepted, however late its ``exp``."""
    clock_tolerance: timedelta = timedelta(0)


def read_medusa_jwt(environment: Environment) -> MedusaJwt:
    """Read the settings. An algorithm that does not fit its key is a problem: a public key is no HMAC secret."""
    algorithms = environment.words("MEDUSA_JWT_ALGORITHMS")
    unknown = [name for name in algorithms if name not in (*_BY_SECRET, *_BY_PUBLIC_KEY)]
    if unknown:
        environment.problems.append(
            f"MEDUSA_JWT_ALGORITHMS has {unknown[0]!r}: expected some of {', '.join((*_BY_SECRET, *_BY_PUBLIC_KEY))}"
        )
    for name, why in _NOT_HONORED.items():
        if environment.text(name) is not None:
            environment.problems.append(f"{name} is not honored: {why}; take it out")
    secret, public_key = _secret(environment), _public_key(environment)
    if secret is not None and public_key is not None:
        environment.problems.append(
            "MEDUSA_JWT_PUBLIC_KEY is set beside MEDUSA_JWT_SECRET: expected one of them, as Medusa verifies with one"
        )
    elif not unknown and (public_key is not None) == (environment.text("MEDUSA_JWT_PUBLIC_KEY") is not None):
        _match(environment, algorithms, secret, public_key)
    return MedusaJwt(
        secret=secret,
        public_key=public_key,
        algorithms=algorithms or ("HS256",),
        issuers=environment.words("MEDUSA_JWT_ISSUER"),
        audiences=_audiences(environment),
        claims={claim: value for name, claim in _CLAIMS.items() if (value := environment.text(name)) is not None},
        max_age=_max_age(environment),
        clock_tolerance=environment.seconds("MEDUSA_JWT_CLOCK_TOLERANCE", "0", least=Decimal(0), most=_MAX_TOLERANCE),
    )


def _audiences(environment: Environment) -> tuple[str, ...]:
    audiences = environment.words("MEDUSA_JWT_AUDIENCE")
    patterns = [audience for audience in audiences if _PATTERN.fullmatch(audience)]
    if patterns:
        environment.problems.append(
            f"MEDUSA_JWT_AUDIENCE has {patterns[0]!r}: a regular expression is not understood; expected each audience "
            "that it stands for, separated by spaces"
        )
    return audiences


def _max_age(environment: Environment) -> timedelta | None:
    """A number is seconds, as a number is in Medusa; text with a unit is as ms reads it there."""
    value = environment.text("MEDUSA_JWT_MAX_AGE")
    if value is None:
        return None
    found = _AGE.fullmatch(value)
    unit = None if found is None else _UNITS.get(found[2].lower() or "s")
    seconds = Decimal(0) if found is None or unit is None else Decimal(found[1]) * unit
    if not 0 < seconds <= _MAX_AGE:
        environment.problems.append(
            f"MEDUSA_JWT_MAX_AGE is {value!r}: expected seconds, or a number with ms, s, m, h, d, w or y, above 0 and "
            "at most 100 years"
        )
        return None
    return timedelta(seconds=float(seconds))


def _match(environment: Environment, algorithms: tuple[str, ...], secret: str | None, public_key: str | None) -> None:
    if public_key is not None:
        fitting = jwt_key_algorithms(public_key)
        if fitting and (not algorithms or not set(algorithms) <= set(fitting)):
            environment.problems.append(
                f"MEDUSA_JWT_ALGORITHMS is {' '.join(algorithms) or 'not set'}: expected, for the key in "
                f"MEDUSA_JWT_PUBLIC_KEY, some of {', '.join(fitting)}, as in Medusa's http.jwtOptions.algorithm"
            )
        return
    needs_key = [name for name in algorithms if name in _BY_PUBLIC_KEY]
    if needs_key:
        environment.problems.append(
            f"MEDUSA_JWT_ALGORITHMS is {' '.join(algorithms)}: {needs_key[0]} needs MEDUSA_JWT_PUBLIC_KEY, Medusa's "
            "http.jwtPublicKey"
        )
    elif algorithms and secret is None:
        environment.problems.append(
            "MEDUSA_JWT_ALGORITHMS is set, and MEDUSA_JWT_SECRET is not: expected Medusa's http.jwtSecret"
        )


def _secret(environment: Environment) -> str | None:
    """Medusa's own choice: a weak one is its operator's to change."""
    value = environment.text("MEDUSA_JWT_SECRET")
    if value is None:
        return None
    if "-----BEGIN" in value:
        environment.problems.append(
            "MEDUSA_JWT_SECRET is a key and no secret: expected its public key in MEDUSA_JWT_PUBLIC_KEY, and the "
            "private one with Medusa alone"
        )
    elif problem := form_problem("MEDUSA_JWT_SECRET", value):
        environment.warnings.append(f"MEDUSA_JWT_SECRET {problem}, unless Medusa's http.jwtSecret is the same")
    elif len(value) < MIN_SECRET or is_guessable(value):
        environment.warnings.append(
            "MEDUSA_JWT_SECRET can be guessed, and with it tokens of any customer and admin can be made, for Medusa "
            "too: change http.jwtSecret there, then here"
        )
    return value


def _public_key(environment: Environment) -> str | None:
    value = environment.text("MEDUSA_JWT_PUBLIC_KEY")
    if value is None:
        return None
    value = value.replace("\\n", "\n")
    if problem := jwt_key_problem(value):
        environment.problems.append(f"MEDUSA_JWT_PUBLIC_KEY {problem}")
        return None
    return value
