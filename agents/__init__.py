"""The agents: one file, one class, one Ray actor each. An agent is here when it does its job.

To add one: write its file, add its class to ROSTER.
"""

from __future__ import annotations

from typing import Any

from agents.executive.ai_executive import AIExecutiveAgent
from agents.executive.executive import ExecutiveAgent
from agents.executive.reinforcement_learning import ReinforcementLearningAgent
from agents.executive.resource import ResourceAgent
from agents.executive.strategy import StrategyAgent
from agents.governance.compliance import ComplianceAgent
from agents.logistics.auto_inventory import AutoInventoryAgent
from agents.logistics.auto_listing import AutoListingAgent
from agents.logistics.auto_pricing import AutoPricingAgent
from agents.logistics.fulfillment import FulfillmentAgent
from agents.market.advertising import AdvertisingAgent
from agents.market.ai_market import AIMarketAgent
from agents.market.amazon import AmazonAgent
from agents.market.base_market import BaseMarketAgent
from agents.market.competitor import CompetitorAgent
from agents.market.demand import DemandAgent
from agents.market.ebay import EbayAgent
from agents.market.inventory import InventoryAgent
from agents.market.listing import ListingAgent
from agents.market.market import MarketAgent
from agents.market.pricing import PricingAgent
from agents.market.shopify import ShopifyAgent
from agents.market.sourcing import SourcingAgent
from agents.market.trend import TrendAgent
from agents.market.woocommerce import WooCommerceAgent
from flipsync.runtime.agent import Agent

ROSTER: tuple[type[Agent[Any]], ...] = (
    ExecutiveAgent,
    AIExecutiveAgent,
    ReinforcementLearningAgent,
    ResourceAgent,
    StrategyAgent,
    MarketAgent,
    AIMarketAgent,
    BaseMarketAgent,
    AmazonAgent,
    EbayAgent,
    WooCommerceAgent,
    ShopifyAgent,
    InventoryAgent,
    ListingAgent,
    PricingAgent,
    CompetitorAgent,
    DemandAgent,
    TrendAgent,
    AdvertisingAgent,
    SourcingAgent,
    AutoListingAgent,
    AutoInventoryAgent,
    AutoPricingAgent,
    FulfillmentAgent,
    ComplianceAgent,
)

__all__ = ["ROSTER"]
