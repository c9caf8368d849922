"""A shop with money in every place, and changes of its rows."""

from __future__ import annotations

from decimal import Decimal

import asyncpg

from app.embedded.shop import STRIPE, Payment, place_order
from app.embedded.shop_acts import cancel_by_medusa, capture_by_medusa
from app.embedded.shop_parcels import fulfill
from app.embedded.shop_sessions import open_session
from tests.doctor.clinic import SYSTEM
from tests.doctor.rows import AN_HOUR_LATER, Scene, scene_of

HELD_30 = [Payment(amount=Decimal(30), provider_id=STRIPE)]


async def place_all(conn: asyncpg.Connection) -> Scene:
    """Place an order with an open hold, a voided one, a captured payment, a session alone, and a parcel."""
    orders = {
        "open": await place_order(conn, payments=HELD_30),
        "gone": await place_order(conn, payments=HELD_30),
        "paid": await place_order(conn, payments=SYSTEM, total=Decimal(30)),
        "due": await place_order(conn, payments=(), total=Decimal(30)),
        "packed": await place_order(conn, payments=SYSTEM, total=Decimal(30)),
    }
    await capture_by_medusa(conn, orders["paid"], orders["paid"].payment_ids[0])
    await cancel_by_medusa(conn, orders["gone"])
    await fulfill(conn, orders["packed"])
    session = await open_session(
        conn,
        orders["due"],
        {"id": "pi_due", "status": "requires_action", "amount_received": 0, "currency": "eur"},
        amount=Decimal(30),
    )
    await conn.execute(AN_HOUR_LATER)
    scene = scene_of(conn, orders)
    scene.names.update({"due.ses": session.id, "due.col": session.collection_id})
    return scene


HELD = "update payment set canceled_at = null where id = '<gone.pay>'"
WAITS = ("scheduled", "queued", "running")
OVERDUE = {"run_at": "now() - interval '6 min'"}
SOON = {"run_at": "now() - interval '4 min'"}
LINK = (
    "; insert into order_payment_collection (order_id, payment_collection_id, id) values ('<{}>', '<{}>', 'ordpay_x')"
).format


def capture(of: str, sum_: int, ago: str = "1 h", name: str = "x") -> str:
    """A capture row and nothing else."""
    return (
        f"; insert into capture (id, payment_id, amount, raw_amount, created_at) values ('capt_{name}', '<{of}.pay>', "
        f"{sum_}, '{{}}', now() - interval '{ago}')"
    )


def refund(of: str, sum_: int) -> str:
    """A refund row and nothing else."""
    return f"; insert into refund (id, payment_id, amount, raw_amount) values ('ref_x', '<{of}.pay>', {sum_}, '{{}}')"


def payment(of: str, change: str) -> str:
    """A change of an order's payment."""
    return f"; update payment set {change} where id = '<{of}.pay>'"


def order(of: str, change: str) -> str:
    """A change of an order."""
    return f"; update \"order\" set {change} where id = '<{of}>'"


def session(change: str) -> str:
    """A change of the session."""
    return f"; update payment_session set {change} where id = '<due.ses>'"


def intent(**facts: object) -> str:
    """What Stripe's last answer says of the session's intent."""
    pairs = ", ".join(f"'{name}', {value}" for name, value in facts.items())
    return session(f"data = data || jsonb_build_object({pairs})")


def booked(of: str = "due", intent_id: str = "pi_due", session_id: str = "'<due.ses>'", closed: str = "now()") -> str:
    """A payment in the session's collection."""
    return (
        "; insert into payment (id, amount, raw_amount, currency_code, provider_id, payment_collection_id, "
        "payment_session_id, data, canceled_at) values ('pay_x', 30, '{}', 'eur', 'pp_stripe_stripe', "
        f"'<{of}.col>', {session_id}, '{{\"id\": \"{intent_id}\"}}', {closed})"
    )
