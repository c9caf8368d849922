"""The one home of prometheus_client: what processes count, what the rows say, and both as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from app.domain.fleet import Fleet

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LATE: Final = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86_400)

_registry: Final = CollectorRegistry()
_cancels: Final = Counter(
    "grace_cancels",
    "Answers to POST /store/orders/{id}/cancel, refusals by their code",
    ["outcome"],
    registry=_registry,
)
_requests: Final = Histogram(
    "grace_http_request_seconds",
    "Time to answer a request",
    ["method", "route", "status"],
    buckets=_QUICK,
    registry=_registry,
)
_runs: Final = Counter("grace_job_runs", "Recorded runs of jobs", ["kind", "outcome"], registry=_registry)
_latency: Final = Histogram(
    "grace_job_latency_seconds",
    "From the moment a job was due until it was done, with all its retries",
    ["kind"],
    buckets=_LATE,
    registry=_registry,
)
_wait: Final = Histogram(
    "grace_job_wait_seconds",
    "From the moment a job was due until a worker claimed it: for the budget of requests to Stripe, for a worker",
    ["kind"],
    buckets=_LATE,
    registry=_registry,
)
_pace: Final = Gauge(
    "grace_stripe_pace",
    "Requests to Stripe a second that the fleet may make now; of a process without Redis, its share",
    multiprocess_mode="mostrecent",
    registry=_registry,
)
_rate_limited: Final = Counter("grace_stripe_rate_limited", "Requests that Stripe refused with 429", registry=_registry)
_stripe: Final = Histogram(
    "grace_stripe_call_seconds", "Calls to Stripe", ["verb", "outcome"], buckets=_QUICK, registry=_registry
)


def record_request(*, method: str, route: str, status: int, outcome: str, seconds: float) -> None:
    """Count an answer to a request."""
    _requests.labels(method, route, str(status)).observe(seconds)
    if method == "POST" and route.endswith("/cancel"):
        _cancels.labels(outcome).inc()


def record_job(*, kind: str, outcome: str, late: float | None) -> None:
    """Count a recorded run of a job; ``late``, in seconds since the job was due, when that was its end."""
    _runs.labels(kind, outcome).inc()
    if late is not None:
        _latency.labels(kind).observe(late)


def record_wait(*, kind: str, seconds: float) -> None:
    """Count a job that a worker claimed, ``seconds`` after it was due."""
    _wait.labels(kind).observe(seconds)


def record_stripe_pace(requests: float) -> None:
    """Set the requests a second that may be made to Stripe."""
    _pace.set(requests)


def record_rate_limited() -> None:
    """Count a request that Stripe refused because there were too many."""
    _rate_limited.inc()


def record_stripe_call(*, verb: str, outcome: str, seconds: float) -> None:
    """Count a call to Stripe, answered or not."""
    _stripe.labels(verb, outcome).observe(seconds)


def count_across_processes() -> None:
    """From now on count in the files of ``PROMETHEUS_MULTIPROC_DIR``. Before the first count, and before any fork."""
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def metrics_app(*, shared_dir: str | None, read_fleet: Callable[[], Fleet | None] | None) -> WSGIApplication:
    """Return the application that answers with this process's counts, or those of ``shared_dir``, and with the fleet's
    figures where ``read_fleet`` reads them. It returns ``None`` when the database does not answer."""
    registry = CollectorRegistry(support_collectors_without_names=True)
    if shared_dir is None:
        registry.register(_registry)
    else:
        MultiProcessCollector(registry, path=shared_dir)  # type: ignore[no-untyped-call]
    if read_fleet is not None:
        registry.register(_Figures(read_fleet))
    return make_wsgi_app(registry)


def names() -> set[str]:
    """Every sample's name that can ever be scraped."""
    families = [*_registry.collect(), *_Figures(Fleet).collect()]
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    return {family.name + end for family in families for end in ends.get(family.type, [""])}


class _Figures:
    """What the rows say."""

    def __init__(self, read_fleet: Callable[[], Fleet | None]) -> None:
        self._read_fleet = read_fleet

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        fleet = self._read_fleet()
        yield GaugeMetricFamily("grace_database_up", "Whether the figures could be read", value=fleet is not None)
        if fleet is None:
            return
        yield _gauge("grace_jobs", "Jobs that are not over", ["kind", "state"], fleet.jobs)
        yield _gauge("grace_oldest_due_job_seconds", "Since the oldest due job was due", ["kind"], fleet.oldest_due)
        yield _gauge("grace_incidents_open", "Incidents that are open", ["kind"], fleet.incidents)
        yield _gauge("grace_alerts_waiting", "Alerts that no receiver took yet", ["channel"], fleet.alerts)
        yield _gauge("grace_oldest_alert_seconds", "Age of the oldest of them", ["channel"], fleet.oldest_alert)
        yield _gauge(
            "grace_money_at_risk",
            "Money held or kept on canceled orders, or overdue for capture, in major units",
            ["currency", "reason"],
            {key: float(amount) for key, amount in fleet.money_at_risk.items()},
        )
        seen: dict[tuple[str, ...], float] = {} if fleet.worker_seen is None else {(): fleet.worker_seen}
        yield _gauge("grace_worker_seen_seconds", "Since any worker was last seen at work", [], seen)


def _gauge(name: str, text: str, labels: list[str], samples: dict[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in samples.items():
        family.add_metric(key, value)
    return family
