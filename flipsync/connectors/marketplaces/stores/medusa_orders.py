"""Medusa's orders: read with payments and returns, and sent off; and the places of a shop that writes need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from flipsync.connectors.marketplaces.store import Row, StoreConnector
from flipsync.domain.channel import Address, ChannelOrder, ChannelOrderLine, ChannelRefund, OrderStatus
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.money import Money

_ORDER = (
    "id,display_id,status,created_at,updated_at,currency_code,total,credit_line_total,shipping_total,"
    "shipping_tax_total,tax_total,email,payment_status,fulfillment_status,*items,*items.detail,*shipping_address,"
    "*fulfillments,*fulfillments.items,*fulfillments.labels,*payment_collections.payments,"
    "*payment_collections.payments.refunds"
)
#: Captured in part: the rest is authorized still, or an edit of the order has added to it.
_PAID = ("authorized", "captured", "partially_captured", "partially_refunded")
_SHIPPED = ("shipped", "delivered")
_TRACKING = "flipsync_tracking"


class MedusaOrders(StoreConnector):
    """The half of the store's class that sells."""

    @cached_property
    def _settings(self) -> dict[str, str]:
        return {}

    # The shop's places

    async def _place(self, option: str, path: str, name: str, default: str | None = None) -> str:
        """The place an option names, else the shop's default or only one. Raises Rejected when it must be said."""
        if option not in self._settings:
            chosen = self.config.options.get(option) or default
            if chosen is None:
                rows = (await self.get(path, limit=100))[name]
                main = [row for row in rows if row.get("type") == "default"]
                if len(rows) != 1 and len(main) != 1:
                    known = ", ".join(f"{row['name']} ({row['id']})" for row in rows) or "none"
                    raise Rejected(f"say which with the option {option!r}: {known}", vendor_code=option)
                chosen = str((rows if len(rows) == 1 else main)[0]["id"])
            self._settings[option] = chosen
        return self._settings[option]

    async def _default(self, option: str) -> str | None:
        """What the store has settled on under that name, where neither the account nor an earlier call says it."""
        if option in self._settings or option in self.config.options:
            return None
        store: Row = (await self.get("/admin/stores"))["stores"][0]
        return store.get(f"default_{option}")

    async def _location(self) -> str:
        default = await self._default("location_id")
        return await self._place("location_id", "/admin/stock-locations", "stock_locations", default)

    async def _channel(self) -> str:
        default = await self._default("sales_channel_id")
        return await self._place("sales_channel_id", "/admin/sales-channels", "sales_channels", default)

    async def _profile(self) -> str:
        return await self._place("shipping_profile_id", "/admin/shipping-profiles", "shipping_profiles")

    # Orders

    async def order_rows(self, since: datetime) -> AsyncIterator[Row]:
        """An order's updated_at does not move with its payment: young orders are all looked at."""
        young = self.young(since)
        either = {"$or[0][updated_at][$gte]": since.isoformat(), "$or[1][created_at][$gte]": young.isoformat()}

        async def fetch(offset: int) -> Sequence[Row]:
            page = {"limit": self.page_size, "offset": offset, "order": "id", "fields": _ORDER}
            rows: list[Row] = (await self.get("/admin/orders", **page, **either))["orders"]
            return rows

        async for row in self.paged(fetch):
            yield row

    async def order_row(self, external_id: str) -> Row | None:
        found = await self.find("/admin/orders/", external_id, fields=_ORDER)
        return None if found is None else found["order"]

    def order(self, row: Row) -> ChannelOrder:
        # Medusa leaves out what an order has not: an address where nothing is shipped, payments where none is due.
        payments = [each for group in row.get("payment_collections") or [] for each in group.get("payments") or []]
        refunds = [refund for payment in payments for refund in payment.get("refunds") or []]
        dated = [row["updated_at"], *(each["updated_at"] for each in payments), *(r["created_at"] for r in refunds)]
        changed = max(self.moment(each) for each in dated)
        currency = row["currency_code"].upper()
        address, money = row.get("shipping_address") or {}, partial(self.money, currency=currency)
        return ChannelOrder(
            external_id=row["id"],
            number=str(row["display_id"]),
            status=_status(row),
            vendor_status=f"{row['status']}/{row['payment_status']}/{row['fulfillment_status']}",
            holds_stock=row["status"] not in ("canceled", "draft"),
            placed_at=self.moment(row["created_at"]),
            modified_at=changed,
            currency=currency,
            lines=tuple(self._line(line, money) for line in row["items"]),
            shipping=money(row["shipping_total"]) + -money(row["shipping_tax_total"] or 0),
            tax=money(row["tax_total"]),
            # What was given back is booked as a credit line.
            total=money(row["total"]) + money(row["credit_line_total"] or 0),
            refunds=(
                *(
                    ChannelRefund(
                        external_id=each["id"], amount=money(each["amount"]), created_at=self.moment(each["created_at"])
                    )
                    for each in refunds
                ),
                # Units that came back are stocked again; told one for each, since a refund counts once.
                *(
                    ChannelRefund(
                        external_id=f"returned-{line['id']}-{unit}",
                        amount=money(0),
                        restocked={line["id"]: 1},
                        created_at=changed,
                    )
                    for line in row["items"]
                    for unit in range(1, int(line["detail"]["return_received_quantity"] or 0) + 1)
                ),
            ),
            ship_to=_address(address, row.get("email") or ""),
        )

    @staticmethod
    def _line(line: Row, money: Callable[[Any], Money]) -> ChannelOrderLine:
        return ChannelOrderLine(
            external_id=line["id"],
            listing_external_id=line["variant_id"],
            sku=line["variant_sku"] or "",
            title=line["title"],
            quantity=int(line["quantity"]),
            total=money(line["total"]) + -money(line["tax_total"] or 0),
            tax=money(line["tax_total"] or 0),
        )

    def shipped_with(self, row: Row) -> Collection[str]:
        sent = [each for each in row.get("fulfillments") or [] if each["shipped_at"] and not each["canceled_at"]]
        return {label["tracking_number"] for each in sent for label in each["labels"] or []}

    async def ship(self, row: Row, carrier: str, tracking_number: str, key: str) -> None:
        """What is not fulfilled yet is, and then whatever was not sent off is. Each step is found done afterwards."""
        path = f"/admin/orders/{row['id']}/fulfillments"
        left: dict[bool, list[Row]] = {}
        for line in row["items"]:
            item = _item(line["id"], line["quantity"] - line["detail"]["fulfilled_quantity"])
            if item["quantity"] > 0:
                left.setdefault(bool(line.get("requires_shipping", True)), []).append(item)
        mark = {_TRACKING: tracking_number, "flipsync_carrier": carrier}
        # Medusa takes goods, and things that no parcel holds, only apart.
        for items in left.values():
            await self.send("POST", path, {"items": items, "location_id": await self._location(), "metadata": mark})
        if left:
            told = await self._after(self.order_row(row["id"]))
            if told is None:
                raise OutcomeUnknown("the order is gone after it was fulfilled", hint="look at the shop")
            row = told
        waiting = [each for each in row.get("fulfillments") or [] if not each["shipped_at"] and not each["canceled_at"]]
        if not waiting:
            raise Rejected("everything of the order has been sent already", vendor_code="status")
        label = {"tracking_number": tracking_number, "tracking_url": "", "label_url": ""}
        for each in waiting:
            items = [_item(item["line_item_id"], item["quantity"]) for item in each["items"]]
            await self.send("POST", f"{path}/{each['id']}/shipments", {"items": items, "labels": [label]})


