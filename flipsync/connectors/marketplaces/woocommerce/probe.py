"""What can be learned about a shop and a key without changing anything."""

from __future__ import annotations

import re
from typing import Any

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.woocommerce import wire
from flipsync.connectors.marketplaces.woocommerce.api import ShopApi
from flipsync.connectors.marketplaces.woocommerce.stock import counts_stock
from flipsync.domain.channel import ChannelInfo
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import minor_digits


async def probe(api: ShopApi, config: AccountConfig) -> ChannelInfo:
    """Read and write permission, currency, time zone. Raises Rejected(auth) when the key cannot even read products."""
    notes: list[str] = []
    await api.read("/products", _anything, [("per_page", "1")])
    can_read = await _can_read_orders(api, notes)
    can_write = await _can_write(api, notes)
    settings = await _settings(api, notes)
    told = settings.get("woocommerce_currency", "").strip().upper()
    currency = told if re.fullmatch("[A-Z]{3}", told) else config.currency
    if currency != config.currency:
        notes.append(f"the shop sells in {currency}, the account is set to {config.currency}")
    decimals = settings.get("woocommerce_price_num_decimals", "")
    if decimals.isdigit() and int(decimals) < minor_digits(currency):
        notes.append(f"the shop rounds prices to {decimals} decimals")
    if not await counts_stock(api):
        notes.append("the shop counts no stock: enable stock management in its settings, Products, Inventory")
    index = await _index(api)
    return ChannelInfo(
        name=index.name or config.base_url.host or "",
        version=await _version(api),
        currency=currency,
        timezone=_timezone(index),
        can_read=can_read,
        can_write=can_write,
        notes=tuple(notes),
    )


def _anything(data: Any) -> None:
    return None


async def _can_read_orders(api: ShopApi, notes: list[str]) -> bool:
    try:
        await api.read("/orders", _anything, [("per_page", "1")])
    except Rejected as refused:
        notes.append(f"the key may not read orders ({refused.message})")
        return False
    return True


async def _can_write(api: ShopApi, notes: list[str]) -> bool:
    try:
        # An empty batch does nothing, but is answered only to a key that may write.
        await api.write("POST", "/products/batch", {}, _anything)
    except Rejected as refused:
        notes.append(f"the key may not write ({refused.message})")
        return False
    except OutcomeUnknown as unknown:
        raise Retryable(unknown.message, vendor_status=unknown.vendor_status) from unknown
    return True


async def _settings(api: ShopApi, notes: list[str]) -> dict[str, str]:
    try:
        rows = await api.read_rows("/settings/general", wire.Setting.model_validate)
    except Rejected:
        notes.append("the key may not read the shop's settings: its currency was not checked")
        return {}
    return {setting.id: str(setting.value) for setting in rows if setting.value is not None}


async def _index(api: ShopApi) -> wire.Index:
    """Name and time zone; some shops close it."""
    try:
        return await api.index(wire.Index.model_validate)
    except (Rejected, Retryable):
        return wire.Index()


async def _version(api: ShopApi) -> str:
    """WooCommerce's version; "" when the key may not ask or the shop takes too long to collect its status."""
    try:
        return (await api.read("/system_status", wire.SystemStatus.model_validate)).environment.version
    except (Rejected, Retryable):
        return ""


def _timezone(index: wire.Index) -> str:
    if index.timezone_string:
        return index.timezone_string
    try:
        minutes = round(float(index.gmt_offset or 0) * 60)
    except ValueError:
        return "UTC"
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"
