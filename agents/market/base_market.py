"""BaseMarketAgent: how any channel is served; the base of every channel's agent, and the agent of those without one."""

from __future__ import annotations

from flipsync.domain.channel import Offer
from flipsync.domain.commands import (
    AdoptListing,
    Command,
    EndListing,
    EnsureWebhooks,
    KeepEdit,
    OfferEdit,
    PublishListing,
    PullOrders,
    PullRefunds,
    PullRivals,
    PullWarehouse,
    ReviseListing,
    SurveyListings,
    VerifyListings,
)
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.events import (
    AccountConnected,
    ChannelCheckDue,
    ChannelFaultCleared,
    ChannelFaultFound,
    ListingCheckDue,
    ListingEdited,
    ListingOutdated,
    ListingRecognised,
    ListingRequested,
    WarehouseReconciled,
)
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.edit_settling import settle
from flipsync.services.fault_mending import mend

ChannelEvent = (
    ListingRequested
    | ListingOutdated
    | ListingRecognised
    | ListingEdited
    | ChannelCheckDue
    | ListingCheckDue
    | AccountConnected
    | WarehouseReconciled
    | ChannelFaultFound
    | ChannelFaultCleared
)
ChannelCommand = (
    PublishListing
    | ReviseListing
    | EndListing
    | AdoptListing
    | KeepEdit
    | OfferEdit
    | PullOrders
    | PullRivals
    | PullWarehouse
    | PullRefunds
    | VerifyListings
    | SurveyListings
    | EnsureWebhooks
)


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
    #: whether the channel switches off or deletes a failing webhook and tells nobody
    drops_webhooks = False
    #: where the channel's notices go, where that is no address of ours
    notices_go_to: str | None = None

    async def decide(self, event: ChannelEvent, ctx: Context) -> Decision[ChannelCommand]:
        if isinstance(event, ListingRequested):
            return await self.publish(event, ctx)
        if isinstance(event, ListingOutdated):
            return await self.follow(event, ctx)
        if isinstance(event, ListingCheckDue):
            return await self.check_listings(event, ctx)
        if isinstance(event, AccountConnected):
            return await self.welcome(event, ctx)
        if isinstance(event, ListingRecognised):
            return await self.recognise(event, ctx)
        if isinstance(event, ListingEdited):
            return await self.settle_edit(event, ctx)
        if isinstance(event, WarehouseReconciled):
            evidence = [Evidence(kind="stock_item", id=event.stock_item_id, note=f"{event.inbound} units on their way")]
            return Decision.hold(
                f"{event.reported} units reported, {event.expected} expected: booked", evidence=evidence
            )
        if isinstance(event, ChannelFaultFound):
            return await self.mend(event, ctx)
        if isinstance(event, ChannelFaultCleared):
            look = VerifyListings(account_id=event.account_id)
            return Decision.propose(look, why=f"{event.cause} is over: see what was missed meanwhile")
        commands: list[Command] = [PullOrders(account_id=event.account_id)]
        if event.rivals and self.sees_rivals:
            commands.append(PullRivals(account_id=event.account_id))
        return Decision.propose(*commands, why="time to look for what webhooks did not tell")

    async def publish(self, event: ListingRequested, ctx: Context) -> Decision[ChannelCommand]:
        """Listings of the product that wait on this account, each as the channel should show it."""
        requested = await ctx.services.listings.requested(event.product_id, event.account_id)
        reasons = {row.listing_id: row.blocked if row.offer is None else self.lacks(row.offer) for row in requested}
        offers = [(row.listing_id, row.offer) for row in requested if row.offer is not None]
        ready = [(listing_id, offer) for listing_id, offer in offers if not reasons[listing_id]]
        blocked = [(listing_id, reason) for listing_id, reason in reasons.items() if reason]
        evidence = [Evidence(kind="listing", id=listing_id, note=reason) for listing_id, reason in blocked]
        if not ready:
            return Decision.hold(
                f"nothing to publish: {blocked[0][1]}" if blocked else "nothing waits", evidence=evidence
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

    def lacks(self, offer: Offer) -> str:
        """What the channel would refuse the offer for, as far as it is known beforehand; "" when nothing."""
        return ""

    async def follow(self, event: ListingOutdated, ctx: Context) -> Decision[ChannelCommand]:
        """Bring a live listing up to its product, or take it off sale with it."""
        evidence = [Evidence(kind="listing", id=event.listing_id)]
        found = await ctx.services.listings.outdated(event.listing_id)
        if found is None or found.status != "active":
            return Decision.hold("the listing is not on sale", evidence=evidence)
        if not found.published:
            end = EndListing(account_id=found.account_id, listing_id=event.listing_id, reason=EndListing.UNPUBLISHED)
            return Decision.propose(end, why=end.reason, confidence=0.95, evidence=evidence)
        if found.offer is None:
            return Decision.hold("the variant has no price: set one", evidence=evidence)
        if not found.differs and not event.again:
            return Decision.hold("the channel was told all of it already", evidence=evidence)
        revise = ReviseListing(account_id=found.account_id, listing_id=event.listing_id, offer=found.offer)
        why = "the channel is to show our words again" if event.again else "the product was edited since it was told"
        return Decision.propose(revise, why=why, confidence=0.95, evidence=evidence)

    async def recognise(self, event: ListingRecognised, ctx: Context) -> Decision[ChannelCommand]:
        """A listing that reads like goods of ours: whether it is the same article is for the owner to say."""
        evidence = [Evidence(kind="listing", id=event.listing_id)]
        found = await ctx.services.listings.outdated(event.listing_id)
        if found is None or found.status != "recognised":
            return Decision.hold("whose listing it is has been settled", evidence=evidence)
        adopt = AdoptListing(listing_id=event.listing_id, account_id=event.account_id, vendor=event.vendor)
        return Decision.propose(
            adopt,
            why=f"take over the channel's listing {event.external_id}, since {event.why}",
            confidence=event.confidence,
            evidence=evidence,
        )

    async def settle_edit(self, event: ListingEdited, ctx: Context) -> Decision[ChannelCommand]:
        """A listing was edited on the channel: the owner says, once for all or each time, whose words it bears."""
        winner = (await ctx.services.profile()).settings.listings.hand_edits
        return settle(event, await ctx.services.listings.outdated(event.listing_id), winner)

    async def check_listings(self, event: ListingCheckDue, ctx: Context) -> Decision[ChannelCommand]:
        """Compare the channel with our books, and see to webhooks that may have gone."""
        commands: list[Command] = [VerifyListings(account_id=event.account_id)]
        url = (await ctx.services.profile()).settings.webhook_base_url if self.drops_webhooks else None
        if url is not None:
            commands.append(EnsureWebhooks(account_id=event.account_id, callback_url=url))
        return Decision.propose(*commands, why="time to compare the channel with us, and to see that it tells us")

    async def welcome(self, event: AccountConnected, ctx: Context) -> Decision[ChannelCommand]:
        """See what the channel offers already, and subscribe to its webhooks when it can reach us."""
        url = (await ctx.services.profile()).settings.webhook_base_url
        commands: list[Command] = [SurveyListings(account_id=event.account_id)]
        if url is not None:
            commands.append(EnsureWebhooks(account_id=event.account_id, callback_url=url))
        commands.append(PullOrders(account_id=event.account_id))
        orders = "subscribe to its webhooks and fetch its orders"
        if url is None:
            orders = "no public address for webhooks is set, so orders are polled"
        return Decision.propose(*commands, why=f"a new account: see what it offers; {orders}")

    async def mend(self, event: ChannelFaultFound, ctx: Context) -> Decision[ChannelCommand]:
        """What can be mended without the owner is; the rest is told as it is."""
        url = self.notices_go_to or (await ctx.services.profile()).settings.webhook_base_url
        return mend(event, await ctx.services.accounts.get(event.account_id), url)
