"""Settings: each problem is told by its name, all of them at once, and none tells a secret."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from app import setting_kinds
from app import settings as settings_module
from app.domain.reasons import CancelReason
from app.ports import LateMoney
from app.secret_strength import form_problem
from app.settings import Settings, SettingsError, Watch, read_migration_settings, read_settings
from app.settings_table import DatabasePooler, MedusaLocking, Role

SECRET = "7f3k9q2m5x8r1v6z"
PROCESSES = (Role.SERVE, Role.WORKER)
SERVE = {
    "DATABASE_URL": "postgres://grace:hunter2@db/shop",
    "REDIS_URL": "redis://:hunter2@cache/0",
    "MODIFICATION_TOKEN_SECRET": SECRET,
}
WORKER = {
    "DATABASE_URL": "postgresql://grace:hunter2@db/shop",
    "REDIS_URL": "rediss://:hunter2@cache/0",
    "STRIPE_API_KEY": "sk_test_hunter2",
    "MEDUSA_LOCKING": "redis",
    "MEDUSA_REDIS_URL": "unix:///run/redis.sock",
}
IN_MEMORY = {
    **WORKER,
    "MEDUSA_LOCKING": "memory",
    "MEDUSA_EVENTS": "off",
    "MEDUSA_BACKEND_URL": "https://medusa.internal:9000",
    "MEDUSA_SECRET_API_KEY": "sk_hunter2",
}
COMPLETE = {"serve": (SERVE, Role.SERVE), "worker": (WORKER, Role.WORKER), "in memory": (IN_MEMORY, Role.WORKER)}


def problems(environ: dict[str, str], role: Role) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ, role)
    return str(caught.value).splitlines()


def without(environ: dict[str, str], name: str) -> dict[str, str]:
    return {other: value for other, value in environ.items() if other != name}


@pytest.mark.parametrize(("environ", "role"), COMPLETE.values(), ids=COMPLETE.keys())
def test_complete(environ: dict[str, str], role: Role) -> None:
    assert read_settings(environ, role).database_url == environ["DATABASE_URL"]


MISSING = [(name, *COMPLETE[role]) for role in COMPLETE for name in COMPLETE[role][0] if name != "MEDUSA_EVENTS"]
MISSING = [case for case in MISSING if case[0] != "MEDUSA_REDIS_URL" or case[1] is WORKER]


@pytest.mark.parametrize("value", [None, "", "  "], ids=["unset", "empty", "blank"])
@pytest.mark.parametrize(("name", "environ", "role"), MISSING, ids=[f"{case[2]}-{case[0]}" for case in MISSING])
def test_missing(name: str, environ: dict[str, str], role: Role, value: str | None) -> None:
    lacking = without(environ, name) | ({} if value is None else {name: value})
    [problem] = problems(lacking, role)
    assert problem.startswith(f"{name} is missing: ")
    assert len(problem) > len(f"{name} is missing: ") + 10, "it says what is expected"


def test_all_that_is_missing_at_once() -> None:
    assert [line.partition(" is missing: ")[0] for line in problems({}, Role.WORKER)] == [
        "MEDUSA_LOCKING",
        "DATABASE_URL",
        "REDIS_URL",
        "STRIPE_API_KEY",
        "MEDUSA_REDIS_URL",
    ]
    assert [line.partition(" is missing: ")[0] for line in problems({}, Role.SERVE)] == [
        "DATABASE_URL",
        "REDIS_URL",
        "MODIFICATION_TOKEN_SECRET",
    ]


PKCS8 = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
ED25519 = ed25519.Ed25519PrivateKey.generate()
ED25519_PEM = ED25519.private_bytes(*PKCS8).decode()
PUBLIC_PEM = ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
RSA_PEM = rsa.generate_private_key(65537, 2048).private_bytes(*PKCS8).decode()

SECONDS = "expected a number of seconds from"
WHOLE = "expected a whole number from"
BAD = {
    "DATABASE_URL": (
        ["db", "mysql://db/shop", "postgres:db", "postgresql+asyncpg://db/shop", "prisma://db/shop"],
        "begins with postgres:// or postgresql://",
    ),
    "REDIS_URL": (
        ["cache:6379", "http://cache", "valkey://cache", "redis+sentinel://a,b/0"],
        "begins with redis:// or rediss:// or unix://",
    ),
    "MEDUSA_REDIS_URL": (["cache:6379"], "begins with redis:// or rediss:// or unix://"),
    "STRIPE_API_BASE": (["api.stripe.com", "ftp://api.stripe.com"], "begins with http:// or https://"),
    "MEDUSA_BACKEND_URL": (["localhost:9000"], "begins with http:// or https://"),
    "PUBLIC_URL": (["shop.example", "ftp://shop.example", "//shop.example"], "begins with http:// or https://"),
    "MEDUSA_LOCKING": (["Redis", "none"], "expected one of redis, postgres, memory"),
    "MEDUSA_EVENTS": (["on", "1"], "expected one of redis, off"),
    "LATE_MONEY": (["ignore"], "expected one of alert, refund"),
    "GRACE_PERIOD_SECONDS": (["0", "1h", "-5", "NaN", "sNaN", "Infinity", "518401"], f"{SECONDS} 1 to 518400"),
    "CAPTURE_DELAY_SECONDS": (["-1", "0", "5", "29.999", "soon", "86401"], f"{SECONDS} 30 to 86400"),
    "VOID_WAIT_SECONDS": (["-0.1", "31", "x"], f"{SECONDS} 0 to 30"),
    "RATE_LIMIT_PER_ORDER": (["-1", "2.5", "many", "1000001"], f"{WHOLE} 0 to 1000000"),
    "RATE_LIMIT_PER_ADDRESS": (["-1", "²"], f"{WHOLE} 0 to 1000000"),
    "DATABASE_POOL_SIZE": (["1", "201"], f"{WHOLE} 2 to 200"),
    "WORKER_THREADS": (["0", "257", "8 threads"], f"{WHOLE} 1 to 256"),
    "STRIPE_REQUESTS_PER_SECOND": (["0", "-1", "80.5", "10001", "unlimited"], f"{WHOLE} 1 to 10000"),
    "TRUSTED_PROXIES": (["proxy", "10.0.0.0/8 300.1.1.1", "10.0.0.0/33"], "expected addresses or networks such as"),
    "STORE_CORS": (["/[/", "https://shop.example,/(/", "/a/gg", r"/\p{L}/u", "~*~"], "which is no regular expression"),
    "ADMIN_CORS": (["/[/"], "which is no regular expression"),
    "CANCEL_REASONS": (["late", "a=b; =c", "A=b", "a=", "a=b;a=c", "a=\x07", f"a={'x' * 201}"], " "),
    "RECEIPT_SIGNING_KEY": (["hunter2", PUBLIC_PEM, RSA_PEM, f"{ED25519_PEM}{RSA_PEM}"], "medusa-grace receipt-key"),
    "LOG_LEVEL": (["LOUD", "10"], "expected DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    "MODIFICATION_TOKEN_SECRET": (["short", f"{SECRET} short", SECRET[1:]], "at least 16 characters each"),
}
BAD_BY_ITSELF = [
    (name, value, expected)
    for name, values, expected in [
        ("DATABASE_URL", ["postgres://g:hunter2@db", "postgres://g:hunter2@db/"], "names no database"),
        ("STRIPE_API_KEY", ["pk_live_hunter2"], "publishable"),
        (
            "STRIPE_API_KEY",
            ["hunter2", "whsec_hunter2", "sk_", "sk-hunter2", "sk_live_hunter2 x"],
            "begins with sk_ or rk_",
        ),
        ("STRIPE_API_BASE", ["https://", "http://:80", "http://stripe:99999", "http://stripe:0"], " "),
        ("STRIPE_API_BASE", ["https://api.stripe.com/v1", "https://proxy/stripe"], "no more than https://host:port"),
        ("STRIPE_API_BASE", ["https://a:hunter2@stripe", "https://stripe?a=b"], "no more than https://host:port"),
        ("PUBLIC_URL", ["https://shop.example/grace", "https://shop.example/?a"], "no more than https://host:port"),
        ("PUBLIC_URL", ["https://me:hunter2@shop.example", "https://", "https://shop.example:0", "https://a b"], " "),
        ("MEDUSA_BACKEND_URL", ["http://", "http://medusa:9000?x=hunter2", "http://m:hunter2@medusa"], " "),
        ("MEDUSA_SECRET_API_KEY", ["pk_hunter2", "hunter2", "sk_"], "begins with sk_"),
        ("MODIFICATION_TOKEN_SECRET", ["a" * 16, "ab" * 20, "supersecret" * 3, "changemechangeme"], "can be guessed"),
        ("MODIFICATION_TOKEN_SECRET", ["1234567890123456", "abcdefghijklmnop", "password12345678"], "can be guessed"),
        ("MODIFICATION_TOKEN_SECRET", ["supersecretsupersecret", "change-me-please-2024"], "can be guessed"),
        ("MODIFICATION_TOKEN_SECRET", [f"{SECRET} {'x' * 40}"], "can be guessed"),
        ("OPERATOR_SESSION_SECRET", ["a" * 32, "supersecret-supersecret-supersecret"], "can be guessed"),
        ("OPERATOR_SESSION_SECRET", [SECRET], "at least 32 characters each"),
        ("STRIPE_WEBHOOK_SECRET", ["hunter2", "whsec_", "sk_test_hunter2", "whsec_good hunter2"], "expected whsec_"),
        ("ALERT_WEBHOOK_SECRET", ["whsec_" + "A" * 32], "can be guessed"),
        ("TRUSTED_PROXIES", ["0.0.0.0/0", "::/0", "10.0.0.0/8,1.2.3.4/0"], "every address"),
        ("MEDUSA_REDIS_URL", ["redis://cache?keyPrefix=shop:"], "MEDUSA_LOCK_NAMESPACE"),
        ("MEDUSA_LOCK_REDIS_URL", ["cache:6379", "redis://cache?keyPrefix=shop:"], " "),
        ("MEDUSA_EVENTS_QUEUE", ["shop:events"], "without a colon"),
        ("SENTRY_DSN", ["https://sentry.example/1", "https://key@sentry.example"], "expected https://key@host/project"),
        ("ALERT_WEBHOOK_URL", ["https://", "https://:443/hunter2", "https://hooks example/x"], " "),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ["http://", "https://collector:0"], " "),
    ]
    for value in values
]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [(name, value, expected) for name, (values, expected) in BAD.items() for value in values],
)
def test_bad(name: str, value: str, expected: str) -> None:
    environ = {**SERVE, **WORKER, name: value}
    for role in PROCESSES:
        [problem] = problems(environ, role)
        assert problem.startswith(f"{name} ")
        assert expected in problem


@pytest.mark.parametrize(("name", "value", "expected"), BAD_BY_ITSELF)
@pytest.mark.parametrize("role", PROCESSES)
def test_accepted_once_and_failed_later(name: str, value: str, expected: str, role: Role) -> None:
    environ = {**SERVE, **WORKER, "MEDUSA_BACKEND_URL": "http://medusa:9000", name: value}
    [problem] = problems(environ, role)
    assert problem.startswith(f"{name} ")
    assert expected in problem
    assert "hunter2" not in problem


TOKENS, OPERATOR = "Fq1w7sPzX0mV3bLk", "mJ8sQd2xVb6nLr4tZk9wYc3hGf7pAe5u"
WHSEC_OF_ALERTS = "whsec_Zk3vR8pQ1sT6wXyB9nM2cL5jH7dF4gKa"


@pytest.mark.parametrize(
    ("one", "other", "secret"),
    [
        ("MODIFICATION_TOKEN_SECRET", "OPERATOR_SESSION_SECRET", OPERATOR),
        ("MODIFICATION_TOKEN_SECRET", "MEDUSA_JWT_SECRET", TOKENS),
        ("OPERATOR_SESSION_SECRET", "MEDUSA_JWT_SECRET", OPERATOR),
        ("MODIFICATION_TOKEN_SECRET", "STRIPE_WEBHOOK_SECRET", WHSEC_OF_ALERTS),
        ("STRIPE_WEBHOOK_SECRET", "ALERT_WEBHOOK_SECRET", WHSEC_OF_ALERTS),
        ("MODIFICATION_TOKEN_SECRET", "STRIPE_API_KEY", "sk_test_Fq1w7sPzX0mV3bLk"),
        ("OPERATOR_SESSION_SECRET", "MEDUSA_SECRET_API_KEY", f"sk_{OPERATOR}"),
    ],
)
def test_a_secret_for_two_purposes(one: str, other: str, secret: str) -> None:
    environ = {**SERVE, **WORKER, "MEDUSA_BACKEND_URL": "http://medusa:9000", one: f"whsec_{OPERATOR} {secret}"}
    for role in PROCESSES:
        [problem] = problems({**environ, other: secret}, role)
        assert {one, other} <= set(problem.replace(":", "").split())
        assert "expected a secret of its own for each purpose" in problem
        assert secret not in problem


@pytest.mark.parametrize("secret", ["supersecret", "hunter2", "secretsecretsecret"])
def test_medusas_own_secret_is_its_operators_choice(secret: str) -> None:
    [warning] = serve(MEDUSA_JWT_SECRET=secret).warnings
    assert warning.startswith("MEDUSA_JWT_SECRET can be guessed")
    assert secret not in warning.removeprefix("MEDUSA_JWT_SECRET")
    assert serve(MEDUSA_JWT_SECRET=TOKENS).warnings == ()


@pytest.mark.parametrize("origins", ["https://shop.example/", "shop.example", "https://a.test, https://b.test", "*"])
def test_an_origin_that_no_browser_sends(origins: str) -> None:
    """It works at Medusa just as little, so that it is no reason not to start."""
    for name in ("STORE_CORS", "ADMIN_CORS"):
        [warning] = serve(**{name: origins}).warnings
        assert warning.startswith(f"{name} has ")


def _public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("pem", "expected"),
    [
        (_public(rsa.generate_private_key(65537, 1024)), "RSA key of 1024 bits: expected 2048"),
        (_public(ec.generate_private_key(ec.SECP384R1())), "on the curve secp384r1"),
        (_public(ec.generate_private_key(ec.SECP256K1())), "on the curve secp256k1"),
        (_public(ed448.Ed448PrivateKey.generate()), "is not a key we know"),
        (ED25519_PEM, "is a private key"),
    ],
)
def test_a_public_key_that_is_weak_or_odd(pem: str, expected: str) -> None:
    environ = without(SERVE, "MODIFICATION_TOKEN_SECRET")
    for role in PROCESSES:
        [problem] = problems({**WORKER, **environ, "MODIFICATION_TOKEN_PUBLIC_KEY": pem}, role)
        assert problem.startswith("MODIFICATION_TOKEN_PUBLIC_KEY ")
        assert expected in problem


def test_a_secret_beside_a_public_key() -> None:
    for role in PROCESSES:
        [problem] = problems({**SERVE, **WORKER, "MODIFICATION_TOKEN_PUBLIC_KEY": PUBLIC_PEM}, role)
        assert problem.startswith("MODIFICATION_TOKEN_PUBLIC_KEY is set beside MODIFICATION_TOKEN_SECRET")


def test_a_live_key_is_not_sent_in_clear() -> None:
    for key in ("sk_live_hunter2", "rk_live_hunter2"):
        [problem] = problems({**WORKER, "STRIPE_API_KEY": key, "STRIPE_API_BASE": "http://stripe:12111"}, Role.WORKER)
        assert problem.startswith("STRIPE_API_BASE begins with http://")
        read_settings({**WORKER, "STRIPE_API_KEY": key, "STRIPE_API_BASE": "https://stripe.internal"}, Role.WORKER)


def test_threads_that_would_wait_for_connections() -> None:
    few = {"DATABASE_POOL_SIZE": "2", "WORKER_THREADS": "9"}
    [problem] = problems(WORKER | few, Role.WORKER)
    assert problem.startswith("WORKER_THREADS is 9, DATABASE_POOL_SIZE 2: ")
    assert serve(**few).database_pool_size == 2
    assert read_settings(WORKER | few | {"WORKER_THREADS": "8"}, Role.WORKER).worker_threads == 8


@pytest.mark.parametrize(
    ("changes", "threads", "connections"),
    [
        ({}, 24, 24),
        ({"WORKER_THREADS": "8"}, 8, 16),
        ({"WORKER_THREADS": "64"}, 64, 64),
        ({"WORKER_THREADS": "256"}, 256, 200),
        ({"WORKER_THREADS": "64", "DATABASE_POOL_SIZE": "20"}, 64, 20),
    ],
)
def test_a_workers_pool_follows_its_threads(changes: dict[str, str], threads: int, connections: int) -> None:
    settings = read_settings(WORKER | changes, Role.WORKER)
    assert (settings.worker_threads, settings.database_pool_size) == (threads, connections)


def test_an_apis_pool_follows_no_threads() -> None:
    assert serve().database_pool_size == serve(WORKER_THREADS="64").database_pool_size == 16


def test_the_budget_of_requests_to_stripe() -> None:
    assert read_settings(WORKER, Role.WORKER).stripe_requests_per_second == 80
    few = WORKER | {"STRIPE_REQUESTS_PER_SECOND": "5"}
    assert read_settings(few, Role.WORKER).stripe_requests_per_second == 5


def test_a_capture_that_would_come_when_the_hold_has_lapsed() -> None:
    for role in PROCESSES:
        long = {"GRACE_PERIOD_SECONDS": "518400", "CAPTURE_DELAY_SECONDS": "43201"}
        [problem] = problems({**SERVE, **WORKER, **long}, role)
        assert problem.startswith("GRACE_PERIOD_SECONDS and CAPTURE_DELAY_SECONDS are too long together")


def test_a_secret_of_alerts_that_go_nowhere() -> None:
    settings = read_settings(WORKER | {"ALERT_WEBHOOK_SECRET": WHSEC}, Role.WORKER)
    assert settings.warnings == ("ALERT_WEBHOOK_SECRET is set, and ALERT_WEBHOOK_URL is not: no alert is sent",)


def test_prismas_word_for_a_pooler() -> None:
    pooled = {"DATABASE_URL": "postgres://grace:hunter2@db/shop?pgbouncer=true"}
    assert serve(**pooled).database_pooler is DatabasePooler.TRANSACTION
    assert serve(**pooled).database_url == "postgres://grace:hunter2@db/shop"
    [problem] = problems(SERVE | pooled | {"DATABASE_POOLER": "none"}, Role.SERVE)
    assert problem.startswith("DATABASE_URL has an option pgbouncer")
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL"):
        with pytest.raises(SettingsError, match=r"MIGRATION_DATABASE_URL .*Postgres itself, not its pooler"):
            read_migration_settings({name: pooled["DATABASE_URL"]})


def test_all_that_is_bad_at_once_and_no_secret_among_it() -> None:
    bad = {name: values[0] for name, (values, _) in BAD.items()}
    secrets = {"DATABASE_URL": "mysql://grace:hunter2@db", "REDIS_URL": "hunter2@cache"}
    secrets |= {"MODIFICATION_TOKEN_SECRET": "hunter2", "MEDUSA_REDIS_URL": "http://:hunter2@cache"}
    secrets |= {"STRIPE_API_KEY": "sk_hunter2", "MEDUSA_SECRET_API_KEY": "sk_hunter2", "MEDUSA_JWT_SECRET": "hunter2"}
    secrets |= {"STRIPE_API_BASE": "ftp://hunter2@stripe", "MEDUSA_BACKEND_URL": "ftp://hunter2@medusa"}

    lines = problems({**bad, **secrets}, Role.WORKER)

    assert {line.split()[0] for line in lines} == set(BAD)
    assert len(lines) == len(BAD)
    assert not [line for line in lines if "hunter2" in line]


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "STRIPE_API_BASE"])
def test_a_url_that_cannot_be_split(name: str) -> None:
    [problem] = problems({**SERVE, name: "postgres://[::1/shop"}, Role.SERVE)
    assert problem.startswith(f"{name} is not a URL")


@pytest.mark.parametrize("pem", ["nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_a_public_key_that_is_none(pem: str) -> None:
    [problem] = problems({**SERVE, "MODIFICATION_TOKEN_PUBLIC_KEY": pem}, Role.SERVE)
    assert problem.startswith("MODIFICATION_TOKEN_PUBLIC_KEY ")


def serve(**changes: str) -> Settings:
    return read_settings({**SERVE, **changes}, Role.SERVE)


def test_defaults() -> None:
    settings = serve()
    assert settings.policy.grace_period == timedelta(hours=1)
    assert settings.policy.capture_delay == timedelta(seconds=30)
    assert settings.policy.void_wait == timedelta(seconds=3)
    assert settings.policy.late_money is LateMoney.ALERT
    assert settings.policy.publishes_events is True
    assert settings.medusa_locking is None
    assert settings.store_cors == ""
    assert settings.modification_token_secrets == (SECRET,)
    assert settings.policy.cancel_reasons == ()
    assert settings.receipt_signing_keys == ()


def test_changed() -> None:
    settings = serve(
        GRACE_PERIOD_SECONDS="518400",
        CAPTURE_DELAY_SECONDS="30.5",
        VOID_WAIT_SECONDS=" 0.25 ",
        LATE_MONEY="refund",
        MEDUSA_EVENTS="off",
        STORE_CORS=" http://a.test,/b/i",
        LOG_LEVEL="debug",
        TRUSTED_PROXIES="10.0.0.1, 2001:db8::/32",
        MODIFICATION_TOKEN_SECRET=f"{SECRET}  {SECRET[::-1]}\n",
    )
    assert settings.policy.grace_period == timedelta(days=6)
    assert settings.policy.capture_delay == timedelta(seconds=30.5)
    assert settings.policy.void_wait == timedelta(milliseconds=250)
    assert settings.policy.late_money is LateMoney.REFUND
    assert settings.policy.publishes_events is False
    assert settings.store_cors == " http://a.test,/b/i", "Medusa does not trim it either"
    assert settings.log_level == "DEBUG"
    assert settings.trusted_proxies == ("10.0.0.1/32", "2001:db8::/32")
    assert settings.modification_token_secrets == (SECRET, SECRET[::-1])


@pytest.mark.parametrize("locking", MedusaLocking)
def test_medusas_redis_is_needed_for_locks_or_events(locking: MedusaLocking) -> None:
    environ = without({**IN_MEMORY, "MEDUSA_LOCKING": locking.value}, "MEDUSA_REDIS_URL")
    if locking is MedusaLocking.REDIS:
        assert "MEDUSA_REDIS_URL is missing" in problems(environ, Role.WORKER)[0]
    else:
        assert read_settings(environ, Role.WORKER).medusa_redis_url is None
    [problem] = problems({**environ, "MEDUSA_EVENTS": "redis"}, Role.WORKER)
    assert problem.startswith("MEDUSA_REDIS_URL is missing")


def test_medusas_redis_is_not_needed_for_locks_that_are_elsewhere() -> None:
    elsewhere = {"MEDUSA_LOCK_REDIS_URL": "redis://locks", "MEDUSA_EVENTS": "off"}
    environ = without({**IN_MEMORY, **elsewhere, "MEDUSA_LOCKING": "redis"}, "MEDUSA_REDIS_URL")
    assert read_settings(environ, Role.WORKER).medusa_lock_redis_url == "redis://locks"


def test_names_of_medusas_own() -> None:
    settings = read_settings(WORKER, Role.WORKER)
    names = (settings.medusa_events_prefix, settings.medusa_events_queue, settings.medusa_lock_namespace)
    assert names == ("RedisEventBusService", "events-queue", "medusa_lock:")


def test_reasons() -> None:
    """Labels are the shop's own words: only the first equals sign parts them from their code."""
    settings = serve(
        CANCEL_REASONS=" mind=I changed my mind;too-slow= Delivery > 3 days = too slow ;;dup_1=Zweimal bestellt\n"
    )
    assert settings.policy.cancel_reasons == (
        CancelReason("mind", "I changed my mind"),
        CancelReason("too-slow", "Delivery > 3 days = too slow"),
        CancelReason("dup_1", "Zweimal bestellt"),
    )


