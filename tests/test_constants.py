"""Constants, each held from both sides: by what it must be longer or shorter than, and by what it is for."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from app.domain.incidents import alert_delay
from app.domain.jobs import retry_delay
from app.environment import Environment
from app.ports import LateMoney
from app.settings import read_policy
from app.store.migrate import FOLDER
from workers.relay import UPKEEP

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("app", "plugins", "workers")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
KIB: Final = 1024

RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "app.cli:_LONGEST_TOKEN": (365 * DAY, 366 * DAY),
    "app.doctor:LOOK_BACK": (7 * DAY, 9 * DAY),  # longer than a card's authorization lasts
    "app.doctor:AT_ONCE": (4, 16),
    "app.doctor:AGAIN_AFTER": (0.5, 2),
    "app.doctor:EVERY": (25, 100),
    "app.doctor:LATE_AFTER": (30, 2 * MINUTE),
    "app.uninstall:_AT_MOST": (500_000, 10_000_000),  # weeks of a large shop's orders
    "app.uninstall:_PAUSE": (0.1, 2),
    "app.http.operator.pages:_SEARCH_LENGTH": (254, 254),
    "app.store.incidents:LISTED_AT_MOST": (250, 1000),
    "plugins.medusa_bridge.backoffice:ADDRESSES_AMONG": (50_000, 200_000),
    "app.domain.capture:MEDUSA_FINISHES_WITHIN": (3 * 80, 10 * MINUTE),  # Medusa waits 80 s for Stripe, three times
    "app.domain.examination:HOLD_LASTS": (7 * DAY, 7 * DAY),  # Stripe's, for cards
    "app.domain.examination:WARN_BEFORE": (12 * HOUR, 2 * DAY),
    "app.domain.examination:NOTICED_WITHIN": (2 * MINUTE, 10 * MINUTE),
    "app.domain.examination:NOTICED_AT_REST": (5, 20),
    "app.domain.examination:JUST_NOW": (30, 2 * MINUTE),
    "app.domain.jobs:LEASE": (17, 25),
    "app.domain.jobs:CALL_LIMIT": (12, 18),
    "app.domain.jobs:QUICK_TRIES": (3, 3),  # docs/architecture.md promises it
    "app.domain.jobs:PROCESSING_TRIES": (80, 120),
    "app.domain.reasons:_LONGEST_LABEL": (200, 200),
    "app.domain.reasons:_MOST": (50, 50),
    "app.domain.token_bucket:BURST_SECONDS": (0.1, 0.25),  # 80 requests a second come to 100 at most
    "app.domain.token_bucket:LEAST_BURST": (4, 4),  # so that the least urgent class gets one
    "app.domain.token_bucket:DEBT_SECONDS": (0.5, 2),
    "app.domain.token_bucket:SLOWED": (0.5, 0.5),  # the README's
    "app.domain.token_bucket:LEAST_PACE": (0.05, 0.2),
    "app.domain.token_bucket:SLOWED_SECONDS": (10, 10),  # docs/configuration.md's, as is
    "app.domain.token_bucket:STEP": (0.1, 0.1),
    "app.domain.token_bucket:STEP_SECONDS": (1, 5),
    "app.domain.token_bucket:DEAF_SECONDS": (0.5, 2),
    "app.gateways.local_stripe_budget:SHARE": (0.25, 0.25),  # docs/configuration.md's
    "app.gateways.local_stripe_budget:_LEAST_WAIT": (0.005, 0.05),
    "app.gateways.redis_stripe_budget:AWAY": (0.5, 2),
    "app.settings_table:POOL_SIZE": (16, 16),  # docs/configuration.md's
    "app.usecases.run_job:TAKEN": (1, 1),
    "workers.relay:PACED_AT_ONCE": (25, 100),
    "app.gateways.alert_webhook:TIMEOUT": (5, 14),
    "app.gateways.redis_client:PATIENCE": (0.1, 0.4),
    "app.gateways.redis_client:_START_TIMEOUT": (0.5, 3),
    "app.gateways.redis_limits:WINDOW": (60, 60),  # limits are "a minute"
    "app.gateways.redis_locks:_WAIT": (0.25, 1),
    "app.gateways.redis_locks:_NO_EXPIRY": (-1, -1),  # of Redis: PTTL
    "app.gateways.sentry_channel:TIMEOUT": (5, 14),
    "app.gateways.stripe_http:_KEEP_ALIVE": (10, 60),
    "app.gateways.stripe_gateway:TIMEOUT": (4, 7.5),
    "app.gateways.stripe_gateway:_START_TIMEOUT": (2, 5),
    "app.gateways.stripe_hints:TOLERANCE": (300, 300),  # Stripe's own
    "app.http.admission:TURNED_AWAY_AFTER": (0.25, 1),
    "app.http.body_limits:BODY_TIMEOUT": (5, 15),
    "app.http.body_limits:MAX_PENDING_BODIES": (256, 1024),
    "app.http.body_limits:MAX_PENDING_BYTES": (8 * KIB * KIB, 32 * KIB * KIB),
    "app.http.body_limits:MAX_PIECES": (1_024, 4_096),
    "app.http.clients:MAX_HOPS": (10, 40),
    "app.http.clients:_SITE_BITS": (48, 48),
    "app.http.edge:MAX_TARGET_BYTES": (4 * KIB, 8 * KIB),
    "app.http.edge:MAX_HEADER_BYTES": (8 * KIB, 16 * KIB),
    "app.http.edge:MAX_HEAD_BYTES": (16 * KIB, 64 * KIB),
    "app.http.edge:MAX_HEADERS": (50, 200),
    "app.http.metrics:FRESH": (2, 10),
    "app.http.metrics:_PATIENCE": (10, 15),
    "app.http.metrics:CLIENT_TIMEOUT": (5, 30),
    "app.http.metrics:_BETWEEN_TRIES": (2, 10),
    "app.http.operator.acts:LONGEST_NAME": (50, 200),
    "app.http.operator.acts:LONGEST_NOTE": (1000, 1000),
    "app.http.operator.doors:MAX_FIELDS": (10, 40),
    "app.http.operator.known:REMEMBERED": (5, 10),
    "app.http.operator.known:_MANY": (500, 2000),
    "app.http.operator.session:_NONCE_BYTES": (12, 32),
    "app.http.operator.session:_LONGEST": (2 * KIB, 8 * KIB),
    "app.http.operator.guesses:ATTEMPTS_A_MINUTE": (10, 10),  # docs/operator-page.md
    "app.http.operator.guesses:UNPACED_A_MINUTE": (20, 20),
    "app.http.operator.guesses:PACE": (4, 4),
    "app.http.operator.guesses:PACED_AT_ONCE": (4, 4),
    "app.http.operator.guesses:_WINDOW": (60, 60),
    "app.http.operator.guesses:_MAX_KEYS": (10_000, 100_000),
    "app.http.operator.sign_in:LONGEST_EMAIL": (200, 320),
    "app.http.operator.sign_in:LONGEST_PASSWORD": (128, 1000),
    "app.gateways.redis_limits:_MAX_LOGGED": (1000, 100_000),
    "app.usecases.track_conversions:WINDOW": (50, 140),
    "app.usecases.track_conversions:SETTLED": (MINUTE, 5 * MINUTE),
    "app.gateways.local_limits:MAX_KEYS": (10_000, 100_000),
    "app.gateways.local_limits:FACTOR": (1, 3),
    "app.http.stripe_webhook:LARGEST_EVENT": (128 * KIB, 512 * KIB),
    "app.http.stripe_webhook:EVENTS_PER_ADDRESS": (2000, 5000),
    "app.http.tokens:LEEWAY": (5, 15),
    "app.http.tokens:_LONGEST": (2 * KIB, 8 * KIB),
    "app.network_address:_LONGEST_HOST": (253, 253),  # RFC 1035
    "app.network_address:_MAPPED_BITS": (96, 96),  # ::ffff:0:0/96
    "app.network_address:_SHOWN_DIGITS": (5, 5),  # of a port
    "app.setting_kinds:_WIDEST_NETWORK": (7, 7),  # fc00::/7
    "app.gateways.redis_encryption:_TIMEOUT": (0.5, 3),
    "app.origins:_LONGEST_SEARCH": (0.01, 0.05),
    "app.origins:LONGEST_ORIGIN": (253, 500),
    "app.pem:LEAST_RSA_BITS": (2048, 2048),
    "app.pem:MOST_RSA_BITS": (4096, 8192),
    "app.server:_LAST_REQUESTS": (5, 20),
    "app.main:LARGEST_BODY": (16 * KIB, 16 * KIB),  # docs/api.md
    "app.receipts:_LARGEST": (500_000, 2_000_000),
    "app.runtime:_DATABASE_PATIENCE": (15, 60),
    "app.server:HEADER_TIMEOUT": (5_000, 15_000),
    "app.server:READ_BUFFER": (32 * KIB, 128 * KIB),
    "app.server:CONNECTIONS": (4_096, 16_384),
    "app.server:_DESCRIPTORS": (4_096 + 512, 16_384 + 2_048),
    "app.server:SEND_TIMEOUT": (10_000, 60_000),
    "app.server:SEND_BUFFER": (32 * KIB, 256 * KIB),
    "app.server:_SO_ATTACH_FILTER": (26, 26),  # Linux's own
    "app.server:_LINGER": (0.5, 2),
    "app.server:_REPEAT_SIGTERM": (0.1, 1),
    "app.server:_LONGEST_ANSWER": (20, 45),
    "app.secret_kinds:MIN_SECRET": (16, 16),
    "app.secret_kinds:MIN_OPERATOR_SECRET": (32, 32),
    "app.secret_strength:_LEAST_DIFFERENT": (5, 7),
    "app.secret_strength:_MOST_STEPS": (0.5, 0.7),
    "app.secret_strength:_LEAST_PERIOD": (12, 15),  # "supersecret" has eleven letters
    "app.settings:_JOBS_A_CONNECTION": (4, 8),
    "app.settings:_CAPTURED_WITHIN": (6 * DAY + 30, 6.75 * DAY),
    "app.store.database:_CROWD": (4, 16),
    "app.store.events:_MANY": (200, 800),
    "app.store.grants:_ROUNDS": (4096, 4096),  # Postgres' own
    "app.store.migrate:LOCK": (72332111, 72332111),  # versions beside each other must take the same
    "app.store.migrate:_PAUSE": (0.25, 1),
    "app.store.migrate:_SAY_EVERY": (5, 20),
    "app.store.cursors:LOCKED_TOO_LONG": (20, 2 * MINUTE),  # longer than any transaction of a worker
    "app.store.session:LOCK_TIMEOUT": (1, 2.5),
    "app.store.session:STATEMENT_TIMEOUT": (5, 14),
    "app.store.turns:PATIENCE": (30, 2 * MINUTE),
    "app.store.turns:_PAUSE": (0.25, 1),
    "app.store.stripe_events:MAX_PENDING": (5_000, 20_000),
    "app.usecases.adopt_canceled:WINDOW": (1000, 4000),
    "app.usecases.take_hint:BATCH": (50, 200),
    "app.usecases.await_void:_PAUSE": (0.05, 0.2),
    "app.usecases.cancel_order:ROUNDS": (3, 3),
    "app.usecases.cancel_order:SURE_WITHIN": (2, 5),
    "app.usecases.capture_step:WHILE_MEDUSA_CAPTURES": (3, 10),
    "app.usecases.check_house:SEEN_WITHIN": (20, 60),
    "app.usecases.crowds:FEW": (2, 4),
    "app.usecases.crowds:PATIENCE": (3, 8),
    "app.usecases.deliver_alerts:AT_ONCE": (5, 20),
    "app.usecases.deliver_alerts:LEASE": (30, 60),
    "app.usecases.deliver_alerts:_SEND_LIMIT": (12, 20),
    "app.usecases.deliver_alerts:_LOOK_LIMIT": (2, 5),
    "app.usecases.dispatch_jobs:AT_ONCE": (100, 400),
    "app.usecases.dispatch_jobs:LOST_AFTER": (6, 15),
    "app.usecases.find_late_money:WINDOW": (1_000, 4_000),
    "app.usecases.find_late_money:MAX_READS": (25, 100),
    "app.usecases.observe_fleet:OVERDUE_AFTER": (30, 2 * MINUTE),
    "app.usecases.recheck_canceled:LOOK_BACK": (8 * MINUTE, 20 * MINUTE),
    "app.usecases.operator_sessions:LIFETIME": (8 * HOUR, 8 * HOUR),
    "app.usecases.operator_sessions:IDLE_TIMEOUT": (30 * MINUTE, 30 * MINUTE),
    "app.usecases.operator_sessions:CHECK_INTERVAL": (5, 2 * MINUTE),
    "app.usecases.operator_sessions:KEPT": (30 * DAY, 31 * DAY),
    "app.usecases.capture_payment:_WHILE_ANOTHER_IS_CAPTURED": (0.5, 2),
    "app.usecases.release_stock:_STOCK_PATIENCE": (5, 5),  # Medusa's own
    "app.usecases.release_stock:_MORE_TO_RELEASE": (0.5, 2),
    "app.usecases.run_job:_AFTER_A_COLLEAGUE": (0.1, 0.5),
    "app.usecases.track_payments:OVERLAP": (MINUTE, 4 * MINUTE),
    "app.usecases.track_payments:BATCH": (250, 1000),
    "plugins.medusa_bridge.admins:_PATIENCE": (3, 8),
    "plugins.medusa_bridge.backend:_TIMEOUT": (2, 5),
    "plugins.medusa_bridge.backoffice:_LARGEST_NUMBER": (2**31 - 1, 2**31 - 1),
    "plugins.medusa_bridge.bridge:_REDIS_PATIENCE": (1, 3),
    "plugins.medusa_bridge.bridge:HTTP_PATIENCE": (5, 12),
    "plugins.medusa_bridge.customers:SESSION_TIMEOUT": (2, 5),
    "plugins.medusa_bridge.customers:_MAX_CONNECTIONS": (10, 40),
    "plugins.medusa_bridge.events:_PATIENCE": (2, 5),
    "plugins.medusa_bridge.ids:_BEHIND": (5 * MINUTE, 20 * MINUTE),
    "plugins.medusa_bridge.stock:_LOCK_WAIT": (1, 4),
    "plugins.medusa_bridge.stock:_LOCK_PAUSE": (0.01, 0.04),
    "plugins.medusa_bridge.stock:_LONGEST_LOCK_PAUSE": (0.2, 1),
    "plugins.medusa_bridge.stock:_LOCK_LEASE": (10, 15),
    "plugins.medusa_bridge.stock:_UNDER_LOCK": (6, 9),
    "plugins.medusa_bridge.stock:_NO_EXPIRY": (-1, -1),  # of Redis: PTTL
    "plugins.medusa_bridge.survey:_A_PAGE": (500, 5000),
    "plugins.medusa_bridge.survey:_MOST_SHOWN": (5, 20),
    "plugins.medusa_bridge.survey:_TIMEOUT": (1, 5),
    "workers.broker:IDLE_POLL": (0.05, 0.2),
    "workers.broker:_PATIENCE": (0.25, 1),
    "workers.main:STOP_WITHIN": (25_000, 45_000),
    "workers.relay:POLL": (0.1, 0.5),
    "workers.relay:BUSY_POLL": (0.02, 0.1),
    "workers.relay:SILENT": (30, 2 * MINUTE),
}
"""The least and the most that each may be, in seconds where it is a time."""

D, B, J = "app.usecases.deliver_alerts", "plugins.medusa_bridge", "app.domain.jobs"
LESS_THAN: Final = [
    (f"{J}:CALL_LIMIT", f"{J}:LEASE", 2, "calls end within the lease, and are recorded in it"),
    ("app.gateways.stripe_gateway:TIMEOUT", f"{J}:CALL_LIMIT", 8, "a retrieve and a call in one attempt"),
    ("app.gateways.redis_locks:_WAIT", "app.gateways.stripe_gateway:TIMEOUT", 0, "a job waits for no other one's call"),
    ("app.store.session:LOCK_TIMEOUT", "app.store.session:STATEMENT_TIMEOUT", 2, "a lock is given up first"),
    ("app.store.session:STATEMENT_TIMEOUT", f"{J}:LEASE", 5, "a record ends within the lease"),
    ("app.usecases.release_stock:_STOCK_PATIENCE", f"{B}.stock:_UNDER_LOCK", 2, "ends under the lock"),
    (f"{B}.stock:_UNDER_LOCK", f"{B}.stock:_LOCK_LEASE", 2, "the lock outlives it"),
    (
        f"{B}.stock:_LOCK_WAIT",
        "app.usecases.release_stock:_STOCK_PATIENCE",
        1,
        "the job waits instead",
    ),
    (f"{B}.stock:_LOCK_LEASE", f"{J}:LEASE", 5, "and the lease outlives the lock"),
    ("app.usecases.dispatch_jobs:LOST_AFTER", f"{J}:LEASE", 0, "a lost message is found within a lease"),
    ("app.gateways.alert_webhook:TIMEOUT", f"{D}:_SEND_LIMIT", 1, "the client gives up first"),
    ("app.gateways.sentry_channel:TIMEOUT", f"{D}:_SEND_LIMIT", 1, "the client gives up first"),
    (f"{D}:_LOOK_LIMIT", f"{D}:_SEND_LIMIT", 5, "it leaves time to send"),
    (
        f"{D}:_SEND_LIMIT",
        f"{D}:LEASE",
        10,
        "no alert is sent twice at once",
    ),
    (
        "app.domain.capture:MEDUSA_FINISHES_WITHIN",
        "app.usecases.recheck_canceled:LOOK_BACK",
        60,
        "looked at until over",
    ),
    (
        "app.usecases.track_payments:OVERLAP",
        f"{B}.ids:_BEHIND",
        0,
        "a cursor without a time is behind",
    ),
    ("app.store.session:STATEMENT_TIMEOUT", "app.http.metrics:_PATIENCE", 1, "a scrape waits for the statement's end"),
    ("workers.relay:BUSY_POLL", "workers.relay:POLL", 0, ""),
    ("app.domain.examination:NOTICED_AT_REST", "app.domain.examination:NOTICED_WITHIN", 0, ""),
    ("app.domain.examination:WARN_BEFORE", "app.domain.examination:HOLD_LASTS", 0, ""),
    ("app.domain.examination:HOLD_LASTS", "app.doctor:LOOK_BACK", 0, "every hold that may stand is asked about"),
    ("app.usecases.crowds:FEW", "app.store.database:_CROWD", 0, ""),
    ("app.server:CONNECTIONS", "app.server:_DESCRIPTORS", 500, ""),
    (
        "app.http.operator.guesses:ATTEMPTS_A_MINUTE",
        "app.http.operator.guesses:UNPACED_A_MINUTE",
        1,
        "one address slows no owner",
    ),
]


@cache
def value(name: str) -> float:
    """A constant as a number: seconds where it is a time."""
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    return float(found.total_seconds() if isinstance(found, timedelta) else found)


def _constants() -> Iterator[str]:
    for path in (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))):
        if "embedded" in path.parts:
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            target = node.target if isinstance(node, ast.AnnAssign) else _first(node)
            if isinstance(target, ast.Name) and target.id == target.id.upper():
                found = getattr(importlib.import_module(module), target.id, None)
                if isinstance(found, (int, float, timedelta)) and not isinstance(found, bool):
                    yield f"{module}:{target.id}"


def _first(node: ast.stmt) -> ast.expr | None:
    return node.targets[0] if isinstance(node, ast.Assign) else None


def test_every_constant_is_held() -> None:
    found = set(_constants())
    assert found - set(RANGES) == set(), "say in RANGES what they may be"
    assert set(RANGES) - found == set(), "these are gone"


@pytest.mark.parametrize("name", RANGES)
def test_it_lies_between_the_least_and_the_most(name: str) -> None:
    least, most = RANGES[name]
    assert least <= value(name) <= most


@pytest.mark.parametrize(("less", "more", "margin", "because"), LESS_THAN)
def test_one_is_less_than_the_other(less: str, more: str, margin: float, because: str) -> None:
    assert value(less) < value(more), because
    assert value(more) - value(less) >= margin, because


def test_a_retrieve_and_a_call_end_within_one_attempt() -> None:
    assert 2 * value("app.gateways.stripe_gateway:TIMEOUT") < value("app.domain.jobs:CALL_LIMIT")


def test_what_a_killed_worker_left_is_taken_up_within_half_a_minute() -> None:
    sweep = next(seconds for step, seconds in UPKEEP.items() if step.__name__ == "sweep_jobs")
    assert value("app.domain.jobs:LEASE") + sweep + value("workers.relay:POLL") < 30


def test_a_stop_waits_for_every_lease() -> None:
    assert value("workers.main:STOP_WITHIN") / 1000 > value("app.domain.jobs:LEASE") + 3


def test_a_worker_is_missed_after_several_beats() -> None:
    beat = next(seconds for step, seconds in UPKEEP.items() if step.__name__ == "beat")
    assert 3 * beat < value("app.usecases.check_house:SEEN_WITHIN") <= 12 * beat


def test_no_function_waits_for_a_lock_as_long_as_medusa() -> None:
    """Medusa gives up after three seconds: it must be we who give way. What has no setting has the transaction's."""
    texts = (
        "".join(path.read_text() for path in FOLDER.glob("*_order.sql")) + (FOLDER / "0011_claim_job.sql").read_text()
    )
    waits = re.findall(r"lock_timeout\s*(?:=|to)\s*'(\d+)s'", texts)
    assert [float(seconds) for seconds in waits] == [value("app.store.session:LOCK_TIMEOUT")] * 2
    assert value("app.store.session:LOCK_TIMEOUT") < 3


