"""Vendure's orders: read with everything that moves them, and sent off."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from flipsync.connectors.marketplaces.store import Row, StoreConnector
from flipsync.connectors.marketplaces.stores import vendure_documents as documents
from flipsync.domain.channel import Address, ChannelOrder, ChannelOrderLine, ChannelRefund, OrderStatus
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

#: Vendure numbers its things, or gives them UUIDs; asked for anything else, its database fails.
ID = re.compile(r"\d{1,15}|[0-9a-fA-F-]{36}", re.ASCII)
#: Nothing is sold yet. Every other state, and those a shop has added, comes after an order was placed.
_BEFORE = ("Created", "Draft", "AddingItems", "ArrangingPayment")
_PAID = ("PaymentSettled", "PartiallyShipped", "PartiallyDelivered")
_SENT = ("Shipped", "Delivered")
_PLACED = (*_PAID, *_SENT, "PaymentAuthorized", "Modifying", "ArrangingAdditionalPayment")


class VendureOrders(StoreConnector):
    """The half of the store's class that sells."""

    minor_units: ClassVar[bool] = True
    _shop: Row | None = None
    #: How many decimals Vendure's whole numbers have: the same for every currency, also for yen.
    _precision = 2

    async def shop(self) -> Row:
        """The settings of the channel, and those of the whole shop that count for its stock."""
        if self._shop is None:
            told = await self.graphql(documents.SHOP)
            self._precision = int(told["globalSettings"]["serverConfig"]["moneyStrategyPrecision"])
            self._shop = {**told["activeChannel"], **told["globalSettings"]}
        return self._shop

    def digits(self, currency: str) -> int:
        return self._precision

    async def order_rows(self, since: datetime) -> AsyncIterator[Row]:
        """An order's updatedAt does not move with its shipments and refunds: young orders are all looked at."""
        await self.shop()
        young = self.young(since)
        changed = {"updatedAt": {"after": (since - timedelta(seconds=1)).isoformat()}}
        placed = {"orderPlacedAt": {"after": young.isoformat()}}

        async def fetch(offset: int) -> Sequence[Row]:
            only = {"active": {"eq": False}, "_or": [changed, placed]}
            options = {"take": self.page_size, "skip": offset, "sort": {"id": "ASC"}, "filter": only}
            rows: list[Row] = (await self.graphql(documents.ORDERS, {"options": options}))["orders"]["items"]
            return rows

        async for row in self.paged(fetch):
            yield row

    async def order_row(self, external_id: str) -> Row | None:
        if not ID.fullmatch(external_id):
            return None
        await self.shop()
        found: Row | None = (await self.graphql(documents.ORDER, {"id": external_id}))["order"]
        return found

    def order(self, row: Row) -> ChannelOrder:
        payments = row["payments"] or []
        refunds = [refund for payment in payments for refund in payment["refunds"] if refund["state"] != "Failed"]
        dated = [row, *payments, *refunds, *(row["fulfillments"] or [])]
        changed = max(
            *(self.moment(each["updatedAt"]) for each in dated),
            *(self.moment(each["createdAt"]) for each in row["history"]["items"]),
        )
        paid = sum(payment["amount"] for payment in payments if payment["state"] == "Settled")
        state, currency = row["state"], row["currencyCode"]
        money = partial(self.money, currency=currency)
        status = self._status(row, paid)
        if status != "cancelled" and refunds and sum(refund["total"] for refund in refunds) >= paid:
            status = "refunded"
        address = row["shippingAddress"] or {}
        customer = row["customer"] or {}
        # Units cancelled one by one went back on sale; told one for each, since a refund counts once.
        taken_back = [
            ChannelRefund(
                external_id=f"cancelled-{line['id']}-{unit}",
                amount=money(0),
                restocked={line["id"]: 1},
                created_at=changed,
            )
            for line in row["lines"]
            if state != "Cancelled"
            for unit in range(1, line["orderPlacedQuantity"] - line["quantity"] + 1)
        ]
        return ChannelOrder(
            external_id=row["id"],
            number=row["code"],
            status=status,
            vendor_status=state,
            holds_stock=state != "Cancelled" and self._is_placed(row),
            placed_at=self.moment(row["orderPlacedAt"] or row["updatedAt"]),
            modified_at=changed,
            currency=currency,
            lines=tuple(self._line(line, money) for line in row["lines"]),
            shipping=money(row["shipping"]),
            tax=money(sum(each["taxTotal"] for each in row["taxSummary"])),
            total=money(row["totalWithTax"]),
            refunds=(
                *taken_back,
                *(
                    ChannelRefund(
                        external_id=each["id"], amount=money(each["total"]), created_at=self.moment(each["createdAt"])
                    )
                    for each in refunds
                ),
            ),
            ship_to=Address(
                name=address.get("fullName") or "",
                company=address.get("company") or "",
                line1=address.get("streetLine1") or "",
                line2=address.get("streetLine2") or "",
                city=address.get("city") or "",
                region=address.get("province") or "",
                postal_code=address.get("postalCode") or "",
                country=address.get("countryCode") or "",
                phone=address.get("phoneNumber") or customer.get("phoneNumber") or "",
                email=customer.get("emailAddress") or "",
            ),
        )

    def _status(self, row: Row, paid: int) -> OrderStatus:
        """By what was sent where the state does not say it: "PartiallyDelivered" may have units that were not, and an
        order that is being changed, or is in a state of the shop's own, may be anywhere."""
        state, lines = row["state"], [line for line in row["lines"] if line["quantity"]]
        if state == "Cancelled":
            return "cancelled"
        if not self._is_placed(row):
            return "pending"
        if state in _SENT or (lines and all(self._left(line, _SENT) <= 0 for line in lines)):
            return "shipped"
        if state == "PaymentAuthorized":
            return "pending"
        return "paid" if state in _PAID or paid or not row["totalWithTax"] else "pending"

    @staticmethod
    def _is_placed(row: Row) -> bool:
        return row["state"] in _PLACED or (row["state"] not in _BEFORE and bool(row["orderPlacedAt"]))

    @staticmethod
    def _line(line: Row, money: Callable[[Any], Money]) -> ChannelOrderLine:
        """Tax is what the discounted price bears: `lineTax` is that of the price before discounts."""
        # Units cancelled since are told apart; units added since, which no placed quantity counts, are sold as well.
        units = max(line["orderPlacedQuantity"], line["quantity"])
        whole, gross = line["proratedLinePrice"], line["proratedLinePriceWithTax"]
        if units != line["quantity"]:
            whole, gross = line["proratedUnitPrice"] * units, line["proratedUnitPriceWithTax"] * units
        return ChannelOrderLine(
            external_id=line["id"],
            listing_external_id=line["productVariant"]["id"],
            sku=line["productVariant"]["sku"],
            title=line["productVariant"]["name"],
            quantity=units,
            total=money(whole),
            tax=money(gross - whole),
        )

    def shipped_with(self, row: Row) -> Collection[str]:
        return {each["trackingCode"] for each in row["fulfillments"] or [] if each["state"] in ("Shipped", "Delivered")}

    async def ship(self, row: Row, carrier: str, tracking_number: str, key: str) -> None:
        """A fulfilment is made and then sent off; one that was made and left is found by its tracking code."""
        made = next(
            (
                each
                for each in row["fulfillments"] or []
                if each["trackingCode"] == tracking_number and each["state"] != "Cancelled"
            ),
            None,
        )
        if made is None:
            lines = [{"orderLineId": line["id"], "quantity": self._left(line)} for line in row["lines"]]
            arguments = {"method": carrier, "trackingCode": tracking_number}
            input_ = {
                "lines": [line for line in lines if line["quantity"] > 0],
                "handler": {
                    "code": self.config.options.get("fulfillment_handler", "manual-fulfillment"),
                    "arguments": [{"name": name, "value": value} for name, value in arguments.items()],
                },
            }
            made = self._done(await self.graphql(documents.FULFILL, {"input": input_}, writes=True))
        self._done(await self.graphql(documents.SHIP, {"id": made["id"]}, writes=True))

    @staticmethod
    def _left(line: Row, states: Collection[str] | None = None) -> int:
        """Units that are in no fulfilment, or in none of these states."""
        told = [(each["quantity"], each["fulfillment"]["state"]) for each in line["fulfillmentLines"] or []]
        return int(
            line["quantity"]
            - sum(units for units, state in told if (state != "Cancelled" if states is None else state in states))
        )

    @staticmethod
    def _done(data: Row) -> Row:
        """Vendure's refusals are answers too. Raises Rejected for one."""
        made: Row = data["made"]
        if "errorCode" in made:
            raise Rejected(made.get("transitionError") or made["message"], vendor_code=made["errorCode"])
        return made
