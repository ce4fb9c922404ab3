"""Vendure shops (3.x) over the GraphQL Admin API. Credentials: `username` and `password`, or `api_key`.

Options: `channel` (the channel's token), `location` (stock location, by id or name; needed where there are several),
`fulfillment_handler` (default manual-fulfillment), `watch_days` (default 30: how old an order may be whose shipments
and refunds, which leave its updatedAt alone, are still noticed by polling). Images are not sent: Vendure takes files.

Longer than a hundred lines because Vendure knows no goods without a product around them and no choice that is not an
option made beforehand: see vendure_products.py. What is asked of it stands in vendure_documents.py.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import SecretStr

from flipsync.connectors.base import Capabilities
from flipsync.connectors.marketplaces.store import Row, StoreConnector
from flipsync.connectors.marketplaces.stores import vendure_documents as documents
from flipsync.connectors.marketplaces.stores.vendure_products import VendureProducts
from flipsync.connectors.oauth import Grant
from flipsync.connectors.request import VendorError
from flipsync.domain.channel import (
    Address,
    ChannelInfo,
    ChannelOrder,
    ChannelOrderLine,
    ChannelRefund,
    ListingState,
    ListingStatus,
    Offer,
    OrderStatus,
    Vendor,
)
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

_ID = re.compile(r"\d{1,15}|[0-9a-fA-F-]{36}", re.ASCII)
_SHIPPED = ("Shipped", "PartiallyDelivered", "Delivered")
_PAID = ("PaymentSettled", "PartiallyShipped", "Modifying", "ArrangingAdditionalPayment")


class VendureStore(StoreConnector):
    """One channel of a shop. Units on offer are those at one location: on hand, less allocated, less the threshold."""

    vendor: ClassVar[Vendor] = "vendure"
    capabilities: ClassVar[Capabilities] = StoreConnector.capabilities.model_copy(update={"groups": True})
    access: ClassVar[Mapping[str, tuple[str, ...]]] = {"api_key": ("api_key",), "login": ("username", "password")}
    minor_units: ClassVar[bool] = True
    graphql_path: ClassVar[str] = "/admin-api"
    _shop: Row | None = None
    _place: str | None = None

    def headers(self) -> Mapping[str, str]:
        channel = self.config.options.get("channel")
        found = {"vendure-token": channel} if channel else {}
        if self.way == "api_key":
            found["vendure-api-key"] = self.credentials["api_key"].get_secret_value()
        return found

    async def login(self, credentials: Mapping[str, SecretStr]) -> Grant:
        named = {name: credentials[name].get_secret_value() for name in ("username", "password")}
        answer, headers = await self.open_door(self.graphql_path, {"query": documents.LOGIN, "variables": named})
        token = headers.get("vendure-auth-token", "")
        if answer["data"]["login"]["__typename"] != "CurrentUser" or not token:
            words = answer["data"]["login"].get("message", "the shop gives no bearer tokens")
            raise Rejected(words, hint="check username and password, and tokenMethod: bearer", auth=True)
        return Grant(SecretStr(token))

    def read_error(self, status: int, body: Any) -> VendorError:
        """FORBIDDEN stands for a session that ended as well as for a permission that lacks; with HTTP 200."""
        found = super().read_error(status, body)
        ended = found.code == "FORBIDDEN" or status == 401
        missing = found.code == "ENTITY_NOT_FOUND"
        return VendorError(found.code, found.message, found.hint, found.auth or ended, missing, ended)

    async def shop(self) -> Row:
        """The channel's settings."""
        if self._shop is None:
            self._shop = (await self.graphql(documents.SHOP))["activeChannel"]
        return self._shop

    async def about(self) -> ChannelInfo:
        self._shop = None
        await self.graphql(documents.MAY_READ)
        shop = await self.shop()
        await self._location()
        notes: tuple[str, ...] = ()
        try:
            await self.graphql(documents.MAY_WRITE)
        except Rejected as refused:
            notes = (f"the account may not change products ({refused.message})",)
        return ChannelInfo(
            name=shop["code"],
            version="3",
            currency=shop["defaultCurrencyCode"],
            can_read=True,
            can_write=not notes,
            notes=notes,
        )

    async def _location(self) -> str:
        if self._place is None:
            rows = (await self.graphql(documents.LOCATIONS))["stockLocations"]["items"]
            wanted = self.config.options.get("location")
            found = [row for row in rows if wanted is None or wanted in (row["id"], row["name"])]
            if len(found) != 1:
                names = ", ".join(row["name"] for row in rows)
                raise Rejected(f"say which stock location with the option 'location': {names}", vendor_code="location")
            self._place = str(found[0]["id"])
        return self._place

    # Listings

    async def _seen(self, rows: Sequence[Row | None]) -> list[Row]:
        """Variants with what their translation needs of the channel."""
        channel, place = await self.shop(), await self._location()
        return [{**row, "channel": channel, "place": place} for row in rows if row is not None]

    async def rows_of_sku(self, sku: str) -> Sequence[Row]:
        return await self._variants(0, {"sku": {"eq": sku}})

    async def _variants(self, offset: int, only: Row | None = None) -> list[Row]:
        options = {"take": self.page_size, "skip": offset, "sort": {"id": "ASC"}, "filter": only or {}}
        rows = (await self.graphql(documents.VARIANTS, {"options": options}))["productVariants"]["items"]
        return await self._seen(rows)

    async def row(self, external_id: str) -> Row | None:
        if not _ID.fullmatch(external_id):
            return None
        rows = await self._seen([(await self.graphql(documents.VARIANT, {"id": external_id}))["productVariant"]])
        return rows[0] if rows else None

    def rows(self) -> AsyncIterator[Row]:
        return self.paged(self._variants)

    def listing(self, row: Row) -> ListingState:
        status: ListingStatus = "active" if row["product"]["enabled"] else "draft"
        price = next((each for each in row["prices"] if each["currencyCode"] == self.config.currency), None)
        tracked = row["trackInventory"] == "TRUE" or (
            row["trackInventory"] == "INHERIT" and row["channel"]["trackInventory"]
        )
        return ListingState(
            external_id=row["id"],
            sku=row["sku"],
            title=row["name"],
            status=status if row["enabled"] else "ended",
            price=None if price is None else self.money(price["price"]),
            quantity=sum(row_["stockOnHand"] for row_ in self._levels(row)) - self._kept(row) if tracked else None,
            modified_at=max(self.moment(each["updatedAt"]) for each in (row, *row["stockLevels"])),
            group_external_id=row["product"]["id"] if row["options"] else None,
        )

    @staticmethod
    def _levels(row: Row) -> list[Row]:
        return [level for level in row["stockLevels"] if str(level["stockLocationId"]) == row["place"]]

    def _kept(self, row: Row) -> int:
        """Units at the location that are not on offer: sold but still there, and those held back by the threshold."""
        threshold = row["channel" if row["useGlobalOutOfStockThreshold"] else "outOfStockThreshold"]
        threshold = threshold["outOfStockThreshold"] if isinstance(threshold, dict) else threshold
        return int(sum(level["stockAllocated"] for level in self._levels(row)) + threshold)

    @property
    def products(self) -> VendureProducts:
        return VendureProducts(self.graphql)

    async def create(self, offer: Offer, key: str) -> str:
        shop, place = await self.shop(), await self._location()
        self._check_currency(shop)
        input_ = await self.products.holding(offer, shop["defaultLanguageCode"])
        input_ |= {
            "sku": offer.sku,
            "price": self.amount(offer.price),
            "stockLevels": [
                {"stockLocationId": place, "stockOnHand": max(0, offer.quantity + shop["outOfStockThreshold"])}
            ],
            "trackInventory": "TRUE",
        }
        made = (await self.graphql(documents.CREATE_VARIANT, {"input": input_}, writes=True))["made"]
        return str(made[0]["id"])

    async def discard(self, row: Row) -> None:
        await self.graphql(documents.DELETE_VARIANT, {"id": row["id"]}, writes=True)
        await self.products.drop_if_empty(row["product"]["id"])

    async def _update(self, row: Row, **changes: Any) -> None:
        await self.graphql(documents.UPDATE_VARIANT, {"input": {"id": row["id"], **changes}}, writes=True)

    async def describe(self, row: Row, offer: Offer) -> None:
        language = (await self.shop())["defaultLanguageCode"]
        await self._update(row, **await self.products.described(row, offer, language))

    async def write_price(self, row: Row, price: Money) -> None:
        self._check_currency(row["channel"])
        await self._update(row, price=self.amount(price))

    def _check_currency(self, shop: Row) -> None:
        """A price in another currency would leave the channel's own at zero."""
        if shop["defaultCurrencyCode"] != self.config.currency:
            raise Rejected(f"the channel sells in {shop['defaultCurrencyCode']}", vendor_code="currency")

    async def write_quantity(self, row: Row, quantity: int) -> None:
        """What is allocated is added, so that a sale between reading and writing is not lost."""
        level = {"stockLocationId": row["place"], "stockOnHand": max(0, quantity + self._kept(row))}
        await self._update(row, stockLevels=[level], trackInventory="TRUE")

    async def show(self, row: Row, on_sale: bool) -> None:
        """A product goes with the last of its variants, and comes back with the first."""
        if on_sale and not row["product"]["enabled"]:
            await self.products.show(row["product"]["id"], True)
        await self._update(row, enabled=on_sale)
        if not on_sale:
            await self.products.hide_if_empty(row["product"]["id"])

    # Orders

    async def order_rows(self, since: datetime) -> AsyncIterator[Row]:
        """An order's updatedAt does not move with its shipments and refunds: young orders are all looked at."""
        young = since - timedelta(days=float(self.config.options.get("watch_days", "30")))
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
        if not _ID.fullmatch(external_id):
            return None
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
        state, money = row["state"], self.money
        status: OrderStatus = "shipped" if state in _SHIPPED else "paid" if state in _PAID else "pending"
        if state == "Cancelled":
            status = "cancelled"
        elif refunds and sum(refund["total"] for refund in refunds) >= paid:
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
            holds_stock=state == "PaymentAuthorized" or state in (*_PAID, *_SHIPPED),
            placed_at=self.moment(row["orderPlacedAt"] or row["updatedAt"]),
            modified_at=changed,
            currency=row["currencyCode"],
            lines=tuple(self._line(line) for line in row["lines"]),
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

    def _line(self, line: Row) -> ChannelOrderLine:
        units = line["orderPlacedQuantity"] or line["quantity"]
        whole = line["proratedLinePrice"] if units == line["quantity"] else line["proratedUnitPrice"] * units
        return ChannelOrderLine(
            external_id=line["id"],
            listing_external_id=line["productVariant"]["id"],
            sku=line["productVariant"]["sku"],
            title=line["productVariant"]["name"],
            quantity=units,
            total=self.money(whole),
            tax=self.money(line["lineTax"]),
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
                "lines": [line for line in lines if line["quantity"]],
                "handler": {
                    "code": self.config.options.get("fulfillment_handler", "manual-fulfillment"),
                    "arguments": [{"name": name, "value": value} for name, value in arguments.items()],
                },
            }
            made = self._done(await self.graphql(documents.FULFILL, {"input": input_}, writes=True))
        self._done(await self.graphql(documents.SHIP, {"id": made["id"]}, writes=True))

    @staticmethod
    def _left(line: Row) -> int:
        sent = [each for each in line["fulfillmentLines"] or [] if each["fulfillment"]["state"] != "Cancelled"]
        return int(line["quantity"] - sum(each["quantity"] for each in sent))

    @staticmethod
    def _done(data: Row) -> Row:
        """Vendure's refusals are answers too. Raises Rejected for one."""
        made: Row = data["made"]
        if "errorCode" in made:
            raise Rejected(made.get("transitionError") or made["message"], vendor_code=made["errorCode"])
        return made
