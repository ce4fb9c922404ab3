"""Translation between Amazon's shapes and FlipSync's values. Pure; raises ValueError for unusable data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx2

from flipsync.connectors.marketplaces.amazon import wire, wire_market
from flipsync.connectors.request import VendorError
from flipsync.domain.channel import (
    ListingState,
    ListingStatus,
    ListingText,
    RivalOffer,
)
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import Money

#: The fulfilment channel of stock that is our own; every other one is a warehouse of Amazon's.
OWN_STOCK = "DEFAULT"
#: "… has expired", "… is revoked, malformed or invalid": a new token may help, where for a missing role none does.
_STALE = "access token you provided"


def read_error(status: int, body: Any) -> VendorError:
    """An ErrorList. A stale token is told as 403 Unauthorized, and only its words tell it from a missing role."""
    try:
        error = wire.ErrorList.model_validate(body).errors[0]
    except ValueError:
        return VendorError()
    said = f"{error.message} {error.details}"
    expired = status in (401, 403) and _STALE in said.lower()
    hint = ""
    if status == 403 and not expired:
        hint = "the application lacks the role for this operation, or the seller's authorization was withdrawn"
    message = error.message or error.code
    if error.details and error.details != error.message:
        message = f"{message} ({error.details})"
    return VendorError(error.code, message, hint=hint, expired=expired, missing=error.code == "NotFound")


#: Codes of refusals that an answer with status 200 may carry: slowed down, and refused for good.
_THROTTLED = re.compile(r"quota|throttl|too_?many", re.I)
_REFUSED = re.compile(
    r"invalid|unauthorized|denied|forbidden|not_?found|unsupported|conflict|missing|bad_?request", re.I
)


def failure_inside(data: Any, *, writes: bool) -> ChannelError | None:
    """What went wrong by the `errors` of an answer whose status is that of a success; None where nothing did.

    A write whose answer shows what was made has made it, whatever else is said.
    """
    if not isinstance(data, dict) or not data.get("errors") or (writes and data.get("payload") is not None):
        return None
    found = read_error(200, data)
    message = f"HTTP 200 with an error: {found.message or 'it cannot be read'}"
    if _THROTTLED.search(found.code):
        return Retryable(message, vendor_code=found.code, vendor_status=200)
    if _REFUSED.search(found.code):
        auth = re.search(r"unauthorized|denied|forbidden", found.code, re.I) is not None
        missing = re.search(r"not_?found", found.code, re.I) is not None
        return Rejected(message, vendor_code=found.code, vendor_status=200, auth=auth, missing=missing)
    if writes:
        return OutcomeUnknown(message, hint="read back before trying again", vendor_code=found.code, vendor_status=200)
    return Retryable(message, vendor_code=found.code, vendor_status=200)


def is_stale(refused: Rejected) -> bool:
    """Whether the token of the request was refused, and a new one may help."""
    return refused.vendor_status in (401, 403) and _STALE in refused.message.lower()


def is_throttled(refused: ChannelError) -> bool:
    return refused.vendor_status == 429 or _THROTTLED.search(refused.vendor_code) is not None


def read_limits(headers: httpx2.Headers) -> tuple[float | None, int | None, float | None]:
    """x-amzn-RateLimit-Limit: the rate of this account's usage plan, in requests a second."""
    try:
        rate = float(headers.get("x-amzn-RateLimit-Limit", ""))
    except ValueError:
        return None, None, None
    return (rate if 0 < rate < 10_000 else None), None, None


# Listings

_PICTURE, _OTHER_PICTURE = "main_product_image_locator", "other_product_image_locator_"
_UNITS = frozenset({"fulfillment_channel_code", "quantity"})
_NO_SPECIFICS = frozenset({"item_name", "product_description"})


def errors_of(issues: Iterable[wire.Issue]) -> list[wire.Issue]:
    return [issue for issue in issues if issue.severity == "ERROR"]


def refusal(issues: Iterable[wire.Issue], otherwise: str) -> Rejected:
    """What Amazon has against a listing: every error with its attributes."""
    found = errors_of(issues)
    told = "; ".join(
        f"{', '.join(issue.attribute_names)}: {issue.message}" if issue.attribute_names else issue.message
        for issue in found
    )
    return Rejected(told or otherwise, vendor_code=found[0].code if found else "INVALID")


def own_quantity(item: wire.Item) -> int | None:
    """Units of our own stock on offer; None where Amazon's warehouses alone supply the listing."""
    rows = item.fulfillment_availability
    own = [row.quantity or 0 for row in rows if row.fulfillment_channel_code == OWN_STOCK]
    if own:
        return own[0]
    return None if rows else 0


def own_terms(item: wire.Item) -> tuple[tuple[str, Any], ...]:
    """What the seller said of own stock beside its units: handling time, restock date."""
    for row in _rows(item.attributes, "fulfillment_availability"):
        if row.get("fulfillment_channel_code") == OWN_STOCK:
            return tuple((name, value) for name, value in row.items() if name not in _UNITS)
    return ()


def warehouse_channels(item: wire.Item) -> tuple[str, ...]:
    """The fulfilment channels of Amazon's that also supply the listing (AMAZON_NA, AMAZON_EU, …)."""
    return tuple(
        row.fulfillment_channel_code
        for row in item.fulfillment_availability
        if row.fulfillment_channel_code != OWN_STOCK
    )


