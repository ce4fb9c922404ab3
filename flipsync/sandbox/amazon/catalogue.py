"""Catalog Items 2022-04-01 and Product Type Definitions 2020-09-01."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from flipsync.sandbox.amazon.world import MARKETPLACE, CatalogueItem, World, encode, invalid, refuse
from flipsync.sandbox.exchange import Answer, Call

_COMMON = (
    *("item_name", "brand", "manufacturer", "product_description", "bullet_point", "item_weight", "color", "size"),
    *("style", "material", "pattern", "model_number", "condition_type", "condition_note", "purchasable_offer"),
    *("fulfillment_availability", "merchant_suggested_asin", "externally_assigned_product_identifier"),
    *("supplier_declared_has_product_identifier_exemption", "list_price", "parentage_level", "variation_theme"),
    *("child_parent_sku_relationship", "main_product_image_locator"),
    *(f"other_product_image_locator_{number}" for number in range(1, 9)),
)
#: Which answers show what, in the order Amazon's documents give it.
_CATALOGUE_DATA = ("summaries", "identifiers", "productTypes", "images", "relationships")


@dataclass(frozen=True)
class ProductType:
    """A product type: the words that lead to it, attributes of its own, and its variation themes."""

    name: str
    display: str
    words: tuple[str, ...]
    own: tuple[str, ...]
    themes: tuple[str, ...]
    #: of its own attributes, those every listing needs
    needs: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        return ("item_name", "brand", "condition_type", "purchasable_offer", "fulfillment_availability", *self.needs)

    @property
    def attributes(self) -> tuple[str, ...]:
        return (*_COMMON, *self.own)


_COLOR_SIZE = ("COLOR", "SIZE", "COLOR/SIZE")
PRODUCT_TYPES: dict[str, ProductType] = {
    kind.name: kind
    for kind in (
        ProductType("LAMP", "Lamp", ("lamp", "light", "lighting"), ("wattage", "light_source"), ("COLOR", "SIZE")),
        ProductType(
            "SHIRT", "Shirt", ("shirt", "tee", "top", "sweater"), ("target_gender", "sleeve_length"), _COLOR_SIZE
        ),
        ProductType("PANTS", "Pants", ("pants", "jeans", "trousers"), ("target_gender", "inseam_length"), _COLOR_SIZE),
        ProductType("BACKPACK", "Backpack", ("backpack",), ("capacity",), ("COLOR",), needs=("capacity",)),
        ProductType("LUGGAGE", "Luggage", ("luggage", "suitcase", "bag"), ("capacity",), ("COLOR", "SIZE")),
        ProductType("HOME", "Home", ("home", "kitchen", "mug", "teapot"), ("capacity",), ("COLOR", "STYLE")),
        ProductType("PRODUCT", "Product", (), (), ()),
    )
}


class Catalogue:
    """What can be found in the catalogue, and how goods of each type are described."""

    def __init__(self, world: World) -> None:
        self.world = world

    def search(self, call: Call) -> Answer:
        identifiers, keywords = call.first("identifiers"), call.first("keywords")
        if (identifiers is None) == (keywords is None):
            raise invalid("Give either identifiers or keywords.")
        if identifiers is not None:
            kind = call.first("identifiersType")
            if kind is None:
                raise invalid("identifiersType is required with identifiers.")
            found = [item for name in identifiers.split(",") for item in self._identified(kind, name)]
        else:
            words = (keywords or "").casefold().replace(",", " ").split()
            found = [
                item for item in self.world.catalogue() if all(word in item.title.casefold().split() for word in words)
            ]
        size = int(call.first("pageSize") or 10)
        body = {
            "numberOfResults": len(found),
            "pagination": {},
            "refinements": {"brands": [], "classifications": []},
            "items": [self._view(item, call) for item in found[:size]],
        }
        return Answer(200, encode(body))

    def _identified(self, kind: str, name: str) -> list[CatalogueItem]:
        if kind == "ASIN":
            item = self.world.item(name)
            return [item] if item else []
        if kind == "SKU":
            listing = self.world.listing(name)
            item = self.world.item(listing.doc["asin"]) if listing else None
            return [item] if item else []
        return self.world.by_barcode(name)

    def get(self, call: Call, asin: str) -> Answer:
        item = self.world.item(asin)
        if item is None:
            raise refuse(404, "NOT_FOUND", f"Requested item '{asin}' not found in marketplace(s) {MARKETPLACE}.")
        return Answer(200, encode(self._view(item, call)))

    def _view(self, item: CatalogueItem, call: Call) -> dict[str, Any]:
        identifiers = [{"identifierType": "GTIN", "identifier": item.identifier}] if item.identifier else []
        parts: dict[str, list[dict[str, Any]]] = {
            "summaries": [{"brand": item.brand, "itemName": item.title, "itemClassification": "BASE_PRODUCT"}],
            "identifiers": [{"identifiers": identifiers}],
            "productTypes": [{"productType": item.product_type}],
            "images": [{"images": []}],
            "relationships": [{"relationships": []}],
        }
        wanted = (call.first("includedData") or "summaries").split(",")
        view: dict[str, Any] = {"asin": item.asin}
        for name in _CATALOGUE_DATA:
            if name in wanted:
                view[name] = [{"marketplaceId": MARKETPLACE, **part} for part in parts[name]]
        return view

    def search_types(self, call: Call) -> Answer:
        keywords, title = call.first("keywords"), call.first("itemName")
        if keywords is not None and title is not None:
            raise invalid("keywords and itemName cannot be given together.")
        words = set((keywords or title or "").casefold().replace(",", " ").split())
        found = [kind for kind in PRODUCT_TYPES.values() if words & set(kind.words)]
        if title is not None and not found:
            found = [PRODUCT_TYPES["HOME"]]  # for a title Amazon always has a suggestion
        if keywords is None and title is None:
            found = list(PRODUCT_TYPES.values())
        types = [{"name": kind.name, "displayName": kind.display, "marketplaceIds": [MARKETPLACE]} for kind in found]
        return Answer(200, encode({"productTypes": types, "productTypeVersion": "SANDBOX1="}))

    def definition(self, call: Call, name: str) -> Answer:
        kind = PRODUCT_TYPES.get(name)
        if kind is None:
            raise refuse(404, "NOT_FOUND", f"Product type '{name}' is not found.")
        schema = self._schema(kind)
        link = {
            "link": {"resource": f"{self.world.base_url()}/amazon/schemas/{name}.json", "verb": "GET"},
            "checksum": hashlib.md5(schema, usedforsecurity=False).hexdigest(),
        }
        group = {"title": "Attributes", "description": "All attributes", "propertyNames": list(kind.attributes)}
        body = {
            "metaSchema": link,
            "schema": link,
            "requirements": call.first("requirements") or "LISTING",
            "requirementsEnforced": call.first("requirementsEnforced") or "ENFORCED",
            "propertyGroups": {"product_details": group},
            "locale": "en_US",
            "marketplaceIds": [MARKETPLACE],
            "productType": kind.name,
            "displayName": kind.display,
            "productTypeVersion": {"version": "SANDBOX1=", "latest": True, "releaseCandidate": False},
        }
        return Answer(200, encode(body))

    def schema(self, call: Call) -> Answer:
        kind = PRODUCT_TYPES.get(call.path.removeprefix("/schemas/").removesuffix(".json"))
        return Answer(404, b"{}") if kind is None else Answer(200, self._schema(kind))

    def _schema(self, kind: ProductType) -> bytes:
        properties: dict[str, Any] = {
            name: {"type": "array", "title": name.replace("_", " ").title()} for name in kind.attributes
        }
        name: dict[str, Any] = {"type": "string", "enum": list(kind.themes)}
        properties["variation_theme"]["items"] = {"type": "object", "properties": {"name": name}}
        return json.dumps({"type": "object", "required": list(kind.required), "properties": properties}).encode()
