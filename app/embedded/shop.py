"""A small shop: the tables of Medusa that a cancellation meets, and orders with the rows of a completed checkout."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.embedded.shop_rows import Row, in_ms, insert, move_stock, new_id, now_ms, totals, twins

if TYPE_CHECKING:
    from app.embedded.shop_rows import Connection

LOCATION_ID = "sloc_01JSHP0000000000000000BERN"
REGION_ID = "reg_01JSHP00000000000000EVR0PE"
SALES_CHANNEL_ID = "sc_01JSHP0000000000000000WEBS"
SYSTEM = "pp_system_default"
STRIPE = "pp_stripe_stripe"

# With these two a shirt of 19.99 makes 29.7381: Medusa does not round its totals, and tests should meet that.
SHIPPING = Decimal("5")
TAX = Decimal("1.19")

_SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One authorization of an order; ``amount`` of ``None`` is the whole order."""

    amount: Decimal | None = None
    provider_id: str = SYSTEM
    intent: dict[str, Any] | None = None
    """Stripe's PaymentIntent; without one a Stripe payment gets an id that no Stripe knows."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of an order. ``inventory_item_id`` names stock that another order made; ``None`` makes new stock."""

    quantity: int = 1
    unit_price: Decimal = Decimal("19.99")
    managed: bool = True
    inventory_item_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    """The ids of what was written for an order. Stock ids stand once each; unmanaged lines have none."""

    id: str
    customer_id: str
    email: str
    currency: str
    total: Decimal
    created_at: datetime
    location_id: str
    line_item_ids: tuple[str, ...]
    collection_ids: tuple[str, ...]
    payment_ids: tuple[str, ...]
    session_ids: tuple[str, ...]
    intent_ids: tuple[str, ...]
    inventory_item_ids: tuple[str, ...]
    level_ids: tuple[str, ...]
    reservation_ids: tuple[str, ...]


@dataclass
class Written:
    """What was written for an order so far."""

    moment: datetime
    stamps: dict[str, datetime]
    ids: dict[str, list[str]] = field(default_factory=dict)

    def new(self, prefix: str) -> str:
        """Make an id, and keep it."""
        made = new_id(prefix, self.moment)
        self.note(prefix, made)
        return made

    def note(self, prefix: str, known: str) -> None:
        """Keep an id."""
        listed = self.ids.setdefault(prefix, [])
        if known not in listed:
            listed.append(known)

    def all(self, prefix: str) -> tuple[str, ...]:
        """Return the ids that were kept."""
        return tuple(self.ids.get(prefix, ()))


async def create_tables(conn: Connection) -> None:
    """Make Medusa's tables in an empty database."""
    await conn.execute((_SQL / "medusa_tables.sql").read_text())


async def create_publishable_key(conn: Connection, *, revoked: bool = False) -> str:
    """A key for ``x-publishable-api-key``, tied to the shop's sales channel."""
    moment = now_ms()
    key_id, token = new_id("apk", moment), f"pk_{secrets.token_hex(32)}"
    stamps = {"created_at": moment, "updated_at": moment}
    key = {
        "id": key_id,
        "token": token,
        "salt": "",
        "redacted": f"{token[:6]}***{token[-3:]}",
        "title": "Storefront",
        "type": "publishable",
        "created_by": "",
        "revoked_at": moment if revoked else None,
        **stamps,
    }
    link = {"publishable_key_id": key_id, "sales_channel_id": SALES_CHANNEL_ID, "id": new_id("pksc", moment), **stamps}
    async with conn.transaction():
        await insert(conn, "api_key", key)
        await insert(conn, "publishable_api_key_sales_channel", link)
    return token


