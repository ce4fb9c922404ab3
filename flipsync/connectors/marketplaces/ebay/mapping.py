"""Between our offers and eBay's inventory items, offers and groups. Pure: no I/O.

eBay shows 80 characters of a title: a longer one is cut at a word, and stands whole before the description.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flipsync.connectors.marketplaces.ebay import wire
from flipsync.connectors.marketplaces.ebay.settings import Terms
from flipsync.connectors.marketplaces.ebay.skus import spell, unspell
from flipsync.domain.channel import ListingState, ListingStatus, ListingText, Offer, OfferGroup
from flipsync.domain.money import Money

_TITLE = 80
_PRODUCT_TEXT = 4000
_PICTURES = 24
_TAG = re.compile(r"<[^>]*>")
_HEAD = re.compile(r"<p>([^<]*)</p>")
#: ConditionEnum of the Sell Inventory API
CONDITIONS = frozenset(
    "NEW LIKE_NEW NEW_OTHER NEW_WITH_DEFECTS MANUFACTURER_REFURBISHED CERTIFIED_REFURBISHED EXCELLENT_REFURBISHED"
    " VERY_GOOD_REFURBISHED GOOD_REFURBISHED SELLER_REFURBISHED USED_EXCELLENT USED_VERY_GOOD USED_GOOD USED_ACCEPTABLE"
    " FOR_PARTS_OR_NOT_WORKING PRE_OWNED_EXCELLENT PRE_OWNED_FAIR".split()
)
_ALSO = {"USED": "USED_EXCELLENT", "REFURBISHED": "SELLER_REFURBISHED", "OPEN_BOX": "NEW_OTHER"}
#: listings that no buyer can come upon; any other, sold out or of a word added since, may be bought from
_GONE = frozenset({"ENDED", "EBAY_ENDED", "NOT_LISTED"})


# What eBay says


def listing_state(item: wire.Item, sku: str, offer: wire.Offer | None) -> ListingState:
    """One SKU as eBay has it. `sku` is in eBay's spelling, which is also the listing's external id."""
    quantity = item.quantity
    if offer is not None and offer.available_quantity is not None:
        # The listing shows the smaller of the two.
        quantity = min(offer.available_quantity, quantity if quantity is not None else offer.available_quantity)
    price = None if offer is None else offer.pricing_summary.price
    return ListingState(
        external_id=sku,
        sku=unspell(sku),
        title=_whole_title(item.product.title, offer, item),
        status=_status(offer, quantity),
        price=None if price is None else Money.parse(price.value, price.currency),
        quantity=quantity,
        group_external_id=next(iter(item.groups), None),
        barcode=item.barcode,
        text=_text(item, offer),
    )


def _text(item: wire.Item, offer: wire.Offer | None) -> ListingText:
    """The text without the title that `description_of` put before it: it would be put there again."""
    shown = None if offer is None else offer.listing_description
    return ListingText(
        title=_whole_title(item.product.title, offer, item),
        description_html=without_head(item.product.description if shown is None else shown, item.product.title),
        images=item.product.image_urls,
        specifics={name: ", ".join(values) for name, values in item.product.aspects.items()},
    )


def _status(offer: wire.Offer | None, quantity: int | None) -> ListingStatus:
    """eBay does not tell what was withdrawn from what was never on sale: both are unpublished, and can be published.

    What is unpublished without a unit to sell waits for its first one (see client.set_quantity): a draft.
    """
    if offer is None:
        return "ended"
    if offer.status == "PUBLISHED":
        shown = "ACTIVE" if offer.listing is None else offer.listing.listing_status
        if shown in _GONE:
            return "ended"
        return "draft" if shown == "INACTIVE" else "active"
    return "draft" if quantity == 0 else "ended"


def is_live(offer: wire.Offer | None) -> bool:
    """Whether writing to it revises a listing that buyers see."""
    return offer is not None and _status(offer, None) == "active"


def choose(offers: Sequence[wire.Offer], marketplace_id: str) -> wire.Offer | None:
    """The fixed-price offer of this marketplace, which was asked for; the published one if there were two."""
    ours = [each for each in offers if each.marketplace_id in (marketplace_id, "") and each.format == "FIXED_PRICE"]
    return max(ours, key=lambda each: each.status == "PUBLISHED", default=None)


# What eBay is told


def title_of(title: str) -> str:
    """At most 80 characters, cut after a word where there is one."""
    if len(title) <= _TITLE:
        return title
    cut = title[: _TITLE + 1].rsplit(None, 1)[0].rstrip(" ,;:-–")
    return cut if 0 < len(cut) <= _TITLE else title[:_TITLE]


def description_of(title: str, description_html: str) -> str:
    """The listing's text; never empty, since eBay publishes nothing without one."""
    head = f"<p>{html.escape(title)}</p>" if len(title) > _TITLE or not description_html.strip() else ""
    return head + description_html


