"""Orders that change hands in Medusa: a request blocks no owner, and an accepted one ends the owner's old links."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.embedded.shop import PlacedOrder
from app.embedded.shop_acts import open_order_change
from app.embedded.shop_transfers import accept_transfer, change_email, request_transfer
from tests.databases import one_database_a_file
from tests.http.answers import assert_answer, assert_refused, conflict, not_found
from tests.http.proofs import bearer, customer_token, in_seconds, modification_token
from tests.http.rows import everything
from tests.http.test_cancel_contract import CHANGING
from tests.http.test_who_may import MISMATCH
from tests.world import Api, Shop, token_for

database = one_database_a_file()

PENDING = conflict("order_change_pending", CHANGING, "order_change_pending")
HandOver = Callable[[Shop, PlacedOrder], Awaitable[Any]]


async def change_of(shop: Shop, change: str) -> asyncpg.Record:
    return await shop.row("select * from order_change where id = $1", change)


class TestRequested:
    """Any registered customer may ask for any order: the present owner is not to be blocked by it."""

    @pytest.mark.parametrize("status", ["requested", "pending"])
    @pytest.mark.parametrize("signed_in", [False, True], ids=["guest", "customer"])
    async def test_the_owner_cancels_and_declines(self, shop: Shop, api: Api, status: Any, signed_in: bool) -> None:
        """Declined as Medusa's own decline writes it: no name, no reason, and the action untouched."""
        order = await shop.place(account=signed_in)
        change = await request_transfer(shop.conn, order, status=status)
        before = dict(await change_of(shop, change))
        actions = await shop.conn.fetch("select * from order_change_action where order_change_id = $1", change)

        how: dict[str, Any] = {"token": None, "headers": bearer(customer_token(order))} if signed_in else {}
        answer = await api.cancel(order.id, **how)

        assert_answer(answer, 200, {"order_id": order.id, "status": "canceled", "payment_action": "void_pending"})
        canceled_at = await shop.conn.fetchval('select canceled_at from "order" where id = $1', order.id)
        declined = {"status": "declined", "declined_at": canceled_at, "updated_at": canceled_at}
        assert dict(await change_of(shop, change)) == before | declined
        now = await shop.conn.fetch("select * from order_change_action where order_change_id = $1", change)
        assert now == actions

    async def test_the_preview_agrees(self, shop: Shop, api: Api) -> None:
        order = await shop.place()
        await request_transfer(shop.conn, order)
        before = await everything(shop.conn)
        body = (await preview(api, order.id)).json()
        assert (body["cancelable"], body["reason"]) == (True, None)
        assert await everything(shop.conn) == before

    async def test_the_customer_who_asks_has_no_right_yet(self, shop: Shop, api: Api) -> None:
        order = await shop.place()
        await request_transfer(shop.conn, order)
        asking = await shop.conn.fetchval("select reference_id from order_change_action where order_id = $1", order.id)
        headers = bearer(customer_token(order, actor_id=asking))
        await assert_refused(shop, api, order.id, 404, not_found(order.id), token=None, headers=headers)

    async def test_a_refused_cancel_ends_no_request(self, shop: Shop, api: Api) -> None:
        order = await shop.place()
        await request_transfer(shop.conn, order)
        await open_order_change(shop.conn, order)
        await assert_refused(shop, api, order.id, 409, PENDING)
        assert (await preview(api, order.id)).json()["reason"] == "order_change_pending"

    @pytest.mark.parametrize(
        "other", ["edit", "return_request", "return_receive", "claim", "exchange", "credit_line", None]
    )
    @pytest.mark.parametrize("status", ["pending", "requested"])
    async def test_any_other_change_still_refuses(self, shop: Shop, api: Api, other: str | None, status: Any) -> None:
        order = await shop.place()
        change = await open_order_change(shop.conn, order, status=status)
        await shop.conn.execute("update order_change set change_type = $2 where id = $1", change, other)
        await assert_refused(shop, api, order.id, 409, PENDING)

    async def test_only_open_requests_for_this_order_end(self, shop: Shop, api: Api) -> None:
        """Neither those that ended before, nor one that was withdrawn, nor another order's."""
        order, other = await shop.place(), await shop.place()
        ended = {}
        for status in ("declined", "canceled"):
            change = await request_transfer(shop.conn, order)
            await shop.conn.execute("update order_change set status = $2 where id = $1", change, status)
            ended[change] = await change_of(shop, change)
        withdrawn = await request_transfer(shop.conn, order)
        await shop.conn.execute("update order_change set deleted_at = now() where id = $1", withdrawn)
        theirs = await request_transfer(shop.conn, other)
        ended |= {change: await change_of(shop, change) for change in (withdrawn, theirs)}
        edit = await open_order_change(shop.conn, order)
        await shop.conn.execute("update order_change set status = 'confirmed' where id = $1", edit)
        ended[edit] = await change_of(shop, edit)

        assert (await api.cancel(order.id)).status_code == 200

        assert {change: await change_of(shop, change) for change in ended} == ended


