"""EbayAgent: a marketplace with rivals, where a listing needs a picture and its item specifics before it is shown."""

from __future__ import annotations

from agents.market.base_market import BaseMarketAgent, ChannelCommand
from flipsync.domain.channel import Offer
from flipsync.domain.commands import EnsureWebhooks, VerifyListings
from flipsync.domain.decisions import Decision
from flipsync.domain.events import ListingCheckDue
from flipsync.runtime.agent import AgentSpec, Authority, Context


class EbayAgent(BaseMarketAgent):
    """Serves eBay accounts: fixed-price listings that are whole, and notifications that stay switched on."""

    spec = AgentSpec(
        name="ebay",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        vendors=frozenset({"ebay"}),
    )

    def lacks(self, offer: Offer) -> str:
        """A picture; and of a variation, one choice for each option, since its listing is made of them."""
        if not offer.images:
            return "eBay shows no listing without a picture: add one to the product"
        if offer.group is not None and (
            len(offer.choices) != len(offer.group.options) or not all(choice.strip() for choice in offer.choices)
        ):
            return f"a variation on eBay needs each of its item specifics: {', '.join(offer.group.options)}"
        return ""

    async def check_listings(self, event: ListingCheckDue, ctx: Context) -> Decision[ChannelCommand]:
        """eBay marks an endpoint down that failed to answer, and tells only an e-mail address: look, and mend it."""
        compare = VerifyListings(account_id=event.account_id)
        url = (await ctx.services.profile()).settings.webhook_base_url
        if url is None:
            return Decision.propose(compare, why="time to compare eBay with us")
        return Decision.propose(
            compare,
            EnsureWebhooks(account_id=event.account_id, callback_url=url),
            why="time to compare eBay with us and to see that its notifications are on",
        )
