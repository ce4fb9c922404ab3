"""WooCommerceAgent: a shop of one's own. No rivals there, and webhooks that switch themselves off without a word."""

from __future__ import annotations

from agents.market.base_market import BaseMarketAgent
from flipsync.runtime.agent import AgentSpec, Authority


class WooCommerceAgent(BaseMarketAgent):
    """Serves WooCommerce shops and looks after their webhooks, which WooCommerce disables after failed deliveries."""

    spec = AgentSpec(
        name="woocommerce",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        vendors=frozenset({"woocommerce"}),
    )

    sees_rivals = False
    drops_webhooks = True