def without_head(text: str, title: str) -> str:
    """The text without the title that `description_of` put before it. `title` is what eBay shows of it."""
    found = _HEAD.match(text)
    if found is None:
        return text
    head = html.unescape(found[1])
    ours = title_of(head) == title and (len(head) > _TITLE or found.end() == len(text))
    return text[found.end() :] if ours else text


def _whole_title(title: str, offer: wire.Offer | None, item: wire.Item) -> str:
    """The title before it was cut, where the text still has it."""
    for text in (offer.listing_description if offer is not None else None, item.product.description):
        found = _HEAD.match(text or "")
        if found is not None and title_of(head := html.unescape(found[1])) == title:
            return head
    return title


def _product_text(text: str) -> str:
    """The same for the inventory item, which holds 4,000 characters: cut without its markup where it is longer."""
    if len(text) <= _PRODUCT_TEXT:
        return text
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())[:_PRODUCT_TEXT]


def condition_of(offer: Offer, otherwise: str) -> str:
    """The offer's own attribute "Condition" where it is one of eBay's, else the account's."""
    for name, value in offer.attributes.items():
        if name.casefold() == "condition":
            spelled = re.sub(r"[^A-Z]+", "_", value.upper()).strip("_")
            spelled = _ALSO.get(spelled, spelled)
            if spelled in CONDITIONS:
                return spelled
    return otherwise


def aspects_of(offer: Offer) -> dict[str, list[str]]:
    """Item specifics: brand, attributes and the choices of a variation, by name."""
    named = {name: value for name, value in offer.attributes.items() if name.casefold() != "condition" and value}
    if offer.brand and "brand" not in {name.casefold() for name in named}:
        named["Brand"] = offer.brand
    if offer.group is not None:
        same = {option.casefold() for option in offer.group.options}
        named = {name: value for name, value in named.items() if name.casefold() not in same}
        named |= dict(zip(offer.group.options, offer.choices, strict=False))
    return {name: [value] for name, value in named.items()}


def product_body(offer: Offer) -> dict[str, Any]:
    """The part of an inventory item that describes the goods."""
    body: dict[str, Any] = {
        "title": title_of(offer.title),
        "description": _product_text(description_of(offer.title, offer.description_html)),
        "aspects": aspects_of(offer),
        "imageUrls": list(offer.images[:_PICTURES]),
    }
    if offer.brand:
        body["brand"] = offer.brand
    if offer.barcode and (kind := _kind_of(offer.barcode)):
        body[kind] = [offer.barcode]
    return body


def _kind_of(barcode: str) -> str | None:
    """The field of a GTIN, by its length and prefix (ISO 2108: ISBN-13 begins with 978 or 979)."""
    if not barcode.isascii() or not barcode[:-1].isdigit():
        return None
    if len(barcode) == 10 or (len(barcode) == 13 and barcode.startswith(("978", "979"))):
        return "isbn"
    if not barcode.isdigit():
        return None
    return {12: "upc", 8: "ean", 13: "ean"}.get(len(barcode))


def item_body(offer: Offer, terms: Terms) -> dict[str, Any]:
    """A new inventory item."""
    body: dict[str, Any] = {
        "availability": {"shipToLocationAvailability": {"quantity": offer.quantity}},
        "condition": condition_of(offer, terms.condition),
        "product": product_body(offer),
    }
    if offer.weight_grams:
        body["packageWeightAndSize"] = {"weight": {"value": offer.weight_grams, "unit": "GRAM"}}
    return body


def writable(item: wire.Item) -> dict[str, Any]:
    """The whole item as it can be written back."""
    fields = {name: value for name, value in item.fields().items() if name not in _ITEM_FIXED}
    fields.get("availability", {}).get("shipToLocationAvailability", {}).pop("allocationByFormat", None)
    return fields


