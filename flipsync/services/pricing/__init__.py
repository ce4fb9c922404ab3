"""Prices: what fees take, what a sale must earn, which price is best, and the firewall every price goes through.

Pure, no I/O. The array versions live in `batch`, which is the only part that needs numpy.
"""

from flipsync.services.pricing.certificate import Certificate, CertificateRefused, Seal
from flipsync.services.pricing.economics import NetProfit, UnitEconomics, floor_price, net_profit
from flipsync.services.pricing.fees import (
    FeeBracket,
    FeeBreakdown,
    FeeRule,
    FeeSchedule,
    Sale,
    percentage_plus_fixed,
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
    "FeeBracket",
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
    "floor_price",
    "net_profit",
    "percentage_plus_fixed",
]
