"""``GET /metrics``: what the processes count and what the rows say, on an address of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from app.domain.fleet import Fleet
from app.domain.incidents import IncidentKind
from app.domain.jobs import JobKind
from app.embedded.shop_acts import capture_by_medusa
from app.http import metrics as metrics_module
from app.http.metrics import MetricsServer
from app.ports import Services, Unavailable
from app.runtime import make_metrics
from app.settings import Settings
from app.store import incidents
from app.usecases.announce_incidents import announce_incidents
from app.usecases.observe_fleet import beat, observe_fleet
from tests.usecases.hand import Hand, opened
from tests.world import Api, Shop, eventually

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scraper:
    """Somebody who scrapes."""

    def __init__(self, server: MetricsServer) -> None:
        self.url = f"http://127.0.0.1:{server.port}"

    async def get(self, path: str) -> httpx.Response:
        return await asyncio.to_thread(httpx.get, self.url + path, timeout=30, trust_env=False)

    async def samples(self) -> Samples:
        answer = await self.get("/metrics")
        assert answer.status_code == 200
        families = text_string_to_metric_families(answer.text)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def _of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with opened(settings) as services:
        yield services


@pytest.fixture
async def hand(services: Services, shop: Shop) -> Hand:
    return Hand(services, shop)


@pytest.fixture
async def scraper(settings: Settings, services: Services, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scraper]:
    monkeypatch.setattr(metrics_module, "FRESH", 0.0)
    watch = msgspec.structs.replace(settings.watch, metrics_listen=("127.0.0.1", 0))
    server = make_metrics(msgspec.structs.replace(settings, watch=watch), services)
    assert server is not None
    server.start()
    yield Scraper(server)
    await asyncio.to_thread(server.stop)


async def test_cancels_are_counted_by_outcome(shop: Shop, api: Api, scraper: Scraper) -> None:
    before = await scraper.samples()
    order = await shop.place()
    await api.cancel(order.id)
    await api.cancel(order.id)
    await api.cancel("order_nobodys")
    late = await shop.place()
    await capture_by_medusa(shop.conn, late, late.payment_ids[0])
    await api.cancel(late.id)
    await api.cancel(late.id, token=None)
    await api.client.get("/store/no/such/path")
    after = await scraper.samples()
    for outcome in ("canceled", "already_canceled", "not_found", "late_cancel", "token_required"):
        counted = (_of(samples, "grace_cancels_total", outcome=outcome) or 0 for samples in (after, before))
        assert next(counted) - next(counted) == 1, outcome
    routes = {dict(labels).get("route") for name, labels in after if name.startswith("grace_http_request")}
    assert not any("order_" in str(route) and "{" not in str(route) for route in routes), "an id is no label"


async def test_jobs_and_calls_to_stripe_are_measured(hand: Hand, shop: Shop, scraper: Scraper) -> None:
    before = await scraper.samples()
    order = await shop.place()
    await hand.cancel(order)
    await shop.sandbox.fault("payment_intents.cancel", "error", times=1, status=500)
    await hand.run(order, JobKind.VOID)
    await hand.run(order, JobKind.VOID)
    after = await scraper.samples()

    def grew(name: str, **labels: str) -> float:
        return (_of(after, name, **labels) or 0) - (_of(before, name, **labels) or 0)

    assert grew("grace_job_runs_total", kind="void", outcome="failed") == 1
    assert grew("grace_job_runs_total", kind="void", outcome="done") == 1
    assert grew("grace_job_latency_seconds_count", kind="void") == 1
    assert grew("grace_stripe_call_seconds_count", verb="void", outcome="unknown") == 1
    assert grew("grace_stripe_call_seconds_count", verb="void", outcome="answered") == 1
    assert grew("grace_stripe_call_seconds_count", verb="look", outcome="answered") == 1


async def test_a_capture_is_as_late_as_its_first_due_moment(hand: Hand, shop: Shop, scraper: Scraper) -> None:
    before = await scraper.samples()
    order = await shop.place()
    await hand.schedule(order, JobKind.CAPTURE)
    await shop.conn.execute("update grace.jobs set run_at = now() - interval '100 s'")
    await hand.run(order, JobKind.CAPTURE)
    after = await scraper.samples()
    late = [(_of(s, "grace_job_latency_seconds_sum", kind="capture") or 0) for s in (before, after)]
    assert 100 <= late[1] - late[0] < 200


async def test_what_the_rows_say(hand: Hand, shop: Shop, scraper: Scraper) -> None:
    order = await shop.place()
    await hand.cancel(order)
    await incidents.open_(shop.conn, order.id, IncidentKind.VOID_FAILED, "")
    watched = msgspec.structs.replace(hand.services, alert_channels={"webhook": None})
    await announce_incidents(watched)
    await beat(hand.services)
    samples = await scraper.samples()
    assert _of(samples, "grace_database_up") == 1
    assert _of(samples, "grace_jobs", kind="void", state="scheduled") == 1
    assert (_of(samples, "grace_oldest_due_job_seconds", kind="void") or -1) >= 0
    assert _of(samples, "grace_incidents_open", kind="void_failed") == 1
    assert _of(samples, "grace_alerts_waiting", channel="webhook") == 1
    assert 0 <= (_of(samples, "grace_worker_seen_seconds") or 0) < 60
    assert _of(samples, "grace_money_at_risk", currency="eur", reason="held_on_canceled") == pytest.approx(29.7381)


async def test_money_at_risk_comes_and_goes(hand: Hand, shop: Shop) -> None:
    async def risk() -> dict[tuple[str, str], float]:
        found = (await observe_fleet(hand.services)).money_at_risk
        return {key: float(amount) for key, amount in found.items()}

    held = await shop.place(amounts=("10", "20"))
    captured = await shop.place(amounts=("5",), currency="usd")
    overdue = await shop.place(amounts=("7",))
    await shop.place(amounts=("1000",))
    for order in (captured, overdue):
        await hand.schedule(order, JobKind.CAPTURE)
    assert await risk() == {}, "a capture that is just due is at no risk"
    await shop.conn.execute("update grace.jobs set run_at = now() - interval '2 min'")
    assert await risk() == {("usd", "capture_overdue"): 5, ("eur", "capture_overdue"): 7}
    await hand.run(overdue, JobKind.CAPTURE)
    assert await risk() == {("usd", "capture_overdue"): 5}
    await hand.cancel(held)
    await hand.cancel(captured)
    assert await risk() == {("eur", "held_on_canceled"): 30, ("usd", "held_on_canceled"): 5}
    await hand.run(held, JobKind.VOID, held.payment_ids[0])
    assert await risk() == {("eur", "held_on_canceled"): 20, ("usd", "held_on_canceled"): 5}
    await hand.services.gateway.capture(captured.intent_ids[0], amount=500, key="by-hand")
    await hand.run(captured, JobKind.VOID)
    assert await risk() == {("eur", "held_on_canceled"): 20, ("usd", "kept_on_canceled"): 5}
    refunding = hand.refunding()
    await refunding.schedule(captured, JobKind.REFUND)
    await refunding.run(captured, JobKind.REFUND)
    await hand.run(held, JobKind.VOID, held.payment_ids[1])
    assert await risk() == {}


async def test_a_scrape_asks_the_database_once_in_five_seconds(
    settings: Settings, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "FRESH", 600.0)
    asked = []

    async def observe(services: Services) -> Fleet:
        asked.append(time.monotonic())
        return await observe_fleet(services)

    monkeypatch.setattr(metrics_module, "observe_fleet", observe)
    watch = msgspec.structs.replace(settings.watch, metrics_listen=("127.0.0.1", 0))
    server = make_metrics(msgspec.structs.replace(settings, watch=watch), services)
    assert server is not None
    server.start()
    await asyncio.gather(*(Scraper(server).samples() for _ in range(5)))
    await asyncio.to_thread(server.stop)
    assert len(asked) == 1


async def test_a_database_that_is_away_is_said_so(
    hand: Hand, scraper: Scraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(services: Services) -> Fleet:
        await asyncio.sleep(3600)
        return Fleet()

    monkeypatch.setattr(metrics_module, "observe_fleet", hang)
    monkeypatch.setattr(metrics_module, "_PATIENCE", 0.2)
    samples = await scraper.samples()
    assert _of(samples, "grace_database_up") == 0
    assert not any(name == "grace_jobs" for name, _ in samples)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError("late"), "metrics.no_figures"),
        (Unavailable("away"), "metrics.no_figures"),
        (asyncio.CancelledError("the loop ends"), "metrics.no_figures"),
        (ZeroDivisionError("ours"), "metrics.failed"),
    ],
)
async def test_only_a_mistake_of_ours_is_an_error_of_the_figures(
    services: Services, monkeypatch: pytest.MonkeyPatch, error: BaseException, said: str
) -> None:
    """A scrape is answered all the same."""

    async def observe(_: Services) -> Fleet:
        raise error

    monkeypatch.setattr(metrics_module, "observe_fleet", observe)
    figures = metrics_module.FleetFigures(services)
    with structlog.testing.capture_logs() as logs:
        assert await asyncio.to_thread(figures.read) is None
    assert [entry["event"] for entry in logs] == [said]


async def test_figures_that_are_not_waited_for_any_more_are_not_read_on(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape every few seconds would heap them up while the database hangs."""
    ended = asyncio.Event()

    async def hang(_: Services) -> Fleet:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return Fleet()

    monkeypatch.setattr(metrics_module, "observe_fleet", hang)
    monkeypatch.setattr(metrics_module, "_PATIENCE", 0.2)
    figures = metrics_module.FleetFigures(services)
    with structlog.testing.capture_logs() as logs:
        assert await asyncio.to_thread(figures.read) is None
    assert [entry["event"] for entry in logs] == ["metrics.no_figures"]
    async with asyncio.timeout(5):
        await ended.wait()