UPKEEP_SECONDS: Final[Mapping[str, tuple[float, float]]] = {
    "_track": (0.5, 2),
    "sweep_jobs": (0.5, 2),
    "announce_incidents": (0.25, 1),
    "deliver_alerts": (0.5, 2),
    "beat": (2, 10),
    "heal_incidents": (5, 20),
    "recheck_canceled": (2.5, 10),
    "adopt_canceled": (5, 20),
    "track_stragglers": (30, 120),
}


def test_the_relays_steps_take_their_turns_in_time() -> None:
    for step, seconds in UPKEEP.items():
        least, most = UPKEEP_SECONDS.get(step.__name__, (0.25, MINUTE))
        assert least <= seconds <= most, step.__name__


@pytest.mark.parametrize(
    ("failures", "failing_for", "seconds"),
    [
        (1, 0, 0.4),
        (2, 0.4, 0.8),
        (3, 1.2, 5),  # a tenth of the time the trouble has lasted, at least 5 s
        (9, 49, 5),
        (9, 51, 5.1),
        (9, 600, 60),
        (40, 2999, 299.9),
        (40, 3001, 300),  # and at most 5 min
        (400, DAY, 300),
    ],
)
def test_when_a_job_is_tried_again(failures: int, failing_for: float, seconds: float) -> None:
    assert retry_delay(failures, timedelta(seconds=failing_for)) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (10, 300), (999, 300)])
def test_when_an_alert_is_sent_again(attempts: int, seconds: float) -> None:
    assert alert_delay(attempts) == timedelta(seconds=seconds)


def test_the_policy_without_settings() -> None:
    policy = read_policy(Environment({}))
    assert (policy.grace_period, policy.capture_delay) == (timedelta(hours=1), timedelta(seconds=30))
    assert (policy.void_wait, policy.late_money) == (timedelta(seconds=3), LateMoney.ALERT)
    assert (policy.publishes_events, policy.cancel_reasons) == (True, ())
