"""WooCommerceAgent: a shop of one's own. No rivals there, and webhooks that switch themselves off without a word."""

from __future__ import annotations

from agents.market.base_market import BaseMarketAgent, ChannelCommand
from flipsync.domain.commands import EnsureWebhooks, VerifyListings
from flipsync.domain.decisions import Decision
from flipsync.domain.events import ListingCheckDue
from flipsync.runtime.agent import AgentSpec, Authority, Context


class WooCommerceAgent(BaseMarketAgent):
    """Serves WooCommerce shops and looks after their webhooks."""

    spec = AgentSpec(
        name="woocommerce",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        vendors=frozenset({"woocommerce"}),
    )

    sees_rivals = False

    async def check_listings(self, event: ListingCheckDue, ctx: Context) -> Decision[ChannelCommand]:
        """WooCommerce disables a webhook after failed deliveries and tells nobody: look, and switch it on again."""
        compare = VerifyListings(account_id=event.account_id)
        url = (await ctx.services.profile()).settings.webhook_base_url
        if url is None:
            return Decision.propose(compare, why="time to compare the shop with us")
        return Decision.propose(
            compare,
            EnsureWebhooks(account_id=event.account_id, callback_url=url),
            why="time to compare the shop with us and to see that its webhooks are on",
        )