async def place_order(
    conn: Connection,
    *,
    currency: str = "eur",
    lines: Sequence[Line] = (Line(),),
    payments: Sequence[Payment] = (Payment(),),
    same_collection: bool = True,
    account: bool = False,
    customer_id: str | None = None,
    email: str | None = None,
    location_id: str = LOCATION_ID,
    status: str | None = None,
    is_draft: bool = False,
    placed_ago: timedelta = timedelta(0),
    now: datetime | None = None,
    total: Decimal | None = None,
) -> PlacedOrder:
    """Write what Medusa has written when a checkout is complete, ``placed_ago`` before ``now``.

    ``total`` is the sum of the payments where all of them have an amount, else lines, shipping and tax.
    ``same_collection=False`` gives each payment a payment collection of its own.
    """
    moment = in_ms(now or now_ms()) - placed_ago
    written = Written(moment, {"created_at": moment, "updated_at": moment})
    given = [payment.amount for payment in payments if payment.amount is not None]
    if total is None and len(given) == len(payments) > 0:
        total = sum(given, Decimal(0))
    if total is None:
        total = (sum((line.unit_price * line.quantity for line in lines), Decimal(0)) + SHIPPING) * TAX
    async with conn.transaction():
        customer, address = await _customer(conn, written, customer_id, email, account=account)
        order_id = written.new("order")
        order = {
            "id": order_id,
            "region_id": REGION_ID,
            "customer_id": customer,
            "sales_channel_id": SALES_CHANNEL_ID,
            "status": status or ("draft" if is_draft else "pending"),
            "is_draft_order": is_draft,
            "email": address,
            "currency_code": currency,
            "no_notification": False,
            "canceled_at": moment if status == "canceled" else None,
            **written.stamps,
        }
        await insert(conn, "order", order)
        await _write_lines(conn, written, order_id, lines, total)
        await _write_payments(
            conn, written, order_id, currency, payments, total, same_collection=same_collection, is_draft=is_draft
        )
        if not is_draft:
            for line, line_item_id in zip(lines, written.all("ordli"), strict=True):
                if line.managed:
                    await reserve(conn, written, line, line_item_id, location_id)
    return PlacedOrder(
        id=order_id,
        customer_id=customer,
        email=address,
        currency=currency,
        total=total,
        created_at=moment,
        location_id=location_id,
        line_item_ids=written.all("ordli"),
        collection_ids=written.all("pay_col"),
        payment_ids=written.all("pay"),
        session_ids=written.all("payses"),
        intent_ids=written.all("pi"),
        inventory_item_ids=written.all("iitem"),
        level_ids=written.all("ilev"),
        reservation_ids=written.all("resitem"),
    )


async def _customer(
    conn: Connection, written: Written, customer_id: str | None, email: str | None, *, account: bool
) -> tuple[str, str]:
    """A guest has a customer row too. Customer and guest with one email are two rows."""
    if customer_id is not None or email is not None:
        row = await conn.fetchrow(
            "SELECT id, email FROM customer WHERE deleted_at IS NULL "
            "AND (id = $1 OR ($1 IS NULL AND email = $2 AND has_account = $3))",
            customer_id,
            email,
            account,
        )
        if row is not None:
            return row["id"], row["email"]
        if customer_id is not None:
            raise LookupError(customer_id)
    new = written.new("cus")
    address = email or f"{new[-12:].lower()}@shoppers.test"
    names = {"first_name": "Ada", "last_name": "Shopper"} if account else {}
    await insert(conn, "customer", {"id": new, "email": address, "has_account": account, **names, **written.stamps})
    return new, address


async def _write_lines(
    conn: Connection, written: Written, order_id: str, lines: Sequence[Line], total: Decimal
) -> None:
    items: list[Row] = []
    line_items: list[Row] = []
    for line in lines:
        line_items.append(
            {
                "id": written.new("ordli"),
                "title": "Shirt",
                "subtitle": "M",
                "variant_id": written.new("variant"),
                "product_id": written.new("prod"),
                "product_title": "Shirt",
                "product_handle": "shirt",
                "variant_sku": "SHIRT-M",
                "variant_title": "M",
                "requires_shipping": True,
                **twins(unit_price=line.unit_price),
                "metadata": {},
                **written.stamps,
            }
        )
        done = ("fulfilled", "shipped", "delivered", "return_requested", "return_received", "return_dismissed")
        items.append(
            {
                "id": written.new("orditem"),
                "order_id": order_id,
                "version": 1,
                "item_id": line_items[-1]["id"],
                **twins(quantity=Decimal(line.quantity)),
                **twins(**{f"{what}_quantity": Decimal(0) for what in (*done, "written_off")}),
                "metadata": {},
                **written.stamps,
            }
        )
    await insert(conn, "order_line_item", *line_items)
    await insert(conn, "order_item", *items)
    nothing = Decimal(0)
    sums = totals(original=total, current=total, credit=nothing, paid=nothing, refunded=nothing)
    of_order = {"order_id": order_id, "version": 1, **written.stamps}
    await insert(conn, "order_summary", {"id": written.new("ordsum"), "totals": sums, **of_order})
    shipping = {"id": written.new("ordspmv"), "shipping_method_id": written.new("ordsm"), **of_order}
    await insert(conn, "order_shipping", shipping)