def revised_item(item: wire.Item, offer: Offer) -> dict[str, Any]:
    """The whole item with what the offer says of the goods; what it leaves open, quantity above all, stays."""
    before = writable(item)
    product = before.get("product", {})
    text = offer.description_html or without_head(item.product.description, item.product.title)
    described = product_body(offer.model_copy(update={"description_html": text}))
    told = {name: value for name, value in described.items() if value}
    if not text and not item.product.description:
        del told["description"]
    if "aspects" in told:
        told["aspects"] = {**product.get("aspects", {}), **told["aspects"]}
    body = {**before, "product": {**product, **told}}
    if offer.weight_grams:
        packed = body.get("packageWeightAndSize", {})
        body["packageWeightAndSize"] = {**packed, "weight": {"value": offer.weight_grams, "unit": "GRAM"}}
    return body


def offer_body(offer: Offer, sku: str, terms: Terms, marketplace_id: str) -> dict[str, Any]:
    """A new fixed-price offer. Without a quantity of its own, the inventory item's is shown."""
    return {
        "sku": sku,
        "marketplaceId": marketplace_id,
        "format": "FIXED_PRICE",
        "listingDuration": "GTC",
        "categoryId": terms.category_id,
        "listingDescription": description_of(offer.title, offer.description_html),
        "merchantLocationKey": terms.location_key,
        "listingPolicies": {
            "paymentPolicyId": terms.payment_policy_id,
            "fulfillmentPolicyId": terms.fulfillment_policy_id,
            "returnPolicyId": terms.return_policy_id,
        },
        "pricingSummary": {"price": amount(offer.price)},
    }


def revised_offer(before: wire.Offer, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The whole offer with `changes`, without what cannot be changed."""
    fields = {**before.fields(), **changes}
    return {name: value for name, value in fields.items() if name not in _FIXED}


_FIXED = frozenset({"offerId", "sku", "marketplaceId", "format", "status", "listing"})
_ITEM_FIXED = frozenset({"sku", "locale", "groupIds", "inventoryItemGroupKeys"})


def amount(price: Money) -> dict[str, str]:
    return {"value": price.plain(), "currency": price.currency}


def group_key(group: OfferGroup) -> str:
    """eBay's key of the group: up to 50 characters of the alphabet of SKUs."""
    return spell(group.key)


def group_body(offer: Offer, group: OfferGroup, sku: str, before: wire.Group | None) -> dict[str, Any]:
    """The group with this variation in it: its members, the choices they come in, and what they share.

    Where the group says nothing itself, what its first variation said stays, so that the others do not take turns.
    """
    kept = {} if before is None else group_fields(before)
    members = list(kept.get("variantSKUs", []))
    known = {each.name: set(each.values) for each in before.varies_by.specifications} if before is not None else {}
    for option, choice in zip(group.options, offer.choices, strict=False):
        known.setdefault(option, set()).add(choice)
    mine = {name: values for name, values in aspects_of(offer).items() if name not in group.options}
    shared = {name: values for name, values in kept.get("aspects", mine).items() if mine.get(name, values) == values}
    text = group.description_html or ("" if kept.get("description") else offer.description_html)
    return {
        **kept,
        # in the path already, but the newer document requires it here too
        "inventoryItemGroupKey": group_key(group),
        "title": title_of(group.title),
        "description": description_of(group.title, text) if text else kept.get("description") or group.title,
        "aspects": shared,
        "imageUrls": list(group.images[:_PICTURES]) or kept.get("imageUrls") or list(offer.images[:_PICTURES]),
        "variantSKUs": members if sku in members else [*members, sku],
        "variesBy": {
            "aspectsImageVariesBy": kept.get("variesBy", {}).get("aspectsImageVariesBy") or [group.options[0]],
            "specifications": [
                {"name": option, "values": _in_order(known.get(option, set()), group.values.get(option, ()))}
                for option in group.options
            ],
        },
    }


def group_without(before: wire.Group, sku: str) -> dict[str, Any]:
    """The group without one of its members; the choices stay, since others may have them."""
    return {**group_fields(before), "variantSKUs": [each for each in before.variant_sku_s if each != sku]}


def group_fields(group: wire.Group) -> dict[str, Any]:
    """The whole group as it can be written back."""
    return group.fields()


def _in_order(values: set[str], order: Sequence[str]) -> list[str]:
    return [value for value in order if value in values] + sorted(values - set(order))
