"""A little of Shopify's Standard Product Taxonomy: enough for names to be found, shared by two, and given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]

_PATHS = {
    "hg": "Home & Garden",
    "hg-11": "Home & Garden > Kitchen & Dining",
    "hg-11-10": "Home & Garden > Kitchen & Dining > Tableware",
    "hg-11-10-4": "Home & Garden > Kitchen & Dining > Tableware > Drinkware",
    "hg-13": "Home & Garden > Lighting",
    "hg-13-5": "Home & Garden > Lighting > Lamps",
    "el-2": "Electronics > Lighting",
    "tg-5": "Toys & Games > Toys",
    "aa-1": "Apparel & Accessories > Clothing",
    "me-9": "Media > Cassettes",
}
_ARCHIVED = frozenset({"me-9"})
CATEGORIES: Mapping[str, Row] = {
    f"gid://shopify/TaxonomyCategory/{key}": {
        "__typename": "TaxonomyCategory",
        "id": f"gid://shopify/TaxonomyCategory/{key}",
        "name": path.rpartition(" > ")[2],
        "fullName": path,
        "isArchived": key in _ARCHIVED,
        "isLeaf": not any(other.startswith(f"{key}-") for other in _PATHS),
    }
    for key, path in _PATHS.items()
}


def found(search: str | None) -> list[Row]:
    """Categories in whose path a word of the search is, as a search engine finds more than was meant."""
    words = [word for word in (search or "").casefold().split() if word.isalnum()]
    return [
        row for row in CATEGORIES.values() if not words or any(word in row["fullName"].casefold() for word in words)
    ]


def category_view(category_id: str | None) -> Row | None:
    return None if category_id is None else CATEGORIES[category_id]