async def transferred(shop: Shop, order: PlacedOrder) -> None:
    await accept_transfer(shop.conn, order, await request_transfer(shop.conn, order))


async def corrected(shop: Shop, order: PlacedOrder) -> None:
    await change_email(shop.conn, order, "the-right-one@shoppers.test")


HANDED_OVER: dict[str, HandOver] = {"accepted transfer": transferred, "another e-mail address": corrected}


async def issued_at(shop: Shop, order: PlacedOrder, second: datetime) -> None:
    """Put the hand-over 400 ms into that second."""
    moment = second.replace(microsecond=400_000)
    await shop.conn.execute(
        "update order_change set confirmed_at = $2, updated_at = now() + interval '1 hour' where order_id = $1",
        order.id,
        moment,
    )


@pytest.mark.parametrize("hand_over", HANDED_OVER.values(), ids=HANDED_OVER.keys())
class TestHandedOver:
    """The former owner's links end with the hand-over, wherever they lead."""

    @pytest.mark.parametrize(
        ("after", "accepted"),
        [(-3600, False), (-1, False), (0, False), (0.9, False), (1, True), (60, True), (None, False)],
    )
    async def test_a_link_counts_from_the_next_second(
        self, shop: Shop, api: Api, hand_over: HandOver, after: float | None, accepted: bool
    ) -> None:
        """Whole seconds of one clock against milliseconds of another: what may be older is taken for older."""
        order = await shop.place()
        second = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
        await hand_over(shop, order)
        await issued_at(shop, order, second)
        token = modification_token(order.id, iat=None if after is None else second.timestamp() + after)
        if accepted:
            assert (await preview(api, order.id, token)).json()["cancelable"] is True
            assert (await api.cancel(order.id, token=token)).status_code == 200
            assert (await receipt(api, order.id, token)).status_code == 200
            return
        assert_answer(await preview(api, order.id, token), 403, MISMATCH)
        await assert_refused(shop, api, order.id, 403, MISMATCH, token=token)
        assert_answer(await receipt(api, order.id, token), 403, MISMATCH)

    async def test_refused_whatever_the_order_is_like(self, shop: Shop, api: Api, hand_over: HandOver) -> None:
        """A former owner does not learn what became of the order either."""
        order = await shop.place()
        old = modification_token(order.id, iat=in_seconds(-60))
        await hand_over(shop, order)
        assert (await api.cancel(order.id, token=modification_token(order.id, iat=in_seconds(5)))).status_code == 200
        await assert_refused(shop, api, order.id, 403, MISMATCH, token=old)
        assert_answer(await receipt(api, order.id, old), 403, MISMATCH)

    async def test_the_last_hand_over_counts(self, shop: Shop, api: Api, hand_over: HandOver) -> None:
        order = await shop.place()
        await transferred(shop, order)
        await issued_at(shop, order, datetime.now(UTC) - timedelta(minutes=10))
        between = modification_token(order.id, iat=in_seconds(-300))
        assert (await preview(api, order.id, between)).status_code == 200
        await hand_over(shop, order)
        await assert_refused(shop, api, order.id, 403, MISMATCH, token=between)


