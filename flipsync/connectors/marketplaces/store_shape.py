"""What a shop's class says: the methods that StoreConnector builds its promises on (PYTHON.md shows a whole class)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.marketplaces.store_calls import Row, StoreCalls
from flipsync.domain.channel import ChannelInfo, ChannelOrder, ListingState, Offer
from flipsync.domain.money import Money


class StoreShape(StoreCalls, MarketplaceConnector):
    """A row is whatever the shop's API calls a listing or an order, as decoded JSON."""

    @abstractmethod
    async def about(self) -> ChannelInfo:
        """The shop's name and currency, and what the credentials allow."""

    @abstractmethod
    async def rows_of_sku(self, sku: str) -> Sequence[Row]:
        """Listings with this SKU, the oldest first; others among them do no harm."""

    @abstractmethod
    async def row(self, external_id: str) -> Row | None:
        """One listing; None for an id the shop does not know or that cannot be one."""

    @abstractmethod
    def rows(self) -> AsyncIterator[Row]:
        """Every listing."""

    @abstractmethod
    def listing(self, row: Row) -> ListingState:
        """Pure translation. Raises ValueError, KeyError or TypeError for a row that cannot be used."""

    @abstractmethod
    async def create(self, offer: Offer, key: str) -> str:
        """Make the listing with its price and quantity, and return its external id. When it takes several writes,
        nothing may be on sale ("draft") before the last one."""

    @abstractmethod
    async def describe(self, row: Row, offer: Offer) -> None:
        """Write title, text and attributes."""

    @abstractmethod
    async def write_price(self, row: Row, price: Money) -> None: ...

    @abstractmethod
    async def write_quantity(self, row: Row, quantity: int) -> None: ...

    @abstractmethod
    async def show(self, row: Row, on_sale: bool, key: str) -> None:
        """Put an ended or half-made listing on sale, or take one off."""

    @abstractmethod
    def order_rows(self, since: datetime) -> AsyncIterator[Row]:
        """At least the orders changed at or after that time, in any order; more do no harm."""

    @abstractmethod
    async def order_row(self, external_id: str) -> Row | None: ...

    @abstractmethod
    def order(self, row: Row) -> ChannelOrder:
        """Pure translation, like `listing`."""

    @abstractmethod
    async def ship(self, row: Row, carrier: str, tracking_number: str, key: str) -> None:
        """Tell the shop that the whole order left."""

    @abstractmethod
    def shipped_with(self, row: Row) -> Collection[str]:
        """Tracking numbers the shop has for this order, of shipments that left."""

    def key_of(self, row: Row) -> str:
        """The `key` the listing was made with, where the shop can keep it; "" where it cannot."""
        return ""

    async def rows_of_ids(self, external_ids: Sequence[str]) -> Sequence[Row]:
        """Those listings that there are, in any order; `capabilities.bulk_quantity` at most."""
        rows = [await self.row(external_id) for external_id in external_ids]
        return [row for row in rows if row is not None]

    async def write_quantities(self, changes: Sequence[tuple[Row, int]]) -> None:
        """Many quantities in one call, all of them or none. Override it, and say how many in `capabilities`."""
        for row, quantity in changes:
            await self.write_quantity(row, quantity)

    async def discard(self, row: Row) -> None:
        """Undo `create`: somebody else made the same listing at the same moment, and theirs is older."""
        await self.show(row, False, "")
