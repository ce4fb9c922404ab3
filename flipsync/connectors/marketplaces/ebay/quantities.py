"""Units on offer, 25 listings a call: read what is not remembered, write what differs, read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from flipsync.connectors.base import QuantityChange, QuantityOutcome
from flipsync.connectors.marketplaces.ebay import errors, mapping, wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.listings import BULK, Listings
from flipsync.connectors.marketplaces.ebay.revisions import Revisions
from flipsync.connectors.marketplaces.ebay.writing import Writer, begun
from flipsync.connectors.unread import Aside
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

_UPDATE = "/bulk_update_price_quantity"


class Quantities:
    """What does not change is not written: a listing has only so many revisions a day.

    A listing that waits for its first unit goes on sale with it.
    """

    def __init__(self, api: EbayApi, listings: Listings, writer: Writer, revisions: Revisions) -> None:
        self._api = api
        self._listings = listings
        self._writer = writer
        self._revisions = revisions

    async def set(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        """One outcome for each change, in their order. Raises only when nothing was written yet."""
        outcomes: dict[int, QuantityOutcome] = {}
        for part in _parts(changes):
            try:
                done = await self._set_part([changes[place] for place in part])
            except ChannelError as error:
                if not outcomes and not isinstance(error, OutcomeUnknown):
                    raise
                done = [QuantityOutcome(changes[place], None, error) for place in part]
            outcomes.update(zip(part, done, strict=True))
        return [outcomes[place] for place in range(len(changes))]

    async def _set_part(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        wanted = {change.external_id: change.quantity for change in changes}
        items = await self._items(wanted)
        offers = await self._listings.known_offers([sku for sku, item in items.items() if isinstance(item, wire.Item)])
        outcomes: dict[str, ListingState | ChannelError] = {}
        rows: list[dict[str, Any]] = []
        for sku, item in items.items():
            offer = offers.get(sku)
            if isinstance(item, ChannelError):
                outcomes[sku] = item
            elif isinstance(offer, ChannelError):
                outcomes[sku] = offer
            elif mapping.listing_state(item, sku, offer).quantity == wanted[sku] == item.quantity:
                outcomes[sku] = mapping.listing_state(item, sku, offer)
            elif mapping.is_live(offer) and not self._revisions.left(listing_of(sku, item)):
                outcomes[sku] = self._used_up(listing_of(sku, item))
            else:
                rows.append(_row(sku, wanted[sku], offer))
        if rows:
            outcomes |= await self._write(rows, items, offers, wanted)
        for sku, outcome in outcomes.items():
            if isinstance(outcome, ChannelError):
                self._listings.refuted(sku)
        # what a report told of an offer is enough where all units are there for it, or none
        asked = [sku for sku, told in outcomes.items() if isinstance(told, ListingState) and self._unsure(sku, told)]
        if asked:
            outcomes |= await self._ask(asked, changes)
        return [_outcome(change, outcomes[change.external_id]) for change in changes]

    async def _ask(
        self, skus: Sequence[str], changes: Sequence[QuantityChange]
    ) -> dict[str, ListingState | ChannelError]:
        """Once more, by what their offers say. The items were written: what fails from here on is unknown."""
        self._listings.unreported(skus)
        try:
            found = await self._set_part([change for change in changes if change.external_id in skus])
        except ChannelError as error:
            return dict.fromkeys(skus, _half_done(error))
        return {row.change.external_id: row.state or _half_done(row.error) for row in found}

    def _unsure(self, sku: str, told: ListingState) -> bool:
        offer = self._listings.remembered_offer(sku)
        if offer is None or not offer.reported or not told.quantity:
            return False
        item = self._listings.remembered(sku)
        return item is None or item.allocated != told.quantity

    async def _items(self, wanted: Mapping[str, int]) -> dict[str, wire.Item | ChannelError]:
        """Each item, or why there is none. One that showed another quantity lately, or of which an earlier process has
        left all but that, is to be written anyhow: it is not read again."""
        items: dict[str, wire.Item | ChannelError] = {}
        unread: list[str] = []
        for sku, quantity in wanted.items():
            item = self._listings.remembered(sku)
            if item is not None and item.quantity != quantity:
                items[sku] = item
            else:
                unread.append(sku)
        return items | (await self._listings.items(unread) if unread else {})

    async def _write(
        self,
        rows: Sequence[dict[str, Any]],
        items: Mapping[str, wire.Item | ChannelError],
        offers: dict[str, wire.Offer | ChannelError | None],
        wanted: dict[str, int],
    ) -> dict[str, ListingState | ChannelError]:
        refused = await self.send(rows)
        outcomes: dict[str, ListingState | ChannelError] = {}
        written: list[str] = []
        for sku in (row["sku"] for row in rows):
            offer, item = offers.get(sku), items[sku]
            assert isinstance(item, wire.Item) and not isinstance(offer, ChannelError)
            error = refused.get(sku)
            if mapping.is_live(offer):
                error = self._revisions.count(listing_of(sku, item), error)
            try:
                if error is None and wanted[sku] and mapping.listing_state(item, sku, offer).status == "draft":
                    await begun(self._first_unit(item, offer))
                    offers[sku] = await begun(self._listings.offer(sku))
            except ChannelError as failed:
                error = failed
            if error is None and not wanted[sku]:
                self._listings.forget(sku)  # without a unit eBay may end it: whether it is live is asked anew
            if error is None:
                written.append(sku)
            else:
                outcomes[sku] = error
        if written:
            outcomes |= await self._read_back(written, offers)
        return outcomes

    async def send(self, rows: Sequence[dict[str, Any]]) -> dict[str, ChannelError | None]:
        """One bulk write of prices and quantities; the failure of each SKU, None where it was done."""
        decode = partial(wire.PriceQuantities.model_validate, context=Aside().context)
        try:
            answer = await self._api.inventory("POST", _UPDATE, decode, {"requests": list(rows)})
        except Rejected as refused:
            if refused.vendor_status != 400 or len(rows) == 1:
                raise
            return {row["sku"]: await self._alone(row) for row in rows}  # one of them spoiled it for all
        sku_of = {each["offerId"]: row["sku"] for row in rows for each in row.get("offers", ())}
        told: dict[str, ChannelError | None] = {}
        for response in answer.responses:
            sku = response.sku or sku_of.get(response.offer_id or "", "")
            told[sku] = told.get(sku) or errors.of_item(response.status_code, response.errors)
        silent = OutcomeUnknown("eBay did not say what became of it", hint="read back before trying again")
        return {row["sku"]: told.get(row["sku"], silent) for row in rows}

    async def _alone(self, row: dict[str, Any]) -> ChannelError | None:
        try:
            return (await self.send([row]))[row["sku"]]
        except ChannelError as error:
            return error

    async def _first_unit(self, item: wire.Item, offer: wire.Offer | None) -> None:
        if item.groups:
            await self._writer.put_group_on_sale(item.groups[0])
        elif offer is not None:
            await self._writer.put_on_sale(offer.offer_id)

    async def _read_back(
        self, skus: Sequence[str], offers: dict[str, wire.Offer | ChannelError | None]
    ) -> dict[str, ListingState | ChannelError]:
        """The items as they are now, with the offers as they were a moment ago: a quantity changes no price. An offer
        with a quantity of its own was written too, and is read too."""
        own = [sku for sku in skus if isinstance(each := offers.get(sku), wire.Offer) and _own_quantity(each)]
        try:
            items = await self._listings.items(skus)
            offers = offers | await self._listings.offers(own)
        except ChannelError as error:
            unread = OutcomeUnknown(f"written, but not read back: {error.message}", vendor_status=error.vendor_status)
            return dict.fromkeys(skus, unread)
        outcomes: dict[str, ListingState | ChannelError] = {}
        for sku in skus:
            item, offer = items[sku], offers.get(sku)
            if isinstance(item, ChannelError):
                outcomes[sku] = OutcomeUnknown(
                    f"written, but not read back: {item.message}", vendor_status=item.vendor_status
                )
            elif isinstance(offer, ChannelError):
                outcomes[sku] = OutcomeUnknown(
                    f"written, but not read back: {offer.message}", vendor_status=offer.vendor_status
                )
            else:
                outcomes[sku] = mapping.listing_state(item, sku, offer)
        return outcomes

    def _used_up(self, listing: str) -> ChannelError:
        try:
            self._revisions.require(listing)
        except Retryable as later:
            return later
        raise AssertionError("asked only when none is left")


def _parts(changes: Sequence[QuantityChange]) -> list[list[int]]:
    """Places of the changes, 25 at a time; a SKU that comes twice goes into two parts (error 25734)."""
    parts: list[list[int]] = []
    skus: set[str] = set()
    for place, change in enumerate(changes):
        if not parts or len(parts[-1]) == BULK or change.external_id in skus:
            parts.append([])
            skus = set()
        parts[-1].append(place)
        skus.add(change.external_id)
    return parts


def _row(sku: str, quantity: int, offer: wire.Offer | ChannelError | None) -> dict[str, Any]:
    row: dict[str, Any] = {"sku": sku, "shipToLocationAvailability": {"quantity": quantity}}
    if isinstance(offer, wire.Offer) and _own_quantity(offer):
        # An offer with a quantity of its own would go on showing that one.
        row["offers"] = [{"offerId": offer.offer_id, "availableQuantity": quantity}]
    return row


def _own_quantity(offer: wire.Offer) -> bool:
    return offer.available_quantity is not None


def listing_of(sku: str, item: wire.Item) -> str:
    """What is revised: the group's listing, or the SKU's own."""
    return next(iter(item.groups), sku)


def _half_done(error: ChannelError | None) -> OutcomeUnknown:
    if isinstance(error, OutcomeUnknown):
        return error
    why = error.message if error is not None else "eBay does not say what it shows"
    status = error.vendor_status if error is not None else None
    return OutcomeUnknown(f"the item was written, its offer was not looked at: {why}", vendor_status=status)


def _outcome(change: QuantityChange, found: ListingState | ChannelError) -> QuantityOutcome:
    if isinstance(found, ChannelError):
        return QuantityOutcome(change, None, found)
    return QuantityOutcome(change, found, None)
