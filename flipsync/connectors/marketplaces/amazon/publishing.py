"""How goods come on sale: matched with the catalogue and offered there, else described in full, then read back.

A submission that is ACCEPTED is not applied yet, so every write looks for a moment whether it shows.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from flipsync.connectors.marketplaces.amazon import attributes, mapping, wire
from flipsync.connectors.marketplaces.amazon.api import ADDRESS_OVER, SellerApi
from flipsync.connectors.marketplaces.amazon.attributes import Attributes, Place
from flipsync.connectors.unread import Rows, usable
from flipsync.domain.channel import ListingState, Offer
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable, Unreadable

_READ = ("summaries", "attributes", "offers", "fulfillmentAvailability", "issues", "relationships", "productTypes")
#: What a read of a listing asks for.
INCLUDED = [("includedData", ",".join(_READ))]
#: Seconds between looks for a write that was accepted.
_LOOKS = (0.15, 0.4, 1.2)
_CONDITIONS = "new_new"
_GENERIC_TYPE = "PRODUCT"


class Publisher:
    """Writes listings of one seller in one marketplace."""

    def __init__(self, api: SellerApi) -> None:
        self._api = api
        self.place = Place(api.marketplace_id, api.language)
        self._usual_condition = api.config.options.get("condition", _CONDITIONS)
        self._schemas: dict[str, Attributes] = {}

    # Reading

    async def item(self, sku: str) -> wire.Item | None:
        try:
            return await self._api.item("getListingsItem", sku, wire.Item.model_validate, INCLUDED)
        except Rejected as refused:
            if refused.missing:
                return None
            raise

    async def required(self, sku: str) -> wire.Item:
        """The listing, before it is changed. Raises Rejected(missing) without it."""
        item = await self.item(sku)
        if item is None:
            raise Rejected("there is no such listing", vendor_code="NOT_FOUND", vendor_status=404, missing=True)
        return item

    def state(self, item: wire.Item) -> ListingState:
        """Raises Unreadable."""
        return usable(lambda row: mapping.listing(row, self.place.marketplace_id), item)

    def written(self, item: wire.Item) -> ListingState:
        """The state after a write that was accepted. Raises OutcomeUnknown for one that cannot be read."""
        try:
            return self.state(item)
        except Unreadable as error:
            raise _not_read_back(error) from error

    async def shown(self, sku: str, applied: Callable[[wire.Item | None], bool]) -> wire.Item | None:
        """The listing once it shows what was accepted, or as it is after a few looks.

        Raises OutcomeUnknown when it cannot be read: the write was accepted.
        """
        item: wire.Item | None = None
        for pause in _LOOKS:
            await asyncio.sleep(pause)
            try:
                item = await self.item(sku)
                if applied(item):
                    break
            except ChannelError as error:
                raise _not_read_back(error) from error
        return item

    # Writing

    async def publish(self, offer: Offer) -> ListingState:
        """Put the offer on sale as a new listing, or in place of one that is off sale."""
        asin, item_type = await self._match(offer)
        if asin is not None:
            body = self._offer_body(offer, asin, item_type)
        else:
            body = await self._listing_body(offer)
        await self._submit(offer.sku, body)

        def applied(item: wire.Item | None) -> bool:
            if item is None:
                return False
            state = self.state(item)
            return state.price == offer.price and state.quantity == offer.quantity and state.status == "active"

        item = await self.shown(offer.sku, applied)
        if item is None or not item.summaries:
            raise OutcomeUnknown("the listing was accepted and is not shown yet", hint="read back in a while")
        state = self.written(item)
        if state.status != "active" and mapping.errors_of(item.issues):
            raise mapping.refusal(item.issues, "the listing is not buyable")
        return state

    async def _submit(self, sku: str, body: dict[str, Any]) -> None:
        """Ask whether the listing would be taken, then send it. Raises Rejected with what Amazon has against it."""
        included = [("includedData", "issues")]
        preview = [*included, ("mode", "VALIDATION_PREVIEW")]
        decode = wire.Submission.model_validate
        judged = await self._api.item("putListingsItem", sku, decode, preview, body=body, reads=True)
        _check(judged)
        _check(await self._api.item("putListingsItem", sku, decode, included, body=body))

    async def change(
        self, item: wire.Item, changes: Attributes, applied: Callable[[wire.Item | None], bool]
    ) -> ListingState:
        """Put new values in place of a listing's, and return what Amazon shows then."""
        body = {
            "productType": mapping.product_type(item, self.place.marketplace_id),
            "patches": attributes.patch(changes),
        }
        included = [("includedData", "issues")]
        _check(await self._api.item("patchListingsItem", item.sku, wire.Submission.model_validate, included, body=body))
        after = await self.shown(item.sku, applied)
        if after is None:
            raise OutcomeUnknown("the change was accepted, and the listing is not shown any more")
        return self.written(after)

    async def revise(self, item: wire.Item, offer: Offer) -> ListingState:
        """New title, text, images and facts, no sales terms. Raises Rejected where others described the page."""
        if "item_name" not in item.attributes:
            raise Rejected(
                "the page was described by others: only price and units of this offer are ours",
                hint="to describe the goods, list them without the barcode of that page",
                vendor_code="catalogue_page",
            )
        definition = await self._definition(mapping.product_type(item, self.place.marketplace_id))
        changes = attributes.facts(offer, self.place, definition.properties if definition else frozenset())
        if offer.brand is None:
            del changes["brand"]  # what the offer leaves open stays as it is

        def applied(after: wire.Item | None) -> bool:
            told = after.attributes if after is not None else {}
            return all(told.get(name) == value for name, value in changes.items()) and (
                after is not None and self.state(after).title == offer.title
            )

        return await self.change(item, changes, applied)

    async def end(self, item: wire.Item) -> None:
        """Delete the listing. One that Amazon's warehouses supply only loses its price: its goods would be stranded."""
        warehouses = mapping.warehouse_channels(item)
        if not warehouses:
            try:
                _check(await self._api.item("deleteListingsItem", item.sku, wire.Submission.model_validate))
            except Rejected as refused:
                if not refused.missing:  # gone since it was read
                    raise
            await self.shown(item.sku, lambda after: after is None)
            return
        body = {
            "productType": mapping.product_type(item, self.place.marketplace_id),
            "patches": [
                {
                    "op": "delete",
                    "path": "/attributes/purchasable_offer",
                    "value": [{"marketplace_id": self.place.marketplace_id}],
                }
            ],
        }
        _check(await self._api.item("patchListingsItem", item.sku, wire.Submission.model_validate, body=body))
        await self.shown(item.sku, lambda after: after is None or self.state(after).status == "ended")

    # What the goods are in Amazon's catalogue

    async def _match(self, offer: Offer) -> tuple[str | None, str]:
        """The catalogue's ASIN for the barcode and its product type; of several, the one titled most alike."""
        code = attributes.barcode(offer)
        if code is None:
            return None, _GENERIC_TYPE
        params = [
            *self._api.here,
            ("identifiers", code[1]),
            ("identifiersType", code[0].upper()),
            ("includedData", "summaries,productTypes"),
        ]
        aside = Rows("pages of the catalogue", "asin")
        decode = partial(wire.CatalogSearch.model_validate, context=aside.context)
        found = await self._api.call("searchCatalogItems", decode, params=params)
        if not found.items:
            aside.tell()
        buyable = [
            item
            for item in found.items
            if not any(summary.item_classification == "VARIATION_PARENT" for summary in item.summaries)
        ]
        if not buyable:
            return None, _GENERIC_TYPE
        best = max(buyable, key=lambda item: _likeness(item, offer))
        types = [row.product_type for row in best.product_types]
        return best.asin, types[0] if types else _GENERIC_TYPE

    def _offer_body(self, offer: Offer, asin: str, item_type: str) -> dict[str, Any]:
        terms = attributes.sales_terms(offer, self.place, self._usual_condition)
        suggested = {"merchant_suggested_asin": self.place.value(asin)}
        return {"productType": item_type, "requirements": "LISTING_OFFER_ONLY", "attributes": {**suggested, **terms}}

    async def _listing_body(self, offer: Offer) -> dict[str, Any]:
        definition = await self._choose_type(offer)
        name = definition.product_type if definition else _GENERIC_TYPE
        known = definition.properties if definition else frozenset()
        described = {
            **attributes.facts(offer, self.place, known),
            **attributes.identity(offer, self.place),
            **attributes.sales_terms(offer, self.place, self._usual_condition),
        }
        schema = await self._schema(definition) if definition is not None else {}
        lacking = attributes.lacking(schema, described)
        if lacking:
            raise Rejected(
                f"Amazon's product type {name} requires what the product has not: {', '.join(lacking)}",
                hint="add them to the product's attributes",
                vendor_code="attributes",
            )
        if offer.group is not None:
            theme = attributes.theme_for(offer.group.options, attributes.themes(schema))
            if theme is not None:
                parent = await self._ensure_parent(offer, name, theme)
                described |= attributes.variation(parent, theme, self.place)
        return {"productType": name, "requirements": "LISTING", "attributes": described}

    async def _ensure_parent(self, offer: Offer, item_type: str, theme: str) -> str:
        """The family's head, made with its first child."""
        assert offer.group is not None
        sku = attributes.parent_sku(offer.group.key)
        if await self.item(sku) is None:
            body = {
                "productType": item_type,
                "requirements": "LISTING_PRODUCT_ONLY",
                "attributes": attributes.family(offer, theme, self.place),
            }
            try:
                await self._submit(sku, body)
            except OutcomeUnknown as unknown:
                # The offer itself was not sent: made or not, the head is looked for again.
                raise Retryable(f"the variation family: {unknown.message}") from unknown
        return sku

    async def _schema(self, definition: wire.ProductTypeDefinition) -> attributes.Attributes:
        """The JSON schema of a product type, asked for once; {} where it cannot be had: the preview judges alone."""
        name = definition.product_type
        if name not in self._schemas:
            try:
                found = json.loads((await self._api.fetch(definition.json_schema.link.resource)).content)
            except (Rejected, ValueError, RecursionError):
                return {}
            except Retryable as refused:
                if refused.vendor_status not in ADDRESS_OVER:
                    raise
                return {}
            self._schemas[name] = found if isinstance(found, dict) else {}
        return self._schemas[name]

    async def _choose_type(self, offer: Offer) -> wire.ProductTypeDefinition | None:
        """The product type Amazon suggests for the category, else for the title."""
        for question in (("keywords", (offer.category or "").replace(",", " ")), ("itemName", offer.title)):
            if not question[1].strip():
                continue
            params = [*self._api.here, question]
            found = await self._api.call(
                "searchDefinitionsProductTypes", wire.ProductTypes.model_validate, params=params
            )
            if found.product_types:
                return await self._definition(found.product_types[0].name)
        return None

    async def _definition(self, item_type: str) -> wire.ProductTypeDefinition | None:
        params = [*self._api.here, ("sellerId", self._api.seller_id), ("requirements", "LISTING")]
        return await self._api.known(
            "getDefinitionsProductType",
            wire.ProductTypeDefinition.model_validate,
            path={"productType": item_type},
            params=params,
        )


def _check(submission: wire.Submission) -> None:
    """Raises Rejected. What is ACCEPTED was not refused, whatever its issues say: it shows later, or does not."""
    if submission.status == "INVALID" or (submission.status != "ACCEPTED" and mapping.errors_of(submission.issues)):
        raise mapping.refusal(submission.issues, "Amazon found the listing invalid")


def _not_read_back(error: ChannelError) -> OutcomeUnknown:
    return OutcomeUnknown(f"accepted, but not read back: {error.message}")


def _likeness(item: wire.CatalogItem, offer: Offer) -> float:
    """Shared words of both titles over all of them (Jaccard)."""
    theirs = {word for summary in item.summaries for word in summary.item_name.casefold().split()}
    ours = set(offer.title.casefold().split())
    return len(theirs & ours) / max(1, len(theirs | ours))
