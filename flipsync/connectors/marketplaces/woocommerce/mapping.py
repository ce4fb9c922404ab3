"""Translation between WooCommerce and FlipSync's values. Pure; raises ValueError for data that cannot be used."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any

from flipsync.connectors.marketplaces.woocommerce import wire
from flipsync.domain.channel import (
    Address,
    ChannelOrder,
    ChannelOrderLine,
    ChannelRefund,
    ListingState,
    ListingStatus,
    ListingText,
    Offer,
    OrderStatus,
    RefundOrder,
)
from flipsync.domain.money import Money

KEY_META = "_flipsync_key"
ENDED_META = "_flipsync_ended"
IMAGES_META = "_flipsync_images"
CARRIER_META = "_flipsync_carrier"
TRACKING_META = "_flipsync_tracking_number"
_REDUCED_META = "_reduced_stock"
_RESTOCKED_META = "_restock_refunded_items"
_REFUNDED_LINE_META = "_refunded_item_id"
_BINNED_META = "_wp_trash_meta_status"

#: Types that are not one article with its own price and stock.
NOT_LISTINGS = frozenset({"variable", "variable-subscription", "grouped", "external"})
_VARIABLE = frozenset({"variable", "variable-subscription"})
#: A basket at the till: WooCommerce keeps it as an order, and drops it a day later if nothing comes of it.
NOT_ORDERED = frozenset({"checkout-draft", "auto-draft", "draft", "new"})
_ORDER_STATUS: dict[str, OrderStatus] = {
    "auto-draft": "pending",
    "checkout-draft": "pending",
    "pending": "pending",
    "on-hold": "pending",
    "processing": "paid",
    "completed": "shipped",
    "cancelled": "cancelled",
    "trash": "cancelled",
    "refunded": "refunded",
    "failed": "failed",
}
_TAKES_STOCK = frozenset({"processing", "completed", "on-hold"})
_GIVES_BACK = frozenset({"pending", "cancelled", "failed", "auto-draft", "checkout-draft"})
_GTIN = re.compile(r"[0-9-]+[0-9Xx]")
_GRAMS_PER_UNIT = {"kg": Decimal(1000), "g": Decimal(1), "lbs": Decimal("453.59237"), "oz": Decimal("28.349523125")}


def is_variable(row: wire.Product) -> bool:
    """Whether what is sold are the product's variations."""
    return row.type in _VARIABLE


def amount(text: str, currency: str) -> Money:
    """An amount of an order; stores may keep more decimals than the currency has. Half up, as WooCommerce rounds."""
    if not text.strip():
        return Money.zero(currency)
    try:
        return Money.round_decimal(Decimal(text.strip()), currency, ROUND_HALF_UP)
    except ArithmeticError as error:
        raise ValueError(f"{text!r} is not an amount") from error


def list_price(price: str, regular_price: str, currency: str) -> Money | None:
    """What a buyer pays now; None when the product has no price ("" after a price that was not understood)."""
    for text in (price, regular_price):
        try:
            if text.strip():
                return amount(text, currency)
        except ValueError:
            continue  # words of a plug-in ("from 19.90") are no price
    return None


def units(quantity: Decimal | None) -> int | None:
    """Whole units on offer; a fraction (some plug-ins) cannot be sold as one more."""
    return None if quantity is None else int(quantity.to_integral_value(rounding=ROUND_FLOOR))


# Listings


def split_id(external_id: str) -> tuple[int, int | None]:
    """(product, variation or None) of "12" or "12/34". Raises ValueError."""
    if not re.fullmatch(r"\d{1,18}(/\d{1,18})?", external_id, re.ASCII):
        raise ValueError(f"{external_id!r} is not a WooCommerce id")
    product, _, variation = external_id.partition("/")
    return int(product), int(variation) if variation else None


def product_listing(row: wire.Product, currency: str) -> ListingState:
    status: ListingStatus = "draft"
    if row.status == "publish":
        status = "active"
    elif row.status == "trash" or wire.meta_value(row.meta_data, ENDED_META):
        status = "ended"
    return ListingState(
        external_id=str(row.id),
        sku=row.sku,
        title=row.name,
        status=status,
        price=list_price(row.price, row.regular_price, currency),
        quantity=units(row.stock_quantity) if row.manage_stock else None,
        modified_at=row.date_modified_gmt,
        barcode=row.global_unique_id or None,
        text=_text(row, of_group=False),
    )


