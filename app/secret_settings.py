"""Secrets and keys among the settings: each of its form, none guessable, none for two purposes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from app.environment import Environment
from app.jwt_settings import MedusaJwt, read_medusa_jwt
from app.pem import receipt_keys, token_key_problem
from app.secret_strength import form_problem, is_guessable
from app.telling import alert_key

MIN_SECRET: Final = 16
"""Characters. A shorter HMAC secret is refused."""
MIN_OPERATOR_SECRET: Final = 32
"""Characters. Its owner may move money."""

_GUESSABLE: Final = "can be guessed: expected a random one, such as `openssl rand -base64 32` makes"
_OF_ITS_OWN: Final = "expected a secret of its own for each purpose"
_WEBHOOK_SECRET: Final = re.compile(r"whsec_[!-~]+")
_STRIPE_PROVIDER: Final = re.compile(r"pp_stripe(-[a-z0-9-]+)?(_[!-~]+)?|(?!pp_)[!-~]+")
_STRIPE_KEY: Final = re.compile(r"(sk|rk)_[A-Za-z0-9_]+")


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """All secrets and keys of a process, by their purpose."""

    modification_token_secrets: tuple[str, ...]
    modification_token_public_key: str | None
    modification_token_audience_required: bool
    operator_session_secrets: tuple[str, ...]
    stripe_webhook_secrets: tuple[str, ...]
    alert_webhook_secrets: tuple[str, ...]
    receipt_signing_keys: tuple[str, ...]
    medusa_jwt: MedusaJwt


def read_secrets(environment: Environment, *, serving: bool) -> Secrets:
    """Read every secret but the API keys. ``serving``: one that verifies modification tokens is needed."""
    public_key = _public_key(environment)
    secrets = Secrets(
        modification_token_secrets=_token_secrets(environment, needed=serving),
        modification_token_public_key=public_key,
        modification_token_audience_required=environment.flag("MODIFICATION_TOKEN_AUDIENCE_REQUIRED"),
        operator_session_secrets=strong_secrets(environment, "OPERATOR_SESSION_SECRET", MIN_OPERATOR_SECRET),
        stripe_webhook_secrets=_stripe_webhook_secrets(environment),
        alert_webhook_secrets=_alert_webhook_secrets(environment),
        receipt_signing_keys=_receipt_keys(environment),
        medusa_jwt=read_medusa_jwt(environment),
    )
    _refuse_shared(
        environment,
        {
            "MODIFICATION_TOKEN_SECRET": secrets.modification_token_secrets,
            "OPERATOR_SESSION_SECRET": secrets.operator_session_secrets,
            "STRIPE_WEBHOOK_SECRET": secrets.stripe_webhook_secrets,
            "ALERT_WEBHOOK_SECRET": secrets.alert_webhook_secrets,
            "MEDUSA_JWT_SECRET": (secrets.medusa_jwt.secret,) if secrets.medusa_jwt.secret else (),
        },
    )
    return secrets


def strong_secrets(environment: Environment, name: str, least: int, *, need: str | None = None) -> tuple[str, ...]:
    """Secrets separated by spaces, each of ``least`` characters or more and none guessable; ``()`` with a problem."""
    secrets = environment.words(name, need=need)
    if problem := form_problem(name, environment.text(name) or ""):
        environment.problems.append(f"{name} {problem}")
    elif any(len(secret) < least for secret in secrets):
        environment.problems.append(f"{name} is too short: at least {least} characters each")
    elif any(is_guessable(secret) for secret in secrets):
        environment.problems.append(f"{name} {_GUESSABLE}")
    else:
        return secrets
    return ()


def stripe_api_key(environment: Environment, *, need: str | None) -> str | None:
    """A secret or restricted key; one of live mode is never sent in clear."""
    value = environment.text("STRIPE_API_KEY", need=need)
    if value is None:
        return None
    if value.startswith("pk_"):
        environment.problems.append(
            "STRIPE_API_KEY is a publishable key: expected a secret (sk_) or restricted (rk_) one"
        )
    elif _STRIPE_KEY.fullmatch(value) is None:
        environment.problems.append("STRIPE_API_KEY is not a key of Stripe's: expected one that begins with sk_ or rk_")
    elif "_live_" in value and (environment.text("STRIPE_API_BASE") or "").lower().startswith("http://"):
        environment.problems.append(
            "STRIPE_API_BASE begins with http://, and STRIPE_API_KEY is one of live mode: expected https://"
        )
    return value


def stripe_providers(environment: Environment) -> tuple[str, ...]:
    """Which of Medusa's Stripe providers the key is for: provider ids, or accounts' ids alone."""
    names = tuple((environment.text("STRIPE_PROVIDERS") or "").replace(",", " ").split())
    environment.problems += [
        f"STRIPE_PROVIDERS has {name!r}: expected provider ids such as pp_stripe_stripe, or the id at their end"
        for name in names
        if not _STRIPE_PROVIDER.fullmatch(name)
    ]
    return names


def medusa_api_key(environment: Environment, *, need: str | None) -> str | None:
    """A secret API key of Medusa's, not a publishable one."""
    value = environment.text("MEDUSA_SECRET_API_KEY", need=need)
    if value is not None and re.fullmatch(r"sk_[!-~]+", value) is None:
        environment.problems.append(
            "MEDUSA_SECRET_API_KEY is not a secret API key of Medusa's: expected one that begins with sk_"
        )
    return value


