"""The sandbox as tests see it: start it, order failures, look at what happened."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import msgspec

from app.embedded.stripe_sandbox.ledger import LedgerLine
from app.embedded.stripe_sandbox.objects import Object

STOP_SECONDS = 5.0
START_SECONDS = 20.0


class Sandbox:
    """One account of a running sandbox, by its secret key. Nothing has to be closed."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        # No connection is kept, so that a sandbox may be used from any event loop and dropped anywhere;
        # the empty TLS context spares the loading of certificates that a loopback address never needs.
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=30,
            trust_env=False,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    async def authorize(
        self,
        amount: int,
        currency: str,
        capture_method: str = "manual",
        payment_method: str = "pm_card_visa",
        metadata: dict[str, str] | None = None,
    ) -> Object:
        """An intent that a card has confirmed: with a manual capture, a hold."""
        form = {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
        form |= {"amount": str(amount), "currency": currency, "capture_method": capture_method}
        form |= {"confirm": "true", "payment_method": payment_method}
        return _object(await self._http.post("/v1/payment_intents", data=form))

    async def authorize_many(self, count: int, amount: int, currency: str) -> list[str]:
        """Ids of so many holds as ``authorize`` makes, without a request each. No request is logged."""
        made = await self._control("POST", "holds", count=count, amount=amount, currency=currency)
        return list(made["ids"])

    async def intent(self, intent_id: str) -> Object:
        """The intent as it is now. Reads Stripe's state: it meets no fault and is not logged."""
        return dict(await self._control("GET", f"intents/{intent_id}"))

    async def ledger(self) -> dict[str, LedgerLine]:
        """Per intent: what became of its money, and how often it was captured, voided and refunded."""
        answer = await self._control("GET", "ledger")
        return msgspec.convert(answer, dict[str, LedgerLine])

    async def state(self) -> dict[str, Any]:
        """Everything the account holds."""
        return dict(await self._control("GET", "state"))

    async def requests(self, op: str | None = None) -> list[dict[str, Any]]:
        """The API requests so far, in order, or those of one operation."""
        return list(await self._control("GET", f"requests?op={op}" if op else "requests"))

    async def fault(
        self, op: str, action: str, times: int | None = 1, object_id: str | None = None, **more: Any
    ) -> None:
        """Orders a failure; ``times=None`` until cleared. ``more``: status, code, type, message, seconds, headers."""
        await self._control("POST", "faults", op=op, action=action, times=times, object_id=object_id, **more)

    async def clear_faults(self) -> None:
        """Lets everything work again."""
        await self._control("DELETE", "faults")

    async def advance(self, by: timedelta) -> None:
        """Moves the account's clock on; holds that end meanwhile lapse."""
        await self._control("POST", "clock", advance_seconds=int(by.total_seconds()))

    async def lapse(self, intent_id: str) -> Object:
        """Ends one authorization now."""
        return dict(await self._control("POST", f"intents/{intent_id}/lapse"))

    async def authenticate(self, intent_id: str, *, passed: bool = True) -> Object:
        """Answers 3-D Secure for the card holder."""
        return dict(await self._control("POST", f"intents/{intent_id}/authenticate", passed=passed))

    async def process(self, intent_id: str) -> Object:
        """Lets the bank begin with a debit or a transfer: it can be canceled no more, and is not paid yet."""
        return dict(await self._control("POST", f"intents/{intent_id}/process"))

    async def settle(self, intent_id: str, *, paid: bool = True) -> Object:
        """Lets the bank pay what it was processing, or refuse to."""
        return dict(await self._control("POST", f"intents/{intent_id}/settle", paid=paid))

    async def latency(self, seconds: float) -> None:
        """Makes every request take this long."""
        await self._control("POST", "latency", seconds=seconds)

    async def webhook(self, url: str, secret: str, events: Iterable[str] = ("*",)) -> None:
        """Sends the events to a URL, signed with the secret."""
        await self._control("POST", "webhooks", url=url, secret=secret, events=list(events))

    async def remove_webhooks(self) -> None:
        """Sends no more events."""
        await self._control("DELETE", "webhooks")

    async def duplicate_webhooks(self, copies: int = 2) -> None:
        """Delivers each event this many times."""
        await self._control("POST", "webhooks/copies", copies=copies)

    async def hold_webhooks(self) -> None:
        """Keeps events back until they are released."""
        await self._control("POST", "webhooks/hold")

    async def release_webhooks(self, order: str = "created") -> int:
        """Sends the events kept back, ``created``, ``reversed`` or ``shuffled``; how many there were."""
        return int((await self._control("POST", "webhooks/release", order=order))["released"])

    async def deliveries(self) -> list[dict[str, Any]]:
        """Every delivery of an event, with what the endpoint answered."""
        return list(await self._control("GET", "webhooks/deliveries"))

    async def reset(self) -> None:
        """Forgets everything in this account."""
        await self._control("POST", "reset")

    async def _control(self, method: str, what: str, **given: Any) -> Any:
        return _json(await self._http.request(method, f"/_sandbox/{what}", json=given or None))


def _json(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise RuntimeError(f"The Stripe sandbox refused: {answer.status_code} {answer.text}")
    return answer.json()


def _object(answer: httpx.Response) -> Object:
    return dict(_json(answer))


@asynccontextmanager
async def running_sandbox(latency: float = 0, port: int = 0) -> AsyncIterator[str]:
    """A sandbox process of its own, by its URL; it ends with the block, or with us."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app.embedded.stripe_sandbox",
        "--port",
        str(port),
        "--latency-ms",
        str(latency * 1000),
        "--until-stdin-closes",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise RuntimeError("The Stripe sandbox did not start; it says why on its standard error.")
        yield line.decode().strip()
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()
