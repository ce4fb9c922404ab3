"""InventoryAgent: how many units each channel may sell."""

from __future__ import annotations

from uuid import UUID

from flipsync.domain.commands import AllocateStock, MeasureChannels, SetChannelQuantity
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import CycleStarted, ListingPublished, ListingVanished, QuantityDrifted, StockMoved
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Budget, Context
from flipsync.services.desk import Odds, StockPicture

InventoryEvent = StockMoved | ListingPublished | ListingVanished | QuantityDrifted


class InventoryAgent(Agent[StockMoved | ListingPublished | ListingVanished | QuantityDrifted | CycleStarted]):
    """Shares each item's units out over its listings: partitioned (escrow), or shown as widely as is safe (pooled).

    Safe: the odds of selling a unit twice stay within the owner's limit. The delays they rest on are measured hourly.
    """

    spec = AgentSpec(
        name="inventory",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        budget=Budget(effects_per_hour=2_000_000),  # every sale is told to every channel
        pace=0.1,
    )

    async def decide(
        self, event: StockMoved | ListingPublished | ListingVanished | QuantityDrifted | CycleStarted, ctx: Context
    ) -> Decision[AllocateStock | SetChannelQuantity | MeasureChannels]:
        if isinstance(event, CycleStarted):
            if event.cycle != "hourly":
                return Decision.hold("channels are measured every hour")
            measure = MeasureChannels(tenant_id=event.tenant_id)
            return Decision.propose(measure, why="the odds of selling a unit twice rest on delays as they are now")
        if isinstance(event, QuantityDrifted) and event.overwritten:
            return Decision.hold(f"{event.seen} units were shown, and the ledger's quantity is written over them")
        item_id = await self._item(event, ctx)
        if item_id is None:
            return Decision.hold("the listing has no stock item")
        picture = await ctx.services.stock.picture(item_id)
        if picture is None:
            return Decision.hold("the stock item is gone")
        evidence = [Evidence(kind="stock_item", id=item_id, note=_note(picture))]
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
            why=_words(picture),
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
    if picture.item.mode == "escrow":
        scores["sold_lately"] = float(sold)
    elif picture.odds is not None and listing_id in picture.odds.rates:
        scores["expected_sales_a_day"] = round(picture.odds.rates[listing_id], 4)
    return scores


def _note(picture: StockPicture) -> str:
    note = f"{picture.available} units can be offered"
    return note if picture.odds is None else f"{note}; {_odds(picture.odds)}"


def _odds(odds: Odds) -> str:
    if odds.shown:
        words = f"the next sale is one too many with a probability of {odds.shown:.2g} (limit {odds.limit:.2g}"
    else:
        words = f"nothing can be sold twice (limit {odds.limit:.2g}"
    if odds.shown < odds.everywhere:
        words += f"; {odds.everywhere:.2g} if every channel showed everything"
    basis = f"{odds.sales} sales" if odds.sales else "no sale yet: delays are believed, not measured"
    return f"{words}), from {basis}"


def _words(picture: StockPicture) -> str:
    available, channels = picture.available, len(picture.listings)
    if picture.item.mode == "escrow":
        return f"{available} units split over {channels} channels, none promised twice"
    showing = sum(units > 0 for units in picture.shares.values())
    where = f"{channels} channels" if showing == channels else f"{showing} of {channels} channels"
    if picture.odds is None:
        return f"{available} units shown on {where}"
    unseen = f", unseen by {picture.odds.unseen:.0%} of the demand" if picture.odds.unseen >= 0.005 else ""
    return f"{available} units shown on {where}{unseen}: {_odds(picture.odds)}"
