"""What a 200 has written: all of it in one commit, and nothing besides."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.embedded.shop import SYSTEM, Payment, PlacedOrder
from app.embedded.stripe_sandbox.client import Sandbox
from tests.databases import one_database_a_file
from tests.http.proofs import bearer, customer_token
from tests.http.rows import add_capture_job, everything
from tests.world import Api, Shop, serving, settings_for

database = one_database_a_file()

WRITTEN = {'public."order"', "public.payment", "public.payment_collection", "grace.jobs", "grace.cancellations"}


async def changes(shop: Shop, api: Api, order: PlacedOrder, **request: Any) -> dict[str, list[dict[str, Any]]]:
    """Rows that are new or different after an accepted cancel, by table."""
    before = await everything(shop.conn)
    answer = await api.cancel(order.id, **request)
    assert answer.status_code == 200, answer.text
    changed = {}
    for table, rows in (await everything(shop.conn)).items():
        new = [json.loads(row) for row in rows if row not in before[table]]
        assert len(rows) >= len(before[table]), f"a row of {table} is gone"
        if new:
            changed[table] = new
    return changed


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_rows(shop: Shop, api: Api) -> None:
    bystander = await shop.place()
    order = await shop.place()
    before = {json.loads(row)["id"]: json.loads(row) for row in (await everything(shop.conn))['public."order"']}
    asked = datetime.now(UTC)

    changed = await changes(shop, api, order, json={"reason": "Wrong size"})

    assert changed.keys() == WRITTEN
    [order_row] = changed['public."order"']
    canceled_at = moment(order_row["canceled_at"])
    assert asked - timedelta(milliseconds=1) <= canceled_at <= datetime.now(UTC)
    assert canceled_at.microsecond % 1000 == 0, "Medusa writes milliseconds"
    times = {"canceled_at": order_row["canceled_at"], "updated_at": order_row["canceled_at"]}
    assert order_row == before[order.id] | times | {"status": "canceled"}

    [payment] = changed["public.payment"]
    assert payment["id"] == order.payment_ids[0]
    assert (payment["canceled_at"], payment["updated_at"]) == (order_row["canceled_at"],) * 2
    assert payment["captured_at"] is None
    assert payment["data"]["status"] == "requires_capture", "only Stripe's own answer goes in there"
    [collection] = changed["public.payment_collection"]
    assert (collection["id"], collection["status"]) == (order.collection_ids[0], "canceled")

    [cancellation] = changed["grace.cancellations"]
    assert abs(moment(cancellation.pop("canceled_at")) - canceled_at) < timedelta(seconds=1)
    assert len(cancellation.pop("request_id")) == 26
    written = {"order_id": order.id, "canceled_by": "token", "reason": "Wrong size", "reason_label": None}
    assert cancellation == written
    assert await jobs(shop, order) == {
        ("void", order.payment_ids[0], "scheduled"),
        ("release", order.id, "scheduled"),
        ("publish", f"order.canceled:{order.id}", "scheduled"),
    }
    assert await shop.status(bystander) == "pending"
    assert await shop.calls(order, "cancel") == [], "the request itself calls nobody"


async def jobs(shop: Shop, order: PlacedOrder) -> set[tuple[str, str, str]]:
    rows = await shop.conn.fetch("select kind, subject, state from grace.jobs where order_id = $1", order.id)
    return {(row["kind"], row["subject"], row["state"]) for row in rows}


async def due(shop: Shop, order: PlacedOrder) -> bool:
    late = "select count(*) from grace.jobs where order_id = $1 and state = 'scheduled' and run_at > now()"
    return bool(await shop.conn.fetchval(late, order.id) == 0)


async def test_the_jobs_are_due_at_once(shop: Shop, api: Api) -> None:
    order = await shop.place()
    await api.cancel(order.id)
    assert await due(shop, order)


async def test_the_capture_jobs_are_removed(shop: Shop, api: Api) -> None:
    order, bystander = await shop.place(amounts=("10", "19.7381")), await shop.place()
    await add_capture_job(shop, order, "scheduled")
    await add_capture_job(shop, order, "queued", payment=1)
    await add_capture_job(shop, bystander, "scheduled")

    await api.cancel(order.id)

    captures = {job for job in await jobs(shop, order) if job[0] == "capture"}
    assert captures == {("capture", payment_id, "removed") for payment_id in order.payment_ids}
    assert await jobs(shop, bystander) == {("capture", bystander.payment_ids[0], "scheduled")}


async def test_capture_jobs_that_ended_stay_as_they_are(shop: Shop, api: Api) -> None:
    order = await shop.place(amounts=("10", "19.7381"))
    await add_capture_job(shop, order, "dead", failures=1)
    await add_capture_job(shop, order, "removed", payment=1)
    await api.cancel(order.id)
    states = sorted(job[2] for job in await jobs(shop, order) if job[0] == "capture")
    assert states == ["dead", "removed"]


async def test_two_payments(shop: Shop, api: Api) -> None:
    order = await shop.place(amounts=("10", "19.7381"))

    changed = await changes(shop, api, order)

    assert {row["id"] for row in changed["public.payment"]} == set(order.payment_ids)
    assert all(row["canceled_at"] for row in changed["public.payment"])
    voids = {job[1] for job in await jobs(shop, order) if job[0] == "void"}
    assert voids == set(order.payment_ids)


async def test_two_collections(shop: Shop, api: Api) -> None:
    order = await shop.place(amounts=("10", "19.7381"), same_collection=False)

    changed = await changes(shop, api, order)

    collections = changed["public.payment_collection"]
    assert {(row["id"], row["status"]) for row in collections} == {(id_, "canceled") for id_ in order.collection_ids}
    assert {row["id"] for row in changed["public.payment"]} == set(order.payment_ids)


async def test_a_payment_that_was_let_go_of_before_keeps_its_time(shop: Shop, api: Api) -> None:
    order = await shop.place(amounts=("10", "19.7381"))
    before = await shop.conn.fetchval(
        "update payment set canceled_at = now() - interval '1 minute' where id = $1 returning canceled_at",
        order.payment_ids[0],
    )

    changed = await changes(shop, api, order)

    assert [row["id"] for row in changed["public.payment"]] == [order.payment_ids[1]]
    assert (await shop.payment(order))["canceled_at"] == before
    assert {job[1] for job in await jobs(shop, order) if job[0] == "void"} == {order.payment_ids[1]}


async def test_no_payment(shop: Shop, api: Api) -> None:
    order = await shop.place(payments=(), total=Decimal(0))

    changed = await changes(shop, api, order)

    assert "public.payment" not in changed
    assert {job[0] for job in await jobs(shop, order)} == {"release", "publish"}


async def test_paid_by_hand(shop: Shop, api: Api) -> None:
    """Medusa's manual provider has a hold too; the worker lets go of it in the rows."""
    order = await shop.place(payments=(Payment(provider_id=SYSTEM),))
    await api.cancel(order.id)
    assert (await shop.payment(order))["canceled_at"] is not None
    assert ("void", order.payment_ids[0], "scheduled") in await jobs(shop, order)