async def _write_payments(
    conn: Connection,
    written: Written,
    order_id: str,
    currency: str,
    payments: Sequence[Payment],
    total: Decimal,
    *,
    same_collection: bool,
    is_draft: bool,
) -> None:
    amounts = [payment.amount if payment.amount is not None else total for payment in payments]
    shares = [sum(amounts, Decimal(0))] if same_collection and payments else amounts
    collections: list[Row] = []
    for share in shares:
        nothing = Decimal(0)
        sums = twins(amount=share, authorized_amount=share, captured_amount=nothing, refunded_amount=nothing)
        collections.append(
            {"id": written.new("pay_col"), "currency_code": currency, **sums, "status": "authorized", **written.stamps}
        )
    await insert(conn, "payment_collection", *collections)
    if not is_draft:
        await _link_cart(conn, written, order_id)
    for collection in collections:
        link = {"order_id": order_id, "payment_collection_id": collection["id"], "id": new_id("ordpay", written.moment)}
        await insert(conn, "order_payment_collection", {**link, **written.stamps})
    for number, (payment, amount) in enumerate(zip(payments, amounts, strict=True)):
        session_id = written.new("payses")
        both = {
            **twins(amount=amount),
            "currency_code": currency,
            "provider_id": payment.provider_id,
            "data": _data(written, payment, currency),
            "payment_collection_id": collections[0 if same_collection else number]["id"],
            **written.stamps,
        }
        session = {"status": "authorized", "authorized_at": written.moment, "context": {}, "metadata": {}}
        await insert(conn, "payment_session", {"id": session_id, **both, **session})
        await insert(conn, "payment", {"id": written.new("pay"), **both, "payment_session_id": session_id})


async def _link_cart(conn: Connection, written: Written, order_id: str) -> None:
    """Link the cart that the order and its payment collections come from. A draft has none."""
    cart = {"order_id": order_id, "cart_id": written.new("cart"), "id": new_id("ordercart", written.moment)}
    await insert(conn, "order_cart", {**cart, **written.stamps})
    for collection_id in written.all("pay_col"):
        of_cart = {"cart_id": cart["cart_id"], "payment_collection_id": collection_id}
        paid = {**of_cart, "id": new_id("capaycol", written.moment), **written.stamps}
        await insert(conn, "cart_payment_collection", paid)


def _data(written: Written, payment: Payment, currency: str) -> Row:
    intent = payment.intent
    if intent is None:
        if payment.provider_id == SYSTEM:
            return {}
        intent = {"id": new_id("pi", written.moment), "object": "payment_intent", "status": "requires_capture"}
        intent |= {"currency": currency, "capture_method": "manual"}
    written.note("pi", intent["id"])
    return intent


async def reserve(conn: Connection, written: Written, line: Line, line_item_id: str, location_id: str) -> None:
    """Keep stock for a line of an order."""
    item_id = line.inventory_item_id
    if item_id is None:
        item_id = written.new("iitem")
        about = {"sku": f"SHIRT-{item_id[-10:]}", "title": "M", "description": "M", "requires_shipping": True}
        await insert(conn, "inventory_item", {"id": item_id, **about, **written.stamps})
        stock = twins(stocked_quantity=Decimal(1000), reserved_quantity=Decimal(0), incoming_quantity=Decimal(0))
        place = {"inventory_item_id": item_id, "location_id": location_id}
        await insert(conn, "inventory_level", {"id": written.new("ilev"), **place, **stock, **written.stamps})
    written.note("iitem", item_id)
    reservation = {
        "id": written.new("resitem"),
        "line_item_id": line_item_id,
        "location_id": location_id,
        "inventory_item_id": item_id,
        "allow_backorder": False,
        **twins(quantity=Decimal(line.quantity)),
        **written.stamps,
    }
    await insert(conn, "reservation_item", reservation)
    written.note("ilev", await move_stock(conn, item_id, location_id, reserved=Decimal(line.quantity)))