def product_type(item: wire.Item, marketplace_id: str) -> str:
    """The type the listing was made as; "PRODUCT", which fits offers of any type, where Amazon does not say."""
    types = [row.product_type for row in item.summaries if row.marketplace_id == marketplace_id]
    types += [row.product_type for row in item.product_types if row.marketplace_id in ("", marketplace_id)]
    return types[0] if types else "PRODUCT"


def is_parent(item: wire.Item) -> bool:
    """The head of a variation family, which nobody can buy."""
    if any(row.get("value") == "parent" for row in _rows(item.attributes, "parentage_level")):
        return True
    return any(relation.child_skus for here in item.relationships for relation in here.relationships)


def listing(item: wire.Item, marketplace_id: str) -> ListingState:
    """The listing as one marketplace shows it."""
    summary = next((row for row in item.summaries if row.marketplace_id == marketplace_id), None)
    price = _price(item, marketplace_id)
    quantity = own_quantity(item)
    parents = [
        sku
        for here in item.relationships
        if here.marketplace_id == marketplace_id
        for relation in here.relationships
        if relation.type == "VARIATION"
        for sku in relation.parent_skus
    ]
    return ListingState(
        external_id=item.sku,
        sku=item.sku,
        title=(summary.item_name if summary else "") or _first(item.attributes, "item_name"),
        status=_listing_status(item, summary, price, quantity),
        price=price,
        quantity=quantity,
        modified_at=summary.last_updated_date.astimezone(UTC) if summary else None,
        group_external_id=parents[0] if parents else None,
        barcode=_first(item.attributes, "externally_assigned_product_identifier") or None,
        text=_text(item),
        fulfilled_by="channel" if quantity is None else "seller",
        catalogue_id=summary.asin if summary else None,
    )


def _text(item: wire.Item) -> ListingText:
    """What the seller said of the goods; nothing where others described the page, whose words are not ours to keep."""
    said = item.attributes
    if "item_name" not in said:
        return ListingText()
    return ListingText(
        title=_first(said, "item_name"),
        description_html=_first(said, "product_description"),
        images=tuple(
            str(row["media_location"])
            for name in sorted(said, key=lambda name: (not name.startswith("main_"), name))
            if name.endswith(_PICTURE) or _OTHER_PICTURE in name
            for row in _rows(said, name)
            if row.get("media_location")
        ),
        specifics={
            name: ", ".join(str(row["value"]) for row in _rows(said, name) if row.get("value"))
            for name in said
            if name not in _NO_SPECIFICS and any("language_tag" in row for row in _rows(said, name))
        },
    )


def _listing_status(
    item: wire.Item, summary: wire.ItemSummary | None, price: Money | None, quantity: int | None
) -> ListingStatus:
    """BUYABLE is on sale. What has no units is not BUYABLE either, but on sale as soon as it has; the rest waits."""
    if summary is not None and "BUYABLE" in summary.status:
        return "active"
    if price is None:
        return "ended" if summary is not None else "draft"
    return "active" if summary is not None and quantity == 0 and not errors_of(item.issues) else "draft"


def _price(item: wire.Item, marketplace_id: str) -> Money | None:
    """The consumers' price Amazon shows, or, before it shows one, the one it was told."""
    for offer in item.offers:
        if offer.marketplace_id == marketplace_id and offer.offer_type == "B2C":
            return offer.price.money()
    for row in _rows(item.attributes, "purchasable_offer"):
        if row.get("marketplace_id", marketplace_id) != marketplace_id or row.get("audience", "ALL") != "ALL":
            continue
        try:
            amount = row["our_price"][0]["schedule"][0]["value_with_tax"]
            return Money.parse(str(amount), row["currency"])
        except (KeyError, IndexError, TypeError, ValueError):
            continue
    return None


def _rows(attributes: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = attributes.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _first(attributes: Mapping[str, Any], name: str) -> str:
    return next((str(row["value"]) for row in _rows(attributes, name) if row.get("value")), "")


# Rivals


def rivals(answer: wire_market.OffersAnswer, seen_at: datetime) -> list[RivalOffer]:
    """The offers of others on the ASIN of one SKU; prices with shipping, as buyers compare them. One whose price cannot
    be is left out."""
    found = answer.body.payload
    if found is None:
        return []
    sku = answer.request.seller_sku or found.sku
    rivals = []
    for offer in found.offers:
        if offer.my_offer:
            continue
        with suppress(ValueError):
            price = offer.listing_price.money()
            price += offer.shipping.money() if offer.shipping else Money.zero(price.currency)
            seller = offer.seller_id or "unknown"
            first = offer.is_buy_box_winner
            rivals.append(
                RivalOffer(sku=sku, seller=seller, price=price, in_stock=True, seen_at=seen_at, featured=first)
            )
    return rivals


def unanswered(answer: wire_market.OffersAnswer) -> str:
    """Why nothing is known of a SKU's offers: it was slowed down, or something broke over there; "" where all is."""
    status = answer.status.status_code if answer.status else 200
    error = answer.body.errors[0] if answer.body.errors else wire.Error()
    if status == 429 or status >= 500 or _THROTTLED.search(error.code):
        return f"{status} {error.code} {error.message}".strip()
    return ""
