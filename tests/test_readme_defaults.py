"""The README's table of settings says what a process does without them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from app.settings import Role, Settings, read_settings

README: Final = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
SETTINGS: Final = read_settings(
    {
        "DATABASE_URL": "postgres://grace@db/shop",
        "REDIS_URL": "redis://cache/0",
        "STRIPE_API_KEY": "sk_test_hunter2",
        "MEDUSA_LOCKING": "postgres",
        "MEDUSA_REDIS_URL": "redis://cache/1",
    },
    Role.WORKER,
)
READ: Final[Mapping[str, Callable[[Settings], object]]] = {
    "DATABASE_POOLER": lambda given: given.database_pooler.value,
    "RATE_LIMIT_PER_ORDER": lambda given: given.rate_limit_per_order,
    "RATE_LIMIT_PER_ADDRESS": lambda given: given.rate_limit_per_address,
    "MEDUSA_EVENTS": lambda given: given.medusa_events.value,
    "MEDUSA_EVENTS_QUEUE": lambda given: given.medusa_events_queue,
    "MEDUSA_EVENTS_PREFIX": lambda given: given.medusa_events_prefix,
    "MEDUSA_LOCK_NAMESPACE": lambda given: given.medusa_lock_namespace,
    "GRACE_PERIOD_SECONDS": lambda given: int(given.policy.grace_period.total_seconds()),
    "CAPTURE_DELAY_SECONDS": lambda given: int(given.policy.capture_delay.total_seconds()),
    "VOID_WAIT_SECONDS": lambda given: int(given.policy.void_wait.total_seconds()),
    "LATE_MONEY": lambda given: given.policy.late_money.value,
    "DATABASE_POOL_SIZE": lambda given: given.database_pool_size,
    "WORKER_THREADS": lambda given: given.worker_threads,
    "MODIFICATION_TOKEN_AUDIENCE_REQUIRED": lambda given: str(given.modification_token_audience_required).lower(),
    "LOG_LEVEL": lambda given: given.log_level,
}


@pytest.mark.parametrize("name", READ)
def test_a_default_is_the_readmes(name: str) -> None:
    row = re.search(rf"^\| `{name}` \|[^|]*\| `?([^|`]*?)`? \|", README, re.MULTILINE)
    assert row is not None, f"the README has no row for {name}"
    assert str(READ[name](SETTINGS)) == row[1]


def test_only_loopback_and_private_networks_are_trusted() -> None:
    expected = "127.0.0.0/8 ::1/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"
    assert " ".join(SETTINGS.trusted_proxies) == expected
