"""Our books against the market's: for each SKU and order, what we believe and what really happened."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import func, select

from flipsync.sandbox.records import sandbox_channel
from flipsync.store.models import (
    Allocation,
    Listing,
    MarketplaceAccount,
    Order,
    OrderLine,
    PriceChange,
    StockItem,
    Variant,
)
from flipsync.store.unit_of_work import Store


class Reconciliation(BaseModel):
    """Nothing may be lost, doubled, oversold or mismatched; `problems` says in words what is."""

    orders_placed: int
    orders_ingested: int
    orders_duplicated: int
    oversold_units: int
    stock_mismatches: int
    price_floor_breaches: int
    problems: list[str] = Field(default_factory=list)

    @property
    def clean(self) -> bool:
        return (
            self.orders_placed == self.orders_ingested
            and not self.orders_duplicated
            and not self.oversold_units
            and not self.stock_mismatches
            and not self.price_floor_breaches
        )


async def reconcile(store: Store, tenant_id: UUID, truth: dict[str, Any]) -> Reconciliation:
    """Compare with the sandbox's own books (`SandboxClient.books`)."""
    problems: list[str] = []
    async with store.reader(tenant_id) as session:
        accounts = await session.execute(select(MarketplaceAccount.id, MarketplaceAccount.vendor))
        vendors = {row[0]: row[1] for row in accounts}
        orders = [
            (sandbox_channel(vendors[account]), external, holds)
            for account, external, holds in await session.execute(
                select(Order.account_id, Order.external_id, Order.holds_stock)
            )
        ]
        lines = [
            (sku, int(reserved), int(short), int(shipped))
            for sku, reserved, short, shipped in await session.execute(
                select(
                    OrderLine.sku,
                    func.sum(OrderLine.reserved),
                    func.sum(OrderLine.short),
                    func.sum(OrderLine.shipped),
                ).group_by(OrderLine.sku)
            )
        ]
        shelves = {
            row.sku: row
            for row in await session.execute(
                select(Variant.sku, StockItem.on_hand, StockItem.reserved, StockItem.allocated, Variant.id).join(
                    StockItem, StockItem.variant_id == Variant.id
                )
            )
        }
        shares = list(
            await session.execute(
                select(
                    Listing.sku,
                    Listing.account_id,
                    Listing.price_minor,
                    Listing.quantity_shown,
                    Allocation.entitled,
                    StockItem.mode,
                )
                .join(Allocation, Allocation.listing_id == Listing.id)
                .join(StockItem, StockItem.id == Allocation.stock_item_id)
                .where(Listing.status == "active")
            )
        )
        breaches = (
            await session.scalar(
                select(func.count()).select_from(PriceChange).where(PriceChange.new_minor < PriceChange.floor_minor)
            )
        ) or 0
    told = Counter((channel, external) for channel, external, _ in orders)
    duplicated = sum(count - 1 for count in told.values())
    doubles = truth["double_side_effects"]
    for kind, found in doubles.items():
        duplicated += len(found)
        problems += [f"{kind} done twice: {each}" for each in found]
    real = {(order["channel"], order["external_id"]): order for order in truth["orders"]}
    lost = [key for key in real if key not in told]
    problems += [f"order {external} of {channel} was never taken in" for channel, external in lost]
    invented = [key for key in told if key not in real]
    problems += [f"order {external} of {channel} does not exist there" for channel, external in invented]
    for channel, external, holds in orders:
        order = real.get((channel, external))
        if order is not None and bool(order["holds_stock"]) != bool(holds):
            problems.append(f"order {external} of {channel} is {order['status']} there, holds_stock={holds} here")
    oversold = sum(short for _, _, short, _ in lines)
    problems += [f"{sku}: {short} units sold that are not there" for sku, _, short, _ in lines if short]
    mismatches = 0
    held_here = {sku: reserved + short + shipped for sku, reserved, short, shipped in lines}
    for sku, shelf in shelves.items():
        held_there = truth["skus"].get(sku, {}).get("units_held", 0)
        if held_here.get(sku, 0) != held_there:
            mismatches += 1
            problems.append(f"{sku}: {held_there} units sold on the channels, {held_here.get(sku, 0)} in our books")
        if shelf.reserved + shelf.allocated > shelf.on_hand:
            mismatches += 1
            problems.append(f"{sku}: more promised than there is")
    for sku, account_id, price, shown, entitled, mode in shares:
        channel = sandbox_channel(vendors[account_id])
        there = truth["skus"].get(sku, {}).get("channels", {}).get(channel)
        if there is None:
            mismatches += 1
            problems.append(f"{sku} is not on {channel}")
            continue
        expected = entitled if mode == "escrow" else shown
        if there["quantity"] != expected:
            mismatches += 1
            problems.append(f"{sku} on {channel}: {there['quantity']} on offer, {expected} in our books")
        if there["price_minor"] != price:
            mismatches += 1
            problems.append(f"{sku} on {channel}: priced {there['price_minor']} there, {price} here")
    problems += truth["inconsistencies"]
    return Reconciliation(
        orders_placed=len(real),
        orders_ingested=len(set(told) & set(real)),
        orders_duplicated=duplicated + len(invented),
        oversold_units=oversold,
        stock_mismatches=mismatches,
        price_floor_breaches=breaches,
        problems=problems,
    )