def _token_secrets(environment: Environment, *, needed: bool) -> tuple[str, ...]:
    public_key = environment.text("MODIFICATION_TOKEN_PUBLIC_KEY")
    need = "the secret that signs modification tokens, or set MODIFICATION_TOKEN_PUBLIC_KEY"
    return strong_secrets(
        environment, "MODIFICATION_TOKEN_SECRET", MIN_SECRET, need=need if needed and public_key is None else None
    )


def _public_key(environment: Environment) -> str | None:
    value = environment.text("MODIFICATION_TOKEN_PUBLIC_KEY")
    if value is None:
        return None
    value = value.replace("\\n", "\n")
    if problem := token_key_problem(value):
        environment.problems.append(f"MODIFICATION_TOKEN_PUBLIC_KEY {problem}")
    elif environment.text("MODIFICATION_TOKEN_SECRET") is not None:
        environment.problems.append(
            "MODIFICATION_TOKEN_PUBLIC_KEY is set beside MODIFICATION_TOKEN_SECRET: expected one of them, as tokens "
            "are signed by one"
        )
    return value


def _stripe_webhook_secrets(environment: Environment) -> tuple[str, ...]:
    secrets = environment.words("STRIPE_WEBHOOK_SECRET")
    if all(_WEBHOOK_SECRET.fullmatch(secret) for secret in secrets):
        return secrets
    environment.problems.append(
        "STRIPE_WEBHOOK_SECRET is not a signing secret of Stripe's: expected whsec_..., several separated by spaces"
    )
    return ()


def _alert_webhook_secrets(environment: Environment) -> tuple[str, ...]:
    secrets = environment.words("ALERT_WEBHOOK_SECRET")
    try:
        keys = [alert_key(secret) for secret in secrets]
    except ValueError:
        environment.problems.append("ALERT_WEBHOOK_SECRET is not whsec_ and the base64 of 24 to 64 bytes")
        return ()
    if any(len(set(key)) < 6 for key in keys):
        environment.problems.append(f"ALERT_WEBHOOK_SECRET {_GUESSABLE.replace('openssl', 'echo whsec_$(openssl')})")
        return ()
    if secrets and environment.text("ALERT_WEBHOOK_URL") is None:
        environment.warnings.append("ALERT_WEBHOOK_SECRET is set, and ALERT_WEBHOOK_URL is not: no alert is sent")
    return secrets


def _receipt_keys(environment: Environment) -> tuple[str, ...]:
    """The first signs, the others are published."""
    value = environment.text("RECEIPT_SIGNING_KEY")
    keys = () if value is None else receipt_keys(value)
    if keys is None:
        environment.problems.append(
            "RECEIPT_SIGNING_KEY is not a key we know: expected a PEM private key, Ed25519 (medusa-grace receipt-key "
            "makes one), and after it, if you like, older keys that are still to be published"
        )
    return keys or ()


def _refuse_shared(environment: Environment, secrets: Mapping[str, tuple[str, ...]]) -> None:
    """A secret with two purposes lets what is made for one pass for the other."""
    owner: dict[str, str] = {}
    for name, values in secrets.items():
        for value in values:
            if owner.setdefault(value, name) != name:
                environment.problems.append(f"{name} and {owner[value]} are the same: {_OF_ITS_OWN}")
    for name in ("STRIPE_API_KEY", "MEDUSA_SECRET_API_KEY"):
        if (key := environment.text(name)) in owner:
            environment.problems.append(f"{owner[key]} and {name} are the same: {_OF_ITS_OWN}")
