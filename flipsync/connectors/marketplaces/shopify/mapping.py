"""Translation between Shopify and FlipSync's values. Pure; raises ValueError for data that cannot be used."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from datetime import UTC
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from flipsync.connectors.marketplaces.shopify import wire
from flipsync.connectors.marketplaces.shopify.documents import (
    ENDED_KEY,
    IMAGES_KEY,
    NAMESPACE,
    PUBLISH_KEY,
)
from flipsync.connectors.marketplaces.shopify.specifics import specifics_of
from flipsync.domain.channel import (
    ListingState,
    ListingStatus,
    ListingText,
    Offer,
    OfferGroup,
)
from flipsync.domain.money import Money

_GID = re.compile(r"gid://shopify/([A-Za-z]+)/(\d{1,20})", re.ASCII)
_ON_SALE = frozenset({"ACTIVE", "UNLISTED"})  # an unlisted product can be bought by whoever has its address
_NO_FAMILY = ("Title", "Default Title")


def is_gid(text: str, kind: str) -> bool:
    """Whether this is the global id of a thing of that kind."""
    match = _GID.fullmatch(text)
    return match is not None and match.group(1) == kind


def gid(kind: str, number: str) -> str:
    """A global id from a global id or from the bare number that the admin's addresses show. Raises ValueError."""
    text = number.strip()
    if is_gid(text, kind):
        return text
    if text.isascii() and text.isdigit():
        return f"gid://shopify/{kind}/{text}"
    raise ValueError(f"{number!r} is not the id of a {kind.lower()}")


def number_of(global_id: str) -> int:
    """The number in a global id."""
    return int(global_id.rpartition("/")[2])


def money(amount: Decimal, currency: str) -> Money:
    """Half up, as Shopify rounds."""
    return Money.round_decimal(amount, currency, ROUND_HALF_UP)


def quoted(text: str) -> str:
    """A term of Shopify's search syntax that means this text and nothing else."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def idempotency_key(*parts: str) -> str:
    """A UUID, as Shopify recommends, that is the same for the same parts."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(("flipsync", *parts))))


def handle(kind: str, name: str) -> str:
    """The product's address in the shop. It says what a second creation would collide with: one SKU or one group."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    mark = hashlib.sha256(f"{kind}\n{name}".encode()).hexdigest()[:8]
    return f"{words}-{mark}" if words else f"{kind}-{mark}"


# Listings


def status_of(row: wire.Variant) -> ListingStatus:
    """On sale when the product is active and both it and the variant are shown in the online store.

    Ended are archived products, and single variants taken out of the store. Where the app may not see what is
    published, the product's own status is all there is.
    """
    if row.product.status == "ARCHIVED":
        return "ended"
    if row.product.status not in _ON_SALE or row.product.published_on_publication is False:
        return "draft"
    return "ended" if taken_out(row) else "active"


def taken_out(row: wire.Variant) -> bool:
    """Whether this one variation is hidden while its product may be shown."""
    return not row.product.has_only_default_variant and row.published_on_publication is False


def title_of(row: wire.Variant) -> str:
    return row.product.title if row.product.has_only_default_variant else f"{row.product.title} - {row.title}"


def listing(row: wire.Variant, currency: str) -> ListingState:
    """The version is the quantity itself: Shopify compares it when a new one is set.

    A tracked item that is not stocked at our location has nothing to sell there.
    """
    quantity: int | None = None
    moments = [row.updated_at, row.product.updated_at]
    if row.inventory_item.tracked:
        quantity = 0
        level = row.inventory_item.inventory_level
        if level is not None and level.available is not None:
            quantity = level.available.quantity
            if level.available.updated_at is not None:
                moments.append(level.available.updated_at)
    return ListingState(
        external_id=row.id,
        sku=row.sku,
        title=title_of(row),
        status=status_of(row),
        price=money(row.price, currency),
        quantity=quantity,
        version=None if quantity is None else str(quantity),
        modified_at=max(moments).astimezone(UTC),
        group_external_id=None if row.product.has_only_default_variant else row.product.id,
        barcode=row.barcode or None,
        text=ListingText(
            title=row.product.title,
            description_html=row.product.description_html,
            images=pictures(row.product),
            specifics=specifics_of(row),
            of_group=not row.product.has_only_default_variant,
        ),
    )


def pictures(product: wire.Product) -> tuple[str, ...] | None:
    """Addresses without the version that Shopify puts behind them; None while some are being processed, or were not
    asked for."""
    if product.media is None or any(each.image is None for each in product.media.nodes if "/MediaImage/" in each.id):
        return None
    return tuple(each.image.url.partition("?")[0] for each in product.media.nodes if each.image is not None)


def note(key: str, value: str, kind: str = "single_line_text_field") -> dict[str, str]:
    """A metafield of ours."""
    return {"namespace": NAMESPACE, "key": key, "type": kind, "value": value}


def images_note(images: Sequence[str]) -> dict[str, str]:
    """What is remembered of the images sent: Shopify copies each one anew whenever it is sent."""
    return note(IMAGES_KEY, json.dumps(list(images)), "json")


def files(images: Sequence[str]) -> list[dict[str, str]]:
    return [{"originalSource": source, "contentType": "IMAGE"} for source in images]


def product_text(
    offer: Offer, described: Offer | OfferGroup, category: str | None = None, specifics: Sequence[dict[str, str]] = ()
) -> dict[str, Any]:
    """Title and text of what is `described`, with the offer's brand, type, category and specifics. `category` is one
    of Shopify's, `specifics` are metafields."""
    body: dict[str, Any] = {"title": described.title, "descriptionHtml": described.description_html}
    if offer.brand:
        body["vendor"] = offer.brand
    if offer.category:
        body["productType"] = offer.category
    if category is not None:
        body["category"] = category
    if specifics:
        body["metafields"] = list(specifics)
    return body


