"""Failures on demand: what goes wrong between a client and Stripe (docs.stripe.com/error-low-level)."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from app.embedded.stripe_sandbox.errors import StripeError

DEFAULT_HANG_SECONDS = 600.0
DEFAULT_DELAY_SECONDS = 1.0
_KINDS = {402: "card_error", 429: "invalid_request_error", 400: "invalid_request_error"}
_CODES = {402: "card_declined", 429: "rate_limit"}


class Action(StrEnum):
    """What a fault does."""

    ERROR = "error"
    """Answers an error; nothing is done and nothing saved, as when Stripe is down or limits the rate."""
    ERROR_SAVED = "error_saved"
    """Answers an error; nothing is done, but the error is saved under the key and replays."""
    ERROR_AFTER = "error_after"
    """Does the work, then answers an error, which is saved and replays although the work is done."""
    TIMEOUT = "timeout"
    """Nothing is done; the connection hangs."""
    TIMEOUT_AFTER = "timeout_after"
    """Does the work and saves its answer; the connection hangs."""
    RESET = "reset"
    """Nothing is done; the connection is reset."""
    DROP_AFTER = "drop_after"
    """Does the work and saves its answer; the connection is reset."""
    DELAY = "delay"
    """Holds the object for some seconds, then does the work and answers."""


WORK = frozenset({Action.ERROR_SAVED, Action.ERROR_AFTER, Action.DELAY})
"""The faults that only a request which is executed can meet: a replay passes them by."""


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One order to fail. ``times`` counts down to 0; ``None`` means until cleared."""

    op: str
    action: Action
    object_id: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    status: int = 500
    code: str | None = None
    type: str | None = None
    message: str | None = None
    seconds: float | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def hang_seconds(self) -> float:
        """How long a connection hangs before it is closed without an answer."""
        return self.seconds if self.seconds is not None else DEFAULT_HANG_SECONDS

    @property
    def delay_seconds(self) -> float:
        """How long a delayed request waits."""
        return self.seconds if self.seconds is not None else DEFAULT_DELAY_SECONDS

    def error(self) -> StripeError:
        """The error to answer."""
        message = self.message or "Something went wrong on Stripe's end, as ordered."
        more: dict[str, Any] = {"code": self.code or _CODES.get(self.status)}
        kind = self.type or _KINDS.get(self.status, "api_error")
        return StripeError(self.status, message, kind=kind, headers=self.headers, **more)


class Faults:
    """The orders of one account, first come first served."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []

    def pick(self, op: str, object_ids: Iterable[str], *, replay: bool) -> Fault | None:
        """The fault this request meets, and one time less of it."""
        for order in self.orders:
            if order.op not in (op, "*") or (order.object_id and order.object_id not in object_ids):
                continue
            if replay and order.action in WORK:
                continue
            if order.times is not None:
                order.times -= 1
                if order.times <= 0:
                    self.orders.remove(order)
            return order
        return None