async def test_shoppers_do_not_reach_it(api: Api, scraper: Scraper) -> None:
    assert (await api.client.get("/metrics")).status_code == 404
    assert (await scraper.get("/store/orders/x/cancel")).status_code == 404


async def test_prometheus_may_ask_for_openmetrics_and_gzip(scraper: Scraper) -> None:
    asked = {"accept": "application/openmetrics-text; version=1.0.0", "accept-encoding": "gzip"}
    answer = await asyncio.to_thread(httpx.get, scraper.url + "/metrics", headers=asked, timeout=30, trust_env=False)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.endswith("# EOF\n")
    assert "grace_database_up 1.0" in answer.text


async def test_clients_that_send_or_read_nothing_hold_up_no_scrape_and_are_hung_up_on(
    scraper: Scraper, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics_module, "CLIENT_TIMEOUT", 0.5)
    host, port = scraper.url.removeprefix("http://").split(":")
    clients = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
    for _, writer in clients[1:]:
        writer.write(b"GET /metrics HTTP/1.1\r\nx-half: ")
    assert (await scraper.get("/health/live")).json() == {"status": "ok"}
    assert (await scraper.samples())[("grace_database_up", frozenset())] == 1
    async with asyncio.timeout(5):
        assert [await reader.read() for reader, _ in clients] == [b""] * 20
    for _, writer in clients:
        writer.close()
    assert "Traceback" not in capfd.readouterr().err