@pytest.mark.parametrize("iat", [None, -3600, 0, 5], ids=["none", "an hour ago", "now", "a clock ahead"])
async def test_without_a_hand_over_any_iat_will_do(shop: Shop, api: Api, iat: float | None) -> None:
    order = await shop.place()
    token = modification_token(order.id, iat=None if iat is None else in_seconds(iat))
    assert (await api.cancel(order.id, token=token)).status_code == 200


NOT_HANDED_OVER: dict[str, HandOver] = {
    "requested": lambda shop, order: request_transfer(shop.conn, order),
    "declined": lambda shop, order: _ended(shop, order, status="declined"),
    "withdrawn": lambda shop, order: _ended(shop, order, deleted_at=datetime.now(UTC)),
    "confirmed edit": lambda shop, order: _ended(shop, order, status="confirmed", change_type="edit"),
    "the same address": lambda shop, order: change_email(shop.conn, order, order.email.upper()),
    "another order's": lambda shop, order: _of_another(shop),
}


async def _ended(shop: Shop, order: PlacedOrder, **columns: Any) -> None:
    change = await request_transfer(shop.conn, order)
    for name, value in columns.items():
        await shop.conn.execute(f"update order_change set {name} = $2 where id = $1", change, value)


async def _of_another(shop: Shop) -> None:
    await transferred(shop, await shop.place())


@pytest.mark.parametrize("act", NOT_HANDED_OVER.values(), ids=NOT_HANDED_OVER.keys())
async def test_what_hands_nothing_over_ends_no_link(shop: Shop, api: Api, act: HandOver) -> None:
    order = await shop.place()
    await act(shop, order)
    answer = await api.cancel(order.id, token=modification_token(order.id, iat=None))
    assert answer.status_code == 200, answer.text


async def test_customers_go_by_who_owns_it_now(shop: Shop, api: Api) -> None:
    order = await shop.place(account=True)
    new_owner = await accept_transfer(shop.conn, order, await request_transfer(shop.conn, order))
    former = bearer(customer_token(order))
    await assert_refused(shop, api, order.id, 404, not_found(order.id), token=None, headers=former)
    new = bearer(customer_token(order, actor_id=new_owner, iat=in_seconds(-3600)))
    assert (await api.cancel(order.id, token=None, headers=new)).status_code == 200


BAD_IAT = {"a word": "now", "digits": "1700000000", "a list": [1], "a boolean": True, "endless": float("inf")}


@pytest.mark.parametrize("iat", BAD_IAT.values(), ids=BAD_IAT.keys())
async def test_an_iat_that_is_no_time(shop: Shop, api: Api, iat: Any) -> None:
    order = await shop.place()
    answer = await api.cancel(order.id, token=modification_token(order.id, iat=iat))
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


async def test_an_iat_of_the_future(shop: Shop, api: Api) -> None:
    """It would outlive every hand-over."""
    order = await shop.place()
    answer = await api.cancel(order.id, token=modification_token(order.id, iat=in_seconds(60)))
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


async def preview(api: Api, order_id: str, token: str | None = None) -> Any:
    return await _get(api, f"/store/orders/{order_id}/cancel", token or token_for(order_id))


async def receipt(api: Api, order_id: str, token: str) -> Any:
    return await _get(api, f"/store/orders/{order_id}/cancellation", token)


async def _get(api: Api, path: str, token: str) -> Any:
    headers = {"x-publishable-api-key": api.key, "x-modification-token": token}
    return await api.client.get(path, headers=headers)
