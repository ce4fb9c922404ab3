"""Vendure shops (3.x) over the GraphQL Admin API. Credentials: `username` and `password`, or `api_key`.

Options: `channel` (the channel's token), `location` (stock location, by id or name; needed where there are several),
`fulfillment_handler` (default manual-fulfillment), `watch_days` (default 30: how old an order may be whose shipments
and refunds, which leave its updatedAt alone, are still noticed by polling). Not sent: barcode, brand, weight and
attributes, for which Vendure has no place, and images, which it takes as files alone.

Longer than a hundred lines because Vendure knows no goods without a product around them and no choice that is not an
option made beforehand: see vendure_products.py. What is asked of it stands in vendure_documents.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import SecretStr

from flipsync.connectors.base import Capabilities
from flipsync.connectors.marketplaces.store import Row, StoreConnector
from flipsync.connectors.marketplaces.stores import vendure_documents as documents
from flipsync.connectors.marketplaces.stores.vendure_orders import ID, VendureOrders
from flipsync.connectors.marketplaces.stores.vendure_products import VendureProducts
from flipsync.connectors.oauth import Grant
from flipsync.connectors.request import VendorError
from flipsync.domain.channel import (
    ChannelInfo,
    ListingState,
    ListingStatus,
    Offer,
    Vendor,
)
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money


class VendureStore(VendureOrders):
    """One channel of a shop. Units on offer are those at one location: on hand, less allocated, less the threshold.

    Prices are in the channel's own kind, with or without tax, read and written alike.
    """

    vendor: ClassVar[Vendor] = "vendure"
    capabilities: ClassVar[Capabilities] = StoreConnector.capabilities.model_copy(
        update={"groups": True, "bulk_quantity": 100}
    )
    access: ClassVar[Mapping[str, tuple[str, ...]]] = {"api_key": ("api_key",), "login": ("username", "password")}
    graphql_path: ClassVar[str] = "/admin-api"
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

    async def about(self) -> ChannelInfo:
        self._shop = None
        self.young(datetime.now(UTC))
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
                names = ", ".join(row["name"] for row in rows) or "the channel has none, assign one to it"
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
        if not ID.fullmatch(external_id):
            return None
        rows = await self._seen([(await self.graphql(documents.VARIANT, {"id": external_id}))["productVariant"]])
        return rows[0] if rows else None

    async def rows_of_ids(self, external_ids: Sequence[str]) -> Sequence[Row]:
        return await self._variants(0, {"id": {"in": [each for each in external_ids if ID.fullmatch(each)]}})

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
        whose = row["channel"] if row["useGlobalOutOfStockThreshold"] else row
        return int(sum(level["stockAllocated"] for level in self._levels(row)) + self._held_back(whose))

    @staticmethod
    def _held_back(whose: Row) -> int:
        """A threshold below zero lets buyers order what is not there; such units are no stock, and none is lent us."""
        return max(0, int(whose["outOfStockThreshold"]))

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
            "stockLevels": [{"stockLocationId": place, "stockOnHand": offer.quantity + self._held_back(shop)}],
            "trackInventory": "TRUE",
        }
        made = (await self.graphql(documents.CREATE_VARIANT, {"input": input_}, writes=True))["made"]
        return str(made[0]["id"])

    async def discard(self, row: Row) -> None:
        answer = await self.graphql(documents.DELETE_VARIANT, {"id": row["id"]}, writes=True)
        if answer["deleteProductVariant"]["result"] != "DELETED":
            # a second listing of the same goods must not stay on sale
            await self._update(row, enabled=False)
            return
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
        await self.write_quantities([(row, quantity)])

    async def write_quantities(self, changes: Sequence[tuple[Row, int]]) -> None:
        """What is allocated is added, so that a sale between reading and writing is not lost."""
        inputs = [
            {
                "id": row["id"],
                "stockLevels": [
                    {"stockLocationId": row["place"], "stockOnHand": max(0, quantity + self._kept(row))},
                ],
                "trackInventory": "TRUE",
            }
            for row, quantity in changes
        ]
        await self.graphql(documents.UPDATE_VARIANTS, {"inputs": inputs}, writes=True)

    async def show(self, row: Row, on_sale: bool, key: str) -> None:
        """A product goes with the last of its variants, and comes back with the first."""
        if on_sale and not row["product"]["enabled"]:
            await self.products.show(row["product"]["id"], True)
        await self._update(row, enabled=on_sale)
        if not on_sale:
            await self.products.hide_if_empty(row["product"]["id"])
