"""Stripe's refusals, as bodies (docs.stripe.com/api/errors, docs.stripe.com/error-codes)."""

from typing import Any


class StripeError(Exception):
    """An answer that is not 200.

    ``saved`` says whether the answer is kept under the idempotency key: only what happened after the
    endpoint began to execute is (docs.stripe.com/api/idempotent_requests).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        saved: bool = True,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.saved = saved
        self.headers = headers or {}
        self.error: dict[str, Any] = {"message": message, "type": kind}
        self.error.update((name, value) for name, value in fields.items() if value is not None)
        if code := self.error.get("code"):
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"

    @property
    def code(self) -> str | None:
        """Stripe's error code, where it has one."""
        return self.error.get("code")

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON body of the answer."""
        log = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return {"error": {**self.error, "request_log_url": log}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A parameter that failed validation: never saved."""
    return StripeError(400, message, saved=False, code=code, param=param)


def missing(kind: str, object_id: str, param: str = "id", status: int = 404) -> StripeError:
    """An object that is not there (docs.stripe.com/error-codes#resource-missing).

    404 for what the request is about, 400 for what a parameter merely refers to.
    """
    return StripeError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def unexpected_state(intent: dict[str, Any], what: str, allowed: tuple[str, ...]) -> StripeError:
    """The intent is in the wrong state; it travels in ``error.payment_intent``.

    docs.stripe.com/error-codes#payment-intent-unexpected-state, docs.stripe.com/api/errors
    """
    return StripeError(
        400,
        f"This PaymentIntent cannot be {what}: its status is {intent['status']}, "
        f"and it would have to be one of: {', '.join(allowed)}.",
        code="payment_intent_unexpected_state",
        payment_intent=dict(intent),
    )


def no_key() -> StripeError:
    """No API key at all (docs.stripe.com/api/authentication)."""
    return StripeError(
        401,
        "You did not provide an API key. Send your secret key as a Bearer token or as the Basic user name.",
        saved=False,
        headers={"WWW-Authenticate": 'Bearer realm="Stripe"'},
    )


def bad_key(key: str) -> StripeError:
    """A key Stripe does not know; it shows only the ends of it (docs.stripe.com/keys)."""
    shown = f"{key[:7]}{'*' * max(len(key) - 11, 3)}{key[-4:] if len(key) > 11 else ''}"
    return StripeError(
        401,
        f"Invalid API Key provided: {shown}",
        saved=False,
        headers={"WWW-Authenticate": 'Bearer realm="Stripe"'},
    )


def secret_key_required() -> StripeError:
    """A publishable key where a secret one is needed (docs.stripe.com/error-codes#secret-key-required)."""
    return StripeError(
        401, "A publishable API key may not make this call: use a secret key.", saved=False, code="secret_key_required"
    )


def other_request_under_key(key: str, first: str, now: str) -> StripeError:
    """One idempotency key, two different requests (docs.stripe.com/api/idempotent_requests)."""
    told = (
        f"with the endpoint it was first used for ('{now}' vs '{first}')"
        if first != now
        else "with the same parameters"
    )
    return StripeError(
        400,
        f"An idempotency key can only be used again {told}: a different request needs a key other than '{key}'.",
        kind="idempotency_error",
        saved=False,
    )


def key_in_use(key: str) -> StripeError:
    """The first request under this key is still going on (docs.stripe.com/error-codes#idempotency-key-in-use)."""
    return StripeError(
        409,
        f"Another request with the idempotency key '{key}' is still in progress. Try again later.",
        kind="idempotency_error",
        saved=False,
        code="idempotency_key_in_use",
    )


def lock_timeout() -> StripeError:
    """Another request holds the object (docs.stripe.com/rate-limits#object-lock-timeouts)."""
    return StripeError(
        429, "Another request is using this object right now. Try again.", saved=False, code="lock_timeout"
    )