def test_too_many_reasons() -> None:
    [problem] = problems({**SERVE, "CANCEL_REASONS": ";".join(f"r{number}=x" for number in range(51))}, Role.SERVE)
    assert problem == "CANCEL_REASONS has 51 reasons: expected 50 at most"


@pytest.mark.parametrize("spelled", [lambda pem: pem, lambda pem: pem.replace("\n", "\\n")], ids=["lines", "escaped"])
def test_receipt_keys(spelled: Callable[[str], str]) -> None:
    """A file of settings holds one line a setting."""
    assert serve(RECEIPT_SIGNING_KEY=spelled(ED25519_PEM)).receipt_signing_keys == (ED25519_PEM,)
    both = serve(RECEIPT_SIGNING_KEY=spelled(ED25519_PEM + PUBLIC_PEM)).receipt_signing_keys
    assert both == (ED25519_PEM, PUBLIC_PEM)


def test_a_public_key_in_the_place_of_a_secret() -> None:
    environ = without(SERVE, "MODIFICATION_TOKEN_SECRET")
    settings = read_settings({**environ, "MODIFICATION_TOKEN_PUBLIC_KEY": PUBLIC_KEY}, Role.SERVE)
    assert settings.modification_token_secrets == ()
    assert settings.modification_token_public_key == PUBLIC_KEY.strip()