async def test_by_a_customer(shop: Shop, api: Api) -> None:
    order = await shop.place(account=True)
    changed = await changes(shop, api, order, token=None, headers=bearer(customer_token(order)))
    [cancellation] = changed["grace.cancellations"]
    assert (cancellation["canceled_by"], cancellation["reason"]) == (f"customer:{order.customer_id}", None)


async def test_the_answer_names_the_request_that_was_written(shop: Shop, api: Api) -> None:
    order = await shop.place()
    answer = await api.cancel(order.id)
    written = await shop.conn.fetchval("select request_id from grace.cancellations where order_id = $1", order.id)
    assert answer.headers["x-request-id"] == written
    again = await api.cancel(order.id)
    assert len(again.headers["x-request-id"]) == 26
    assert again.headers["x-request-id"] != written


async def test_the_versions_stay(shop: Shop, api: Api) -> None:
    """Unlike Medusa's own cancel, which adds a credit line of nothing and raises the version."""
    order = await shop.place()
    await api.cancel(order.id)
    assert await shop.conn.fetchval('select version from "order" where id = $1', order.id) == 1


async def test_without_an_event_bus_nothing_is_published(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox
) -> None:
    order = await shop.place()
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", MEDUSA_EVENTS="off")
    async with serving(settings, shop.key) as api:
        await api.cancel(order.id)
    assert {job[0] for job in await jobs(shop, order)} == {"void", "release"}


async def test_an_answer_does_not_wait_longer_than_it_should(
    shop: Shop, database: str, redis_url: str, sandbox: Sandbox
) -> None:
    order = await shop.place()
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0.4")
    async with serving(settings, shop.key) as api:
        began = datetime.now(UTC)
        answer = await api.cancel(order.id)
        took = datetime.now(UTC) - began
    assert answer.json()["payment_action"] == "void_pending"
    assert timedelta(seconds=0.4) <= took < timedelta(seconds=1.5)


async def test_the_grace_period_is_a_setting(shop: Shop, database: str, redis_url: str, sandbox: Sandbox) -> None:
    in_time, late = (
        await shop.place(placed_ago=timedelta(minutes=9)),
        await shop.place(placed_ago=timedelta(minutes=11)),
    )
    settings = settings_for(database, redis_url, sandbox, VOID_WAIT_SECONDS="0", GRACE_PERIOD_SECONDS="600")
    async with serving(settings, shop.key) as api:
        assert (await api.cancel(in_time.id)).status_code == 200
        assert (await api.cancel(late.id)).json()["reason"] == "grace_period_over"
