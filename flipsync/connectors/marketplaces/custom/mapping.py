"""Translation between the custom-channel protocol and FlipSync's values. Pure; raises ValueError for unusable data."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flipsync.connectors.marketplaces.custom import wire
from flipsync.connectors.request import VendorError
from flipsync.connectors.unread import notice_of_unread
from flipsync.domain.channel import (
    Address,
    ChannelOrder,
    ChannelOrderLine,
    ChannelRefund,
    ListingState,
    ListingText,
    Offer,
    RefundOrder,
    RivalOffer,
    WebhookNotice,
)
from flipsync.domain.errors import InvalidInput, Unauthenticated
from flipsync.domain.money import Money

TOPICS = ("order.created", "order.updated", "listing.updated")
_SIGNATURE_WINDOW = timedelta(minutes=5)


def money_body(amount: Money) -> dict[str, Any]:
    return {"amount_minor": amount.amount_minor, "currency": amount.currency}


def descriptive_body(offer: Offer) -> dict[str, Any]:
    """What may be changed on a listing that exists: everything but price and quantity."""
    return {
        "title": offer.title,
        "description_html": offer.description_html,
        "barcode": offer.barcode,
        "brand": offer.brand,
        "category": offer.category,
        "images": list(offer.images),
        "weight_grams": offer.weight_grams,
        "attributes": dict(offer.attributes),
    }


def creation_body(offer: Offer) -> dict[str, Any]:
    return {**descriptive_body(offer), "price": money_body(offer.price), "quantity": offer.quantity}


def refund_body(wish: RefundOrder) -> dict[str, Any]:
    return {
        "amount": money_body(wish.amount),
        "reason": wish.reason,
        "reference": wish.reference,
        "restock": dict(wish.units) if wish.restock else {},
    }


def decode_refund_id(data: Any) -> str:
    return wire.Refund.model_validate(data).id


def listing(row: wire.Listing) -> ListingState:
    return ListingState(
        external_id=row.sku,
        sku=row.sku,
        title=row.title,
        status=row.status,
        price=row.price.money() if row.price else None,
        quantity=row.quantity,
        shown_before=row.quantity_before,
        version=str(row.stock_version),
        modified_at=row.modified_at,
        text=ListingText(
            title=row.title, description_html=row.description_html, images=row.images, specifics=row.attributes
        ),
    )


def decode_listing(data: Any) -> ListingState:
    return listing(wire.Listing.model_validate(data))


def order(row: wire.Order) -> ChannelOrder:
    """A refunded order still holds what its refunds did not put back on sale; a cancelled one holds nothing."""
    return ChannelOrder(
        external_id=row.id,
        number=row.number,
        status=row.status,
        vendor_status=row.status,
        holds_stock=row.status != "cancelled",
        placed_at=row.placed_at,
        modified_at=row.modified_at,
        currency=row.currency,
        lines=tuple(
            ChannelOrderLine(
                external_id=line.id,
                listing_external_id=line.sku or None,
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                total=line.total.money(),
                tax=line.tax.money(),
            )
            for line in row.lines
        ),
        shipping=row.shipping.money(),
        tax=row.tax.money(),
        total=row.total.money(),
        channel_fee=row.fee.money() if row.fee else None,
        refunds=tuple(
            ChannelRefund(
                external_id=refund.id,
                amount=refund.amount.money(),
                restocked={line: units for line, units in refund.restocked.items() if units > 0},
                created_at=refund.created_at,
                reference=refund.reference,
            )
            for refund in row.refunds
        ),
        ship_to=Address(**row.ship_to.model_dump()),
        buyer_note=row.note,
    )


def decode_order(data: Any) -> ChannelOrder:
    return order(wire.Order.model_validate(data))


def rival(row: wire.Rival) -> RivalOffer:
    return RivalOffer(
        sku=row.sku,
        seller=row.seller,
        price=row.price.money(),
        in_stock=row.in_stock,
        seen_at=row.seen_at,
    )


def read_error(status: int, body: Any) -> VendorError:
    """A problem document (RFC 9457); anything else tells no more than its status."""
    try:
        problem = wire.Problem.model_validate(body)
    except ValueError:
        return VendorError()
    hint = ""
    if status == 401:
        hint = "the token is unknown or expired: store a new one"
    elif status == 403:
        hint = "the token may read but not write"
    return VendorError(code=problem.code, message=problem.detail or problem.title, hint=hint)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """PROTOCOL.md, Webhooks: HMAC-SHA256 over timestamp, a full stop and the raw body."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


def webhook(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> WebhookNotice:
    """Verify and translate one delivery. Raises Unauthenticated or InvalidInput."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    timestamp = lower.get("x-channel-timestamp", "")
    given = lower.get("x-channel-signature", "")
    expected = signature(secret, timestamp, body)
    if not given or not hmac.compare_digest(expected.encode(), given.encode()):
        raise Unauthenticated("the webhook's signature does not match", hint="renew the subscription's secret")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        raise Unauthenticated("the webhook's time stamp is not Unix seconds")
    if abs(now - datetime.fromtimestamp(int(timestamp), UTC)) > _SIGNATURE_WINDOW:
        raise Unauthenticated("the webhook's time stamp is more than 5 minutes off", hint="check both clocks")
    topic = lower.get("x-channel-topic", "")
    data: Any = None
    try:
        data = json.loads(body)
        if topic.startswith("order."):
            found = decode_order(data)
            key = f"{topic}:{found.external_id}:{found.modified_at.isoformat()}:{found.vendor_status}"
            return WebhookNotice(
                kind="order",
                topic=topic,
                resource_id=found.external_id,
                dedup_key=key,
                modified_at=found.modified_at,
                order=found,
            )
        if topic.startswith("listing."):
            state = decode_listing(data)
            moment = state.modified_at.isoformat() if state.modified_at else ""
            return WebhookNotice(
                kind="listing",
                topic=topic,
                resource_id=state.external_id,
                dedup_key=f"{topic}:{state.external_id}:{moment}:{state.version}",
                modified_at=state.modified_at,
            )
    except (ValueError, RecursionError) as error:
        told = data.get("id") if isinstance(data, dict) and topic.startswith("order.") else None
        if isinstance(told, str) and 0 < len(told) <= 200:
            return notice_of_unread(topic, told, body)
        raise InvalidInput(f"the body is not what topic {topic!r} promises") from error
    delivery = lower.get("x-channel-delivery") or hashlib.sha256(body).hexdigest()
    return WebhookNotice(kind="other", topic=topic, resource_id="", dedup_key=f"{topic}:{delivery}")
