"""Categories with their item specifics (Taxonomy), articles (Catalog), and what is on sale (Browse)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from flipsync.sandbox.ebay.problems import encode, refuse
from flipsync.sandbox.ebay.shop import LIVE, Shop
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Listing

TREE = "0"
_WORD = re.compile(r"\w+")
_FILTER = re.compile(r"(\w+):(\{[^}]*\}|\[[^\]]*\]|[^,]*)")
_FILTERS = frozenset({"buyingOptions", "excludeSellers", "sellers"})


@dataclass(frozen=True)
class Category:
    """A leaf category; `words` lead to it, `aspects` are required in it."""

    name: str
    words: frozenset[str]
    aspects: tuple[str, ...]


CATEGORIES = {
    "112581": Category("Lamps", frozenset({"lamp", "lamps", "light", "lighting"}), ("Brand",)),
    "15687": Category("T-Shirts", frozenset({"shirt", "shirts", "tee"}), ("Brand", "Size", "Color")),
    "88433": Category("Other", frozenset(), ()),
}


class Taxonomy:
    """The category tree of the one marketplace."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def default_tree(self, call: Call) -> Answer:
        marketplace = call.first("marketplace_id")
        if not marketplace:
            raise refuse(400, 62002, "Missing marketplace ID.", "API_TAXONOMY")
        if marketplace != self.shop.marketplace_id:
            raise refuse(400, 62003, "The specified marketplace ID was not found.", "API_TAXONOMY")
        return Answer(200, encode({"categoryTreeId": TREE, "categoryTreeVersion": "131"}))

    def _known(self, tree: str) -> None:
        if tree != TREE:
            raise refuse(400, 62004, "The specified category tree ID was not found.", "API_TAXONOMY")

    def suggestions(self, call: Call, tree: str) -> Answer:
        self._known(tree)
        words = set(_WORD.findall((call.first("q") or "").casefold()))
        if not words:
            raise refuse(400, 62007, "Missing keyword 'q'.", "API_TAXONOMY")
        fitting = [id for id, category in CATEGORIES.items() if category.words & words] or ["88433"]
        suggested = [
            {
                "category": {"categoryId": id, "categoryName": CATEGORIES[id].name},
                "categoryTreeNodeLevel": 2,
                "categoryTreeNodeAncestors": [],
            }
            for id in fitting
        ]
        body = {"categoryTreeId": TREE, "categoryTreeVersion": "131", "categorySuggestions": suggested}
        return Answer(200, encode(body))

    def aspects(self, call: Call, tree: str) -> Answer:
        self._known(tree)
        id = call.first("category_id")
        if not id:
            raise refuse(400, 62006, "Missing category ID.", "API_TAXONOMY")
        category = CATEGORIES.get(id)
        if category is None:
            raise refuse(
                400, 62005, "The specified category ID does not belong to specified category tree.", "API_TAXONOMY"
            )
        named = [*((name, True) for name in category.aspects), ("Material", False)]
        aspects = [
            {
                "localizedAspectName": name,
                "aspectConstraint": {
                    "aspectDataType": "STRING",
                    "itemToAspectCardinality": "SINGLE",
                    "aspectMode": "FREE_TEXT",
                    "aspectRequired": required,
                    "aspectUsage": "RECOMMENDED",
                    "aspectEnabledForVariations": name in ("Size", "Color"),
                    "aspectApplicableTo": ["ITEM"],
                },
                "aspectValues": [],
            }
            for name, required in named
        ]
        return Answer(200, encode({"aspects": aspects}))


