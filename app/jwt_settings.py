"""How the shop's Medusa signs customer tokens: ``http.jwtSecret``, ``http.jwtPublicKey`` and ``http.jwtOptions``."""

from __future__ import annotations

from typing import Final

import msgspec

from app.environment import Environment
from app.pem import jwt_key_algorithms, jwt_key_problem
from app.secret_strength import is_guessable

MIN_SECRET: Final = 16
"""Characters. A shorter one of Medusa's gets a warning."""

_BY_SECRET: Final = ("HS256", "HS384", "HS512")
_BY_PUBLIC_KEY: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")


class MedusaJwt(msgspec.Struct, frozen=True, kw_only=True):
    """What customer tokens are verified with. Without a secret and a public key they are not accepted."""

    secret: str | None = None
    public_key: str | None = None
    algorithms: tuple[str, ...] = ("HS256",)
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()


def read_medusa_jwt(environment: Environment) -> MedusaJwt:
    """Read the settings. An algorithm that does not fit its key is a problem: a public key is no HMAC secret."""
    algorithms = environment.words("MEDUSA_JWT_ALGORITHMS")
    unknown = [name for name in algorithms if name not in (*_BY_SECRET, *_BY_PUBLIC_KEY)]
    if unknown:
        environment.problems.append(
            f"MEDUSA_JWT_ALGORITHMS has {unknown[0]!r}: expected some of {', '.join((*_BY_SECRET, *_BY_PUBLIC_KEY))}"
        )
    secret, public_key = _secret(environment), _public_key(environment)
    if secret is not None and public_key is not None:
        environment.problems.append(
            "MEDUSA_JWT_PUBLIC_KEY is set beside MEDUSA_JWT_SECRET: expected one of them, as Medusa verifies with one"
        )
    elif not unknown:
        _match(environment, algorithms, secret, public_key)
    return MedusaJwt(
        secret=secret,
        public_key=public_key,
        algorithms=algorithms or ("HS256",),
        issuers=environment.words("MEDUSA_JWT_ISSUER"),
        audiences=environment.words("MEDUSA_JWT_AUDIENCE"),
    )


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