async def test_several_processes_of_a_host_share_an_address(settings: Settings, services: Services) -> None:
    """One answers; when it is gone, the next takes over."""
    watch = msgspec.structs.replace(settings.watch, metrics_listen=("127.0.0.1", 0))
    first = make_metrics(msgspec.structs.replace(settings, watch=watch), services)
    assert first is not None
    first.start()
    port = first.port
    watch = msgspec.structs.replace(settings.watch, metrics_listen=("127.0.0.1", port))
    second = make_metrics(msgspec.structs.replace(settings, watch=watch), services)
    assert second is not None
    with pytest.raises(OSError, match="in use"):
        second.start()
    await asyncio.to_thread(first.stop)
    second.start_when_free()

    async def listening() -> bool:
        return second._server is not None

    await eventually(listening, within=30)
    assert (await Scraper(second).get("/metrics")).status_code == 200
    await asyncio.to_thread(second.stop)


async def test_the_cost_is_that_of_what_is_unfinished(hand: Hand, shop: Shop) -> None:
    """Ten thousand jobs that are over are never read: every question about jobs goes through a partial index."""
    await shop.conn.execute(
        "insert into grace.jobs (kind, order_id, subject, state, run_at)"
        " select 'capture', 'order_' || n, 'pay_' || n, 'done', now() from generate_series(1, 10000) as n"
    )
    await shop.conn.execute("vacuum analyze grace.jobs")
    await shop.conn.execute("select pg_stat_force_next_flush()")
    before = await shop.conn.fetchval(_READ)
    await observe_fleet(hand.services)
    await asyncio.sleep(1.5)  # statistics are flushed at most once a second
    await observe_fleet(hand.services)
    await asyncio.sleep(1.5)
    assert await shop.conn.fetchval(_READ) - before < 1000


_READ = "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where schemaname = 'grace' and relname = 'jobs'"