class Catalog:
    """Articles that somebody offers under a barcode; eBay has them whether or not ours are on sale."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def search(self, call: Call) -> Answer:
        self._place(call)
        query, codes = call.first("q"), call.first("gtin")
        if (query is None) == (codes is None):
            if query is None:
                text = "The call must have a valid 'q', or 'category_ids' or 'gtin' or 'mpn' query parameter."
                raise refuse(400, 75001, text, "API_CATALOG")
            raise refuse(400, 75018, "The call must be made with either 'q' or 'gtin/mpn'.", "API_CATALOG")
        limit = call.first("limit") or "50"
        if not limit.isdigit() or not 1 <= int(limit) <= 200:
            raise refuse(400, 75004, "The 'limit' value should be between 1 and 200 (inclusive).", "API_CATALOG")
        found = self._articles().values()
        if codes is not None:
            wanted = set(codes.split(","))
            if any(not code.isalnum() for code in wanted):
                raise refuse(400, 75017, "The specified GTIN value is invalid.", "API_CATALOG")
            fitting = [each for each in found if wanted & set(each["gtin"])]
        else:
            fitting = [each for each in found if self._fits(query or "", each)]
        if not fitting:
            return Answer(204, b"")
        shown = fitting[: int(limit)]
        body = {
            "href": f"{call.origin}{call.full_path}",
            "limit": int(limit),
            "offset": 0,
            "total": len(fitting),
            "productSummaries": [
                {**each, "productHref": f"{call.origin}/commerce/catalog/v1_beta/product/{each['epid']}"}
                for each in shown
            ],
        }
        return Answer(200, encode(body))

    def product(self, call: Call, epid: str) -> Answer:
        self._place(call)
        found = self._articles().get(epid)
        if found is None:
            raise refuse(400, 75010, f"The specified EPID value {epid} was not found.", "API_CATALOG")
        more = {"description": found["title"], "primaryCategoryId": "88433", "version": "1"}
        return Answer(200, encode({**found, **more}))

    def _place(self, call: Call) -> None:
        place = call.headers.get("x-ebay-c-marketplace-id", self.shop.marketplace_id)
        if place != self.shop.marketplace_id:
            text = f"Currently, the {place} marketplace is not supported."
            raise refuse(400, 75007, text, "API_CATALOG")

    def _articles(self) -> dict[str, dict[str, Any]]:
        """By their numbers."""
        found: dict[str, dict[str, Any]] = {}
        for listing in self.shop.books.listings("channel = 'ebay' AND status <> 'trash'", ()):
            product = listing.doc["item"].get("product", {})
            kinds = {kind: product[kind] for kind in ("ean", "upc", "isbn") if product.get(kind)}
            codes = _codes(listing)
            if codes:
                epid = epid_of(codes[0])
                brand = {"brand": product["brand"]} if product.get("brand") else {}
                pictures = product.get("imageUrls") or ["https://i.ebayimg.com/images/none.jpg"]
                image = {"imageUrl": pictures[0], "height": 500, "width": 500}
                found[epid] = {
                    "epid": epid,
                    "title": listing.title,
                    **brand,
                    **kinds,
                    "gtin": codes,
                    "image": image,
                    "aspects": [
                        {"localizedName": name, "localizedValues": values}
                        for name, values in (product.get("aspects") or {}).items()
                    ],
                }
        return found

    def _fits(self, query: str, article: dict[str, Any]) -> bool:
        """Words with commas between them must all be there, of words with spaces one."""
        told = set(_WORD.findall(f"{article['title']} {article.get('brand', '')}".casefold()))
        words = [word for word in re.split(r"[,\s]+", query.casefold()) if word]
        return (any if re.search(r"\s", query) else all)(word in told for word in words)


def epid_of(code: str) -> str:
    """eBay's number of the article with this barcode."""
    return str(240_000_000 + crc32(code.encode()) % 1_000_000_000)


