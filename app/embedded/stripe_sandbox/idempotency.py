"""What was answered under an idempotency key (docs.stripe.com/api/idempotent_requests)."""

from dataclasses import dataclass

from app.embedded.stripe_sandbox.errors import invalid, key_in_use, other_request_under_key
from app.embedded.stripe_sandbox.form import Params

LONGEST_KEY = 255
KEPT_SECONDS = 24 * 60 * 60


@dataclass(slots=True)
class Result:
    """One key's request and, once it is through, its answer."""

    path: str
    params: Params
    request_id: str
    at: int
    status: int = 0
    body: bytes | None = None


class Results:
    """One API key's results, kept for a day: after that a key may be pruned and would do the work again."""

    def __init__(self) -> None:
        self._results: dict[str, Result] = {}

    def find(self, key: str, path: str, params: Params, now: int) -> Result | None:
        """The saved result; refuses another request under the key, and one that is still in flight."""
        if len(key) > LONGEST_KEY:
            raise invalid(f"An idempotency key may have at most {LONGEST_KEY} characters.")
        result = self._results.get(key)
        if result is None:
            return None
        if result.body is not None and now - result.at >= KEPT_SECONDS:
            del self._results[key]
            return None
        if result.path != path or result.params != params:
            raise other_request_under_key(key, result.path, path)
        if result.body is None:
            raise key_in_use(key)
        return result

    def begin(self, key: str, path: str, params: Params, request_id: str, now: int) -> None:
        """Marks the key as in flight."""
        self._results[key] = Result(path, params, request_id, now)

    def save(self, key: str, status: int, body: bytes) -> None:
        """Keeps the answer: replays give it again, a 500 included."""
        result = self._results[key]
        result.status, result.body = status, body

    def forget(self, key: str) -> None:
        """Frees the key of a request whose result is not kept."""
        self._results.pop(key, None)

    def __len__(self) -> int:
        return len(self._results)
