"""Listings of a shop: reading, publishing once, relisting, revising, ending.

A listing is a variant. Goods that come in one form are a product with its default variant; a group is one product with
options, to which variations are added one by one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flipsync.connectors.marketplaces.shopify import documents, errors, mapping, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi, next_page
from flipsync.connectors.marketplaces.shopify.categories import Categories
from flipsync.connectors.marketplaces.shopify.shop import NOWHERE, ShopPlaces
from flipsync.connectors.marketplaces.shopify.specifics import Specifics
from flipsync.connectors.unread import Rows
from flipsync.domain.channel import Offer
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

#: Shopify pages through at most 25,000 of anything; then the walk begins anew behind the last id.
_PAGES_AT_ONCE = 200
#: Refusals that mean that what was to be made is there already.
_HANDLE_TAKEN, _VARIANT_THERE = "HANDLE_NOT_UNIQUE", "VARIANT_ALREADY_EXISTS"

#: Choices that are values of a metafield, or of options that the shop has settled on, are not renamed one by one.
_NAMED_ELSEWHERE = frozenset(
    {"CANNOT_SET_NAME_FOR_LINKED_OPTION_VALUE", "OPTION_VALUE_DOES_NOT_EXIST", "OPTION_VALUE_NAME_TOO_LONG"}
)

SetQuantity = Callable[[wire.Variant, int, str], Awaitable[int | None]]


@dataclass(frozen=True)
class _Family:
    """A product and its variants."""

    id: str
    variants: list[wire.Sibling]


@contextmanager
def after_a_write(what: str) -> Iterator[None]:
    """From here on something has been written: a failure must not say that nothing happened."""
    try:
        yield
    except OutcomeUnknown:
        raise
    except ChannelError as error:
        raise OutcomeUnknown(
            f"{what} was done, but not the rest: {error.message}",
            hint=error.hint or "read back before trying again",
            vendor_code=error.vendor_code,
            vendor_status=error.vendor_status,
        ) from error


class Shelf:
    """The variants of one shop."""

    def __init__(self, api: AdminApi, places: ShopPlaces, categories: Categories) -> None:
        self._api = api
        self._specifics = Specifics(api)
        self._places = places
        self._categories = categories

    # Reading

    async def read(self, variant_id: str, *, whole: bool = False) -> wire.Variant | None:
        """`whole` brings the pictures too."""
        if not mapping.is_gid(variant_id, "ProductVariant"):
            return None
        variables = {"id": variant_id, **await self._places.variables()}
        document = documents.READ_WHOLE if whole else documents.READ_LISTING
        return await self._api.read(document, _variant_or_none, variables)

    async def known(self, variant_id: str) -> wire.Variant:
        """Raises Rejected(missing) for what the shop does not know."""
        row = await self.read(variant_id)
        if row is None:
            raise Rejected("the shop has no such variant", vendor_code="not_found", missing=True)
        return row

    async def read_many(self, variant_ids: Sequence[str], aside: Rows) -> dict[str, wire.Variant]:
        """Those of them that are there, by id; what cannot be read goes `aside`."""
        found: dict[str, wire.Variant] = {}
        for start in range(0, len(variant_ids), documents.NODES_PAGE):
            part = list(variant_ids[start : start + documents.NODES_PAGE])
            variables = {"ids": part, **await self._places.variables()}
            for data in await self._api.read(documents.READ_LISTINGS, _variants_of_nodes, variables):
                if (row := aside.read(wire.Variant.model_validate, data)) is not None:
                    found[row.id] = row
        return found

    async def find(self, sku: str) -> wire.Variant | None:
        """The oldest variant with exactly this SKU, of those on sale first: Shopify lets several have one, and searches
        without case. Of ended ones a choice of several goes first: goods that stood alone before may be one by now.

        Rows of lists come without our own notes on them.
        """
        wanted = sku.strip()
        variables = {"first": documents.SKU_PAGE, "query": f"sku:{mapping.quoted(wanted)}"}
        ended: list[wire.Variant] = []
        async for rows in self._pages(variables):
            for row in rows:
                if row.sku.strip() != wanted:
                    continue
                if mapping.status_of(row) != "ended":
                    return row
                ended.append(row)
        return min(ended, key=lambda row: row.product.has_only_default_variant, default=None)

    async def all(self, aside: Rows) -> AsyncIterator[wire.Variant]:
        """Every variant of the shop; what cannot be read goes `aside`."""
        last = 0
        while True:
            variables: dict[str, Any] = {"first": documents.LISTINGS_PAGE, "query": f"id:>{last}" if last else None}
            pages, highest, whole = 0, last, True
            async for rows in self._pages(variables, aside):
                for row in rows:
                    number = aside.read(mapping.number_of, row.id)
                    if number is not None and number > last:
                        highest = max(highest, number)
                        yield row
                pages += 1
                if pages >= _PAGES_AT_ONCE:
                    whole = False
                    break
            if whole or highest == last:
                return
            last = highest

    async def changed(self, since: datetime, aside: Rows) -> AsyncIterator[wire.Variant]:
        """Variants of the products that were changed last, at or after that time: a page of each. What cannot be read
        goes `aside`."""
        moment = since.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        variables = {"first": documents.LISTINGS_PAGE, "query": f"updated_at:>='{moment}'"}
        products = await self._api.read(documents.CHANGED, wire.Connection[wire.ItemRef].model_validate, variables)
        if not products.nodes:
            return
        numbers = ",".join(str(mapping.number_of(row.id)) for row in products.nodes)
        async for rows in self._pages({"first": documents.LISTINGS_PAGE, "query": f"product_ids:{numbers}"}, aside):
            for row in rows:
                yield row
            return

    async def _pages(self, variables: dict[str, Any], aside: Rows | None = None) -> AsyncIterator[list[wire.Variant]]:
        decode = partial(wire.Variants.model_validate, context=None if aside is None else aside.context)
        given = {**variables, **await self._places.variables()}
        async for rows in self._api.pages(documents.LISTINGS, decode, given):
            yield rows

    # Publishing

    async def publish(self, offer: Offer, key: str, set_quantity: SetQuantity) -> wire.Variant:
        """What the shop then shows. The product's handle is made of SKU or group, so that a second creation collides
        with the first even before the search index knows it."""
        found = await self.find(offer.sku)
        if found is not None and mapping.status_of(found) == "active":
            return found
        row = None if found is None else await self.known(found.id)
        if row is None or _stood_alone(row, offer, key):
            row = await self._create(offer, key)
        return await self._on_sale(row, offer, key, set_quantity)

    async def _create(self, offer: Offer, key: str) -> wire.Variant:
        location, category = await self._places.location(), await self._categories.of(offer.category)
        try:
            specifics = await self._specifics_of(offer)
            body = mapping.creation_input(offer, key, location, category, specifics)
        except ValueError as error:
            raise Rejected(f"the offer does not fit its group: {error}", vendor_code="choices") from error
        if offer.group is not None and (product := await self._by_handle(body["handle"])) is not None:
            return await self._add_variation(product, offer, key, specifics)
        variables = {"identifier": None, "input": body, **await self._places.variables()}
        try:
            made = await self._api.write(documents.PRODUCT_SET, wire.ProductPayload, variables)
        except Rejected as refused:
            if refused.vendor_code != _HANDLE_TAKEN:
                raise
            product = await self._by_handle(body["handle"])
            if product is None:
                raise Retryable(refused.message, vendor_code=refused.vendor_code) from refused
            return await self._add_variation(product, offer, key, specifics)
        if made.product is None or not made.product.variants.nodes:
            return await self._made({"handle": body["handle"]}, offer)
        return made.product.variants.nodes[0]

    async def _by_handle(self, handle: str) -> _Family | None:
        return await self._family(documents.PRODUCT_SKUS, {"identifier": {"handle": handle}})

    async def _family(self, document: documents.Document, variables: dict[str, Any]) -> _Family | None:
        """A product with all of its variants; None when there is no such product."""
        after: str | None = None
        seen: set[str | None] = {None}
        found: list[wire.Sibling] = []
        while True:
            part = await self._api.read(document, _siblings_or_none, {**variables, "after": after})
            if part is None:
                return None
            found += part.variants.nodes
            if (after := next_page(part.variants.page_info, seen)) is None:
                return _Family(part.id, found)

    async def _add_variation(
        self, product: _Family, offer: Offer, key: str, specifics: Sequence[dict[str, str]]
    ) -> wire.Variant:
        """The product's variant with the offer's SKU, or a new one of the offer's choices."""
        for row in product.variants:
            if row.sku.strip() == offer.sku.strip():
                return await self.known(row.id)
        if offer.group is None:
            raise Rejected("the product's address is taken by other goods", vendor_code=_HANDLE_TAKEN)
        variables = {
            "product": product.id,
            "variants": [mapping.variation_input(offer, key, await self._places.location(), specifics)],
            **await self._places.variables(),
        }
        try:
            made = await self._api.write(documents.VARIANTS_CREATE, wire.VariantsPayload, variables)
        except Rejected as refused:
            if refused.vendor_code == _VARIANT_THERE:
                refused.hint = "another SKU of the product has the same choices"
            raise
        if made.product_variants:
            return made.product_variants[0]
        return await self._made({"id": product.id}, offer)

    async def _made(self, identifier: dict[str, str], offer: Offer) -> wire.Variant:
        """The variant that was just made, where the answer does not show it."""
        with after_a_write("the listing"):
            product = await self._family(documents.PRODUCT_SKUS, {"identifier": identifier})
            rows = [] if product is None else product.variants
            found = next((row for row in rows if row.sku.strip() == offer.sku.strip()), None)
            if found is not None:
                return await self.known(found.id)
        raise errors.unusable("the shop does not show the variant that was made", writes=True)

    async def _on_sale(self, row: wire.Variant, offer: Offer, key: str, set_quantity: SetQuantity) -> wire.Variant:
        """Finish a publishing that broke off, and put an ended listing on sale again; leave what is on sale, and what
        the merchant keeps as a draft."""
        status = mapping.status_of(row)
        if status == "active":
            return row
        if status == "ended" and row.ended_key != key:
            return await self._relist(row, offer, key, set_quantity)
        if status == "draft" and row.publish_key and row.product.status != "DRAFT":
            with after_a_write("the listing"):
                await self._show(row.product.id)
                return await self.known(row.id)
        return row

    async def _relist(self, row: wire.Variant, offer: Offer, key: str, set_quantity: SetQuantity) -> wire.Variant:
        """Price, stock and text first; the last step is the one that buyers see."""
        alone = row.product.has_only_default_variant
        specifics = () if alone else await self._specifics_of(offer)
        await self._update_variant(row, mapping.relisting_input(row.id, offer, key, specifics))
        with after_a_write("the price"):
            await set_quantity(row, offer.quantity, key)
            if mapping.taken_out(row):
                await self._show(row.id)
            text = await self._text(offer, alone=alone)
            product = {"id": row.product.id, **text, "status": "ACTIVE"}
            await self._api.write(documents.PRODUCT_UPDATE, wire.Payload, {"product": product})
            await self._show(row.product.id)
            return await self.known(row.id)

    async def _specifics_of(self, offer: Offer, choices: Collection[str] = ()) -> list[dict[str, str]]:
        """Of one variant beside others, which is offered so or has these choices in the shop."""
        if offer.group is None and not choices:
            return await self._specifics.of(offer)
        names = {*choices, *(offer.group.options if offer.group is not None else ())}
        return await self._specifics.of(offer, "PRODUCTVARIANT", names)

    async def _text(self, offer: Offer, *, alone: bool) -> dict[str, Any]:
        """What the product is to say; nothing where it has other variants and the offer does not speak for these."""
        if not alone and offer.group is None:
            return {}
        category = await self._categories.of(offer.category)
        if alone or offer.group is None:
            return mapping.product_text(offer, offer, category, await self._specifics.of(offer))
        return mapping.product_text(offer, offer.group, category)

    async def _show(self, thing_id: str) -> None:
        """Show a product, or a variation of one, where it is sold."""
        publication = await self._places.publication()
        if publication is not None:
            variables = {"id": thing_id, "input": [{"publicationId": publication}]}
            await self._api.write(documents.PUBLISH, wire.Payload, variables)

    # Changing

    async def update_variant(self, variant_id: str, body: dict[str, Any]) -> wire.Variant:
        return await self.update_known(await self.known(variant_id), body)

    async def update_known(self, row: wire.Variant, body: dict[str, Any]) -> wire.Variant:
        return await self._update_variant(row, {"id": row.id, **body})

    async def _update_variant(self, row: wire.Variant, body: dict[str, Any]) -> wire.Variant:
        variables = {"product": row.product.id, "variants": [body], **await self._places.variables()}
        made = await self._api.write(documents.VARIANTS_UPDATE, wire.VariantsPayload, variables)
        if made.product_variants:
            return made.product_variants[0]
        with after_a_write("the variant"):  # its answer need not show it
            return await self.known(row.id)

    async def revise(self, variant_id: str, offer: Offer) -> wire.Variant:
        """What is the variant's own, then text and images of the product. Where that has several variants it is the
        group that speaks for it, and what single ones have stays. Images go only when they changed."""
        row = await self.known(variant_id)
        before = await self._api.read(documents.BEFORE_REVISION, _before_or_none, {"id": row.id})
        if before is None:
            raise Rejected("the shop has no such variant", vendor_code="not_found", missing=True)
        details = await self._own_details(row, offer, before)
        chosen = [] if row.product.has_only_default_variant else mapping.other_choices(offer, before.selected_options)
        text = await self._text(offer, alone=row.product.has_only_default_variant)
        renamed = bool(chosen) and await self._rename(row, chosen)
        if details:
            with after_a_write("the choice") if renamed else nullcontext():
                await self._update_variant(row, {"id": row.id, **details})
        with after_a_write("the variant") if details or renamed else nullcontext():
            if text:
                await self._revise_product(row, offer, before.product, text)
            return await self.known(row.id)

    async def _own_details(self, row: wire.Variant, offer: Offer, before: wire.BeforeRevision) -> dict[str, Any]:
        details = mapping.variant_details(offer)
        if row.product.has_only_default_variant:
            return details
        specifics = await self._specifics_of(offer, [option.name for option in before.selected_options])
        return details | ({"metafields": specifics} if specifics else {})

    async def _rename(self, row: wire.Variant, chosen: list[dict[str, str]]) -> bool:
        """Whether the variant's choices are now the offer's. Those that the shop names itself stay as they are."""
        try:
            await self._update_variant(row, {"id": row.id, "optionValues": chosen})
        except Rejected as refused:
            if refused.vendor_code in _NAMED_ELSEWHERE:
                return False
            if refused.vendor_code == _VARIANT_THERE:
                refused.hint = "another variant of the product has the same choices"
            raise
        return True

    async def _revise_product(
        self, row: wire.Variant, offer: Offer, product: wire.ProductImages, body: dict[str, Any]
    ) -> None:
        alone = row.product.has_only_default_variant
        if not body["descriptionHtml"]:
            del body["descriptionHtml"]  # what the offer leaves open stays as the shop has it
        # its own pictures are no group's: each variation would put them in the place of the others'
        images = offer.images if alone or offer.group is None else offer.group.images
        remembered = mapping.images_note(images)
        new_images = bool(images) and product.images != remembered["value"]
        if new_images:
            # by themselves: `productSet` would take away every metafield that it is not given, the merchant's too
            kept = [] if alone else await self._pictures_of_variants(product.id)
            files = {"files": [*mapping.files(images), *kept]}
            given = {"identifier": {"id": product.id}, "input": files, **await self._places.variables()}
            await self._api.write(documents.PRODUCT_SET, wire.ProductPayload, given)
            body |= {"metafields": [*body.get("metafields", ()), remembered]}
        with after_a_write("the pictures") if new_images else nullcontext():
            given = {"product": {"id": product.id, **body}}
            await self._api.write(documents.PRODUCT_UPDATE, wire.Payload, given)

    async def _pictures_of_variants(self, product_id: str) -> list[dict[str, str]]:
        """`productSet` takes away every picture it is not given, also those that single variants are shown with."""
        found: dict[str, None] = {}
        after: str | None = None
        seen: set[str | None] = {None}
        while True:
            part = await self._api.read(
                documents.VARIANT_PICTURES, wire.PicturedVariants.model_validate, {"id": product_id, "after": after}
            )
            found |= dict.fromkeys(picture.id for each in part.variants.nodes for picture in each.media.nodes)
            if (after := next_page(part.variants.page_info, seen)) is None:
                return [{"id": picture} for picture in found]

    async def end(self, variant_id: str) -> None:
        """Archive the product, or take one variation of several out of the store."""
        row = await self.read(variant_id)
        if row is None or mapping.status_of(row) == "ended":
            return
        publication = await self._places.publication()
        others = await self._others(row, publication)
        if others and publication is None:
            raise Rejected(
                "one variation cannot be taken off sale without its product",
                hint="give the app the scopes read_publications and write_publications",
                vendor_code="publications",
            )
        try:
            await self._update_variant(row, mapping.ended_input(row))
            if others or (publication is not None and not row.product.has_only_default_variant):
                variables = {"id": row.id, "input": [{"publicationId": publication}]}
                await self._api.write(documents.UNPUBLISH, wire.Payload, variables)
            if not others:
                product = {"id": row.product.id, "status": "ARCHIVED"}
                await self._api.write(documents.PRODUCT_UPDATE, wire.Payload, {"product": product})
        except Rejected as refused:
            if not refused.missing:
                raise

    async def _others(self, row: wire.Variant, publication: str | None) -> bool:
        """Whether the product has other variants on sale; all of them, where the app may not see what is published."""
        if row.product.has_only_default_variant:
            return False
        variables = {"id": row.product.id, "publication": publication or NOWHERE}
        product = await self._family(documents.SIBLINGS, variables)
        variants = [] if product is None else product.variants
        shown = [each for each in variants if publication is None or each.published_on_publication]
        return any(each.id != row.id for each in shown)


def _variant_or_none(data: Any) -> wire.Variant | None:
    return None if data is None else wire.Variant.model_validate(data)


def _siblings_or_none(data: Any) -> wire.Siblings | None:
    return None if data is None else wire.Siblings.model_validate(data)


def _before_or_none(data: Any) -> wire.BeforeRevision | None:
    return None if data is None else wire.BeforeRevision.model_validate(data)


def _stood_alone(row: wire.Variant, offer: Offer, key: str) -> bool:
    """Whether goods that are a choice of several by now were taken off sale as a product of their own; a late repeat
    of the publishing that was ended finds that one."""
    apart = offer.group is not None and row.product.has_only_default_variant
    return apart and mapping.status_of(row) == "ended" and row.ended_key != key


def _variants_of_nodes(data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, list):
        raise ValueError("a list was expected")
    return [row for row in data if isinstance(row, dict) and row.get("__typename") == "ProductVariant"]
