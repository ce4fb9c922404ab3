"""BaseMarketAgent: how any channel is served; the base of every channel's agent, and the agent of those without one."""

from __future__ import annotations

from flipsync.domain.commands import (
    Command,
    EndListing,
    EnsureWebhooks,
    PublishListing,
    PullOrders,
    PullRivals,
    ReviseListing,
    VerifyListings,
)
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.events import AccountConnected, ChannelCheckDue, ListingCheckDue, ListingOutdated, ListingRequested
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context

ChannelEvent = ListingRequested | ListingOutdated | ChannelCheckDue | ListingCheckDue | AccountConnected
ChannelCommand = PublishListing | ReviseListing | EndListing | PullOrders | PullRivals | VerifyListings | EnsureWebhooks


class BaseMarketAgent(Agent[ChannelEvent]):
    """Publishes what is requested, keeps listings like their product, pulls orders and rivals, checks what is shown."""

    spec = AgentSpec(
        name="base_market",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        vendors=frozenset({"custom", "medusa", "python", "vendure"}),
    )

    #: whether other sellers' offers for the same goods can be seen on this channel
    sees_rivals = True

    async def decide(self, event: ChannelEvent, ctx: Context) -> Decision[ChannelCommand]:
        if isinstance(event, ListingRequested):
            return await self.publish(event, ctx)
        if isinstance(event, ListingOutdated):
            return await self.follow(event, ctx)
        if isinstance(event, ListingCheckDue):
            return await self.check_listings(event, ctx)
        if isinstance(event, AccountConnected):
            return await self.welcome(event, ctx)
        commands: list[Command] = [PullOrders(account_id=event.account_id)]
        if event.rivals and self.sees_rivals:
            commands.append(PullRivals(account_id=event.account_id))
        return Decision.propose(*commands, why="time to look for what webhooks did not tell")

    async def publish(self, event: ListingRequested, ctx: Context) -> Decision[ChannelCommand]:
        """Listings of the product that wait on this account, each as the channel should show it."""
        requested = await ctx.services.listings.requested(event.product_id, event.account_id)
        ready = [(row.listing_id, row.offer) for row in requested if row.offer is not None]
        blocked = [row for row in requested if row.offer is None]
        evidence = [Evidence(kind="listing", id=row.listing_id, note=row.blocked) for row in blocked]
        if not ready:
            return Decision.hold(
                f"nothing to publish: {blocked[0].blocked}" if blocked else "nothing waits", evidence=evidence
            )
        return Decision.propose(
            *(
                PublishListing(account_id=event.account_id, listing_id=listing_id, offer=offer)
                for listing_id, offer in ready
            ),
            why=f"{len(ready)} listings requested by the market agent",
            confidence=0.95,
            evidence=[*evidence, *(Evidence(kind="listing", id=listing_id) for listing_id, _ in ready)],
        )

    async def follow(self, event: ListingOutdated, ctx: Context) -> Decision[ChannelCommand]:
        """Bring a live listing up to its product, or take it off sale with it."""
        evidence = [Evidence(kind="listing", id=event.listing_id)]
        found = await ctx.services.listings.outdated(event.listing_id)
        if found is None or found.status != "active":
            return Decision.hold("the listing is not on sale", evidence=evidence)
        if not found.published:
            reason = "the product is not published any more"
            end = EndListing(account_id=found.account_id, listing_id=event.listing_id, reason=reason)
            return Decision.propose(end, why=reason, confidence=0.95, evidence=evidence)
        if found.offer is None:
            return Decision.hold("the variant has no price: set one", evidence=evidence)
        if not found.differs:
            return Decision.hold("the channel was told all of it already", evidence=evidence)
        return Decision.propose(
            ReviseListing(account_id=found.account_id, listing_id=event.listing_id, offer=found.offer),
            why="the product was edited since the channel was told",
            confidence=0.95,
            evidence=evidence,
        )

    async def check_listings(self, event: ListingCheckDue, ctx: Context) -> Decision[ChannelCommand]:
        """Compare the channel with our books."""
        return Decision.propose(VerifyListings(account_id=event.account_id), why="time to compare the channel with us")

    async def welcome(self, event: AccountConnected, ctx: Context) -> Decision[ChannelCommand]:
        """Subscribe to the channel's webhooks when it can reach us."""
        url = (await ctx.services.profile()).settings.webhook_base_url
        if url is None:
            return Decision.propose(
                PullOrders(account_id=event.account_id), why="no public address for webhooks is set: orders are polled"
            )
        return Decision.propose(
            EnsureWebhooks(account_id=event.account_id, callback_url=url),
            PullOrders(account_id=event.account_id),
            why="a new account: subscribe to its webhooks and fetch its orders",
        )