def _item(line_id: str, quantity: Any) -> Row:
    return {"id": line_id, "quantity": int(quantity)}


def _status(row: Row) -> OrderStatus:
    if row["status"] == "canceled":
        return "cancelled"
    if row["payment_status"] == "refunded":
        return "refunded"
    if row["fulfillment_status"] in _SHIPPED or _all_sent(row["items"]):
        return "shipped"
    return "paid" if row["payment_status"] in _PAID else "pending"


def _all_sent(lines: Sequence[Row]) -> bool:
    """ "partially_delivered" is said as well of an order with units that never left as of one with all on their way."""
    open_lines = [line for line in lines if line["quantity"]]
    sent = [max(line["detail"].get(f"{how}_quantity") or 0 for how in ("shipped", "delivered")) for line in open_lines]
    return bool(open_lines) and all(units >= line["quantity"] for units, line in zip(sent, open_lines, strict=True))


def _address(row: Row, email: str) -> Address:
    """Names of regions come as ISO 3166-2 in small letters ("us-il")."""
    country = (row.get("country_code") or "").upper()
    region = row.get("province") or ""
    return Address(
        name=f"{row.get('first_name') or ''} {row.get('last_name') or ''}".strip(),
        company=row.get("company") or "",
        line1=row.get("address_1") or "",
        line2=row.get("address_2") or "",
        city=row.get("city") or "",
        region=region[3:].upper() if region.upper().startswith(f"{country}-") else region,
        postal_code=row.get("postal_code") or "",
        country=country,
        phone=row.get("phone") or "",
        email=email,
    )
