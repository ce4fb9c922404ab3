"""AmazonAgent: a marketplace with rivals, one shared catalogue, and a list of orders that may rarely be asked for."""

from __future__ import annotations

from agents.market.base_market import BaseMarketAgent, ChannelCommand, ChannelEvent
from flipsync.domain.commands import (
    EnsureWebhooks,
    PublishListing,
    PullOrders,
    PullRefunds,
    PullWarehouse,
    SurveyListings,
    VerifyListings,
)
from flipsync.domain.decisions import Decision
from flipsync.domain.events import AccountConnected, ChannelCheckDue, ListingCheckDue, ListingRequested
from flipsync.runtime.agent import AgentSpec, Authority, Context

#: Amazon lets the order list be read 0.0056 times a second: once in three minutes. Where no queue tells of sales, it is
#: asked for in one minute of these.
_ORDERS_EVERY = 5
#: Amazon calls nobody: notifications go to the account's queue, whatever address is given.
_NO_ADDRESS = "queue:"


class AmazonAgent(BaseMarketAgent):
    """Serves Amazon: offers goods on the catalogue's page where they have a barcode, keeps its notifications coming."""

    spec = AgentSpec(
        name="amazon",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        vendors=frozenset({"amazon"}),
    )

    notices_go_to = _NO_ADDRESS

    async def decide(self, event: ChannelEvent, ctx: Context) -> Decision[ChannelCommand]:
        if isinstance(event, ChannelCheckDue) and not event.rivals and ctx.now.minute % _ORDERS_EVERY:
            account = await ctx.services.accounts.get(event.account_id)
            if account is None or not account.queued:
                return Decision.hold(
                    "Amazon lets its orders be listed once in three minutes; name a queue to hear sooner"
                )
        return await super().decide(event, ctx)

    async def publish(self, event: ListingRequested, ctx: Context) -> Decision[ChannelCommand]:
        """Goods with a barcode join the page the catalogue has of them; the rest need a page, and an exemption."""
        decision = await super().publish(event, ctx)
        published = [command for command in decision.proposals if isinstance(command, PublishListing)]
        bare = [command.offer.sku for command in published if not command.offer.barcode]
        if not published or not bare:
            return decision
        return Decision.propose(
            *decision.proposals,
            why=f"{decision.rationale}; without a barcode, and so with a page of their own that Amazon must allow: "
            + ", ".join(bare),
            confidence=0.75,
            evidence=list(decision.evidence),
        )

    async def check_listings(self, event: ListingCheckDue, ctx: Context) -> Decision[ChannelCommand]:
        """Amazon drops subscriptions whose queue it could not reach: look, and subscribe again."""
        if await ctx.services.accounts.get(event.account_id) is None:
            return await super().check_listings(event, ctx)
        return Decision.propose(
            VerifyListings(account_id=event.account_id),
            PullWarehouse(account_id=event.account_id),
            PullRefunds(account_id=event.account_id),
            EnsureWebhooks(account_id=event.account_id, callback_url=_NO_ADDRESS),
            why="time to compare Amazon, its warehouses and refunds with us, and to see that its notifications are on",
        )

    async def welcome(self, event: AccountConnected, ctx: Context) -> Decision[ChannelCommand]:
        """See what is offered already, subscribe the account's queue, wherever we are, and fetch the orders."""
        return Decision.propose(
            SurveyListings(account_id=event.account_id),
            PullWarehouse(account_id=event.account_id),
            EnsureWebhooks(account_id=event.account_id, callback_url=_NO_ADDRESS),
            PullOrders(account_id=event.account_id),
            why="a new account: see what it offers, subscribe its queue to notifications and fetch its orders",
        )
