"""Prices: what fees take, what a sale must earn, which price is best, and the firewall every price goes through.

Pure, no I/O. The array versions live in `batch`, which is the only part that needs numpy.
"""

from flipsync.services.pricing.certificate import Certificate, CertificateRefused, Seal
from flipsync.services.pricing.economics import NetProfit, UnitEconomics, floor_price, net_profit
from flipsync.services.pricing.fees import (
    FeeBreakdown,
    FeeRule,
    FeeSchedule,
    Sale,
    amazon_us,
    ebay_us,
    percentage_plus_fixed,
    shopify_us,
    stripe_us,
)
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.proposal import Allow, Ask, Clamp, Deny, PriceProposal, PriceVerdict, Reason
from flipsync.services.pricing.quote import Because, PolicySettings, PricePeriod, Quote, QuoteRequest
from flipsync.services.pricing.rules import FirewallLimits

__all__ = [
    "Allow",
    "Ask",
    "Because",
    "Certificate",
    "CertificateRefused",
    "Clamp",
    "Deny",
    "FeeBreakdown",
    "FeeRule",
    "FeeSchedule",
    "Firewall",
    "FirewallLimits",
    "NetProfit",
    "PolicySettings",
    "PricePeriod",
    "PriceProposal",
    "PriceVerdict",
    "PricingPolicy",
    "Quote",
    "QuoteRequest",
    "Reason",
    "Sale",
    "Seal",
    "UnitEconomics",
    "amazon_us",
    "ebay_us",
    "floor_price",
    "net_profit",
    "percentage_plus_fixed",
    "shopify_us",
    "stripe_us",
]