class Browse:
    """Fixed-price offers of the rivals and of the seller, by barcode or by words of the title."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def search(self, call: Call) -> Answer:
        query, gtin, epid = call.first("q"), call.first("gtin"), call.first("epid")
        if query is None and gtin is None and epid is None:
            text = "The call must have a valid 'q', 'category_ids', 'epid' or 'gtin' query parameter."
            raise refuse(400, 12001, text, "API_BROWSE")
        limit, offset = self._page(call)
        only, without = self._filters(call)
        rows: list[dict[str, Any]] = []
        for listing in self._of(gtin, query, epid):
            rows += self._offers(listing)
        shown = [
            row
            for row in rows
            if row["seller"]["username"] not in without and (not only or row["seller"]["username"] in only)
        ]
        if call.first("sort") == "price":
            shown.sort(key=lambda row: float(row["price"]["value"]))
        elif call.first("sort") not in (None, "-price", "newlyListed"):
            raise refuse(400, 12008, "The 'sort' value is invalid.", "API_BROWSE")
        body: dict[str, Any] = {
            "href": f"{call.origin}{call.full_path}",
            "total": len(shown),
            "limit": limit,
            "offset": offset,
            "itemSummaries": shown[offset : offset + limit],
        }
        return Answer(200, encode(body))

    def _page(self, call: Call) -> tuple[int, int]:
        limit, offset = call.first("limit") or "50", call.first("offset") or "0"
        if not limit.isdigit() or not 1 <= int(limit) <= 200:
            raise refuse(400, 12006, "The 'limit' value should be between 1 and 200 (inclusive).", "API_BROWSE")
        if not offset.isdigit() or int(offset) % int(limit):
            text = "The 'offset' value must be either zero or a multiple of the 'limit' value."
            raise refuse(400, 12515, text, "API_BROWSE")
        return int(limit), int(offset)

    def _filters(self, call: Call) -> tuple[set[str], set[str]]:
        """Sellers to show alone, and sellers to leave out."""
        found = dict(_FILTER.findall(call.first("filter") or ""))
        unknown = set(found) - _FILTERS
        if unknown:
            raise refuse(400, 12002, f"The {min(unknown)} value is invalid.", "API_BROWSE")
        named = {name: set(value.strip("{}").split("|")) for name, value in found.items()}
        if not named.get("buyingOptions", {"FIXED_PRICE"}) <= {"FIXED_PRICE", "AUCTION", "BEST_OFFER"}:
            raise refuse(400, 12002, "The buyingOptions value is invalid.", "API_BROWSE")
        return named.get("sellers", set()), named.get("excludeSellers", set())

    def _of(self, gtin: str | None, query: str | None, epid: str | None) -> list[Listing]:
        """Our rows of these goods: rivals sell what we sell."""
        if epid is not None:
            every = self.shop.books.listings("channel = 'ebay' AND status <> 'trash'", ())
            return [listing for listing in every if epid in map(epid_of, _codes(listing))]
        words = set(_WORD.findall((query or "").casefold()))
        found = []
        hint = f'%"{gtin}"%' if gtin is not None else f"%{max(words, key=len, default='')}%"
        where = "channel = 'ebay' AND status <> 'trash' AND (CASE WHEN ? THEN doc ELSE lower(title) END) LIKE ?"
        for listing in self.shop.books.listings(where, (gtin is not None, hint)):
            fits = (
                gtin in _codes(listing) if gtin is not None else words <= set(_WORD.findall(listing.title.casefold()))
            )
            if fits:
                found.append(listing)
        return found

    def _offers(self, listing: Listing) -> list[dict[str, Any]]:
        offers = [
            self._summary(listing, rival.seller, rival.price_minor)
            for rival in self.shop.market.rival_offers(listing.sku)
            if rival.in_stock
        ]
        if listing.status == LIVE and listing.quantity and listing.price_minor:
            offers.append(self._summary(listing, self.shop.seller, listing.price_minor))
        return offers

    def _summary(self, listing: Listing, seller: str, price_minor: int) -> dict[str, Any]:
        number = 120_000_000_000 + crc32(f"{seller}|{listing.sku}".encode())
        own = seller == self.shop.seller
        legacy = listing.doc["listing_id"] if own else str(number)
        return {
            "itemId": f"v1|{legacy}|0",
            "legacyItemId": legacy,
            "title": listing.title,
            "price": {"value": f"{price_minor / 100:.2f}", "currency": self.shop.currency},
            "seller": {"username": seller, "feedbackPercentage": "99.1", "feedbackScore": 512},
            "condition": "New",
            "conditionId": "1000",
            "buyingOptions": ["FIXED_PRICE"],
            "itemLocation": {"country": "US"},
        }


def _codes(listing: Listing) -> list[str]:
    product = listing.doc["item"].get("product", {})
    return [code for kind in ("ean", "upc", "isbn") for code in product.get(kind, [])]
