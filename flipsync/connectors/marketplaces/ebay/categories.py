"""The category of a listing, and the item specifics that eBay asks for there (Taxonomy API)."""

from __future__ import annotations

from typing import Any

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.ebay import limits, wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi, segment
from flipsync.connectors.marketplaces.ebay.mapping import aspects_of
from flipsync.domain.channel import Offer
from flipsync.domain.errors import Rejected

_TREE = "/commerce/taxonomy/v1"
#: texts whose suggestion is remembered
_REMEMBERED = 2000


class Categories:
    """Asks for each category and each text once."""

    def __init__(self, api: EbayApi, config: AccountConfig) -> None:
        self._api = api
        self._given = config.options.get("category_id", "")
        self._tree: str | None = None
        self._suggested: dict[str, str] = {}
        self._required: dict[str, tuple[str, ...]] = {}

    async def category_of(self, offer: Offer) -> str:
        """The account's own category, an eBay number as the offer's, or what eBay suggests for the goods.

        Raises Rejected when eBay suggests none.
        """
        if offer.category and offer.category.isascii() and offer.category.isdigit():
            return offer.category
        if self._given:
            return self._given
        return await self._suggest(" ".join(part for part in (offer.category, offer.title) if part)[:350])

    async def check(self, offer: Offer, category_id: str) -> None:
        """Raises Rejected naming the item specifics that the category requires and the offer does not have."""
        known = {name.casefold() for name in aspects_of(offer)}
        missing = [name for name in await self._required_in(category_id) if name.casefold() not in known]
        if missing:
            raise Rejected(
                f"eBay's category {category_id} requires item specifics that the product has not: {', '.join(missing)}",
                hint="add them to the product's attributes",
                vendor_code="aspects",
            )

    async def _tree_id(self) -> str:
        if self._tree is None:
            params = [("marketplace_id", self._api.site.id)]
            found = await self._api.read(
                f"{_TREE}/get_default_category_tree_id",
                wire.CategoryTree.model_validate,
                limits.TAXONOMY,
                params,
                application=True,
            )
            self._tree = found.category_tree_id
        return self._tree

    async def _suggest(self, text: str) -> str:
        if text not in self._suggested:
            found = await self._api.read(
                f"{_TREE}/category_tree/{segment(await self._tree_id())}/get_category_suggestions",
                _suggestions,
                limits.TAXONOMY,
                [("q", text)],
                application=True,
            )
            if not found.category_suggestions:
                raise Rejected(
                    f"eBay suggests no category for “{text}”",
                    hint="give its number as the product's category, or as the option category_id",
                    vendor_code="category_id",
                )
            if len(self._suggested) >= _REMEMBERED:
                self._suggested.clear()
            self._suggested[text] = found.category_suggestions[0].category.category_id
        return self._suggested[text]

    async def _required_in(self, category_id: str) -> tuple[str, ...]:
        if category_id not in self._required:
            found = await self._api.read(
                f"{_TREE}/category_tree/{segment(await self._tree_id())}/get_item_aspects_for_category",
                _aspects,
                limits.TAXONOMY,
                [("category_id", category_id)],
                application=True,
            )
            self._required[category_id] = tuple(
                aspect.localized_aspect_name for aspect in found.aspects if aspect.aspect_constraint.aspect_required
            )
        return self._required[category_id]


def _suggestions(data: Any) -> wire.CategorySuggestions:
    # 204: none
    return wire.CategorySuggestions() if data is None else wire.CategorySuggestions.model_validate(data)


def _aspects(data: Any) -> wire.Aspects:
    return wire.Aspects() if data is None else wire.Aspects.model_validate(data)
