"""InventoryAgent: how many units each channel may sell."""

from __future__ import annotations

from uuid import UUID

from flipsync.domain.commands import AllocateStock, SetChannelQuantity
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import ListingPublished, ListingVanished, QuantityDrifted, StockMoved
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Budget, Context
from flipsync.services.desk import StockPicture

InventoryEvent = StockMoved | ListingPublished | ListingVanished | QuantityDrifted


class InventoryAgent(Agent[StockMoved | ListingPublished | ListingVanished | QuantityDrifted]):
    """Shares each item's units out over its listings: partitioned (escrow) or shown everywhere (pooled)."""

    spec = AgentSpec(
        name="inventory",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        budget=Budget(effects_per_hour=2_000_000),  # every sale is told to every channel
        pace=0.1,
    )

    async def decide(
        self, event: StockMoved | ListingPublished | ListingVanished | QuantityDrifted, ctx: Context
    ) -> Decision[AllocateStock | SetChannelQuantity]:
        item_id = await self._item(event, ctx)
        if item_id is None:
            return Decision.hold("the listing has no stock item")
        picture = await ctx.services.stock.picture(item_id)
        if picture is None:
            return Decision.hold("the stock item is gone")
        evidence = [Evidence(kind="stock_item", id=item_id, note=f"{picture.available} units can be offered")]
        drifted = event.listing_id if isinstance(event, QuantityDrifted) else None
        changed = picture.changed()
        if drifted is not None:
            changed.setdefault(drifted, picture.shares.get(drifted, 0))
        targets = {row.listing_id: row.target for row in picture.listings}
        moved = {listing: share for listing, share in picture.shares.items() if targets.get(listing) != share}
        if not changed and not moved:
            return Decision.hold("every channel shows what it should", evidence=evidence)
        commands: list[AllocateStock | SetChannelQuantity] = []
        if moved:
            commands.append(AllocateStock(stock_item_id=item_id, shares=picture.shares))
        accounts = {row.listing_id: row.account_id for row in picture.listings}
        last_unit = picture.available <= 1
        commands += [
            SetChannelQuantity(account_id=accounts[listing], listing_id=listing, quantity=share, last_unit=last_unit)
            for listing, share in sorted(changed.items(), key=lambda pair: pair[1])  # what must go down goes first
        ]
        return Decision.propose(
            *commands,
            why=_words(picture.item.mode, picture.available, len(picture.listings)),
            confidence=0.95,
            evidence=evidence,
            alternatives=tuple(
                Alternative(
                    name=f"{row.vendor} listing {row.listing_id}",
                    scores=_scores(picture, row.listing_id, row.sold),
                    why=f"is entitled to {row.entitled}, shows {row.quantity_shown}",
                    chosen=row.listing_id in changed,
                )
                for row in picture.listings
            ),
        )

    async def _item(self, event: InventoryEvent, ctx: Context) -> UUID | None:
        if isinstance(event, StockMoved):
            return event.stock_item_id
        return await ctx.services.stock.item_of_listing(event.listing_id)


def _scores(picture: StockPicture, listing_id: UUID, sold: int) -> dict[str, float]:
    scores = {"units": float(picture.shares[listing_id])}
    if picture.item.mode == "escrow":  # pooled units are shown everywhere, whoever sold more
        scores["sold_lately"] = float(sold)
    return scores


def _words(mode: str, available: int, channels: int) -> str:
    if mode == "escrow":
        return f"{available} units split over {channels} channels, none promised twice"
    return f"{available} units shown on {channels} channels"
