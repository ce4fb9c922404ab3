"""What of a shop's own settings an offer needs."""

from __future__ import annotations

from typing import Any

from flipsync.connectors.marketplaces.woocommerce import mapping, wire
from flipsync.connectors.marketplaces.woocommerce.api import ShopApi
from flipsync.domain.channel import Offer
from flipsync.domain.errors import Rejected


class ShopSettings:
    """Read once, and remembered."""

    def __init__(self, api: ShopApi) -> None:
        self._api = api
        self._weight_unit: str | None = None
        self._categories: dict[str, int] = {}

    async def filing(self, offer: Offer) -> dict[str, Any]:
        """What of the shop's own settings an offer needs: its weight unit, and its category of that name."""
        unit = None if offer.weight_grams is None else await self._store_weight_unit()
        category = None if offer.category is None else await self._category_id(offer.category)
        return {"weight_unit": unit, "category_id": category}

    async def _store_weight_unit(self) -> str | None:
        if self._weight_unit is None:
            try:
                setting = await self._api.read(
                    "/settings/products/woocommerce_weight_unit", wire.Setting.model_validate
                )
                self._weight_unit = str(setting.value)
            except Rejected:
                return None  # the key may not read settings; a weight in a guessed unit is worse than none
        return self._weight_unit

    async def _category_id(self, name: str) -> int | None:
        """The shop's category of that name; none is made, since the category tree is the merchant's."""
        if name not in self._categories:
            try:
                found = await self._found(name)
            except Rejected:
                return None  # a category is no reason not to sell
            if found is None:
                return None
            self._categories[name] = found
        return self._categories[name]

    async def _found(self, name: str) -> int | None:
        # "A & B" is kept, and searched, as "A &amp; B"
        for text in dict.fromkeys((mapping.markup_free(name), name)):
            params = [("search", text), ("per_page", "100")]
            terms = await self._api.read_rows("/products/categories", wire.Term.model_validate, params)
            found = next((term.id for term in terms if term.name.casefold() == name.casefold()), None)
            if found is not None:
                return found
        return None