PUBLIC_KEY = """\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


WHSEC = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


def test_nobody_is_told_and_nothing_listens_unless_asked() -> None:
    assert read_settings(WORKER, Role.WORKER).watch == Watch()


def test_watch() -> None:
    watch = read_settings(
        WORKER
        | {
            "ALERT_WEBHOOK_URL": "https://hooks.example/x",
            "ALERT_WEBHOOK_SECRET": f"{WHSEC} {WHSEC}",
            "SENTRY_DSN": "https://key@sentry.example/1",
            "METRICS_LISTEN": "[::1]:9101",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        },
        Role.WORKER,
    ).watch
    assert (watch.metrics_listen, watch.traces, len(watch.alert_webhook_secrets)) == (("::1", 9101), True, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_WEBHOOK_URL", "hooks.slack.com/hunter2"),
        ("ALERT_WEBHOOK_SECRET", "hunter2"),
        ("ALERT_WEBHOOK_SECRET", "whsec_hunter2"),
        ("ALERT_WEBHOOK_SECRET", "whsec_aHVudGVyMg=="),
        ("ALERT_WEBHOOK_SECRET", f"{WHSEC} whsec_hunter2"),
        ("SENTRY_DSN", "hunter2"),
        ("METRICS_LISTEN", "9101"),
        ("METRICS_LISTEN", ":9101"),
        ("METRICS_LISTEN", "127.0.0.1:http"),
        ("METRICS_LISTEN", "127.0.0.1:65536"),
        ("PROMETHEUS_MULTIPROC_DIR", "/no/such/directory"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
    ],
)
def test_bad_watch(name: str, value: str) -> None:
    [problem] = problems(WORKER | {name: value}, Role.WORKER)
    assert problem.startswith(f"{name} is ")
    assert "hunter2" not in problem


@pytest.mark.parametrize("value", ["http://sentry:99999", "http://", "key@sentry/1", "https://sentry.io/1"])
def test_an_address_of_sentrys_is_named_once(value: str) -> None:
    assert len(problems({**WORKER, "SENTRY_DSN": value}, Role.WORKER)) == 1


def test_what_the_extra_is_needed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (setting_kinds, settings_module):
        monkeypatch.setattr(module, "installed", lambda _: False)
    [problem] = problems(WORKER | {"SENTRY_DSN": "https://key@sentry.example/1"}, Role.WORKER)
    assert problem == "SENTRY_DSN is set, but sentry-sdk is not installed: install medusa-grace[observability]"
    watch = read_settings(WORKER | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, Role.WORKER).watch
    assert (watch.traces, watch.traces_lack_extra) == (False, True), "a cluster may set it for everybody"


def test_the_operators_page_needs_medusas_address() -> None:
    page = {"OPERATOR_SESSION_SECRET": SECRET * 2}
    [problem] = problems({**SERVE, **page}, Role.SERVE)
    assert problem == "MEDUSA_BACKEND_URL is missing: with OPERATOR_SESSION_SECRET, operators sign in through Medusa"
    for short in ("short", f"{SECRET * 2} {SECRET}"):
        [problem] = problems({**WORKER, "OPERATOR_SESSION_SECRET": short}, Role.WORKER)
        assert problem == "OPERATOR_SESSION_SECRET is too short: at least 32 characters each"
    both = {**SERVE, **page, "MEDUSA_BACKEND_URL": "http://medusa:9000"}
    assert read_settings(both, Role.SERVE).operator_session_secrets == (SECRET * 2,)
    assert read_settings({**WORKER, **page}, Role.WORKER).medusa_backend_url is None, "workers show no page"


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        (None, None),
        ("https://shop.example", "https://shop.example"),
        ("https://Shop.Example:443/", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("https://sh\u00f6p.example", "https://xn--shp-tna.example"),
        ("http://[2001:DB8::1]:9100", "http://[2001:db8::1]:9100"),
    ],
)
def test_the_public_url_is_spelled_as_browsers_spell_origins(value: str | None, origin: str | None) -> None:
    environ = SERVE if value is None else {**SERVE, "PUBLIC_URL": value}
    assert read_settings(environ, Role.SERVE).public_url == origin


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("RATE_LIMIT_PER_ORDER", "1" * 5000, WHOLE),
        ("RATE_LIMIT_PER_ORDER", "١٢٠", WHOLE),
        ("DATABASE_POOL_SIZE", "\uff11\uff16", WHOLE),
        ("GRACE_PERIOD_SECONDS", "٣٦٠٠", SECONDS),
        ("VOID_WAIT_SECONDS", "1_0", SECONDS),
        ("MODIFICATION_TOKEN_SECRET", f'"{SECRET}"', "is in quotation marks"),
        ("MODIFICATION_TOKEN_SECRET", f"'{SECRET}'", "is in quotation marks"),
        ("OPERATOR_SESSION_SECRET", f"`{SECRET * 2}`", "is in quotation marks"),
        ("MODIFICATION_TOKEN_SECRET", "$MODIFICATION_TOKEN_SECRET", "which nothing has replaced by its value"),
        ("MODIFICATION_TOKEN_SECRET", "${MODIFICATION_TOKEN_SECRET}", "which nothing has replaced by its value"),
        ("MODIFICATION_TOKEN_SECRET", "%MODIFICATION_TOKEN_SECRET%", "which nothing has replaced by its value"),
        ("MODIFICATION_TOKEN_SECRET", "{{ secrets.modification_token }}", "which nothing has replaced by its value"),
        ("MODIFICATION_TOKEN_SECRET", "<the-secret-goes-in-here>", "which nothing has replaced by its value"),
        ("MODIFICATION_TOKEN_SECRET", "$(openssl rand -base64 32)", "which nothing has replaced by its value"),
        ("MODIFICATION_TOKEN_SECRET", "/run/secrets/modification_token", "is the path of a file"),
        ("MODIFICATION_TOKEN_SECRET", "file:///run/secrets/modification_token", "is the path of a file"),
        ("MODIFICATION_TOKEN_SECRET", f"MODIFICATION_TOKEN_SECRET={SECRET}", "begins with its own name"),
        ("MODIFICATION_TOKEN_SECRET", "0123456789abcdef", "can be guessed"),
        ("MODIFICATION_TOKEN_SECRET", "abcdefghijkl98765432", "can be guessed"),
        ("STORE_CORS", "/(a+)+$/", "no repetition stands within another"),
        ("STORE_CORS", r"/^https?:\/\/([a-z0-9]+[.-]?)+\.shop\.example$/", "no repetition stands within another"),
        ("STORE_CORS", r"https://a.test,/^https:\/\/pr-([0-9a-f]+)+\.shop\.example$/", "no repetition stands within"),
        ("ADMIN_CORS", "/(x+x+)+y/", "no repetition stands within another"),
        ("TRUSTED_PROXIES", "::ffff:0:0/96", "which is every address, or many of them"),
        ("TRUSTED_PROXIES", "0.0.0.0/1 128.0.0.0/1", "which is every address, or many of them"),
        ("TRUSTED_PROXIES", "2000::/3", "which is every address, or many of them"),
    ],
)
def test_odd_forms_that_were_accepted(name: str, value: str, expected: str) -> None:
    [problem] = [line for line in problems(SERVE | {name: value}, Role.SERVE) if line.startswith(name)][:1]
    assert expected in problem
    assert SECRET not in problem


@pytest.mark.parametrize("equals", ["c2VjcmV0IG9mIHRoZQ==", "a=b=c=d=e=f0g1h2i3j=k", "=xK2=vQ9=mW4=pL7=zR3"])
def test_a_secret_with_equals_signs(equals: str) -> None:
    assert read_settings(SERVE | {"MODIFICATION_TOKEN_SECRET": equals}, Role.SERVE).modification_token_secrets == (
        equals,
    )


def test_random_secrets_are_good() -> None:
    made = [secrets.token_hex(16) for _ in range(300)] + [secrets.token_urlsafe(32) for _ in range(300)]
    made += [base64.b64encode(secrets.token_bytes(24)).decode() for _ in range(300)]
    assert [secret for secret in made if form_problem("MODIFICATION_TOKEN_SECRET", secret)] == []


@pytest.mark.parametrize("name", ["OPERATOR_SESSION_SECRET", "MEDUSA_JWT_SECRET", "STORE_CORS", "RECEIPT_SIGNING_KEY"])
def test_a_file_in_the_place_of_a_setting(name: str) -> None:
    """As other images take it: without a word the page, or a way to sign in, would be off."""
    [problem] = problems(SERVE | {f"{name}_FILE": "/run/secrets/it"}, Role.SERVE)
    assert problem == f"{name}_FILE is not read: expected the value itself in {name}"


def test_a_file_beside_its_setting_is_another_programs() -> None:
    read_settings(SERVE | {"REDIS_URL_FILE": "/run/secrets/redis"}, Role.SERVE)


def test_a_file_for_migrate() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL_FILE is not read: expected the value itself in DATABASE_URL"):
        read_migration_settings({"DATABASE_URL_FILE": "/run/secrets/url"})


@pytest.mark.parametrize(
    "origin",
    [
        "https://*.shop.example",
        "https://shop.example:*",
        "https://shop.example:443",
        "http://shop.example:80",
        "https://Shop.example",
        "https://münchen.example",
        "https://user@shop.example",
        "https://shop.example:99999",
        "https://shop.example:",
        "https://shop.example?x",
        "https://shop.example#x",
        '"https://shop.example"',
    ],
)
def test_odd_origins_that_no_browser_sends(origin: str) -> None:
    [warning] = read_settings(SERVE | {"STORE_CORS": origin}, Role.SERVE).warnings
    assert warning.startswith(f"STORE_CORS has {origin!r}, which is not what a browser sends")


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example:8443",
        "http://localhost:8000",
        "http://[::1]:8000",
        "https://xn--mnchen-3ya.example",
        "null",
        "capacitor://localhost",
        r"/^https:\/\/([a-z0-9-]+\.)*shop\.example$/",
        r"/\.vercel\.app$/",
        "https://a_b.example",
    ],
)
def test_origins_that_are_sent(origin: str) -> None:
    assert read_settings(SERVE | {"STORE_CORS": origin}, Role.SERVE).warnings == ()


@pytest.mark.parametrize("pattern", ["//", "/.*/", "/^https:/", "'https://'"])
def test_a_pattern_that_allows_every_site(pattern: str) -> None:
    [warning] = read_settings(SERVE | {"STORE_CORS": pattern}, Role.SERVE).warnings
    assert warning.startswith(f"STORE_CORS has {pattern!r}, which allows every site")


def test_a_secret_of_medusas_in_quotes_is_a_warning() -> None:
    """Both may read the same file of settings, and Medusa takes the marks for a part of it, too."""
    [warning] = read_settings(SERVE | {"MEDUSA_JWT_SECRET": f'"{SECRET * 2}"'}, Role.SERVE).warnings
    assert warning.startswith("MEDUSA_JWT_SECRET is in quotation marks")


@pytest.mark.parametrize(
    "value",
    ["https://shop.example:443", "HTTPS://SHOP.example:443", "HTTPS://shop.example", "https://shop.example:443/"],
)
def test_the_public_url_has_no_default_port(value: str) -> None:
    assert read_settings(SERVE | {"PUBLIC_URL": value}, Role.SERVE).public_url == "https://shop.example"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("fd00::/8", "fd00::/8"),
    ],
)
def test_proxies_of_mapped_addresses_are_proxies_of_ipv4(given: str, read: str) -> None:
    """A server that listens on IPv6 too sees IPv4 clients so, and they are taken for IPv4's."""
    assert read_settings(SERVE | {"TRUSTED_PROXIES": given}, Role.SERVE).trusted_proxies == (read,)
