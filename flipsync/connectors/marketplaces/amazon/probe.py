"""What can be learned about an account without changing anything."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from flipsync.connectors.marketplaces.amazon import wire
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.marketplaces.amazon.feeds import rows_of_listings
from flipsync.connectors.marketplaces.amazon.places import MARKETPLACES, REGIONS
from flipsync.connectors.unread import usable
from flipsync.domain.channel import ChannelInfo
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Currency

_CURRENCY = TypeAdapter[str](Currency)
_API_VERSION = "Listings Items 2021-08-01, Orders 2026-01-01"
#: Never sent for good: only asked about.
_QUESTION_SKU = "flipsync-permission-question"


async def probe(api: SellerApi, access_ends_at: datetime | None) -> ChannelInfo:
    """Name, currency, and whether listings may be written. Raises Rejected(auth) when the account refuses the token."""
    notes: list[str] = []
    answer = await api.call("getMarketplaceParticipations", wire.Participations.model_validate)
    here = next((row for row in answer.payload if row.marketplace.id == api.marketplace_id), None)
    currency = here.marketplace.default_currency_code if here else api.config.currency
    if here is None:
        notes.append(f"the account does not sell in marketplace {api.marketplace_id}")
    else:
        if not here.participation.is_participating:
            notes.append("the account is not active in this marketplace")
        if here.participation.has_suspended_listings:
            notes.append("Amazon has suspended listings of this account")
        if currency != api.config.currency:
            notes.append(f"the marketplace sells in {currency}, the account is set to {api.config.currency}")
    _check_region(api, notes)
    if api.config.notification_url is None or "queue_arn" not in api.config.options:
        notes.append("no queue is set for notifications: sales are seen when the order list is read, minutes later")
    can_read = await _can_read(api, notes)
    can_write = await _can_write(api, notes)
    return ChannelInfo(
        name=(here.store_name or here.marketplace.name) if here else api.seller_id,
        version=_API_VERSION,
        currency=usable(_CURRENCY.validate_python, currency),
        can_read=can_read,
        can_write=can_write,
        notes=tuple(notes),
        access_ends_at=access_ends_at,
        # a token of somebody else may not read this seller's listings
        seller_id=api.seller_id if can_read else "",
    )


def _check_region(api: SellerApi, notes: list[str]) -> None:
    place = MARKETPLACES.get(api.marketplace_id)
    host = api.config.base_url.host
    served = next((region for region, url in REGIONS.items() if urlsplit(url).hostname == host), None)
    if place is not None and served is not None and served != place.region:
        notes.append(f"{host} does not serve this marketplace: use {REGIONS[place.region]}")


async def _can_read(api: SellerApi, notes: list[str]) -> bool:
    try:
        path = {"sellerId": api.seller_id}
        params = [*api.here, ("pageSize", "1")]
        # what is listed may be read or not: this asks for the permission
        decode = partial(wire.ItemSearch.model_validate, context=rows_of_listings().context)
        await api.call("searchListingsItems", decode, path=path, params=params)
    except Rejected as refused:
        notes.append(f"the application may not read listings ({refused.message})")
        return False
    return True


async def _can_write(api: SellerApi, notes: list[str]) -> bool:
    """A validation preview is judged and forgotten, but only for applications that may write."""
    body = {"productType": "PRODUCT", "requirements": "LISTING_OFFER_ONLY", "attributes": {}}
    preview = [("mode", "VALIDATION_PREVIEW")]
    try:
        await api.item("putListingsItem", _QUESTION_SKU, wire.Submission.model_validate, preview, body=body, reads=True)
    except Rejected as refused:
        if refused.auth:
            notes.append(f"the application may not write listings ({refused.message})")
            return False
        if refused.vendor_status not in (400, 404):  # the question was understood, and found odd
            raise
    return True