def _text(row: wire.Product, *, of_group: bool) -> ListingText:
    """What a product says; attributes that make its variations are no specifics of one."""
    return ListingText(
        title=row.name,
        description_html=row.description,
        images=None if row.images is None else tuple(image.src for image in row.images if image.src),
        specifics={each.name: ", ".join(each.options) for each in row.attributes if not each.variation},
        of_group=of_group,
    )


def variation_listing(row: wire.Variation, parent: wire.Product, currency: str) -> ListingState:
    """A variation without a SKU of its own shows its parent's, and its barcode: reporting those would fold variations
    together.

    Stock managed by the parent (`manage_stock: "parent"`) is what this variation shows, shared with its siblings.
    """
    choices = ", ".join(choice.option for choice in row.attributes if choice.option)
    status: ListingStatus = "active" if parent.status == "publish" else "draft"
    if row.status in ("private", "trash") or parent.status == "trash":
        status = "ended"  # WooCommerce's own way to take one variation off sale is "private"
    elif parent.status == "draft" and wire.meta_value(parent.meta_data, ENDED_META):
        status = "ended"
    elif row.status != "publish":
        status = "draft"
    return ListingState(
        external_id=f"{parent.id}/{row.id}",
        sku="" if row.sku == parent.sku else row.sku,
        title=f"{parent.name} - {choices}" if choices else parent.name,
        status=status,
        price=list_price(row.price, row.regular_price, currency),
        quantity=units(row.stock_quantity) if row.manage_stock else None,
        modified_at=row.date_modified_gmt,
        group_external_id=str(parent.id),
        barcode=None if row.global_unique_id in ("", parent.global_unique_id) else row.global_unique_id,
        text=_text(parent, of_group=True),
    )


def meta_rows(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def image_sources(images: Sequence[str]) -> str:
    """What is remembered of the images sent: WooCommerce copies each one anew whenever it is sent."""
    return json.dumps(list(images))


def weight_text(grams: int, unit: str) -> str:
    """Weight in the store's unit, to 4 decimals; pounds and ounces are avoirdupois. Raises KeyError for other units."""
    value = (Decimal(grams) / _GRAMS_PER_UNIT[unit]).quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)
    return f"{value.normalize():f}"


def markup_free(text: str) -> str:
    """A name as WooCommerce keeps it: HTML, which the keys of an administrator may fill with scripts."""
    return html.escape(text, quote=False)


def descriptive_body(offer: Offer, *, weight_unit: str | None, category_id: int | None) -> dict[str, Any]:
    """Everything but price, quantity, images and SKU."""
    attributes = dict(offer.attributes)
    if offer.brand:
        attributes.setdefault("Brand", offer.brand)
    body: dict[str, Any] = {
        "name": markup_free(offer.title),
        "description": offer.description_html,
        "attributes": [
            {"name": name, "position": place, "visible": True, "variation": False, "options": [value]}
            for place, (name, value) in enumerate(attributes.items())
        ],
    }
    if offer.barcode and _GTIN.fullmatch(offer.barcode):
        body["global_unique_id"] = offer.barcode
    if offer.weight_grams is not None and weight_unit in _GRAMS_PER_UNIT:
        body["weight"] = weight_text(offer.weight_grams, weight_unit)
    if category_id is not None:
        body["categories"] = [{"id": category_id}]
    return body


def beside_its_own(product: wire.Product, body: dict[str, Any]) -> dict[str, Any]:
    """What is written of a description to a product that is there.

    Its pictures are not sent back to it, or the shop would copy its own. One that the merchant has made keeps its
    categories, and its attributes, which may be the shop's filters, under their ids.
    """
    found = dict(body)
    if "images" in found and [row["src"] for row in found["images"]] == [image.src for image in product.images or ()]:
        del found["images"]
    theirs = not wire.meta_value(product.meta_data, KEY_META)
    if "categories" in found:
        filed = [{"id": each.id} for each in product.categories if each.id and each.slug != "uncategorized"]
        if found["categories"][0] in filed:
            del found["categories"]
        elif theirs:
            found["categories"] = [*filed, *found["categories"]]
    if "attributes" in found and theirs and product.attributes:
        rows = [each.model_dump() for each in product.attributes]
        for detail in found["attributes"]:
            named = detail["name"].strip().casefold()
            known = next((row for row in rows if row["name"].strip().casefold() == named), None)
            if known is None:
                rows.append({**detail, "position": len(rows)})
            elif ", ".join(known["options"]) != detail["options"][0]:
                known["options"] = detail["options"]
        found["attributes"] = rows
    return found


