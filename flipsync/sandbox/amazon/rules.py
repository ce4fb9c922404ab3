"""What Amazon has against a listing: the issues of a submission."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flipsync.sandbox.amazon.catalogue import PRODUCT_TYPES
from flipsync.sandbox.amazon.world import MARKETPLACE, WAREHOUSE, World

_REQUIRED = {
    "LISTING": ("item_name", "brand", "condition_type", "purchasable_offer", "fulfillment_availability"),
    "LISTING_OFFER_ONLY": (
        "merchant_suggested_asin",
        "condition_type",
        "purchasable_offer",
        "fulfillment_availability",
    ),
    "LISTING_PRODUCT_ONLY": ("item_name", "brand"),
}
_IDENTITIES = (
    "externally_assigned_product_identifier",
    "supplier_declared_has_product_identifier_exemption",
    "merchant_suggested_asin",
)
_CONDITIONS = frozenset(
    "new_new new_open_box new_oem refurbished_refurbished used_like_new used_very_good used_good used_acceptable"
    " collectible_like_new collectible_very_good collectible_good collectible_acceptable club_club".split()
)
Issue = dict[str, Any]


@dataclass(frozen=True)
class Terms:
    """What the books need of a listing's attributes."""

    price_minor: int | None
    quantity: int | None


def issue(code: str, message: str, category: str, *attributes: str) -> Issue:
    return {
        "code": code,
        "message": message,
        "severity": "ERROR",
        "attributeNames": list(attributes),
        "categories": [category],
    }


def judge(world: World, product_type: str, requirements: str, attributes: dict[str, Any]) -> list[Issue]:
    """Everything wrong with a complete set of attributes."""
    found: list[Issue] = []
    kind = PRODUCT_TYPES.get(product_type)
    if kind is None:
        return [issue("90004131", f"'{product_type}' is no product type.", "INVALID_ATTRIBUTE", "productType")]
    unknown = [name for name in attributes if name not in kind.attributes]
    if unknown:
        found.append(issue("90000900", "The attributes are invalid.", "INVALID_ATTRIBUTE", *unknown))
    parent = first(attributes, "parentage_level") == "parent"
    required = _REQUIRED["LISTING_PRODUCT_ONLY" if parent else requirements]
    if requirements == "LISTING" and not parent:
        required = kind.required
    found += [
        issue("90220", f"'{name}' is required but not supplied.", "MISSING_ATTRIBUTE", name)
        for name in required
        if not attributes.get(name)
    ]
    if requirements == "LISTING" and not parent and not any(attributes.get(name) for name in _IDENTITIES):
        found.append(
            issue("90220", f"'{_IDENTITIES[0]}' is required but not supplied.", "MISSING_ATTRIBUTE", _IDENTITIES[0])
        )
    found += _shapes(attributes)
    condition = first(attributes, "condition_type")
    if condition is not None and condition not in _CONDITIONS:
        found.append(_wrong("condition_type", f"'{condition}' is not a valid value."))
    asin = first(attributes, "merchant_suggested_asin")
    if asin is not None and world.item(str(asin)) is None:
        found.append(
            issue("8560", f"ASIN '{asin}' does not match any product.", "INVALID_ATTRIBUTE", "merchant_suggested_asin")
        )
    themes = [row.get("name") for row in rows(attributes, "variation_theme")]
    if any(theme not in kind.themes for theme in themes):
        found.append(_wrong("variation_theme", f"'{themes[0]}' is not a variation theme of {product_type}."))
    for row in rows(attributes, "child_parent_sku_relationship"):
        if not parent and world.get("parent", str(row.get("parent_sku"))) is None:
            told = f"There is no parent listing '{row.get('parent_sku')}'."
            found.append(_wrong("child_parent_sku_relationship", told))
    return found + _terms_issues(world, attributes)


def _terms_issues(world: World, attributes: dict[str, Any]) -> list[Issue]:
    """What is wrong with price and quantity."""
    found = []
    for row in rows(attributes, "purchasable_offer"):
        price = _price(row)
        if price is None or row.get("currency") != world.currency or price <= 0:
            found.append(_wrong("purchasable_offer", "The price is missing, not positive, or in another currency."))
    for row in rows(attributes, "fulfillment_availability"):
        code, quantity = row.get("fulfillment_channel_code"), row.get("quantity")
        if code not in ("DEFAULT", WAREHOUSE):
            found.append(_wrong("fulfillment_availability", f"'{code}' is no fulfillment channel."))
        elif code == WAREHOUSE and quantity is not None:
            found.append(_wrong("fulfillment_availability", "Units in Amazon's warehouses cannot be set."))
        elif code == "DEFAULT" and (not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 0):
            found.append(_wrong("fulfillment_availability", "'quantity' must be a whole number of at least 0."))
    return found


def terms(attributes: dict[str, Any]) -> Terms:
    """Price and own units as the attributes, already judged, say them."""
    price = next((_price(row) for row in rows(attributes, "purchasable_offer")), None)
    quantities = [
        int(row["quantity"])
        for row in rows(attributes, "fulfillment_availability")
        if row.get("fulfillment_channel_code") == "DEFAULT"
    ]
    return Terms(None if price is None else int(price * 100), quantities[0] if quantities else None)


def rows(attributes: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = attributes.get(name)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def first(attributes: dict[str, Any], name: str) -> Any:
    return next((row.get("value") for row in rows(attributes, name)), None)


def _price(row: dict[str, Any]) -> Decimal | None:
    try:
        value = row["our_price"][0]["schedule"][0]["value_with_tax"]
    except (KeyError, IndexError, TypeError):
        return None
    return Decimal(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _shapes(attributes: dict[str, Any]) -> Iterable[Issue]:
    for name, value in attributes.items():
        good = isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
        if not good:
            yield _wrong(name, "The value is not a list of objects.")
        elif any(row.get("marketplace_id", MARKETPLACE) != MARKETPLACE for row in value):
            yield _wrong(name, "The value is for another marketplace.")


def _wrong(name: str, message: str) -> Issue:
    return issue("90000900", message, "INVALID_ATTRIBUTE", name)
