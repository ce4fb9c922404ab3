"""What can be learned about a shop and an app without changing anything."""

from __future__ import annotations

from collections.abc import Iterable

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.shopify import documents, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi
from flipsync.connectors.marketplaces.shopify.documents import API_VERSION
from flipsync.connectors.marketplaces.shopify.shop import ShopPlaces
from flipsync.connectors.unread import usable
from flipsync.domain.channel import ChannelInfo
from flipsync.domain.errors import InvalidInput, Rejected

READ_SCOPES = ("read_products", "read_inventory", "read_orders", "read_merchant_managed_fulfillment_orders")
WRITE_SCOPES = ("write_products", "write_inventory", "write_merchant_managed_fulfillment_orders")
#: Without it, no money can be given back from here.
REFUND_SCOPES = ("write_orders",)
#: Without these, products are on sale only where the merchant publishes them, and variations cannot be ended alone.
SHOWING_SCOPES = ("read_publications", "write_publications")


async def probe(api: AdminApi, places: ShopPlaces, config: AccountConfig) -> ChannelInfo:
    """Raises InvalidInput, naming the locations, when the shop has several and the account chose none."""
    data = await api.send(documents.ACCOUNT, {})
    account = usable(wire.Account.model_validate, data)
    scopes = {scope.handle for scope in account.current_app_installation.access_scopes}
    notes = []
    for needed, what in ((READ_SCOPES, "read"), (WRITE_SCOPES, "write"), (SHOWING_SCOPES, "publish")):
        missing = missing_scopes(scopes, needed)
        if missing:
            notes.append(f"the app may not {what} everything: the scopes {', '.join(missing)} are missing")
    if account.shop.currency_code != config.currency:
        notes.append(f"the shop sells in {account.shop.currency_code}, the account is set to {config.currency}")
    if api.served_version != API_VERSION:
        notes.append(f"Shopify answers with version {api.served_version} instead of {API_VERSION}")
    can_read = not missing_scopes(scopes, READ_SCOPES)
    if can_read:
        await _check_location(places)
        if not missing_scopes(scopes, SHOWING_SCOPES[:1]) and await places.publication() is None:
            notes.append("the shop has no online store to publish in: set the option publication_id")
    return ChannelInfo(
        name=account.shop.name,
        version=api.served_version,
        currency=account.shop.currency_code,
        timezone=account.shop.iana_timezone,
        can_read=can_read,
        can_write=can_read and not missing_scopes(scopes, WRITE_SCOPES),
        notes=tuple(notes),
        seller_id=account.shop.myshopify_domain,
    )


def missing_scopes(granted: set[str], needed: Iterable[str]) -> list[str]:
    """Those of `needed` that were not given; the right to write includes the right to read."""
    return [scope for scope in needed if scope not in granted and f"write_{scope.removeprefix('read_')}" not in granted]


async def _check_location(places: ShopPlaces) -> None:
    try:
        await places.location()
    except Rejected as refused:
        if refused.vendor_code not in ("location", "option"):
            raise
        raise InvalidInput(refused.message, hint=refused.hint) from refused