def images_body(offer: Offer) -> dict[str, Any]:
    return {"images": [{"src": source} for source in offer.images]}


def price_body(price: Money) -> dict[str, Any]:
    """The sale price goes, or it would stay what buyers pay."""
    return {"regular_price": price.plain(), "sale_price": ""}


def quantity_body(quantity: int) -> dict[str, Any]:
    """Without `manage_stock` the quantity is dropped with a 200."""
    return {"manage_stock": True, "stock_quantity": quantity}


def creation_body(offer: Offer, key: str, *, weight_unit: str | None, category_id: int | None) -> dict[str, Any]:
    meta = {KEY_META: key, IMAGES_META: image_sources(offer.images), ENDED_META: ""}
    return {
        **descriptive_body(offer, weight_unit=weight_unit, category_id=category_id),
        **images_body(offer),
        **price_body(offer.price),
        **quantity_body(offer.quantity),
        "type": "simple",
        "status": "publish",
        "sku": offer.sku,
        "meta_data": meta_rows(meta),
    }


# Orders


def holds_stock(row: wire.Order) -> bool:
    """Whether the order's units are off the shelf.

    Taken at processing, completed and on-hold, given back at pending, cancelled and failed. `refunded`, the bin and
    plug-ins' own statuses move nothing: there the lines tell (`_reduced_stock`), or else whether it was ever paid.
    """
    status = row.status
    if status == "trash":  # moves nothing: what it was before still holds
        status = wire.meta_value(row.meta_data, _BINNED_META).removeprefix("wc-") or status
    if status in _TAKES_STOCK:
        return True
    if status in _GIVES_BACK:
        return False
    reduced = [wire.meta_value(line.meta_data, _REDUCED_META) for line in row.line_items]
    return any(reduced) or row.date_paid_gmt is not None or bool(row.refunds)


def order_status(row: wire.Order) -> OrderStatus:
    """A status of a plug-in's is told by whether the order was ever paid."""
    return _ORDER_STATUS.get(row.status) or ("paid" if row.date_paid_gmt else "pending")


def can_be_shipped(row: wire.Order) -> bool:
    """Unpaid orders are not, but for those that are paid on delivery or by a transfer that was seen."""
    return row.status == "on-hold" or order_status(row) in ("paid", "shipped")


def order(row: wire.Order, refunds: Sequence[wire.Refund]) -> ChannelOrder:
    """`refunds` is the answer of /orders/{id}/refunds; the order itself lists too little. Raises ValueError."""
    currency = row.currency
    person = row.shipping if row.shipping.address_1 or row.shipping.city else row.billing
    return ChannelOrder(
        external_id=str(row.id),
        number=row.number or str(row.id),
        status=order_status(row),
        vendor_status=row.status,
        holds_stock=holds_stock(row),
        placed_at=row.date_created_gmt or row.changed_at,
        modified_at=row.changed_at,
        currency=currency,
        lines=tuple(_line(line, currency) for line in row.line_items),
        shipping=amount(row.shipping_total, currency),
        tax=amount(row.total_tax, currency),
        total=amount(row.total, currency),
        refunds=_refunds(row, refunds),
        ship_to=Address(
            name=f"{person.first_name} {person.last_name}".strip(),
            company=person.company,
            line1=person.address_1,
            line2=person.address_2,
            city=person.city,
            region=person.state,
            postal_code=person.postcode,
            country=person.country,
            phone=person.phone or row.billing.phone,
            email=row.billing.email,
        ),
        buyer_note=row.customer_note,
    )


def _line(row: wire.Line, currency: str) -> ChannelOrderLine:
    listing = f"{row.product_id}/{row.variation_id}" if row.variation_id else str(row.product_id)
    return ChannelOrderLine(
        external_id=str(row.id),
        listing_external_id=listing if row.product_id else None,
        sku=row.sku,
        title=row.name,
        quantity=_sold(row),
        total=amount(row.total, currency),
        tax=amount(row.total_tax, currency),
    )


