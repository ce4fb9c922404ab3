"""Shopify's own category of a product (its Standard Product Taxonomy), from what the offer calls it.

Beside `productType`, which is the merchant's own word. A category decides taxes and how other channels show the goods,
so none is guessed: the offer's category names one by its id ("sg-4-17-2-17"), by its whole path ("Home & Garden >
Lighting > Lamps"), or by a name that only one category has.
"""

from __future__ import annotations

import re
from typing import Any

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.shopify import documents, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi
from flipsync.domain.errors import Rejected

_PREFIX = "gid://shopify/TaxonomyCategory/"
_ID = re.compile(r"[a-z]{2}(-\d{1,4}){0,10}")
#: words whose category is remembered
_REMEMBERED = 2_000
_LONGEST = 200


class Categories:
    """Asks for each word once. Option `category_id`: the category of goods whose own is none of Shopify's."""

    def __init__(self, api: AdminApi, config: AccountConfig) -> None:
        self._api = api
        self._given = config.options.get("category_id", "").strip()
        self._found: dict[str, str | None] = {}
        self._hidden = False

    async def of(self, category: str | None) -> str | None:
        """The id of the category, or None where nothing says for sure which one it is."""
        named = " ".join((category or "").split())
        found = _by_id(named) or (await self._named(named) if named else None)
        return found or _by_id(self._given)

    async def _named(self, name: str) -> str | None:
        if name not in self._found:
            if self._hidden or len(name) > _LONGEST:
                return None
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            try:
                self._found[name] = await self._search(name)
            except Rejected as refused:
                if refused.auth:
                    self._hidden = True  # the app may not see them
                    return None
                self._found[name] = None  # Shopify cannot search for such words
        return self._found[name]

    async def _search(self, name: str) -> str | None:
        path = [part.strip() for part in name.split(">")]
        taxonomy = await self._api.read(documents.CATEGORIES, _taxonomy_or_none, {"search": path[-1]})
        rows = [] if taxonomy is None else taxonomy.categories.nodes
        live = [row for row in rows if not row.is_archived]
        wanted = " > ".join(path).casefold()
        whole = [row.id for row in live if row.full_name.casefold() == wanted]
        alike = whole or ([row.id for row in live if row.name.casefold() == wanted] if len(path) == 1 else [])
        return alike[0] if len(alike) == 1 else None


def _taxonomy_or_none(data: Any) -> wire.Taxonomy | None:
    return None if data is None else wire.Taxonomy.model_validate(data)


def _by_id(text: str) -> str | None:
    bare = text.removeprefix(_PREFIX)
    return _PREFIX + bare if _ID.fullmatch(bare) and (bare != text or "-" in bare) else None
