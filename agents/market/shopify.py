"""ShopifyAgent: a shop of one's own on Shopify. No rivals there, and subscriptions that are deleted without a word."""

from __future__ import annotations

from agents.market.base_market import BaseMarketAgent
from flipsync.runtime.agent import AgentSpec, Authority


class ShopifyAgent(BaseMarketAgent):
    """Serves Shopify shops: products with their variants kept whole, stock at the account's one location.

    Shopify deletes a webhook subscription after eight failed deliveries in a row: with every comparison of the shop
    with our books the subscriptions are looked at too.
    """

    spec = AgentSpec(
        name="shopify",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        vendors=frozenset({"shopify"}),
    )

    sees_rivals = False
    drops_webhooks = True
