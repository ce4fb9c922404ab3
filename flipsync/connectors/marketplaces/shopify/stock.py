"""Stock at the account's location: set one by compare and set, or up to 250 at once with an outcome for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, get_args

from flipsync.connectors.base import QuantityChange, QuantityOutcome
from flipsync.connectors.knowledge import Facts, Remembered
from flipsync.connectors.marketplaces.shopify import documents, errors, mapping, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi
from flipsync.connectors.marketplaces.shopify.listings import Shelf, after_a_write
from flipsync.connectors.marketplaces.shopify.shop import ShopPlaces
from flipsync.connectors.unread import Rows, usable
from flipsync.domain.channel import ListingState, ListingStatus
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected
from flipsync.domain.money import Money

#: Shopify takes arrays of at most 250.
MOST_AT_ONCE = 250
#: Seconds for which what an earlier process has left is relied on: an item keeps its id, and wrong ones are refused.
LASTS = 7 * 86_400.0
_REASON = "correction"


@dataclass(frozen=True, slots=True)
class Counted:
    """A variant whose stock is counted at our location: what an answer to a write does not repeat.

    A shop may have a million of these, so they are small: no words, no pictures.
    """

    item_id: str
    sku: str
    title: str
    status: ListingStatus
    price_minor: int | None
    group_id: str | None
    barcode: str | None

    @classmethod
    def of(cls, row: wire.Variant, currency: str) -> Counted:
        told = mapping.listing(row, currency)
        price = told.price.amount_minor if told.price is not None else None
        item_id = row.inventory_item.id
        return cls(item_id, told.sku, told.title, told.status, price, told.group_external_id, told.barcode)

    def pack(self) -> Facts:
        return asdict(self)

    @classmethod
    def unpack(cls, facts: Facts) -> Counted:
        if not mapping.is_gid(facts["item_id"], "InventoryItem") or facts["status"] not in get_args(ListingStatus):
            raise ValueError("no counted variant")
        return cls(**facts)

    def state(self, external_id: str, quantity: int, currency: str, before: int | None) -> ListingState:
        price = Money(amount_minor=self.price_minor, currency=currency) if self.price_minor is not None else None
        return ListingState(
            external_id=external_id,
            sku=self.sku,
            title=self.title,
            status=self.status,
            price=price,
            quantity=quantity,
            shown_before=before,
            version=str(quantity),
            group_external_id=self.group_id,
            barcode=self.barcode,
        )


class Stock:
    """Quantities of one shop. A variant is read before its first write: stock may not be counted, or not kept here."""

    def __init__(self, api: AdminApi, places: ShopPlaces, shelf: Shelf, currency: str) -> None:
        self._api = api
        self._places = places
        self._shelf = shelf
        self._currency = currency
        #: counted variants as last read
        self.counted = Remembered(Counted.pack, Counted.unpack, lasts=LASTS)

    def remember(self, row: wire.Variant) -> None:
        if row.inventory_item.tracked and row.inventory_item.inventory_level is not None:
            self.counted.keep(row.id, Counted.of(row, self._currency))
        else:
            self.counted.forget(row.id)

    def seen(self, row: wire.Variant) -> ListingState:
        """The listing that a row tells of, remembered. Raises ValueError."""
        self.remember(row)
        return mapping.listing(row, self._currency)

    async def set_one(
        self, variant_id: str, quantity: int, key: str, expected_version: str | None
    ) -> tuple[wire.Variant, int | None]:
        """Set and read back; with the units that were there before, where that is told. Raises
        Rejected(vendor_code="version") when the quantity is not `expected_version`."""
        counted = self.counted.get(variant_id)
        done, before = False, None
        if counted is not None:
            try:
                before = await self._set(variant_id, counted.item_id, quantity, key, _expected(expected_version))
                done = True
            except Rejected as refused:
                if refused.vendor_code == "version" or not self.counted.doubt([variant_id]):
                    raise
        if not done:
            before = await self.set_known(await self._shelf.known(variant_id), quantity, key, expected_version)
        with after_a_write("the quantity"):
            after = await self._shelf.known(variant_id)
            usable(self.seen, after)
        return after, before

    async def set_known(
        self, row: wire.Variant, quantity: int, key: str, expected_version: str | None = None
    ) -> int | None:
        expected = _expected(expected_version)
        if row.inventory_item.inventory_level is None:
            if expected not in (None, 0):
                raise Rejected("the item is not stocked at our location", vendor_code="version")
            await self._count(row)
            await self._activate(row, quantity, key)
            return None
        before = await self._set(row.id, row.inventory_item.id, quantity, key, expected)
        if not row.inventory_item.tracked:
            with after_a_write("the quantity"):
                await self._count(row)
            return None  # nobody counted it
        return before

    async def _set(self, variant_id: str, item_id: str, quantity: int, key: str, expected: int | None) -> int | None:
        change = self._change(item_id, quantity, await self._places.location(), expected)
        payload = await self._api.payload(documents.SET_QUANTITIES, wire.QuantitiesPayload, _input([change], key))
        refused = errors.refusal(payload.user_errors)
        if refused is not None:
            self.counted.refuted(variant_id)
            raise refused
        group = payload.inventory_adjustment_group
        return next((_before(change) for change in (group.changes if group is not None else ())), None)

    async def _count(self, row: wire.Variant) -> None:
        if not row.inventory_item.tracked:
            await self._shelf.update_variant(row.id, {"inventoryItem": {"tracked": True}})

    async def _activate(self, row: wire.Variant, quantity: int, key: str) -> None:
        item, location = row.inventory_item.id, await self._places.location()
        variables = {
            "item": item,
            "location": location,
            "available": quantity,
            "key": mapping.idempotency_key("activate", item, location, str(quantity), key),
        }
        await self._api.write(documents.ACTIVATE_STOCK, wire.Payload, variables)

    @staticmethod
    def _change(item_id: str, quantity: int, location: str, expected: int | None) -> dict[str, Any]:
        # changeFromQuantity has to be there: null says that whatever is there may be overwritten.
        return {
            "inventoryItemId": item_id,
            "locationId": location,
            "quantity": quantity,
            "changeFromQuantity": expected,
        }

    # Many at once

    async def set_many(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        asked = dict.fromkeys(change.external_id for change in changes)
        counted = {one: known for one in asked if (known := self.counted.get(one)) is not None}
        ids = [one for one in asked if one not in counted and mapping.is_gid(one, "ProductVariant")]
        aside = Rows("listings", "id")
        read = await self._shelf.read_many(ids, aside)
        for row in read.values():
            aside.read(self.remember, row)
            if (known := self.counted.get(row.id)) is not None:
                counted[row.id] = known
        outcomes: dict[int, QuantityOutcome] = {}
        together: list[tuple[int, QuantityChange]] = []
        taken: set[str] = set()
        for place, change in enumerate(changes):
            if change.external_id in counted and change.external_id not in taken:
                taken.add(change.external_id)
                together.append((place, change))
            elif change.external_id not in counted and (why := aside.why(change.external_id)) is not None:
                outcomes[place] = QuantityOutcome(change, None, why)
            elif change.external_id not in counted and change.external_id not in read:
                missing = Rejected("the shop has no such variant", vendor_code="not_found", missing=True)
                outcomes[place] = QuantityOutcome(change, None, missing)
        for start in range(0, len(together), MOST_AT_ONCE):
            outcomes |= await self._set_batch(together[start : start + MOST_AT_ONCE], counted)
        for place, change in enumerate(changes):
            if place not in outcomes:  # not counted yet, or named a second time
                outcomes[place] = await self._set_alone(change)
        return [outcomes[place] for place in range(len(changes))]

    async def _set_alone(self, change: QuantityChange) -> QuantityOutcome:
        try:
            row, before = await self.set_one(change.external_id, change.quantity, change.key, None)
        except ChannelError as error:
            return QuantityOutcome(change, None, error)
        state = mapping.listing(row, self._currency).model_copy(update={"shown_before": before})
        return QuantityOutcome(change, state, None)

    async def _set_batch(
        self, batch: list[tuple[int, QuantityChange]], counted: Mapping[str, Counted]
    ) -> dict[int, QuantityOutcome]:
        """Shopify takes all of a call or none: what it names as wrong is left out, and the rest sent again."""
        outcomes: dict[int, QuantityOutcome] = {}
        left = batch
        while left:
            try:
                payload = await self._send(left, counted)
            except ChannelError as failed:
                return outcomes | {place: QuantityOutcome(change, None, failed) for place, change in left}
            if not payload.user_errors:
                return outcomes | await self._told(left, payload, counted)
            wrong: dict[int, list[wire.UserError]] = {}
            for error in payload.user_errors:
                wrong.setdefault(_place_of(error, len(left)), []).append(error)
            everyone = -1 in wrong
            for index, (place, change) in enumerate(left):
                told = payload.user_errors if everyone else wrong.get(index)
                if told:
                    self.counted.refuted(change.external_id)
                    outcomes[place] = QuantityOutcome(change, None, errors.refusal(told))
            left = [row for row in left if row[0] not in outcomes]
        return outcomes

    async def _send(
        self, batch: list[tuple[int, QuantityChange]], counted: Mapping[str, Counted]
    ) -> wire.QuantitiesPayload:
        location = await self._places.location()
        rows = [self._change(counted[c.external_id].item_id, c.quantity, location, None) for _, c in batch]
        variables = _input(rows, *(change.key for _, change in batch))
        return await self._api.payload(documents.SET_QUANTITIES, wire.QuantitiesPayload, variables)

    async def _told(
        self,
        batch: list[tuple[int, QuantityChange]],
        payload: wire.QuantitiesPayload,
        counted: Mapping[str, Counted],
    ) -> dict[int, QuantityOutcome]:
        """The quantities the answer tells; those it leaves out (nothing changed) are read."""
        group = payload.inventory_adjustment_group
        told = {
            change.item.id: (change.quantity_after_change, _before(change))
            for change in (group.changes if group is not None else ())
            if change.item is not None and change.quantity_after_change is not None
        }
        outcomes: dict[int, QuantityOutcome] = {}
        silent: list[tuple[int, QuantityChange]] = []
        for place, change in batch:
            known = counted[change.external_id]
            if known.item_id not in told:
                silent.append((place, change))
                continue
            after, before = told[known.item_id]
            state = known.state(change.external_id, after, self._currency, before)
            outcomes[place] = QuantityOutcome(change, state, None)
        return outcomes | await self._read_back(silent)

    async def _read_back(self, batch: list[tuple[int, QuantityChange]]) -> dict[int, QuantityOutcome]:
        if not batch:
            return {}
        aside = Rows("listings", "id")
        try:
            with after_a_write("the quantity"):
                rows = await self._shelf.read_many([change.external_id for _, change in batch], aside)
        except ChannelError as failed:
            return {place: QuantityOutcome(change, None, failed) for place, change in batch}
        outcomes = {}
        for place, change in batch:
            row = rows.get(change.external_id)
            state = None if row is None else aside.read(self.seen, row)
            if state is None and (why := aside.why(change.external_id)) is not None:
                unknown = OutcomeUnknown(f"the quantity was set, and not read back: {why.message}")
                outcomes[place] = QuantityOutcome(change, None, unknown)
                continue
            if state is None:
                gone = Rejected("the variant is gone", vendor_code="not_found", missing=True)
                outcomes[place] = QuantityOutcome(change, None, gone)
                continue
            outcomes[place] = QuantityOutcome(change, state, None)
        return outcomes


def _before(change: wire.StockChange) -> int | None:
    """What a change has replaced."""
    if change.delta is None or change.quantity_after_change is None:
        return None
    return change.quantity_after_change - change.delta


def _expected(version: str | None) -> int | None:
    if version is None:
        return None
    try:
        return int(version)
    except ValueError as error:
        raise Rejected(f"{version!r} is not a version of this shop's", vendor_code="version") from error


def _input(quantities: list[dict[str, Any]], *keys: str) -> dict[str, Any]:
    body = {"name": "available", "reason": _REASON, "quantities": quantities}
    # The key says which request this is: another quantity, or another choice of listings, is another request.
    parts = [f"{row['inventoryItemId']}={row['quantity']}<{row['changeFromQuantity']}" for row in quantities]
    return {"input": body, "key": mapping.idempotency_key("set", *keys, *parts)}


def _place_of(error: wire.UserError, size: int) -> int:
    """Which of the quantities an error is about ("input.quantities.3.…"); -1 for all of them."""
    field = error.field or []
    for part, following in pairwise(field):
        if part == "quantities" and following.isdigit() and int(following) < size:
            return int(following)
    return -1
