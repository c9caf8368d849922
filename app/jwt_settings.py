"""How the shop's Medusa signs customer tokens: ``http.jwtSecret``, ``http.jwtPublicKey`` and ``http.jwtOptions``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from app import settings_table as table
from app.environment import Environment, Setting
from app.pem import jwt_key_algorithms
from app.secret_kinds import BY_PUBLIC_KEY

_CLAIMS: Final[Mapping[str, Setting[str | None]]] = {
    "sub": table.MEDUSA_JWT_SUBJECT,
    "jti": table.MEDUSA_JWT_JWTID,
    "nonce": table.MEDUSA_JWT_NONCE,
}
_NOT_HONORED: Final = {
    "MEDUSA_JWT_IGNORE_EXPIRATION": "expired tokens are not accepted; MEDUSA_JWT_CLOCK_TOLERANCE allows for clocks",
    "MEDUSA_JWT_IGNORE_NOT_BEFORE": "nbf is kept; MEDUSA_JWT_CLOCK_TOLERANCE allows for clocks",
    "MEDUSA_JWT_CLOCK_TIMESTAMP": "times are compared with this host's clock",
    "MEDUSA_JWT_ALLOW_INVALID_ASYMMETRIC_KEY_TYPES": "a key has to fit its algorithm",
    "MEDUSA_JWT_COMPLETE": "Medusa finds no customer in what it gives",
}
"""Other options of jsonwebtoken's ``verify``, as a shop might spell them here, and why each is refused."""


class MedusaJwt(msgspec.Struct, frozen=True, kw_only=True):
    """What customer tokens are verified with. Without a secret and a public key they are not accepted."""

    secret: str | None
    public_key: str | None
    algorithms: tuple[str, ...]
    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    claims: Mapping[str, str]
    """What a token must say word for word, by the claim's name."""
    max_age: timedelta | None
    """How long after ``iat`` a token is accepted, however late its ``exp``."""
    clock_tolerance: timedelta


def read_medusa_jwt(environment: Environment) -> MedusaJwt:
    """Read the settings. An algorithm that does not fit its key is a problem: a public key is no HMAC secret."""
    before = len(environment.problems)
    for name, why in _NOT_HONORED.items():
        if environment.is_set(name):
            environment.problems.append(f"{name} is not honored: {why}; take it out")
    given = MedusaJwt(
        secret=environment.read(table.MEDUSA_JWT_SECRET),
        public_key=environment.read(table.MEDUSA_JWT_PUBLIC_KEY),
        algorithms=environment.read(table.MEDUSA_JWT_ALGORITHMS),
        issuers=environment.read(table.MEDUSA_JWT_ISSUER),
        audiences=environment.read(table.MEDUSA_JWT_AUDIENCE),
        claims={claim: value for claim, row in _CLAIMS.items() if (value := environment.read(row)) is not None},
        max_age=environment.read(table.MEDUSA_JWT_MAX_AGE),
        clock_tolerance=environment.read(table.MEDUSA_JWT_CLOCK_TOLERANCE),
    )
    if given.secret is not None and given.public_key is not None:
        environment.problems.append(
            "MEDUSA_JWT_PUBLIC_KEY is set beside MEDUSA_JWT_SECRET: expected one of them, as Medusa verifies with one"
        )
    elif len(environment.problems) == before and (problem := _misfit(environment, given)):
        environment.problems.append(problem)
    return given


def _misfit(environment: Environment, given: MedusaJwt) -> str | None:
    """Why the algorithms that are set do not fit the key or the secret."""
    algorithms = (environment.text(table.MEDUSA_JWT_ALGORITHMS) or "").split()
    if given.public_key is not None:
        fitting = jwt_key_algorithms(given.public_key)
        if algorithms and set(algorithms) <= set(fitting):
            return None
        return (
            f"MEDUSA_JWT_ALGORITHMS is {' '.join(algorithms) or 'not set'}: expected, for the key in "
            f"MEDUSA_JWT_PUBLIC_KEY, some of {', '.join(fitting)}, as in Medusa's http.jwtOptions.algorithm"
        )
    needs_key = [name for name in algorithms if name in BY_PUBLIC_KEY]
    if needs_key:
        return (
            f"MEDUSA_JWT_ALGORITHMS is {' '.join(algorithms)}: {needs_key[0]} needs MEDUSA_JWT_PUBLIC_KEY, Medusa's "
            "http.jwtPublicKey"
        )
    if algorithms and given.secret is None:
        return "MEDUSA_JWT_ALGORITHMS is set, and MEDUSA_JWT_SECRET is not: expected Medusa's http.jwtSecret"
    return None
