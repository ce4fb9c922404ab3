"""An offer as the attributes of an Amazon listing, and as the patches that change one. Pure.

Attribute names and shapes are those of Amazon's product type definitions; every attribute is a list, since a listing
holds a value for each marketplace and language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Literal

from flipsync.connectors.marketplaces.amazon.mapping import OWN_STOCK
from flipsync.domain.channel import Offer
from flipsync.domain.money import Money, minor_digits

_OTHER_IMAGES = 8
_MAX_DESCRIPTION = 2000
_BARCODES = {8: "ean", 12: "upc", 13: "ean", 14: "gtin"}
_CONDITIONS = {
    "new": "new_new",
    "open box": "new_open_box",
    "refurbished": "refurbished_refurbished",
    "like new": "used_like_new",
    "used like new": "used_like_new",
    "very good": "used_very_good",
    "good": "used_good",
    "used": "used_good",
    "acceptable": "used_acceptable",
}
_SPELLINGS = {"colour": "color", "brand_name": "brand"}
Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value holds: the marketplace, and the language of texts."""

    marketplace_id: str
    language: str

    def text(self, value: str) -> list[dict[str, Any]]:
        return [{"value": value, "language_tag": self.language, "marketplace_id": self.marketplace_id}]

    def value(self, value: Any, **more: Any) -> list[dict[str, Any]]:
        return [{"value": value, **more, "marketplace_id": self.marketplace_id}]


def attribute_name(option: str) -> str:
    """How Amazon would name an option of ours: "Frame colour" is frame_color."""
    words = re.sub(r"[^a-z0-9]+", "_", option.casefold()).strip("_")
    return "_".join(_SPELLINGS.get(word, word) for word in words.split("_"))


def barcode(offer: Offer) -> tuple[str, str] | None:
    """The barcode with its kind (ean, upc, gtin); None without one that can be."""
    digits = re.sub(r"[\s-]", "", offer.barcode or "")
    kind = _BARCODES.get(len(digits)) if digits.isascii() and digits.isdigit() else None
    return (kind, digits) if kind else None


def condition(offer: Offer, otherwise: str) -> str:
    """The goods' condition; `otherwise` is the account's usual one."""
    told = next((value for name, value in offer.attributes.items() if name.casefold() == "condition"), "")
    return _CONDITIONS.get(told.strip().casefold(), otherwise)