def variant_details(offer: Offer) -> dict[str, Any]:
    """What is a variant's own beside price, stock and SKU."""
    body: dict[str, Any] = {}
    if offer.barcode:
        body["barcode"] = offer.barcode
    if offer.weight_grams is not None:
        body["inventoryItem"] = {"measurement": {"weight": {"value": float(offer.weight_grams), "unit": "GRAMS"}}}
    return body


def _stocked(body: dict[str, Any]) -> dict[str, Any]:
    """Counted by Shopify, and not sold beyond the count."""
    return {**body, "inventoryPolicy": "DENY", "inventoryItem": {**body.get("inventoryItem", {}), "tracked": True}}


def option_values(offer: Offer) -> list[dict[str, str]]:
    names, choices = (offer.group.options, offer.choices) if offer.group is not None else ((), ())
    if offer.group is not None and len(names) != len(choices):
        raise ValueError(f"{len(choices)} choices for {len(names)} options")
    pairs = list(zip(names, choices, strict=True)) or [_NO_FAMILY]
    return [{"optionName": name, "name": choice} for name, choice in pairs]


def _options(offer: Offer) -> list[dict[str, Any]]:
    if offer.group is None:
        return [{"name": _NO_FAMILY[0], "values": [{"name": _NO_FAMILY[1]}]}]
    rows = []
    for place, (name, choice) in enumerate(zip(offer.group.options, offer.choices, strict=True)):
        values = dict.fromkeys((*offer.group.values.get(name, ()), choice))
        rows.append({"name": name, "position": place + 1, "values": [{"name": value} for value in values]})
    return rows


def creation_input(
    offer: Offer, key: str, location: str, category: str | None = None, specifics: Sequence[dict[str, str]] = ()
) -> dict[str, Any]:
    """A new product for `productSet`, with one variant: itself, or the first variation of its group."""
    single = offer.group is None
    text = product_text(offer, offer.group or offer, category, specifics if single else ())
    # the first variation's stand for a group without its own
    images = (offer.group.images if offer.group is not None else ()) or offer.images
    variant = {
        **_stocked(variant_details(offer)),
        "optionValues": option_values(offer),
        "sku": offer.sku,
        "price": offer.price.plain(),
        "inventoryQuantities": [{"locationId": location, "name": "available", "quantity": offer.quantity}],
        "metafields": [note(PUBLISH_KEY, key), *(() if single else specifics)],
    }
    return {
        **text,
        "handle": handle("sku", offer.sku) if offer.group is None else handle("group", offer.group.key),
        "status": "ACTIVE",
        "files": files(images),
        "metafields": [*text.get("metafields", ()), images_note(images)],
        "productOptions": _options(offer),
        "variants": [variant],
    }


def variation_input(offer: Offer, key: str, location: str, specifics: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    """One more variant of a product that is there, for `productVariantsBulkCreate`."""
    body = _stocked(variant_details(offer))
    body["inventoryItem"]["sku"] = offer.sku
    return {
        **body,
        "optionValues": option_values(offer),
        "price": offer.price.plain(),
        "inventoryQuantities": [{"locationId": location, "availableQuantity": offer.quantity}],
        "metafields": [note(PUBLISH_KEY, key), *specifics],
    }


def relisting_input(
    variant_id: str, offer: Offer, key: str, specifics: Sequence[dict[str, str]] = ()
) -> dict[str, Any]:
    """A variant that goes back on sale: price and details as offered; its stock is set by itself."""
    return {
        **_stocked(variant_details(offer)),
        "id": variant_id,
        "price": offer.price.plain(),
        "metafields": [note(PUBLISH_KEY, key), *specifics],
    }


def other_choices(offer: Offer, shown: Sequence[wire.SelectedOption]) -> list[dict[str, str]]:
    """The offer's choices where the shop shows others; none where its product has options of other names."""
    if offer.group is None or len(offer.group.options) != len(offer.choices):
        return []
    names = {row.name.strip().casefold(): row.name for row in shown}
    wanted = dict(zip((name.strip().casefold() for name in offer.group.options), offer.choices, strict=True))
    if set(names) != set(wanted) or all(row.value == wanted[row.name.strip().casefold()] for row in shown):
        return []
    return [{"optionName": names[name], "name": choice} for name, choice in wanted.items()]


def ended_input(row: wire.Variant) -> dict[str, Any]:
    """Remembers which publishing was ended, so that a late repeat of it does not put the goods back on sale."""
    return {"id": row.id, "metafields": [note(ENDED_KEY, row.publish_key or "none")]}
