"""Offers of a group: a variable product (the parent) with one variation for each of them.

The parent is found by SKU (the group's key), or else by its name and options, and is made when there is none. It
leaves the shop with its last variation and comes back with the first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from flipsync.connectors.marketplaces.woocommerce import grouping, mapping, wire
from flipsync.connectors.marketplaces.woocommerce.api import ShopApi
from flipsync.domain.channel import ListingState, Offer, OfferGroup
from flipsync.domain.errors import Rejected, Retryable

#: What of the shop's settings an offer needs (weight_unit, category_id).
Filing = Callable[[Offer], Awaitable[dict[str, Any]]]
_LIST = [("status", "any"), ("per_page", "100")]


class Variations:
    """Variations of one shop, written whole. External ids are "product/variation"."""

    def __init__(self, api: ShopApi, currency: str, filing: Filing) -> None:
        self._api = api
        self._currency = currency
        self._filing = filing

    async def publish(self, offer: Offer, group: OfferGroup, key: str) -> ListingState:
        """A new variation, or the parent's one with the same choices and no SKU of its own. The SKU is new here."""
        parent, is_new = await self._parent(offer, group, key)
        rows = [] if is_new else await self._rows(parent)
        same = [row for row in rows if grouping.has_choices(row, group, offer.choices)]
        taken = [row.sku for row in same if row.sku not in ("", parent.sku, offer.sku)]
        if taken:
            chosen = ", ".join(offer.choices)
            raise Rejected(f"{chosen} of {parent.name} is sold already, as {taken[0]}", vendor_code="choices")
        path = f"/products/{parent.id}/variations"
        if same and same[0].status == "publish":
            return await self._write("PUT", f"{path}/{same[0].id}", {"sku": offer.sku}, parent)
        body = grouping.variation_creation_body(offer, parent, key, **await self._filing(offer))
        if same:
            return await self._write("PUT", f"{path}/{same[0].id}", body, parent)
        return await self._write("POST", path, body, parent)

    async def relist(self, existing: ListingState, offer: Offer, key: str) -> ListingState:
        """An ended variation goes back on sale, with its parent; an old repeat of the call that listed it does not."""
        product_id, variation_id = mapping.split_id(existing.external_id)
        path = f"/products/{product_id}/variations/{variation_id}"
        row = await self._api.read(path, wire.Variation.model_validate)
        if wire.meta_value(row.meta_data, mapping.KEY_META) == key:
            return existing
        parent = await self._api.read(f"/products/{product_id}", wire.Product.model_validate)
        # The parent first: shown without anything for sale it does no harm, but a variation alone is not for sale.
        parent = await self._completed(parent, offer)
        body = grouping.variation_creation_body(offer, parent, key, **await self._filing(offer))
        if wire.meta_value(row.meta_data, mapping.IMAGES_META) == mapping.image_sources(offer.images[:1]):
            body.pop("image", None)
        return await self._write("PUT", path, body, parent)

    async def revise(self, product_id: int, variation_id: int, offer: Offer) -> ListingState:
        """Its own text, image, weight and choices; with a group, also what the parent says of all of them."""
        path = f"/products/{product_id}/variations/{variation_id}"
        parent = await self._api.read(f"/products/{product_id}", wire.Product.model_validate)
        row = await self._api.read(path, wire.Variation.model_validate)
        if offer.group is not None:
            body = grouping.parent_changes(parent, offer.group, offer.choices)
            if body:
                parent = await self._api.write("PUT", f"/products/{parent.id}", body, wire.Product.model_validate)
        described = grouping.variation_body(offer, parent, **await self._filing(offer))
        body = {name: value for name, value in described.items() if value}
        images = mapping.image_sources(offer.images[:1])
        sent = wire.meta_value(row.meta_data, mapping.IMAGES_META) == images
        if offer.images and not sent and row.image.src != offer.images[0]:
            body |= {"image": {"src": offer.images[0]}, "meta_data": mapping.meta_rows({mapping.IMAGES_META: images})}
        return await self._write("PUT", path, body, parent)

    async def end(self, product_id: int, variation_id: int) -> None:
        """Off sale; the parent with it when nothing else of it is on sale."""
        parent = await self._api.read_known(f"/products/{product_id}", wire.Product.model_validate)
        rows = [] if parent is None else await self._rows(parent)
        mine = next((row for row in rows if row.id == variation_id), None)
        if parent is None or mine is None:
            return
        if mine.status not in ("private", "trash"):
            path = f"/products/{product_id}/variations/{variation_id}"
            await self._api.write("PUT", path, {"status": "private"}, wire.Variation.model_validate)
        if parent.status == "publish" and not any(row.status == "publish" for row in rows if row is not mine):
            body = {"status": "draft", "meta_data": mapping.meta_rows({mapping.ENDED_META: "yes"})}
            await self._api.write("PUT", f"/products/{product_id}", body, wire.Product.model_validate)

    # The parent

    async def _parent(self, offer: Offer, group: OfferGroup, key: str) -> tuple[wire.Product, bool]:
        """The group's parent, with every choice of the offer; and whether it was made just now."""
        found, skus = await self._find(group, offer.sku)
        if found is not None:
            return await self._completed(found, offer), False
        body = grouping.parent_body(offer, group, skus[0], key, **await self._filing(offer))
        try:
            return await self._api.write("POST", "/products", body, wire.Product.model_validate), True
        except Rejected as refused:
            if refused.vendor_code != "product_invalid_sku":
                raise
            # Two variations of a new group at once: the other one made it.
            found, _ = await self._find(group, offer.sku)
            if found is None:
                raise Retryable(refused.message, vendor_code=refused.vendor_code, vendor_status=400) from refused
            return await self._completed(found, offer), False

    async def _find(self, group: OfferGroup, own_sku: str) -> tuple[wire.Product | None, list[str]]:
        """The parent, if there is one, and the SKUs that a new one could have."""
        free = []
        for sku in (group.key, f"{group.key}-group"):
            rows = await self._api.read_rows("/products", wire.Product.model_validate, [("sku", sku), *_LIST])
            rows = [row for row in rows if row.sku.strip() == sku]
            parents = [row for row in rows if row.type == "variable"]
            if parents:
                return parents[0], []
            if not rows and sku != own_sku:
                free.append(sku)
        if not free:
            raise Rejected(f"{group.key} and {group.key}-group are SKUs of single products", vendor_code="group")
        params = [("search", group.title), ("type", "variable"), *_LIST]
        rows = await self._api.read_rows("/products", wire.Product.model_validate, params)
        alike = [row for row in rows if grouping.is_parent_of(row, group)]
        return (alike[0] if len(alike) == 1 else None), free

    async def _completed(self, parent: wire.Product, offer: Offer) -> wire.Product:
        """The parent on sale again if it was ended, and with the offer's choices among its own."""
        body: dict[str, Any] = {}
        if parent.status == "draft" and wire.meta_value(parent.meta_data, mapping.ENDED_META):
            body = {"status": "publish", "meta_data": mapping.meta_rows({mapping.ENDED_META: ""})}
        attributes = None if offer.group is None else grouping.merged_attributes(parent, offer.group, offer.choices)
        if attributes is not None:
            body["attributes"] = attributes
        if not body:
            return parent
        return await self._api.write("PUT", f"/products/{parent.id}", body, wire.Product.model_validate)

    async def _rows(self, parent: wire.Product) -> Sequence[wire.Variation]:
        return await self._api.rows(f"/products/{parent.id}/variations", wire.Variation.model_validate)

    async def _write(self, method: str, path: str, body: dict[str, Any], parent: wire.Product) -> ListingState:
        def decode(data: Any) -> ListingState:
            return mapping.variation_listing(wire.Variation.model_validate(data), parent, self._currency)

        return await self._api.write_article(method, path, body, decode)