def _sold(row: wire.Line) -> int:
    """Units of a line, rounded up: half a unit sold (some plug-ins) is one unit less to promise."""
    return max(0, int(row.quantity.to_integral_value(rounding=ROUND_CEILING)))


def same_words(stored: str, sent: str) -> bool:
    """Whether a text is the one that was sent, in the form WordPress keeps it: escaped, spaces as it likes."""
    return html.unescape(stored).split() == html.unescape(sent).split()


def _refunds(row: wire.Order, refunds: Sequence[wire.Refund]) -> tuple[ChannelRefund, ...]:
    """Oldest first. A refund's line items went back on sale unless the order's lines say that less did."""
    left = {str(line.id): _restocked_units(line) for line in row.line_items}
    found = []
    for refund in sorted(refunds, key=lambda refund: (refund.date_created_gmt or row.changed_at, refund.id)):
        restocked: dict[str, int] = {}
        for item in refund.line_items:
            line = _refunded_line(item, row.line_items)
            wanted = int(abs(item.quantity))
            if line is None or wanted == 0:
                continue
            limit = left.get(line)
            given = wanted if limit is None else min(wanted, limit)
            if limit is not None:
                left[line] = limit - given
            if given:
                restocked[line] = restocked.get(line, 0) + given
        found.append(
            ChannelRefund(
                external_id=str(refund.id),
                amount=amount(refund.amount.removeprefix("-"), row.currency),
                restocked=restocked,
                created_at=refund.date_created_gmt or row.changed_at,
                reference=refund.reason,
            )
        )
    return tuple(found)


def _restocked_units(line: wire.Line) -> int | None:
    """Units of this line put back by refunds, where WooCommerce's own notes tell; None where it keeps none.

    `wc_restock_refunded_items` counts them in `_restock_refunded_items` and lowers `_reduced_stock`, so a line that
    has the second without the first was refunded without restocking (`api_restock: false`).
    """
    restocked = wire.meta_value(line.meta_data, _RESTOCKED_META)
    if restocked:
        try:
            return int(Decimal(restocked))
        except (ArithmeticError, ValueError):
            return None
    return 0 if wire.meta_value(line.meta_data, _REDUCED_META) else None


def _refunded_line(item: wire.Line, lines: Sequence[wire.Line]) -> str | None:
    """The order line a refund's line is about; where the refund does not name it, the one with the same article."""
    named = wire.meta_value(item.meta_data, _REFUNDED_LINE_META)
    if named:
        return named
    same = [line for line in lines if (line.product_id, line.variation_id) == (item.product_id, item.variation_id)]
    return str(same[0].id) if item.product_id and same else None


def refund_body(row: wire.Order, wish: RefundOrder) -> dict[str, Any]:
    """Lines are named only where their units go back on sale; what counts is `amount`."""
    lines = []
    for line in row.line_items:
        wanted = wish.units.get(str(line.id), 0)
        if wanted and wish.restock and line.quantity > 0:
            share = amount(line.total, row.currency).amount_minor * wanted / _sold(line)
            worth = Money(amount_minor=min(round(share), wish.amount.amount_minor), currency=row.currency)
            lines.append({"id": line.id, "quantity": wanted, "refund_total": float(worth.decimal())})
    return {
        "amount": wish.amount.plain(),
        "reason": wish.words,
        "api_refund": True,
        "api_restock": wish.restock,
        **({"line_items": lines} if lines else {}),
    }


def decode_refund_id(data: Any) -> str:
    return str(wire.Refund.model_validate(data).id)


def shipment_meta(carrier: str, tracking_number: str) -> dict[str, str]:
    return {CARRIER_META: carrier, TRACKING_META: tracking_number}


def is_shipped_with(row: wire.Order, carrier: str, tracking_number: str) -> bool:
    kept = {key: wire.meta_value(row.meta_data, key) for key in (CARRIER_META, TRACKING_META)}
    return row.status == "completed" and kept == shipment_meta(carrier, tracking_number)


# Queries


def gmt_query(moment: datetime) -> str:
    """A time for `modified_after` with `dates_are_gmt`: UTC digits without a zone, which would shift them."""
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()