def price_rows(price: Money, place: Place, known: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """purchasable_offer with a new price; what else is `known` of offers (business prices, bounds) stays."""
    schedule = [{"schedule": [{"value_with_tax": _number(price)}]}]
    ours = {"marketplace_id": place.marketplace_id, "currency": price.currency, "audience": "ALL"}
    rows = []
    for row in known:
        if not isinstance(row, dict):
            continue
        if (
            row.get("marketplace_id", place.marketplace_id) == place.marketplace_id
            and row.get("audience", "ALL") == "ALL"
        ):
            ours = {**row, **ours}
        else:
            rows.append(dict(row))
    return [{**ours, "our_price": schedule}, *rows]


def quantity_rows(
    quantity: int, warehouses: Sequence[str] = (), terms: Iterable[tuple[str, Any]] = ()
) -> list[dict[str, Any]]:
    """fulfillment_availability with our own units. What else is said of them (`terms`: handling time, restock date)
    stays, and so do Amazon's warehouses by name: their units are theirs to count."""
    own = {**dict(terms), "fulfillment_channel_code": OWN_STOCK, "quantity": quantity}
    return [own, *({"fulfillment_channel_code": code} for code in warehouses)]


def sales_terms(offer: Offer, place: Place, usual_condition: str) -> Attributes:
    """What every offer says, whoever described the goods: condition, price, units."""
    return {
        "condition_type": place.value(condition(offer, usual_condition)),
        "purchasable_offer": price_rows(offer.price, place),
        "fulfillment_availability": quantity_rows(offer.quantity),
    }


def facts(offer: Offer, place: Place, known: frozenset[str]) -> Attributes:
    """What the goods are. Attributes and options of ours go along where the product type (`known`) has such a name."""
    found: Attributes = {"item_name": place.text(offer.title), "brand": place.text(offer.brand or "Generic")}
    description = plain_text(offer.description_html)[:_MAX_DESCRIPTION]
    if description:
        found["product_description"] = place.text(description)
    for name, url in zip(_image_names(), offer.images, strict=False):
        found[name] = [{"media_location": url, "marketplace_id": place.marketplace_id}]
    if offer.weight_grams:
        found["item_weight"] = place.value(offer.weight_grams, unit="grams")
    told = {**offer.attributes, **dict(zip(offer.group.options if offer.group else (), offer.choices, strict=False))}
    for option, value in told.items():
        name = attribute_name(option)
        if value and name in known and name not in found and name not in ("condition", "condition_type"):
            found[name] = place.text(value)
    return found


def identity(offer: Offer, place: Place) -> Attributes:
    """The barcode new goods are told by, or that they have none."""
    code = barcode(offer)
    if code is None:
        return {"supplier_declared_has_product_identifier_exemption": place.value(True)}
    return {"externally_assigned_product_identifier": place.value(code[1], type=code[0])}


def variation(parent_sku: str, theme: str, place: Place) -> Attributes:
    """What makes a listing a child of a variation family."""
    return {
        "parentage_level": place.value("child"),
        "variation_theme": [{"name": theme}],
        "child_parent_sku_relationship": [
            {
                "child_relationship_type": "variation",
                "parent_sku": parent_sku,
                "marketplace_id": place.marketplace_id,
            }
        ],
    }


def family(offer: Offer, theme: str, place: Place) -> Attributes:
    """The head of the offer's variation family: the product itself, which cannot be bought."""
    assert offer.group is not None
    head = offer.model_copy(
        update={
            "title": offer.group.title,
            "description_html": offer.group.description_html or offer.description_html,
            "images": offer.group.images or offer.images,
            "group": None,
            "choices": (),
            "attributes": {},
            "weight_grams": None,
        }
    )
    return {
        **facts(head, place, frozenset()),
        "parentage_level": place.value("parent"),
        "variation_theme": [{"name": theme}],
        "child_parent_sku_relationship": [
            {"child_relationship_type": "variation", "marketplace_id": place.marketplace_id}
        ],
    }


def parent_sku(group_key: str) -> str:
    return f"{group_key}-PARENT"


def theme_for(options: Sequence[str], themes: Iterable[str]) -> str | None:
    """The variation theme made of exactly these options; Amazon writes Size and Colour as COLOR/SIZE or SIZE_COLOR."""
    wanted = sorted(attribute_name(option).upper() for option in options)
    for theme in themes:
        parts = theme.upper().split("/") if "/" in theme or len(wanted) == 1 else re.split(r"[_-]", theme.upper())
        if sorted(part.removesuffix("_NAME") for part in parts) == wanted:
            return theme
    return None


def themes(schema: Mapping[str, Any]) -> list[str]:
    """The variation themes a product type's schema knows."""
    try:
        names = schema["properties"]["variation_theme"]["items"]["properties"]["name"]["enum"]
    except (KeyError, TypeError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def lacking(schema: Mapping[str, Any], described: Mapping[str, Any]) -> list[str]:
    """What the schema requires of every listing and these attributes have not, in Amazon's words where it has some."""
    required, known = schema.get("required"), schema.get("properties")
    if not isinstance(required, list) or not isinstance(known, dict):
        return []
    missing = [name for name in required if isinstance(name, str) and not described.get(name)]
    titles = {name: known[name].get("title") for name in missing if isinstance(known.get(name), dict)}
    return [f"{titles[name]} ({name})" if titles.get(name) else name for name in missing]


def patch(attributes: Mapping[str, Any], op: Literal["replace", "merge"] = "replace") -> list[dict[str, Any]]:
    """Patches that put these attributes in place of what a listing has under their names; or merge them into it, so
    that other fulfilment channels, and what else is said of this one, stay
    (https://developer-docs.amazon.com/sp-api/docs/merge-a-listing)."""
    return [{"op": op, "path": f"/attributes/{name}", "value": value} for name, value in attributes.items()]


def _image_names() -> list[str]:
    others = [f"other_product_image_locator_{number}" for number in range(1, _OTHER_IMAGES + 1)]
    return ["main_product_image_locator", *others]


def _number(price: Money) -> int | float:
    # Amazon wants a JSON number; Python writes a float with the digits it was made from.
    return price.amount_minor if minor_digits(price.currency) == 0 else float(price.plain())


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")
        self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if self._hidden <= 0:
            self.parts.append(data)


def plain_text(html: str) -> str:
    """The words of a description: Amazon shows no markup in it."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    return " ".join("".join(parser.parts).split())
