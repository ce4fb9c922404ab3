"""What can be learned about an eBay account without changing anything."""

from __future__ import annotations

from collections.abc import Awaitable

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.ebay import limits, wire
from flipsync.connectors.marketplaces.ebay.api import INVENTORY, EbayApi, nothing
from flipsync.connectors.marketplaces.ebay.rivals import Rivals
from flipsync.connectors.marketplaces.ebay.settings import KINDS, SellerSettings
from flipsync.connectors.oauth import access_ends
from flipsync.connectors.vault import Vault
from flipsync.domain.channel import ChannelInfo
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable

_VERSION = "Sell Inventory v1"


async def probe(
    api: EbayApi, config: AccountConfig, vault: Vault, settings: SellerSettings, rivals: Rivals
) -> ChannelInfo:
    """Permissions, currency, policies and quotas. Raises Rejected(auth) when the account cannot even read listings."""
    notes: list[str] = []
    await api.read(f"{INVENTORY}/inventory_item", nothing, limits.INVENTORY, [("limit", "1"), ("offset", "0")])
    can_read = await _may(
        api.read("/sell/fulfillment/v1/order", nothing, limits.FULFILLMENT, [("limit", "1")]),
        "the account may not read orders",
        notes,
    )
    can_write = await _can_write(api, notes)
    if api.site.currency != config.currency:
        notes.append(f"{api.site.id} sells in {api.site.currency}, the account is set to {config.currency}")
    await _registration(api, notes)
    for kind in KINDS:
        await _may(settings.policy(kind), "", notes)
    await _may(settings.location(), "", notes)
    name, seller_id = api.site.id, ""
    try:
        user = await rivals.account()
        name, seller_id = user.username or name, user.user_id or user.username
    except Rejected as refused:
        notes.append(f"eBay does not say who the seller is ({refused.message})")
    await _quotas(api, notes)
    async with vault.open() as opened:
        ends = access_ends(opened.credentials)
    return ChannelInfo(
        name=name,
        version=_VERSION,
        currency=api.site.currency,
        can_read=can_read,
        can_write=can_write,
        notes=tuple(notes),
        access_ends_at=ends,
        seller_id=seller_id,
    )


async def _may(asked: Awaitable[object], what: str, notes: list[str]) -> bool:
    try:
        await asked
    except Rejected as refused:
        notes.append(f"{what} ({refused.message})" if what else f"{refused.message}: {refused.hint}")
        return False
    return True


async def _can_write(api: EbayApi, notes: list[str]) -> bool:
    """An update of nothing is refused for what it lacks by whoever may write, for permissions by whoever may not."""
    try:
        await api.inventory("POST", "/bulk_update_price_quantity", nothing, {"requests": []})
    except Rejected as refused:
        if not refused.auth:
            return True
        notes.append(f"the account may not write ({refused.message})")
        return False
    except OutcomeUnknown as unknown:
        raise Retryable(unknown.message, vendor_status=unknown.vendor_status) from unknown
    return True


async def _registration(api: EbayApi, notes: list[str]) -> None:
    try:
        told = await api.read("/sell/account/v1/privilege", wire.Privileges.model_validate, limits.ACCOUNT)
    except Rejected as refused:
        notes.append(f"the account's selling privileges cannot be read ({refused.message})")
        return
    if not told.seller_registration_completed:
        notes.append("the seller's registration at eBay is not complete")


async def _quotas(api: EbayApi, notes: list[str]) -> None:
    """Quotas that are used up; a keyset that may not ask keeps the documented ones."""
    try:
        quotas = await api.learn_limits()
    except (Rejected, Retryable):
        return
    notes.extend(f"today's calls to {quota.bucket} are used up" for quota in quotas if quota.remaining == 0)
